"""The other side: with much data and a good probe, keeping the hardest beats the power law."""

from __future__ import annotations

import numpy as np
from sklearn.svm import SVC

from nfl_pruning.montecarlo.engine import training_set
from nfl_pruning.numerics.bracket import bracketed_root
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring.summary import mean_and_error, seedless
from nfl_pruning.theory.solve import solve

N_FEATURES = {"quick": 60, "paper": 200}
# Trials by (direction, alignment, samples per feature): no more than the claim needs, as the bias
# of finite systems grows beside the standard error.
SIMULATED = {("hardest", 1.0, 8.0): 100, ("easiest", 1.0, 8.0): 60, ("hardest", 0.9, 2.0): 60}
KEEP_FRACTION = 0.3
KEPT = (2.0, 4.0, 6.0, 8.0, 10.0)  # kept samples per feature along the schedule


def problem_of(keep: str, alignment: float, samples: float, fraction: float) -> Problem:
    """Noiseless teacher, label-agnostic pruning, max-margin student (a vanishing ridge)."""
    base = Problem(
        samples, fraction, "margin", "hardest" if keep == "random" else keep,
        "random" if keep == "random" else "threshold", probe=f"fixed:{alignment}",
    )  # fmt: skip
    return base.replace(link="sign", ridge=0.0)


@seedless
def error_of(keep: str, alignment: float, samples: float, fraction: float) -> float:
    """Limiting 0-1 error: the angle to the teacher over pi."""
    cosine = solve(problem_of(keep, alignment, samples, fraction)).direction_cosine
    return float(np.arccos(cosine) / np.pi)


def simulated_error(
    keep: str, alignment: float, samples: float, sizes: tuple[int, int], seed: int
) -> tuple[float, float]:
    """0-1 errors of hard-margin support vector machines on pruned samples."""
    problem = problem_of(keep, alignment, samples, KEEP_FRACTION)
    n_features, n_trials = sizes
    found = []
    for trial in range(n_trials):
        data = training_set(problem, n_features=n_features, trial=trial, seed=seed)
        # mirrored samples change no constraint on w and force the intercept to 0
        x, y = np.concatenate([data.x, -data.x]), np.concatenate([data.y, -data.y])
        w = SVC(kernel="linear", C=1e8, tol=1e-5).fit(x, y).coef_[0]
        found.append(np.arccos(w[0] / np.linalg.norm(w)) / np.pi)
    return mean_and_error(np.array(found))


def crossover() -> float:
    """Samples per feature at which keep-hardest overtakes keep-easiest, perfect probe, r = 0.3."""

    def lead(log_samples: float) -> float:
        samples = float(np.exp(log_samples))
        return error_of("hardest", 1.0, samples, 0.3) - error_of("easiest", 1.0, samples, 0.3)

    return float(np.exp(bracketed_root(lead, np.log(1.0), np.log(20.0), xtol=1e-3)))


def schedule(alignment: float, kept: tuple[float, ...]) -> list[float]:
    """Errors where r shrinks like exp(-kept / 2) as the kept samples per feature grow."""
    fractions = [float(np.exp(-0.5 * k)) for k in kept]
    return [error_of("hardest", alignment, k / r, r) for k, r in zip(kept, fractions, strict=True)]


def measure(preset: str, seed: int) -> Measured:
    """Who beats random where; fixed r against the envelope; perfect against imperfect probe."""
    quantities = []
    for (keep, alignment, samples), trials in SIMULATED.items():
        limit = error_of(keep, alignment, samples, KEEP_FRACTION)
        value = simulated_error(keep, alignment, samples, (N_FEATURES[preset], trials), seed)
        text = f"error, keep {keep}, cosine {alignment:g}, n/d = {samples:g}"
        quantities.append(Quantity(text, limit, *value, 0.04, trials - 1))
    exact, plot, remark = theory()
    return Measured(quantities + exact, [plot], [remark])


@seedless
def theory() -> tuple[list[Quantity], Plot, str]:
    """What is compared within the limit."""
    much, little, quantities = 40.0, 2.0, []
    for keep, samples in (("hardest", much), ("easiest", little)):
        other = error_of("random", 1.0, samples, KEEP_FRACTION)
        mine = error_of(keep, 1.0, samples, KEEP_FRACTION)
        text = f"error of keep-{keep}, n/d = {samples:g}; bound: random's"
        quantities.append(Quantity(text, other, mine, 1e-5, 0.01, None, "below"))
    fixed = [error_of("hardest", 1.0, s, KEEP_FRACTION) for s in (100.0, 200.0)]
    slope = float(np.log(fixed[1] / fixed[0]) / np.log(2))
    quantities.append(Quantity("exponent in n/d at fixed r", -1.0, slope, 0.05, 0.2, None))
    pruned, whole = (error_of(k, 1.0, 120.0, r) for k, r in (("hardest", 0.05), ("random", 1.0)))
    text = "error at 6 kept per feature of 120, over that of all 120"
    quantities.append(Quantity(text, 1.0, pruned / whole, 0.02, 0.1, None))
    best = {rho: schedule(rho, KEPT) for rho in (1.0, 0.95)}
    first, last = KEPT.index(6.0), KEPT.index(10.0)
    drop = float(np.log(best[1.0][last] / best[1.0][first]))
    expected = -0.5 * (KEPT[last] - KEPT[first]) - np.log(KEPT[last] / KEPT[first])
    text = "log error from 6 to 10 kept per feature with r = exp(-kept/2), perfect probe"
    quantities.append(Quantity(text, float(expected), drop, 0.05, 0.5, None))
    text = "error at 10 kept per feature with r = exp(-5), probe at cosine 0.95"
    quantities.append(Quantity(text, 0.2, best[0.95][last], 1e-4, 0.05, None, "above"))
    place = crossover()
    quantities.append(
        Quantity("keep-hardest overtakes keep-easiest above n/d of", 1.0, place, 0.1, 1.0, None,
                 "above")
    )  # fmt: skip
    remark = f"Perfect probe, r = 0.3: keep-hardest overtakes keep-easiest at n/d = {place:.2f}."
    return quantities, _plot(best), remark


def _plot(best: dict[float, list[float]]) -> Plot:
    kept = list(KEPT)
    looks = {1.0: "agnostic-hardest", 0.95: "aware-hardest"}
    unpruned = [error_of("random", 1.0, k, 1.0) for k in kept]
    series = [Series("as many unpruned samples", kept, unpruned, look="random")]
    series += [
        Series(f"keep hardest, probe cosine {rho:g}", kept, errors, look=looks[rho])
        for rho, errors in best.items()
    ]
    return Plot("Error against kept samples when the kept share is exp(-kept/2)",
                "kept samples per feature", "0-1 error", series, y_log=True)  # fmt: skip


STATEMENT = Statement(
    identifier="other-side",
    title="With much data and a good probe keeping the hardest wins; with little, the easiest",
    claim=(
        "Noiseless teacher, max-margin student: at r = 0.3 keep-hardest beats random at n/d = 40 "
        "and keep-easiest beats it at n/d = 2; between them lies a crossover. With a perfect probe "
        "a few kept samples per feature do as well as all n: the error is `d/(2n)` at any fixed r, "
        "so it falls exponentially in the *kept* samples where r shrinks exponentially in them "
        "(and n grows so). With an imperfect probe the same schedule ends in failure."
    ),
    assumptions=(
        "y = sign⟨x, θ*⟩ without noise, inputs N(0, I), proportional limit",
        "pruning by |margin| of a fixed probe",
    ),
    source="Sorscher et al. 2022 (arXiv 2206.14486).",
    why="The samples next to the boundary are those that bind the max-margin fit; an imperfect "
    "probe's boundary is elsewhere.",
    measure=measure,
)

"""High compression: the set of keep fractions at which random pruning wins, as maps."""

from __future__ import annotations

from itertools import product

import jax
import numpy as np
from scipy.special import ndtr

from nfl_pruning.montecarlo import simulate
from nfl_pruning.montecarlo.estimates.simulation import paired
from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem
from nfl_pruning.rules import RULES
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring import fitting, sampling
from nfl_pruning.statements.measuring.summary import mean_and_error, seedless
from nfl_pruning.theory.abundant.sets import cosine_below_zero, excess_risk_above
from nfl_pruning.theory.solve import solve
from nfl_pruning.theory.sweep import solve_many

SIGNAL, RIDGE = 2.0, 0.05 / 6
LARGE_GAP = 0.1  # nats
SIGNALS = {"quick": (1.0, 4.0, 2.0), "paper": (0.5, 1.0, 4.0, 8.0, 2.0)}  # the last one is shown
POOR, GOOD = 0.4, 0.8  # alignments of probes
ALIGNMENTS = {"quick": (POOR, GOOD), "paper": (POOR, 0.6, 1.0, GOOD)}  # the last one is shown
FRACTIONS = (0.05, 0.1, 0.3, 0.5, 0.8)
SAMPLES = {"quick": (2.0, 10.0, 40.0), "paper": (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 100.0)}
RIDGES = {"quick": (1e-3, 1e-2, 1e-1), "paper": (1e-4, 1e-3, 1e-2, 1e-1, 1.0)}
# cells that are simulated: rule, samples per feature, keep fraction
SIMULATED = (
    ("aware-hardest", 40.0, 0.3),
    ("aware-easiest", 40.0, 0.3),
    ("aware-easiest", 40.0, 0.05),
    ("aware-easiest", 2.0, 0.3),
)
TRIALS = {"quick": (60, 240), "paper": (200, 800)}  # features, trials


def problem_of(rule: str, alignment: float, samples: float, fraction: float) -> Problem:
    """A cell of the map."""
    base = Problem(samples_per_feature=samples, keep_fraction=fraction, probe=f"fixed:{alignment}")
    return base.replace(signal=SIGNAL, ridge=RIDGE, **RULES[rule])


@seedless
def maps(preset: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Observables over (signal, alignment, samples, fraction) by rule, ridge given and tuned."""
    signals, alignments, samples = SIGNALS[preset], ALIGNMENTS[preset], SAMPLES[preset]
    shape = (len(signals), len(alignments), len(samples), len(FRACTIONS))
    ridges = (RIDGE, *RIDGES[preset])
    problems = [
        problem_of(rule, alignment, count, fraction).replace(signal=signal, ridge=ridge)
        for rule in RULES
        for signal, alignment, count, fraction, ridge in product(
            signals, alignments, samples, FRACTIONS, ridges
        )
    ]
    found = solve_many(problems)
    maps = {}
    for name in ("test_loss", "test_error"):
        values = found.values[name].reshape(len(RULES), *shape, len(ridges))
        maps[name] = {
            "given": dict(zip(RULES, values[..., 0], strict=True)),
            "tuned": dict(zip(RULES, np.nanmin(values[..., 1:], axis=-1), strict=True)),
        }
    return maps


def measure(preset: str, seed: int) -> Measured:
    """Signs over the grid, four cells simulated, and the limit of abundant data."""
    quantities, plots, remarks = [], [], []
    for name, found in maps(preset).items():
        for kind, values in found.items():
            lead = {rule: values[rule] - values["random"] for rule in RULES if rule != "random"}
            what = f"{name.replace('_', ' ')}, ridge {kind}"
            every = name == "test_error" and kind == "tuned"  # the others at the shown signal alone
            for rule, gap in lead.items():
                for signal, rows in zip(SIGNALS[preset], gap[:, -1], strict=True):
                    if every or signal == SIGNALS[preset][-1]:
                        text = _wins(SAMPLES[preset], rows)
                        remarks.append(f"Random wins in {what}, signal {signal:g}, against {rule}, "
                                       f"at r of: {text}.")  # fmt: skip
            if name == "test_error":
                quantities += _signs(preset, kind, lead)
        if name == "test_error":
            plots = _plots(preset, found)
    quantities += _simulated(preset, seed) + _abundant(seed) + _turning(seed, remarks)
    return Measured(quantities, plots, remarks)


def _signs(preset: str, kind: str, lead: dict[str, np.ndarray]) -> list[Quantity]:
    """What the claim says of the signs of 0-1 error less random's, (signal, alignment, n/d, r)."""
    claimed = [i for i, signal in enumerate(SIGNALS[preset]) if 1 <= signal <= 4]
    imperfect = [i for i, alignment in enumerate(ALIGNMENTS[preset]) if alignment < 1]
    few, many = (SAMPLES[preset].index(count) for count in (2.0, 40.0))
    poor, good = (ALIGNMENTS[preset].index(alignment) for alignment in (POOR, GOOD))
    low = np.array(FRACTIONS) <= 0.3
    hard, easy = (lead[rule][claimed] for rule in ("aware-hardest", "aware-easiest"))
    shown = easy[-1, good, many]
    claims = (
        ("least, keep-hardest, all imperfect probes, r <= 0.3", hard[:, imperfect][..., low].min(),
         0.01, "above"),
        (f"largest, keep-easiest, n/d = 2, cosine {GOOD:g}, r <= 0.3",
         easy[:, good, few, low].max(), 0.01, "below"),
        (f"keep-easiest, n/d = 40, cosine {GOOD:g}, r = 0.3", shown[FRACTIONS.index(0.3)], 0.01,
         "above"),
        (f"keep-easiest, n/d = 40, cosine {GOOD:g}, r = 0.05", shown[FRACTIONS.index(0.05)], 0.01,
         "below"),
        (f"least, keep-easiest, n/d = 40, cosine {POOR:g}, every r", easy[:, poor, many].min(),
         1e-3, "above"),
    )  # fmt: skip
    return [
        Quantity(f"error less random's, ridge {kind}: {text}", 0.0, float(value), 1e-6, matters,
                 None, relation)
        for text, value, matters, relation in claims
    ]  # fmt: skip


def _wins(samples: tuple[float, ...], rows: np.ndarray) -> str:
    """Keep fractions at which random pruning wins, for each number of samples per feature."""
    wins = [[f"{r:g}" for r, g in zip(FRACTIONS, row, strict=True) if g > 0] for row in rows]
    return "; ".join(
        f"n/d = {count:g}: {', '.join(found) or 'none'}"
        for count, found in zip(samples, wins, strict=True)
    )


@seedless
def limiting_error(problem: Problem) -> float:
    """0-1 error in the proportional limit."""
    return solve(problem).test_error


def _simulated(preset: str, seed: int) -> list[Quantity]:
    n_features, n_trials = TRIALS[preset]
    found, runs = [], {}
    for rule, samples, fraction in SIMULATED:
        ours, other = (problem_of(name, 0.8, samples, fraction) for name in (rule, "random"))
        limit = limiting_error(ours) - limiting_error(other)
        for problem in (ours, other):  # random pruning serves several rules
            if problem not in runs:
                runs[problem] = simulate(
                    problem, n_features=n_features, n_trials=n_trials, seed=seed
                )
        text = f"error less random's, {rule}, n/d = {samples:g}, r = {fraction:g}"
        value = paired(runs[ours], runs[other], "test_error")
        matters = min(0.05, 0.5 * abs(limit))  # a measured lead of nothing would refute
        found.append(Quantity(text, limit, *value, matters, n_trials - 1))
    return found


@seedless
def _separable() -> tuple[float, list[float]]:
    """The probe's error, and whether keep fractions beside it leave a separable law."""
    base = problem_of("aware-hardest", 0.8, 1.0, 0.5)
    z = np.linspace(-9, 9, 3601)
    weight = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()
    side = ndtr(0.8 * z / 0.6)  # P(u > 0 | z)
    up = 1 / (1 + np.exp(-SIGNAL * z))
    wrong = float(np.sum(weight * (up * (1 - side) + (1 - up) * side)))
    at = [base.replace(keep_fraction=factor * wrong) for factor in (0.98, 1.02)]
    status = [solve(problem, limit="abundant").status for problem in at]
    return wrong, [float(s is Status.SEPARABLE) for s in status]


def _abundant(seed: int) -> list[Quantity]:
    """Label-aware keep-hardest: separable by minus the probe below the probe's error."""
    base = problem_of("aware-hardest", 0.8, 1.0, 0.5)
    wrong, separable = _separable()
    data = sampling.draw(jax.random.fold_in(jax.random.key(seed), 500), base, (200, 800, 3))
    hard = base.replace(keep_fraction=0.8 * wrong)
    fixed = sampling.fixed_margins(base, data.x)
    probe = fitting.fit(data.x, data.y, np.ones_like(data.y))
    own = np.einsum("rnd,rd->rn", data.x, probe)
    least = float((data.y * own < 0).mean(1).min())
    shares = []
    for margins, problem in ((fixed, hard), (own, base.replace(keep_fraction=0.9 * least))):
        kept = sampling.prune(problem, data, margins) > 0
        shares.append(float(np.mean([(m[k] * y[k] < 0).all() for m, y, k in
                                     zip(margins, data.y, kept, strict=True)])))  # fmt: skip
    return [
        Quantity("separable at r = 0.98 of the probe's error (1 = yes)", 1.0, separable[0], 1e-6,
                 0.5, None),
        Quantity("separable at r = 1.02 of the probe's error (1 = yes)", 0.0, separable[1], 1e-6,
                 0.5, None),
        Quantity("share of samples separated by minus a fixed probe, r = 0.8 of its error", 1.0,
                 shares[0], 1e-6, 0.5, None),
        Quantity("share separated by minus an in-sample probe, r = 0.9 of its training error", 1.0,
                 shares[1], 1e-6, 0.5, None),
    ]  # fmt: skip


@seedless
def _turns() -> tuple[float, float]:
    """Keep fractions at which the cosine changes sign and the loss gap is large, d fixed."""
    base = problem_of("aware-hardest", 0.8, 1.0, 0.5)
    ((_, turn),) = cosine_below_zero(base, least=0.2, points=6)
    ((_, gap),) = excess_risk_above(base, LARGE_GAP, least=0.2, points=6)
    return turn, gap


def _turning(seed: int, remarks: list[str]) -> list[Quantity]:
    """Where the fit of label-aware keep-hardest turns away from the teacher, d fixed."""
    base = problem_of("aware-hardest", 0.8, 1.0, 0.5)
    turn, gap = _turns()
    remarks.append(
        f"Abundant data, label-aware keep-hardest: the cosine is negative below r = {turn:.3f}, "
        f"the excess loss above {LARGE_GAP:g} below r = {gap:.3f} (searched down to 0.2)."
    )
    data = sampling.draw(jax.random.fold_in(jax.random.key(seed), 510), base, (120, 3200, 3))
    margins, found = sampling.fixed_margins(base, data.x), []
    for factor, relation in ((0.93, "below"), (1.07, "above")):
        kept = sampling.prune(base.replace(keep_fraction=factor * turn), data, margins)
        theta = fitting.fit(data.x, data.y, kept)
        cosine = theta[:, 0] / np.linalg.norm(theta, axis=1)
        text = f"mean cosine at {factor:g} of the r where it changes sign"
        value = mean_and_error(cosine)
        found.append(Quantity(text, 0.0, *value, 0.01, len(cosine) - 1, relation))
    return found


def _plots(preset: str, found: dict) -> list[Plot]:
    plots = []
    for i, samples in enumerate(SAMPLES[preset]):
        series = [Series("random", list(FRACTIONS), [0.0] * len(FRACTIONS), look="random")]
        for rule in [rule for rule in RULES if rule != "random"]:
            gap = found["tuned"][rule][-1, -1, i] - found["tuned"]["random"][-1, -1, i]
            series.append(Series(rule.replace("-", ", keep "), list(FRACTIONS), gap.tolist(),
                                 look=rule))  # fmt: skip
        plots.append(Plot(f"0-1 error less random's, ridge tuned for both, n/d = {samples:g}",
                          "kept share", "difference of errors", series, x_log=True))  # fmt: skip
    return plots


STATEMENT = Statement(
    identifier="high-compression",
    title="Where random pruning wins is a set that depends on rule and data, not one threshold",
    claim=(
        "In the proportional limit the sign of risk(rule) − risk(random) depends on keep fraction, "
        "samples per feature, signal and alignment. Label-aware keep-hardest loses in 0-1 error at "
        "every `r ≤ 0.3` of the map, ridge tuned or not (but not for every law: at signal 8 and "
        "n/d = 40 a perfect probe and a tuned ridge make it win at r = 0.3). With a good probe "
        "(cosine 0.8) its opposite, keep-easiest, wins at every `r ≤ 0.3` where data are few "
        "(n/d = 2); where they are many (n/d = 40, signal 2) it loses at r = 0.3 and wins at "
        "r = 0.05; with a poor probe (cosine 0.4) and many data it loses at every r. With d fixed, "
        "label-aware keep-hardest is separable by minus the probe for r below the probe's error "
        "(in-sample: below the training error)."
    ),
    assumptions=(
        "logistic link of signal 1, 2 and 4, ridge-logistic student",
        "a fixed probe at cosine 0.4 or 0.8",
        "ridge given (0.05/6) or tuned over a grid of powers of ten, for rule and random alike",
    ),
    source="Ayed and Hayou 2023 claim random is hard to beat at r ≤ 0.3; the maps are ours and "
    "show where that holds.",
    why="Keeping wrong labels turns the fit; keeping easy ones saves labels' noise when data are "
    "few and starves the boundary when they are many.",
    measure=measure,
)

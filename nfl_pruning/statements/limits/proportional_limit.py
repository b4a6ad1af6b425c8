"""The proportional limit describes finite systems, with an error of order 1/d."""

from __future__ import annotations

import numpy as np

from nfl_pruning.montecarlo import simulate
from nfl_pruning.probes import FixedProbe
from nfl_pruning.problem import Problem
from nfl_pruning.selections import make_selection
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring.summary import seedless
from nfl_pruning.theory.solve import solve

DESIGN = {"quick": (6, 200, 128), "paper": (40, 400, 400)}  # problems, features, trials
# Features and trials: the spread over the bias grows like the root of the features.
BIAS = {
    "quick": ((8, 32_000), (32, 32_000)),
    "paper": ((16, 200_000), (32, 200_000), (64, 200_000)),
}
BIASED = "cosine"
RULES = (("el2n", "easiest", "threshold"), ("entropy", "hardest", "threshold"),
         ("el2n", "hardest", "exact"))  # fmt: skip


def random_problem(index: int, seed: int) -> Problem:
    """A problem of the design: rules in turn, numbers at random; sizes fixed to share programs."""
    draw = np.random.default_rng([seed, 11, index])
    score, keep, protocol = RULES[index % len(RULES)]
    base = Problem(
        samples_per_feature=4.0, keep_fraction=0.5, score=score, keep=keep,
        selection=make_selection(protocol, exploit=0.5),
        probe=FixedProbe(float(draw.uniform(0.2, 1))),
    )  # fmt: skip
    return base.replace(
        signal=float(draw.uniform(0.5, 3)), ridge=float(10 ** draw.uniform(-2, -0.7))
    )


def bias_problem() -> Problem:
    """A problem whose finite-size bias is large beside its spread and beside the next order."""
    base = Problem(4.0, 0.5, "entropy", "hardest", probe=FixedProbe(0.8))
    return base.replace(signal=4.0, ridge=0.05)


def measure(preset: str, seed: int) -> Measured:
    """z-scores over the design, and the bias of small systems."""
    count, n_features, n_trials = DESIGN[preset]
    quantities = []
    for index in range(count):
        problem = random_problem(index, seed)
        limit = solve(problem)
        run = simulate(problem, n_features=n_features, n_trials=n_trials, seed=seed)
        for name, matters in (("cosine", 0.1), ("test_error", 0.03)):
            text = f"{name.replace('_', ' ')} of problem {index + 1} ({problem.score.name})"
            quantities.append(
                Quantity(text, getattr(limit, name), run.mean(name),
                         run.standard_error(name), matters, n_trials - 1)
            )  # fmt: skip
    exponent, plot = _bias(preset, seed)
    return Measured([*quantities, exponent], [plot])


def _bias(preset: str, seed: int) -> tuple[Quantity, Plot]:
    """The exponent of the bias between the smallest and the largest system."""
    sizes = np.array([float(d) for d, _ in BIAS[preset]])
    limit = bias_limit()
    runs = [simulate(bias_problem(), n_features=d, n_trials=trials, seed=seed)
            for d, trials in BIAS[preset]]  # fmt: skip
    bias = np.array([run.mean(BIASED) - limit for run in runs])
    error = np.array([run.standard_error(BIASED) for run in runs])
    span = np.log(sizes[-1] / sizes[0])
    rate = float(np.log(abs(bias[-1] / bias[0])) / span)
    spread = float(np.hypot(*(error[[0, -1]] / bias[[0, -1]])) / span)
    # the rival is d^-1/2, as for fluctuations: half a power away
    exponent = Quantity(f"exponent in d of the {BIASED}'s bias", -1.0, rate, spread, 0.5)
    scale = float(bias[0] * sizes[0])
    plot = Plot(
        f"Bias of the {BIASED} at finite size", "features", f"mean {BIASED} less the limit",
        [Series("C / d", sizes.tolist(), (scale / sizes).tolist(), look="full"),
         Series("simulated", sizes.tolist(), bias.tolist(), error.tolist(), "agnostic-hardest",
                points=True)], x_log=True, y_log=bool((bias > 0).all()),
    )  # fmt: skip
    return exponent, plot


@seedless
def bias_limit() -> float:
    """What the bias is measured from."""
    return getattr(solve(bias_problem()), BIASED)


STATEMENT = Statement(
    identifier="proportional-limit",
    title="The proportional limit describes finite systems up to order 1/d",
    claim=(
        "For n, d → ∞ with n/d fixed, cosine, norm and risks of the fit to pruned samples tend to "
        "the solution of four equations. At d in the hundreds a random design of problems agrees "
        "within its standard errors, and the bias of small systems falls like `C/d`."
    ),
    assumptions=("inputs N(0, I)", "ridge-logistic student, rank selections, a fixed probe"),
    source="Kolossov, Montanari and Tandon 2023 for weights; calibration derived here.",
    why="Gordon's comparison, with corrections from the norm's and the counts' fluctuations.",
    measure=measure,
)

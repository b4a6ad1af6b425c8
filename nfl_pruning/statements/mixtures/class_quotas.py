"""Class quotas change the error of the worst class, by an amount that the limit gives."""

from __future__ import annotations

import numpy as np

from nfl_pruning.inputs import Mixture
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Quantity, Statement
from nfl_pruning.statements.measuring.summary import seedless
from nfl_pruning.statements.mixtures.clusters import Trials, limit_of

SIZES = {"quick": ((50, 300), (200, 240)), "paper": ((100, 2000), (400, 1000))}
KEEP_FRACTION = 0.3
SHARE, SHARE_MATTERS = "kept_class_1", 0.01
ERRORS = {  # by kept end: the error that quotas change, and how it is called
    "hardest": ("worst_class_error", "error of the worst class"),
    "easiest": ("class_error_1", "error of the rare class, the worst without quotas"),
}
QUOTAS = ("none", "equal")
MATTERS = 0.5  # of the predicted change


def problem_of(keep: str, balance: str) -> Problem:
    """A common class and a rare one of smaller variance, pruned by EL2N."""
    inputs = Mixture([0.85, 0.15], [[-1.0, 0.0], [1.0, 0.0]], [1.0, 0.6], [0, 1])
    return Problem(
        samples_per_feature=5.0,
        keep_fraction=KEEP_FRACTION,
        score="el2n",
        keep=keep,
        inputs=inputs,
        probe=WeightsProbe(np.array([1.2, 0.9]), 0.0),
        ridge=0.02,
        intercept=True,
        balance=balance,
    )


@seedless
def limit(keep: str, balance: str) -> dict[str, float]:
    """The solved limit of :func:`problem_of`."""
    return dict(limit_of(problem_of(keep, balance)))


def measure(preset: str, seed: int) -> Measured:
    """Errors with and without quotas, and the share of the rare class that a score keeps."""
    problems = {f"{keep} {quota}": problem_of(keep, quota) for keep in ERRORS for quota in QUOTAS}
    trials = Trials(problems, SIZES[preset], seed)
    quantities: list[Quantity] = []
    for keep, (observable, called) in ERRORS.items():
        free, bound = limit(keep, "none"), limit(keep, "equal")
        change = bound[observable] - free[observable]
        matters = MATTERS * abs(change)
        quantities += [
            trials.compare(
                f"{called}, keep {keep}, no quotas", free[observable], f"{keep} none", observable,
                matters,
            ),
            trials.contrast(
                f"its change by equal quotas, keep {keep}", change,
                (f"{keep} equal", f"{keep} none"), observable, matters,
            ),
            trials.quantity(
                f"share kept of the rare class, keep {keep}, no quotas", KEEP_FRACTION,
                lambda at, keep=keep: trials.at(at, f"{keep} none", SHARE), SHARE_MATTERS, "below",
            ),
        ]  # fmt: skip
    cases = {
        f"{keep}, {quota}": (f"{keep} {quota}", name, limit(keep, quota)[name])
        for keep, (name, _) in ERRORS.items()
        for quota in QUOTAS
    }
    title = "Error of the class that is worst without quotas"
    return Measured(quantities, [trials.plot(title, cases, ("kept end, quotas", "error"))])


STATEMENT = Statement(
    identifier="class-quotas",
    title="Class quotas change the worst class's error, by an amount that the limit gives",
    claim=(
        "A score ranks classes too: EL2N keeps of a rare class of small variance less than the "
        "share `r`, at either end. Ranking each class by itself, to equal counts, changes the "
        "error of the class that was worst by the difference of two solved limits."
    ),
    assumptions=(
        "two Gaussian classes with shares 0.85 and 0.15, variances 1 and 0.6, means at ±1",
        "n / d = 5, r = 0.3, ridge-logistic student with an intercept, a fixed probe at cosine 0.8",
    ),
    source="The limit of quotas in mixtures is derived here.",
    why="Each class has a threshold of its own; nothing else in the equations changes.",
    measure=measure,
)

"""Class quotas change the error of the worst class, by an amount that the limit gives."""

from __future__ import annotations

import numpy as np

from nfl_pruning.inputs import Mixture
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.clusters import Trials, limit_of
from nfl_pruning.statements.summary import seedless

SIZES = {"quick": ((50, 500), (200, 400)), "paper": ((100, 2000), (400, 1000))}
CHANGES = {"easiest": "proportional", "hardest": "equal"}  # kept end and the quota tried there
WORST, MATTERS = "worst_class_error", 0.5  # matters: of the predicted change


def problem_of(keep: str, balance: str) -> Problem:
    """A common class and a rare one of smaller variance, pruned by EL2N."""
    inputs = Mixture([0.85, 0.15], [[-1.0, 0.0], [1.0, 0.0]], [1.0, 0.6], [0, 1])
    return Problem(
        samples_per_feature=5.0,
        keep_fraction=0.3,
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
    """Worst-class errors with and without quotas, and the shares of the rare class kept."""
    names = [(keep, balance) for keep in CHANGES for balance in ("none", CHANGES[keep])]
    problems = {" ".join(pair): problem_of(*pair) for pair in names}
    trials = Trials(problems, SIZES[preset], seed)
    quantities: list[Quantity] = []
    for keep, balance in CHANGES.items():
        free, bound = limit(keep, "none"), limit(keep, balance)
        change = bound[WORST] - free[WORST]
        quantities += [
            trials.compare(
                f"{WORST.replace('_', ' ')}, keep {keep}, no quotas", free[WORST],
                f"{keep} none", WORST, MATTERS * abs(change),
            ),
            trials.contrast(
                f"its change by {balance} quotas, keep {keep}", change,
                (f"{keep} {balance}", f"{keep} none"), WORST, MATTERS * abs(change),
            ),
            trials.compare(
                f"share kept of the rare class, keep {keep}, no quotas", free["kept_class_1"],
                f"{keep} none", "kept_class_1", MATTERS * abs(free["kept_class_1"] - 0.3),
            ),
        ]  # fmt: skip
    return Measured(quantities, [_plot(names, trials)])


def _plot(names: list[tuple[str, str]], trials: Trials) -> Plot:
    place = [float(i + 1) for i in range(len(names))]
    values = [trials.at(1, " ".join(pair), WORST) for pair in names]
    means = [float(v.mean()) for v in values]
    errors = [float(v.std(ddof=1) / np.sqrt(len(v))) for v in values]
    listed = ", ".join(f"{i + 1}: {keep}, {quota}" for i, (keep, quota) in enumerate(names))
    d = trials.sizes[1][0]
    return Plot(
        f"Worst-class error with kept end and quotas. {listed}", "case", "worst-class error",
        [Series("limit", place, [limit(*pair)[WORST] for pair in names], look="full", points=True),
         Series(f"simulated, d = {d}", place, means, errors, "aware-hardest", points=True)],
    )  # fmt: skip


STATEMENT = Statement(
    identifier="class-quotas",
    title="Class quotas change the worst class's error, by an amount that the limit gives",
    claim=(
        "A score ranks classes too: of a rare class keep-hardest and keep-easiest by EL2N keep "
        "another share than `r`. Ranking each class by itself changes the error of the worst class "
        "by the difference of two solved limits: the same share of every class helps keep-easiest, "
        "the same count keep-hardest."
    ),
    assumptions=(
        "two Gaussian classes with shares 0.85 and 0.15, variances 1 and 0.6, means at ±1",
        "n / d = 5, r = 0.3, ridge-logistic student with an intercept, a fixed probe at cosine 0.8",
    ),
    source="The limit of quotas in mixtures is derived here.",
    why="Each class has a threshold of its own; nothing else in the equations changes.",
    measure=measure,
)

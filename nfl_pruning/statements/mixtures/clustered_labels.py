"""Two clusters have a logistic P(y | x) exactly, and still the single-Gaussian limit errs."""

from __future__ import annotations

import numpy as np

from nfl_pruning.inputs import Mixture
from nfl_pruning.montecarlo import simulate
from nfl_pruning.probes import FixedProbe, WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring.summary import extrapolate, seedless
from nfl_pruning.statements.mixtures.clusters import limit_of
from nfl_pruning.theory.solve import solve

CENTRE, COSINE, NORM = 0.8, 0.8, 1.5
SIGNAL = 2 * CENTRE / (1 - CENTRE**2)  # Bayes: the log odds of the clusters are linear in x
RULES = {
    "random": {"score": "random"},
    "EL2N, keep hardest": {"score": "el2n", "keep": "hardest"},
    "EL2N, keep easiest": {"score": "el2n", "keep": "easiest"},
    "margin, keep hardest": {"score": "margin", "keep": "hardest"},
}
SIZES = {"quick": ((80, 240), (320, 160)), "paper": ((100, 1500), (400, 800))}
WIDTH = 400  # features of the solved mixture: its limit depends on one direction of many


def common(rule: str) -> dict:
    """What the two descriptions of one problem share."""
    return {"samples_per_feature": 5.0, "keep_fraction": 0.3, "ridge": 0.02, **RULES[rule]}


def clusters(rule: str, width: int) -> Problem:
    """Clusters at ±CENTRE; the inputs as a whole have mean 0 and covariance 1."""
    spread = np.ones((2, width))
    spread[:, 0] -= CENTRE**2
    means = np.zeros((2, width))
    means[:, 0] = (-CENTRE, CENTRE)
    weights = np.zeros(width)
    weights[:2] = NORM * COSINE, NORM * np.sqrt(1 - COSINE**2)
    inputs = Mixture([0.5, 0.5], means, spread, [0, 1])
    return Problem(inputs=inputs, probe=WeightsProbe(weights, 0.0), **common(rule))


def single(rule: str) -> Problem:
    """One Gaussian of the same mean and covariance, and the same P(y | x)."""
    return Problem(probe=FixedProbe(COSINE, NORM), **common(rule)).replace(signal=SIGNAL)


@seedless
def limits(rule: str) -> tuple[float, float]:
    """Test errors in the limits of the two."""
    gaussian = solve(single(rule)).test_error
    assert gaussian is not None
    return limit_of(clusters(rule, WIDTH))["test_error"], float(gaussian)


def measure(preset: str, seed: int) -> Measured:
    """Test errors of trials with clusters beside both limits."""
    quantities, found = [], {}
    for rule in RULES:
        right, wrong = limits(rule)
        (few, n), (many, n2) = SIZES[preset]
        runs = [
            simulate(clusters(rule, d), n_trials=k, seed=seed) for d, k in ((few, n), (many, n2))
        ]
        small, large = (run.values("test_error") for run in runs)
        value, error = extrapolate(few, small, many, large)
        found[rule] = value, error
        gap = abs(wrong - right)
        quantities += [
            Quantity(f"test error, {rule}", right, value, error, 0.5 * gap, n2 - 1),
            Quantity(f"single-Gaussian error less measured, {rule}", wrong - right,
                     wrong - value, error, 0.5 * gap, n2 - 1),
        ]  # fmt: skip
    return Measured(quantities, [_plot(found)])


def _plot(found: dict[str, tuple[float, float]]) -> Plot:
    place = [float(i + 1) for i in range(len(RULES))]
    both = [limits(rule) for rule in RULES]
    return Plot(
        "Two clusters. " + ", ".join(f"{i + 1}: {rule}" for i, rule in enumerate(RULES)),
        "rule", "test error",
        [Series("limit of the mixture", place, [right for right, _ in both], look="full",
                points=True),
         Series("limit of one Gaussian", place, [wrong for _, wrong in both],
                look="agnostic-hardest", points=True),
         Series("simulated clusters", place, [v for v, _ in found.values()],
                [e for _, e in found.values()], "aware-hardest", points=True)],
    )  # fmt: skip


STATEMENT = Statement(
    identifier="clustered-labels",
    title="Two clusters are no single Gaussian, though mean, covariance and P(y | x) are the same",
    claim=(
        "Labels by cluster of two Gaussians of equal covariance have `P(y | x)` logistic exactly. "
        "The limit for one Gaussian with the mean and the covariance of the whole and this very "
        "`P(y | x)` still errs: for random pruning, where nothing is selected, and by other "
        "amounts for each rule. The limit of the mixture gives every amount."
    ),
    assumptions=(
        f"clusters at ±{CENTRE:g} in one direction, covariance of the whole 1, n / d = 5, r = 0.3",
        "ridge-logistic student without intercept, a fixed probe at cosine 0.8",
    ),
    source="Derived here; unpruned mixtures: Mignacco et al. 2020, Loureiro et al. 2021.",
    why="The projection on the teacher has two bumps, so margins are larger and fewer near 0.",
    measure=measure,
)

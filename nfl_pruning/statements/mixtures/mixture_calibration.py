"""Exact calibration stays valid where inputs are a mixture and labels do not fit the model."""

from __future__ import annotations

import numpy as np

from nfl_pruning.inputs import Mixture
from nfl_pruning.montecarlo import simulate
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring.summary import mean_and_error, rate_and_error, seedless
from nfl_pruning.statements.mixtures.clusters import limit_of

KEEP_FRACTION = 0.3
RULES = ("threshold", "exact")
SAMPLES = (100.0, 400.0)  # per feature
FEATURES = {"quick": 20, "paper": 60}
TRIALS = {"quick": (200, 160), "paper": (400, 300)}
LOSS, TOLERANCE = "test_loss", 0.5  # of the gap, that would matter


def problem_of(rule: str, samples: float) -> Problem:
    """Two classes of two components each, a tenth of the labels wrong; all kept for "random"."""
    inputs = Mixture(
        [0.3, 0.2, 0.3, 0.2],
        [[-1.2, 0.5, 0.0], [-0.6, -1.0, 0.8], [1.2, 0.3, 0.0], [0.4, 1.2, -0.8]],
        [1.0, 0.5, 0.7, 1.2],
        [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]],
    )
    return Problem(
        samples_per_feature=samples,
        keep_fraction=1.0 if rule == "random" else KEEP_FRACTION,
        score="el2n",
        keep="hardest",
        selection=rule,
        inputs=inputs,
        probe=WeightsProbe(np.array([1.2, 0.2, 0.6]), 0.2),
        ridge=1e-3,
        intercept=True,
    )


@seedless
def limiting_excess(rule: str, samples: float) -> float:
    """Test loss above that of the fit to all samples, in the limit."""
    kept, everything = (limit_of(problem_of(name, samples))[LOSS] for name in (rule, "random"))
    return kept - everything


def measure(preset: str, seed: int) -> Measured:
    """Excess losses at two sizes of the training set, paired with the fit to all of it."""
    excess = {rule: [_simulated(rule, place, preset, seed) for place in (0, 1)] for rule in RULES}
    quantities: list[Quantity] = []
    for rule in RULES:
        limits = [limiting_excess(rule, n) for n in SAMPLES]
        slope = float(np.log(limits[1] / limits[0]) / np.log(SAMPLES[1] / SAMPLES[0]))
        rate, error = rate_and_error(SAMPLES[0], excess[rule][0], SAMPLES[1], excess[rule][1])
        many = TRIALS[preset][1]
        quantities += [
            Quantity(f"exponent in n/d of the excess loss, {rule}, in the limit",
                     {"exact": -1.0, "threshold": 0.0}[rule], slope, 0.2, 0.5, dof=None),
            Quantity(f"the same, simulated at d = {FEATURES[preset]}", slope, rate, error, 0.5,
                     many - 1),
        ]  # fmt: skip
        value = mean_and_error(excess[rule][1])
        matters = TOLERANCE * limits[1]
        text = f"excess loss at n/d = {SAMPLES[1]:g}, {rule}"
        quantities.append(Quantity(text, limits[1], *value, matters, many - 1))
    return Measured(quantities, [_plot(excess)])


def _simulated(rule: str, place: int, preset: str, seed: int) -> np.ndarray:
    runs = [
        simulate(
            problem_of(name, SAMPLES[place]),
            n_features=FEATURES[preset],
            n_trials=TRIALS[preset][place],
            seed=seed,
        ).values(LOSS)
        for name in (rule, "random")
    ]
    return runs[0] - runs[1]


def _plot(excess: dict[str, list[np.ndarray]]) -> Plot:
    series = []
    for rule, look in (("threshold", "aware-hardest"), ("exact", "exact")):
        found = [mean_and_error(values) for values in excess[rule]]
        series += [
            Series(f"{rule}, limit", list(SAMPLES), [limiting_excess(rule, n) for n in SAMPLES],
                   look=look),
            Series(f"{rule}, simulated", list(SAMPLES), [m for m, _ in found],
                   [e for _, e in found], look, points=True),
        ]  # fmt: skip
    return Plot(
        f"A mixture pruned by EL2N to {KEEP_FRACTION:.0%}: the calibrated excess vanishes",
        "samples per feature", "test loss above the fit to all samples", series,
        x_log=True, y_log=True,
    )  # fmt: skip


STATEMENT = Statement(
    identifier="mixture-calibration",
    title="Exact calibration stays valid for mixtures of Gaussians",
    claim=(
        "Where a class has several components and a part of the labels is wrong, keeping the "
        "hardest by EL2N leaves a gap of test loss to the fit to all samples that stays as n/d "
        "grows, while with exact calibration at `α = 1/2` the gap falls like `d/n`; limit and "
        "simulation agree on both."
    ),
    assumptions=(
        "four Gaussian components of different variances, two a class, 10 % of the labels wrong",
        "r = 0.3, ridge 1e-3 with an intercept, a fixed probe; the fit to all has the same ridge",
    ),
    source="Ayed and Hayou 2023 (calibration); the limit for mixtures is derived here.",
    why="Inverse keep probabilities make the weighted risk unbiased under any law of the inputs.",
    measure=measure,
)

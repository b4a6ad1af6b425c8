"""A verifier's error rate has a transition: beyond it the fit learns the wrong labels."""

from __future__ import annotations

import numpy as np

from nfl_pruning.inputs import Mixture
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring.summary import seedless
from nfl_pruning.statements.mixtures.clusters import Trials, limit_of

FLIPS, STEP = 0.3, 0.2
TRANSITION = 1 - FLIPS  # (1 - FLIPS)(1 - e) = FLIPS e
SAMPLES = (4.0, 20.0)  # per feature, before pruning
RATES = tuple(round(float(e), 3) for e in np.linspace(0.4, 0.95, 7))
SIZES = {"quick": ((30, 200), (120, 120)), "paper": ((100, 1200), (400, 600))}


def problem_of(samples: float, rate: float) -> Problem:
    """Two classes with wrong labels, of which a verifier that errs at ``rate`` keeps 30 %."""
    return Problem(
        samples_per_feature=samples,
        keep_fraction=0.3,
        selection=f"verifier:{1 - rate:g}:{rate:g}",
        inputs=Mixture.simplex(2, 1.0, label_noise=FLIPS),
        probe=WeightsProbe(np.array([1.0]), 0.0),
        ridge=0.05,
    )


def clean(error: float | np.ndarray) -> float | np.ndarray:
    """Error on right labels from that on labels of which a part is wrong."""
    return (error - FLIPS) / (1 - 2 * FLIPS)


@seedless
def limit(samples: float, rate: float) -> float:
    """Error on right labels in the limit."""
    return float(clean(limit_of(problem_of(samples, rate))["test_error"]))


def measure(preset: str, seed: int) -> Measured:
    """Errors below, at and above the transition, with little data and with much."""
    rates = (TRANSITION - STEP, TRANSITION, TRANSITION + STEP)
    problems = {f"{n:g} {e:g}": problem_of(n, e) for n in SAMPLES for e in rates}
    trials = Trials(problems, SIZES[preset], seed)

    def errors(samples: float, rate: float, at: int) -> np.ndarray:
        return np.asarray(clean(trials.at(at, f"{samples:g} {rate:g}", "test_error")))

    quantities: list[Quantity] = []
    for samples in SAMPLES:
        below, above = (limit(samples, e) for e in (rates[0], rates[2]))
        matters = 0.5 * (0.5 - below)
        for rate, predicted in zip(rates, (below, 0.5, above), strict=True):
            text = f"error on right labels, n/d = {samples:g}, verifier errs at {rate:g}"
            quantities.append(
                trials.quantity(
                    text, predicted, lambda at, n=samples, e=rate: errors(n, e, at), matters
                )
            )
        middle = f"the limit at {TRANSITION:g}, n/d = {samples:g}"
        quantities.append(Quantity(middle, 0.5, limit(samples, TRANSITION), 1e-8, 1e-6, dof=None))
    steep = {n: limit(n, rates[2]) - limit(n, rates[0]) for n in SAMPLES}
    few, many = SAMPLES
    quantities.append(
        trials.quantity(
            f"rise across the transition, n/d = {many:g} less n/d = {few:g}",
            steep[many] - steep[few],
            lambda at: _rise(errors, many, rates, at) - _rise(errors, few, rates, at),
            0.5 * (steep[many] - steep[few]),
        )
    )
    return Measured(quantities, [_plot(errors, rates)])


def _rise(errors, samples: float, rates: tuple[float, ...], at: int) -> np.ndarray:
    return errors(samples, rates[2], at) - errors(samples, rates[0], at)


def _plot(errors, rates: tuple[float, ...]) -> Plot:
    series = []
    for samples, look in zip(SAMPLES, ("agnostic-hardest", "aware-hardest"), strict=True):
        name = f"n/d = {samples:g}"
        curve = [limit(samples, rate) for rate in RATES]
        found = [errors(samples, rate, 1) for rate in rates]
        series += [
            Series(f"{name}, limit", list(RATES), curve, look=look),
            Series(f"{name}, simulated", list(rates), [float(v.mean()) for v in found],
                   [float(v.std(ddof=1) / np.sqrt(len(v))) for v in found], look, points=True),
        ]  # fmt: skip
    return Plot(
        f"A verifier of {100 * FLIPS:g} % wrong labels: the transition at {TRANSITION:g}",
        "verifier's error rate", "error on right labels", series,
    )  # fmt: skip


STATEMENT = Statement(
    identifier="verifier",
    title="A verifier's error rate has a transition, smooth with little data, steep with much",
    claim=(
        "Of the labels a part `ε` is wrong; a verifier that errs with probability e keeps right "
        "ones in proportion to `1 − e` and wrong ones to `e`. The error on right labels is `1/2` "
        "at `e = 1 − ε`, whatever n/d, loss and ridge; it is less below and more above, and the "
        "rise across grows with n/d towards a jump."
    ),
    assumptions=(
        "two balanced Gaussian classes of variance 1, means at ±1, 30 % of the labels wrong",
        "30 % kept, ridge-logistic student",
    ),
    source="El Firdoussi et al. 2025 (arXiv 2410.08942), ridge regression; logistic loss here.",
    why="At e = 1 − ε as many wrong labels are kept as right ones, so labels say nothing of x.",
    measure=measure,
)

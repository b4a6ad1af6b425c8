"""With three classes label-aware scores are no longer one rule: they keep other samples."""

from __future__ import annotations

import jax
import numpy as np

from nfl_pruning.inputs import Mixture
from nfl_pruning.inputs.mixture import simplex_corners
from nfl_pruning.montecarlo.components.trial import make_job, prune_trial, root_key
from nfl_pruning.montecarlo.fits.outcome import GRADIENT_TOLERANCE
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Quantity, Statement
from nfl_pruning.statements.measuring.summary import mean_and_error, seedless
from nfl_pruning.statements.mixtures.clusters import Trials
from nfl_pruning.theory.solve import solve

NOISE, DISTANCE, NORM, ACROSS = 0.3, 1.5, 3.0, 0.6
KEEP_FRACTION = 0.2
PAIR = ("el2n", "loss")
PART = 0.04  # of an error, that would matter
SIZES = {"quick": ((40, 260), (120, 200)), "paper": ((60, 600), (240, 300))}
OVERLAP = {"quick": (120, 40), "paper": (400, 60)}  # features and trials
POINTS = 2**19  # random ones behind the predicted overlap


def problem_of(score: str) -> Problem:
    """Three classes at the corners of a triangle, labels noisy, the hardest kept."""
    corners = simplex_corners(3)
    weights = NORM * np.hstack([np.sqrt(1 - ACROSS**2) * corners, ACROSS * corners])
    return Problem(
        samples_per_feature=6.0,
        keep_fraction=KEEP_FRACTION,
        score=score,
        keep="hardest",
        inputs=Mixture.simplex(3, DISTANCE, label_noise=NOISE),
        probe=WeightsProbe(weights, np.zeros(3)),
        ridge=0.02,
        intercept=True,
    )


@seedless
def limit(score: str) -> tuple[float, float]:
    """Test error in the limit and its own standard error."""
    found = solve(problem_of(score))
    assert found.test_error is not None and found.error_estimate is not None
    return found.test_error, found.error_estimate


@seedless
def expected_overlap() -> tuple[float, float]:
    """Share of what one score keeps that the other keeps too, and its standard error.

    Of the law itself: fresh points, scores from their definitions, quantiles as thresholds.
    """
    rng = np.random.default_rng(7)
    problem = problem_of(PAIR[0])
    law, probe = problem.inputs, problem.probe
    assert isinstance(law, Mixture) and isinstance(probe, WeightsProbe)
    blocks = []
    for _ in range(8):
        n = POINTS // 8
        c = rng.choice(law.n_components, n, p=law.weights)
        x = rng.standard_normal((n, probe.n_features))
        x[:, : law.n_features] += law.means[c]
        u = x @ probe.matrix.T
        p = np.exp(u - u.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        y = (rng.random(n)[:, None] > np.cumsum(law.label_law[c], 1)).sum(1)
        right = p[np.arange(n), y]
        brier = np.sum(p**2, 1) - 2 * right + 1
        keeps = [s >= np.quantile(s, 1 - KEEP_FRACTION) for s in (brier, -right)]
        blocks.append(np.mean(keeps[0] & keeps[1]) / KEEP_FRACTION)
    return mean_and_error(np.array(blocks))


def measured_overlap(preset: str, seed: int) -> np.ndarray:
    """The same share on finite training sets that the package prunes, one value a trial."""
    d, trials = OVERLAP[preset]
    jobs = [make_job(problem_of(score), d, GRADIENT_TOLERANCE) for score in PAIR]
    root, shares = root_key(seed), []
    for trial in range(trials):
        key = jax.random.fold_in(root, trial)
        first, second = (prune_trial(job, key).weights > 0 for job in jobs)
        shares.append(np.sum(first & second) / np.sum(first))
    return np.array(shares)


def measure(preset: str, seed: int) -> Measured:
    """What two label-aware scores keep in common, and the errors at which they end."""
    trials = Trials({score: problem_of(score) for score in PAIR}, SIZES[preset], seed)
    share, own = expected_overlap()
    value, error = mean_and_error(measured_overlap(preset, seed))
    dof = OVERLAP[preset][1] - 1
    text = f"share of the samples kept by {PAIR[0]} that {PAIR[1]} keeps"
    quantities = [Quantity(text, share, value, float(np.hypot(own, error)), 0.5 * (1 - share), dof)]
    (first, spread), (second, spread2) = (limit(score) for score in PAIR)
    gap = first - second
    found = trials.contrast(
        f"test error of {PAIR[0]} less that of {PAIR[1]}", gap, PAIR, "test_error", 0.5 * abs(gap)
    )
    quantities.append(_widened(found, float(np.hypot(spread, spread2))))
    for score, (predicted, own) in zip(PAIR, (limit(s) for s in PAIR), strict=True):
        one = trials.compare(
            f"test error of {score}", predicted, score, "test_error", PART * predicted
        )
        quantities.append(_widened(one, own))
    cases = {score: (score, "test_error", limit(score)[0]) for score in PAIR}
    title = f"Three classes, {KEEP_FRACTION:.0%} kept as hardest"
    return Measured(quantities, [trials.plot(title, cases, ("score", "test error"))])


def _widened(quantity: Quantity, own: float) -> Quantity:
    """The quantity, with the limit's own standard error added to the trials'."""
    values = {**quantity.__dict__, "error": float(np.hypot(quantity.error, own))}
    return Quantity(**values)


STATEMENT = Statement(
    identifier="three-classes",
    title="With three classes EL2N and the loss are two rules: they keep different samples",
    claim=(
        "With two classes every label-aware score orders samples by `y u`, so all keep the same "
        "ones. With three, EL2N reads how the probability of the wrong classes is spread and the "
        "loss does not: at the same `r` they keep sets that differ by a predicted share and end "
        "at different test errors, by a predicted difference."
    ),
    assumptions=(
        f"three balanced Gaussian classes at distance {DISTANCE:g}, variance 1, "
        f"{100 * NOISE:g} % of the labels wrong",
        f"n / d = 6, r = {KEEP_FRACTION:g}, softmax student with intercepts, a fixed probe",
    ),
    source="The limit of pruned softmax regression is derived here (docs/equations.md).",
    why="Of confident errors EL2N is largest where one wrong class has all the probability.",
    measure=measure,
)

"""What a linear model is worth on a mixture: exact values, not a test sample.

Given a component, the model's outputs are normal with mean m_c = W mu_c + b and covariance
V_c = W Sigma_c W^T. One margin leaves integrals over one normal variable, done by panels with ends
at every corner. K logits leave the probability that each is the largest, by sequential conditioning
(Genz 1992), which turns corners into a smooth integrand, and expectations of smooth functions; both
at fixed scrambled Sobol points, so that equal models have equal values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, log_softmax, logsumexp, ndtr, ndtri
from scipy.stats import qmc

from nfl_pruning.inputs import Mixture
from nfl_pruning.links import smoothed_steps
from nfl_pruning.losses import Loss
from nfl_pruning.numerics.quadrature import gauss_legendre
from nfl_pruning.problem import Problem

BINS = 15  # of confidence, of equal width: the usual expected calibration error
PANELS, NODES, RANGE = 40, 8, 9.0  # of a normal variable, within so many standard deviations
POINTS = 2**16  # of smooth functions of K logits, divided among the components
ORTHANT_POINTS = 2**10  # for each probability that a logit is the largest
FLAT = (4.0, 6.0, 9.0, 14.0, 22.0, 37.0)  # ends of panels on which a loss flattens
STEEPEST = 1e4  # slopes beyond it are not looked for


class Outputs(NamedTuple):
    """Moments of a model's outputs given the component.

    Attributes:
        means: shape (C, J), J = 1 for one margin.
        covariances: shape (C, J, J).
    """

    means: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True)
class Worth:
    """Population values of a model.

    Attributes:
        test_error: probability that the class of the outputs differs from a fresh label.
        test_loss: mean of the student's loss.
        class_error: error given the label, shape (K,).
        calibration_slope: factor on the logits that minimises the test log loss.
        calibration_error: expected calibration error of the likeliest class in 15 bins.
    """

    test_error: float
    test_loss: float
    class_error: np.ndarray
    calibration_slope: float
    calibration_error: float


def outputs_of(mixture: Mixture, weights: np.ndarray, intercepts: np.ndarray) -> Outputs:
    """Moments of W x + b, for W of shape (J, d)."""
    d = weights.shape[1]
    spread = [mixture.times(c, weights) @ weights.T for c in range(mixture.n_components)]
    return Outputs(mixture.placed(d) @ weights.T + intercepts, np.array(spread))


def worth(problem: Problem, mixture: Mixture, weights: np.ndarray, intercepts: np.ndarray) -> Worth:
    """Population values of a model with outputs W x + b on a problem's inputs and labels."""
    shared = None
    if mixture.labels is None:
        first = np.eye(1, weights.shape[1])
        shared = np.array([(mixture.times(c, first) @ weights.T)[0, 0] for c in _all(mixture)])
    return worth_of(problem, mixture, outputs_of(mixture, weights, intercepts), shared)


def worth_of(
    problem: Problem,
    mixture: Mixture,
    outputs: Outputs,
    on_teacher: np.ndarray | None = None,
    *,
    seed: int = 0,
    points: int = POINTS,
) -> Worth:
    """Population values of a model whose outputs have a known law on each component.

    Args:
        problem: gives the student's loss, and the teacher where one labels.
        mixture: its inputs.
        outputs: their law.
        on_teacher: covariance of the margin and the first coordinate of x on each component, shape
            (C,), where a teacher labels.
        seed: of the quasi-random points that K >= 3 logits need.
        points: as many of them for smooth functions, divided among the components.
    """
    if outputs.means.shape[1] > 1:
        return _of_logits(mixture, outputs, problem.student.loss, seed, points)
    h, density, chance = _margins(problem, mixture, outputs, on_teacher)
    with jax.enable_x64(True):
        return _of_margin(h, density, chance, problem.student.loss)


def _all(mixture: Mixture) -> range:
    return range(mixture.n_components)


def _margins(
    problem: Problem, mixture: Mixture, outputs: Outputs, on_teacher: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes of the margin, their probability, and the chance of the second class there."""
    ends = _confidence_ends()
    parts = []
    for c, share in enumerate(mixture.weights):
        mean = outputs.means[c, 0]
        variance = max(outputs.covariances[c, 0, 0], 1e-300)
        deviation = np.sqrt(variance)
        inner = mean + deviation * np.linspace(-RANGE, RANGE, PANELS + 1)
        inside = np.clip(ends, inner[0], inner[-1])  # of one number, so that programs are shared
        h, width = _gauss_legendre(np.sort(np.concatenate([inner, inside])))
        density = np.exp(-0.5 * ((h - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
        if on_teacher is None:
            chance = np.full(h.shape, mixture.label_law[c, 1])
        else:
            chance = _chance(problem, mixture, c, on_teacher[c] / variance, on_teacher[c], h - mean)
        parts.append((h, share * width * density, chance))
    nodes, mass, chances = (np.concatenate(column) for column in zip(*parts, strict=True))
    return nodes, mass, chances


def _chance(
    problem: Problem, mixture: Mixture, c: int, slope: float, shared: float, moved: np.ndarray
) -> np.ndarray:
    """P(second class | component, margin) under a teacher, for margins moved from their mean."""
    variance = mixture.times(c, np.eye(1, max(mixture.n_features, 1)))[0, 0]
    rest = np.sqrt(max(variance - slope * shared, 0.0))
    scale, link = problem.teacher.scale, problem.teacher.link
    first = mixture.means[c, 0] + slope * moved
    return np.asarray(smoothed_steps(link.steps, scale * first, scale * rest)[0])


def _of_margin(h: np.ndarray, density: np.ndarray, chance: np.ndarray, loss: Loss) -> Worth:
    positive, total = density * chance, np.sum(density * chance)
    negative = density * (1 - chance)
    wrong = np.array([negative @ (h > 0), positive @ (h <= 0)])
    shares = np.array([1 - total, total])
    value = np.asarray(loss.value(jnp.asarray(np.concatenate([h, -h]))))

    def slope(factor: float) -> float:
        return float(np.sum(h * (density * expit(factor * h) - positive)))

    confidence = expit(np.abs(h))
    right = np.where(h > 0, chance, 1 - chance)
    gap = _calibration_error(confidence, density, right)
    return Worth(
        float(wrong.sum()), float(np.concatenate([positive, negative]) @ value),
        wrong / np.where(shares > 0, shares, np.nan), _root(slope), gap,
    )  # fmt: skip


def _of_logits(mixture: Mixture, outputs: Outputs, loss: Loss, seed: int, points: int) -> Worth:
    law, share = mixture.label_law, mixture.weights
    largest = largest_probabilities(outputs, seed=seed)
    right = share @ (law * largest)
    shares = share @ law
    logits = _points_of(outputs, seed, points)  # (C, N, K)
    n = logits.shape[1]
    mass = np.repeat(share / n, n)
    flat, target = logits.reshape(-1, logits.shape[2]), np.repeat(law, n, axis=0)
    if loss.many == "one against all":
        # 0.5 E ||h - onehot||^2 = 0.5 E (||h||^2 + 1) - h_y, in closed form.
        square = np.trace(outputs.covariances, axis1=1, axis2=2) + (outputs.means**2).sum(axis=1)
        value = float(share @ (0.5 * (square + 1) - (law * outputs.means).sum(axis=1)))
    else:
        value = float(mass @ (logsumexp(flat, axis=1) - (target * flat).sum(axis=1)))
    mean_of_label = share @ (law * outputs.means).sum(axis=1)

    def slope(factor: float) -> float:
        p = np.exp(log_softmax(factor * flat, axis=1))
        return float(mass @ (p * flat).sum(axis=1) - mean_of_label)

    p = np.exp(log_softmax(flat, axis=1))
    top = p.argmax(axis=1)
    gap = _calibration_error(p.max(axis=1), mass, np.take_along_axis(target, top[:, None], 1)[:, 0])
    error = 1 - right / np.where(shares > 0, shares, np.nan)
    return Worth(float(1 - right.sum()), value, error, _root(slope), gap)


def _root(slope: Callable[[float], float]) -> float:
    """Where the derivative of the test log loss by a factor on the logits vanishes; NaN if not."""
    low, high = 0.0, 1.0
    if slope(0.0) > 0:  # a factor below 0 is better
        low, high = -1.0, 0.0
        while slope(low) > 0:
            low *= 2
            if low < -STEEPEST:
                return float("nan")
    while slope(high) < 0:
        low, high = high, 2 * high
        if high > STEEPEST:
            return float("nan")
    return cast(float, brentq(slope, low, high, xtol=1e-10, rtol=cast(Any, 1e-10)))


def _calibration_error(confidence: np.ndarray, mass: np.ndarray, right: np.ndarray) -> float:
    """Sum over bins of |P(right) - confidence|, both times the bin's probability."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(bins, mass * (right - confidence), minlength=BINS)).sum())


def _confidence_ends() -> np.ndarray:
    """Margins at which the confidence passes from one bin to the next, and 0."""
    shares = np.arange(1, BINS) / BINS
    inner = np.append(np.log(shares / (1 - shares)), 0.0)
    return np.sort(np.concatenate([inner, FLAT, np.negative(FLAT)]))


def _gauss_legendre(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and widths of panels between consecutive ends."""
    node, weight = gauss_legendre(NODES)
    half, middle = 0.5 * np.diff(ends), 0.5 * (ends[1:] + ends[:-1])
    nodes = middle[:, None] + half[:, None] * node
    return nodes.ravel(), (half[:, None] * weight).ravel()


@lru_cache(maxsize=256)  # a solve of ten components asks for some ninety in turn
def _uniform(dimensions: int, count: int, seed: int) -> np.ndarray:
    """Scrambled Sobol points inside the unit cube, shape (count, dimensions)."""
    points = qmc.Sobol(dimensions, rng=np.random.default_rng(seed)).random(count)
    return np.clip(points, 1e-12, 1 - 1e-12)


def _points_of(outputs: Outputs, seed: int, points: int) -> np.ndarray:
    """Logits at points of their normal law, shape (C, points, K)."""
    components, k = outputs.means.shape
    count = max(2 ** int(np.log2(points // components)), 2**9)
    values, vectors = np.linalg.eigh(outputs.covariances)
    roots = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
    found = np.empty((components, count, k))
    for c in range(components):
        noise = ndtri(_uniform(k, count, c + 1000 * seed))
        found[c] = outputs.means[c] + noise @ roots[c].T
    return found


def largest_probabilities(
    outputs: Outputs, count: int = ORTHANT_POINTS, *, seed: int = 0
) -> np.ndarray:
    """P(logit k is the largest | component), shape (C, K)."""
    components, k = outputs.means.shape
    found = np.empty((components, k))
    uniform = _uniform(max(k - 2, 1), count, 1000 * seed)
    for one in range(k):
        others = np.delete(np.arange(k), one)
        gap = np.zeros((k - 1, k))
        gap[np.arange(k - 1), others], gap[:, one] = 1.0, -1.0
        mean = outputs.means @ gap.T
        covariance = gap @ outputs.covariances @ gap.T
        found[:, one] = _orthants(mean, covariance, uniform)
    return found / found.sum(axis=1, keepdims=True)


def _orthants(mean: np.ndarray, covariance: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """P(every coordinate of N(mean, covariance) < 0), for a batch (C, D), (C, D, D); (C,)."""
    size = np.trace(covariance, axis1=1, axis2=2)[:, None, None]
    root = np.linalg.cholesky(covariance + (1e-12 * size + 1e-300) * np.eye(mean.shape[1]))
    noise = np.empty((len(mean), len(uniform), mean.shape[1] - 1))
    product = np.ones((len(mean), len(uniform)))
    for i in range(mean.shape[1]):
        known = np.einsum("cnj,cj->cn", noise[..., :i], root[:, i, :i])
        chance = ndtr((-mean[:, i, None] - known) / root[:, i, i, None])
        product *= chance
        if i < mean.shape[1] - 1:
            noise[..., i] = ndtri(np.clip(uniform[:, i] * chance, 1e-300, 1 - 1e-16))
    return product.mean(axis=1)

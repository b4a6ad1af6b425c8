"""Other people's formulas, written anew in numpy and scipy: they share nothing with the package.

Where a paper prints no number that can be compared, its equations are solved here instead, in
their plainest form: fixed grids, closed forms, general-purpose root finders.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import erf, expit
from scipy.stats import multivariate_normal, norm

GRID = np.polynomial.legendre.leggauss(400)


def _root(function: Callable[[float], float], low: float, high: float, xtol: float) -> float:
    """The root that two ends bracket."""
    root = brentq(function, low, high, xtol=xtol)
    assert isinstance(root, float)  # the number alone: nothing more is asked for
    return root


def bayes_two_clusters(alpha: float, variance: float) -> float:
    """Mignacco et al. (2020): least error from alpha labelled samples a feature, balanced clusters.

    Centres at distance 1 from the middle. Also what ridge regression attains as its ridge grows.
    """
    return float(norm.sf(1 / np.sqrt(variance * (1 + variance / alpha))))


def two_clusters(alpha: float, variance: float, penalty: float, loss: str) -> float:
    """Mignacco et al. (2020), balanced clusters, no intercept: their fixed point, iterated.

    The objective is a *sum* of losses plus ``penalty`` / 2 times the squared norm of weights that
    act on x / sqrt(d).
    """
    z, w = 9 * GRID[0], 9 * GRID[1] * norm.pdf(9 * GRID[0])
    m, q, gamma = 0.5, 0.5, 1.0
    for _ in range(20_000):
        v = m + np.sqrt(variance * q) * z
        h = _prox(v, gamma, loss)
        curvature = 1.0 if loss == "squared" else expit(h) * expit(-h)
        slope = 1 / (1 + gamma * curvature)
        m_hat = alpha / gamma * (w @ (h - v))
        q_hat = alpha * variance / gamma**2 * (w @ (h - v) ** 2)
        g_hat = alpha * variance / gamma * float(w @ (1 - slope * np.ones_like(z)))
        new = (
            m_hat / (penalty + g_hat),
            (q_hat + m_hat**2) / (penalty + g_hat) ** 2,
            variance / (penalty + g_hat),
        )
        moved = max(abs(a / b - 1) for a, b in zip(new, (m, q, gamma), strict=True))
        m, q, gamma = (0.5 * a + 0.5 * b for a, b in zip(new, (m, q, gamma), strict=True))
        if moved < 1e-13:
            break
    return float(norm.sf(m / np.sqrt(variance * q)))


def _prox(v: np.ndarray, gamma: float, loss: str) -> np.ndarray:
    """The point that balances the loss at h and (h - v)^2 / (2 gamma)."""
    if loss == "squared":
        return (v + gamma) / (1 + gamma)
    low, high = v.copy(), v + gamma
    for _ in range(60):
        middle = 0.5 * (low + high)
        up = middle < v + gamma * expit(-middle)
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return 0.5 * (low + high)


def classes_squared(alpha: float, variance: float, penalty: float, gram: np.ndarray) -> float:
    """Loureiro et al. (2021), squared loss on one-hot labels, free intercepts, equal classes.

    Args:
        alpha: samples a feature. variance: of every feature. penalty: as in :func:`two_clusters`.
        gram: scalar products of the K means, shape (K, K).
    """
    k, ridge = len(gram), penalty / alpha
    roots = np.linalg.cholesky(gram + 1e-14 * np.eye(k))  # means in k coordinates

    def gap(kappa: float) -> float:
        return kappa - variance / alpha / (ridge + variance / (1 + kappa))

    kappa = _root(gap, 0.0, 1.0 + 2 * variance / (alpha * ridge), 1e-15)
    a = 1 / (1 + kappa)
    rows = np.hstack([roots, np.ones((k, 1))])  # features along the means, and the intercept
    bulk = np.diag([*np.full(k, ridge + a * variance), 0.0])
    weights = np.linalg.solve(bulk + a / k * rows.T @ rows, a / k * rows.T)  # (k + 1, outputs)
    gaps = rows @ weights - np.eye(k)
    share = a**2 * variance**2 / (alpha * (ridge + variance * a) ** 2)
    fixed = variance * weights[:k].T @ weights[:k]
    covariance = (fixed + share * gaps.T @ gaps / k) / (1 - share)
    right = 0.0
    for c in range(k):
        lead = np.delete(np.eye(k)[c] - np.eye(k), c, axis=0)
        mean = lead @ (rows @ weights)[c]
        right += multivariate_normal(np.zeros(k - 1), lead @ covariance @ lead.T).cdf(mean) / k
    return float(1 - right)


def verified_ridge(
    alpha: float, distance: float, ridge: float, wrong: float, keeps: tuple[float, float]
) -> float:
    """El Firdoussi et al. (2025), synthetic data alone, identity covariance: the closed limit.

    Ridge regression to labels that are wrong with probability ``wrong``, of which a verifier keeps
    right ones with probability ``keeps[0]`` and wrong ones with ``keeps[1]``. The error is that on
    right labels.
    """
    right, bad = keeps[0] * (1 - wrong), keeps[1] * wrong
    kept = right + bad

    def gap(kappa: float) -> float:
        return kappa - 1 / alpha / (ridge + kept / (1 + kappa))

    kappa = _root(gap, 0.0, 1.0 + 2 / (alpha * ridge), 1e-15)
    bulk = ridge + kept / (1 + kappa)
    size = distance**2
    pull = size * (right - bad) / (1 + kappa)
    t = pull / (bulk + size * kept / (1 + kappa))
    share = 1 / (alpha * bulk**2 * (1 + kappa) ** 2)
    variance = (t**2 / size + share * (right * (1 - t) ** 2 + bad * (1 + t) ** 2)) / (
        1 - share * kept
    )
    return float(norm.sf(t / np.sqrt(variance)))


def margin_pruned_ridge(
    delta: float, cosine: float, ridge: float, keep: tuple[float, float], printed: str = ""
) -> float:
    """Askari-Hemmat et al. (2025, version 1, proposition 2): ridge regression, pruned by margin.

    Kept are samples whose probe's standardised margin has a size in ``keep``; labels are the sign
    of the teacher's margin; ``cosine`` is the probe's to the teacher. Closed form.

    Args:
        delta, cosine, ridge, keep: of the problem.
        printed: ``"theorem 1"``, or ``"(51)"``: what that equation of version 1 says as it stands.
    """
    across = np.sqrt(1 - cosine**2)
    low, high = keep[0], min(keep[1], 9.0)
    u = 0.5 * (high + low) + 0.5 * (high - low) * GRID[0]
    weight = 2 * 0.5 * (high - low) * GRID[1] * norm.pdf(u)  # both signs of u
    p, second = weight.sum(), weight @ u**2
    b = weight @ (2 * norm.pdf(cosine * u / across))
    b_along = weight @ (u * erf(cosine * u / across / np.sqrt(2)))
    phi = 1 / delta

    def stieltjes(x: float) -> tuple[float, float]:
        m = _root(lambda m: m * (p / (1 + phi * m) - x) - 1, 0.0, 1e9, 1e-16)
        return m, float(1 / (second / (1 + phi * m) - x))

    step = 1e-4 * ridge
    m, m_along = stieltjes(-ridge)
    up, down = stieltjes(-ridge + step), stieltjes(-ridge - step)
    slope, slope_along = ((a - c) / (2 * step) for a, c in zip(up, down, strict=True))
    along = across * b * m + cosine * b_along * m_along
    squares = b**2, b_along**2
    if printed == "theorem 1":  # squares of across * b and cosine * b_along, in the mean as well
        squares = (across * b) ** 2, (cosine * b_along) ** 2
        along = squares[0] * m + squares[1] * m_along
    r = squares[0] * m + squares[1] * m_along
    r_slope = squares[0] * slope + squares[1] * slope_along
    nu = p * phi * slope + r_slope - 2 * phi * slope / (1 + phi * m) * r
    if not printed:
        return float(np.arccos(along / np.sqrt(nu)) / np.pi)
    mean = np.sqrt(2 / np.pi) * along  # of a labelled sample's margin, taken for normal
    return float(norm.sf(mean / np.sqrt(nu - mean**2)))


def perceptron(delta: float, keep: tuple[float, float] = (0.0, np.inf)) -> float:
    """Sorscher et al. (2022), a perfect probe: the largest margin at every overlap, then the best.

    Kept are samples whose teacher's margin has a size in ``keep``.
    """
    low, high = keep[0], min(keep[1], 9.0)
    z = 0.5 * (high + low) + 0.5 * (high - low) * GRID[0]
    weight = (high - low) * GRID[1] * norm.pdf(z)

    def margin(overlap: float) -> float:
        across = np.sqrt(1 - overlap**2)

        def gap(kappa: float) -> float:
            t = (kappa - overlap * z) / across
            return delta * (weight @ ((t**2 + 1) * norm.cdf(t) + t * norm.pdf(t))) - 1

        return _root(gap, -50.0, 50.0, 1e-14)

    best: Any = minimize_scalar(
        lambda angle: -margin(np.cos(angle)),
        bounds=(1e-4, np.pi / 2),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(best.x / np.pi)

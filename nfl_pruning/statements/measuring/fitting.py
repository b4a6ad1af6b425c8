"""Ridge-free logistic fits of many small data sets at once, and their excess losses."""

from __future__ import annotations

import numpy as np

from nfl_pruning.numerics.damped import damped
from nfl_pruning.problem import Problem
from nfl_pruning.statements.measuring.sampling import BATCH

STEPS = 40  # of Newton, at most


def fit(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    """Weighted ridge-free logistic regressions by damped Newton steps, shape (repeats, d).

    Every start leads to the one minimiser, and a near one (the limit, say) saves steps. Where the
    kept samples are separable and the Hessian vanishes on the way to infinity there is no fit: NaN.
    """
    parts = range(0, len(x), BATCH)
    rows = [_fit(x[i : i + BATCH], y[i : i + BATCH], weights[i : i + BATCH], start) for i in parts]
    return np.concatenate(rows)


def _fit(x: np.ndarray, y: np.ndarray, weights: np.ndarray, start: np.ndarray | None) -> np.ndarray:
    most = int((weights > 0).sum(1).max())
    if most < weights.shape[1]:
        order = np.argpartition(weights <= 0, most - 1, axis=1)[:, :most]
        x = np.take_along_axis(x, order[..., None], 1)
        y, weights = (np.take_along_axis(part, order, 1) for part in (y, weights))
    weights = weights / weights.sum(1, keepdims=True)
    signed = x * y[..., None]
    across = np.ascontiguousarray(np.swapaxes(signed, 1, 2))
    theta = np.tile(np.zeros(x.shape[-1]) if start is None else start, (len(x), 1))
    for _ in range(STEPS):
        miss = 1 / (1 + np.exp(np.clip((signed @ theta[..., None])[..., 0], -700, 700)))
        pull = weights * miss
        slope = (across @ pull[..., None])[..., 0]
        curvature = (across * (pull * (1 - miss))[:, None]) @ signed
        move = _solve(curvature, slope)
        theta += damped(move, -slope)
        if np.abs(move).max() < 1e-9:
            break
    return theta


def _solve(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Solutions of linear systems, NaN for those that are singular."""
    try:
        return np.linalg.solve(matrices, vectors[..., None])[..., 0]
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full_like(vectors, np.nan)
        pairs = zip(matrices, vectors, strict=True)
        return np.concatenate([_solve(matrix[None], vector[None]) for matrix, vector in pairs])


def excess_loss(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Excess logistic loss of parameters (repeats, d) under a logistic link, shape (repeats,).

    The trapezoidal rule on a plane grid, whose error is exponentially small for these integrands.
    """
    z, p = np.linspace(-8, 8, 65), np.linspace(-7, 7, 41)
    weight = np.outer(np.exp(-0.5 * z**2), np.exp(-0.5 * p**2))
    weight /= weight.sum()
    signal = problem.teacher.signal
    up = weight / (1 + np.exp(-signal * z))[:, None]

    def loss(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        margin = along[:, None, None] * z[:, None] + across[:, None, None] * p
        # y = 1: log(1 + e^-m); y = -1 adds m
        return np.sum(weight * np.logaddexp(0, -margin) + (weight - up) * margin, axis=(1, 2))

    along, across = theta[:, 0], np.linalg.norm(theta[:, 1:], axis=1)
    best = loss(np.array([signal]), np.array([0.0]))[0]
    parts = range(0, len(theta), BATCH)
    return np.concatenate([loss(along[i : i + BATCH], across[i : i + BATCH]) for i in parts]) - best

"""Softmax regression in milliseconds: weighted, with a ridge, intercepts free, warm starts.

The objective is the theory's: (1/n) sum_i w_i loss_i + (ridge / 2) ||W||^2 with n the samples
*before* pruning. Two classes have one margin, the logit of class 1, and the ridge is the margin's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

ABSENT = -1e3  # logit of a class without samples: probability zero, still finite
CURVATURE = 0.1  # of the softmax loss at its minimum, roughly: sets the preconditioner's scale
MEMORY = 12  # steps that the quasi-Newton method remembers


class Fit(NamedTuple):
    """A fitted softmax regression.

    Attributes:
        weights: shape (d, K); for two classes (0, margin).
        intercepts: shape (K,).
        gradient: largest entry of the objective's gradient where the fit stopped.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    gradient: float

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Logits of rows (n, d), shape (n, K)."""
        return x @ self.weights + self.intercepts


def fit_softmax(
    x: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    *,
    ridge: float,
    weights: np.ndarray | None = None,
    n: int = 0,
    start: Fit | None = None,
    tolerance: float = 1e-6,
    steps: int = 400,
) -> Fit:
    """Least (1/n) sum_i w_i loss_i + (ridge / 2) ||W||^2: its argument, by quasi-Newton steps.

    The first metric is the features' second moment, factorised once, so that correlated features
    cost no more steps than others. Classes that do not occur get a probability of zero.

    Args:
        x: shape (kept, d).
        y: class codes, shape (kept,).
        n_classes: K >= 2.
        ridge: > 0; intercepts have none.
        weights: shape (kept,); 1 by default.
        n: samples before pruning; those given by default.
        start: a fit to begin from.
        tolerance: of the largest entry of the gradient.
        steps: at most.
    """
    share = (np.ones(len(y)) if weights is None else weights) / (n or len(y))
    present, codes = np.unique(y, return_inverse=True)
    if len(present) == 1:
        offset = np.full(n_classes, ABSENT)
        offset[present] = 0.0
        return Fit(np.zeros((x.shape[1], n_classes)), offset, 0.0)
    one_margin = n_classes == 2
    rows = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    target = codes.astype(float)[:, None] if one_margin else np.eye(len(present))[codes]
    objective = _Objective(rows, target, share, ridge)
    first = np.zeros((rows.shape[1], target.shape[1]))
    if start is not None:
        all_of_it = np.concatenate([start.weights, start.intercepts[None]])
        first = all_of_it[:, 1:] - all_of_it[:, :1] if one_margin else all_of_it[:, present]
        first = np.where(np.abs(first) < -ABSENT / 2, first, 0.0)
    found, slope = _minimise(objective, first, tolerance, steps)
    if one_margin:
        found = np.concatenate([np.zeros_like(found), found], axis=1)
    whole = np.zeros((rows.shape[1], n_classes))
    whole[-1] = ABSENT
    whole[:, present] = found
    return Fit(whole[:-1], whole[-1], slope)


class _Objective:
    """Value and gradient at parameters of shape (d + 1, logits), and a metric for steps."""

    def __init__(self, rows: np.ndarray, target: np.ndarray, share: np.ndarray, ridge: float):
        self.rows, self.target, self.share = rows, target, share[:, None]
        self.ridge = np.full((rows.shape[1], 1), ridge)
        self.ridge[-1] = 0.0
        metric = CURVATURE * (rows.T * share) @ rows
        metric[np.diag_indices(len(metric))] += self.ridge[:, 0] + 1e-10
        self.metric = cho_factor(metric)

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        logits = self.rows @ theta
        if logits.shape[1] == 1:
            loss = np.logaddexp(0.0, logits) - self.target * logits
            chance = 0.5 * (1 + np.tanh(0.5 * logits))
        else:
            logits = logits - logits.max(axis=1, keepdims=True)
            chance = np.exp(logits)
            total = chance.sum(axis=1, keepdims=True)
            loss = np.log(total) - (self.target * logits).sum(axis=1, keepdims=True)
            chance /= total
        value = float(self.share[:, 0] @ loss[:, 0] + 0.5 * (self.ridge * theta**2).sum())
        slope = self.rows.T @ (self.share * (chance - self.target)) + self.ridge * theta
        return value, slope

    def precondition(self, slope: np.ndarray) -> np.ndarray:
        return cho_solve(self.metric, slope, check_finite=False)


def _minimise(
    objective: _Objective, theta: np.ndarray, tolerance: float, steps: int
) -> tuple[np.ndarray, float]:
    """L-BFGS with the objective's own first metric, and step halving."""
    value, slope = objective(theta)
    moves: list[tuple[np.ndarray, np.ndarray, float]] = []
    for _ in range(steps):
        if np.abs(slope).max() < tolerance:
            break
        step = -_metric_times(objective, moves, slope)
        decrease = float((slope * step).sum())
        if decrease >= 0:  # rounding has spoilt what was remembered
            moves, step = [], -objective.precondition(slope)
            decrease = float((slope * step).sum())
        size = 1.0
        while True:
            new = theta + size * step
            new_value, new_slope = objective(new)
            if new_value <= value + 1e-4 * size * decrease or size < 1e-6:
                break
            size /= 2
        if new_value > value:  # no descent is left but in rounding
            break
        change, turn = new - theta, new_slope - slope
        curvature = float((change * turn).sum())
        if curvature > 0:
            moves = [*moves[1 - MEMORY :], (change, turn, 1 / curvature)]
        theta, value, slope = new, new_value, new_slope
    return theta, float(np.abs(slope).max())


def _metric_times(
    objective: _Objective, moves: list[tuple[np.ndarray, np.ndarray, float]], slope: np.ndarray
) -> np.ndarray:
    """The inverse curvature that the moves imply, times a gradient (the two loops of L-BFGS)."""
    left, factors = slope, []
    for change, turn, scale in reversed(moves):
        factor = scale * float((change * left).sum())
        left = left - factor * turn
        factors.append(factor)
    step = objective.precondition(left)
    for (change, turn, scale), factor in zip(moves, reversed(factors), strict=True):
        step = step + (factor - scale * float((turn * step).sum())) * change
    return step

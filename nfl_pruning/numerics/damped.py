"""Newton's method for risks that are convex and self-concordant, as the logistic loss makes them.

A step is shortened while its decrement is large, so every start leads to the one minimiser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nfl_pruning.numerics.arrays import library_of

Derivatives = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def damped(move: Any, gradient: Any, *, mass: float = 1.0, whole_below: float = 0.05) -> Any:
    """Newton's moves, shape (..., d), shortened where the decrement is large.

    Numpy arrays or traced values.

    Args:
        move: minus the inverse Hessian times the gradient, shape (..., d).
        gradient: shape (..., d).
        mass: of the samples that the risk sums over; the decrement is that of their mean.
        whole_below: decrement below which the whole move is taken.
    """
    xp = library_of(move)
    fall = xp.maximum(-xp.sum(move * gradient, axis=-1, keepdims=True), 0)
    decrement = xp.sqrt(fall / mass)
    return move / (1 + xp.where(decrement < whole_below, 0, 2 * decrement))


def convex_minimum(
    derivatives: Derivatives,
    start: np.ndarray,
    *,
    far: float,
    within: float = 1e-12,
    most: int = 200,
    mass: float = 1.0,
    whole_below: float = 0.05,
) -> np.ndarray | None:
    """The minimiser, shape (d,), or None where there is none or its path leaves a ball.

    Args:
        derivatives: theta -> gradient (d,) and Hessian (d, d).
        start: shape (d,).
        far: radius of the ball.
        within: largest entry of the last move.
        most: moves.
        mass: see :func:`damped`.
        whole_below: see :func:`damped`.
    """
    theta = start.copy()
    for _ in range(most):
        gradient, curvature = derivatives(theta)
        try:
            move = -np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            return None
        theta = theta + damped(move, gradient, mass=mass, whole_below=whole_below)
        if np.abs(move).max() < within:
            return theta
        if not np.linalg.norm(theta) < far:
            return None
    return None

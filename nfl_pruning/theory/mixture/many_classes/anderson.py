"""A fixed point by damped iteration with Anderson acceleration, for many unknowns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

MEMORY = 8
HEAVY, LIGHT = 0.15, 0.7  # share of the new value in the first steps, and later
FIRST = 3


class Found(NamedTuple):
    """Where the iteration ended.

    Attributes:
        x: shape (k,). residual: largest scaled change. steps: taken. converged: whether it is below
            the tolerance.
    """

    x: np.ndarray
    residual: float
    steps: int
    converged: bool


def fixed_point(
    answer: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    scale: Callable[[np.ndarray], np.ndarray],
    *,
    tolerance: float,
    most: int = 60,
    cautious: bool = True,
) -> Found:
    """X with answer(x) = x.

    Args:
        answer: the map.
        start: first value, shape (k,).
        scale: x -> sizes that changes are measured by, shape (k,).
        tolerance: largest scaled change at the end.
        most: evaluations at most.
        cautious: damp the first steps heavily, as far from the end plain iteration oscillates.
    """
    x, xs, fs = start, [], []
    best, since, error = np.inf, 0, np.inf
    for step in range(1, most + 1):
        f = answer(x) - x
        sizes = scale(x)
        error = float(np.max(np.abs(f) / sizes)) if np.isfinite(f).all() else np.inf
        if error < tolerance:
            return Found(x + f, error, step, True)
        if not np.isfinite(error) or error > 1e6:
            return Found(x, error, step, False)
        best, since = (error, 0) if error < 0.9 * best else (best, since + 1)
        if since > 25:
            return Found(x, error, step, False)
        xs, fs = [*xs[-MEMORY:], x], [*fs[-MEMORY:], f]
        if cautious and step <= FIRST:
            x = x + HEAVY * 2 * f
            continue
        x = mixed(xs, fs, sizes, LIGHT if cautious else 1.0)
    return Found(x, error, most, False)


def mixed(
    xs: list[np.ndarray], fs: list[np.ndarray], sizes: np.ndarray, share: float
) -> np.ndarray:
    """The combination of the last steps whose residuals cancel best, moved along them.

    Args:
        xs: the last values, shape (k,) each, the present one at the end.
        fs: what the map changes there.
        sizes: that changes are measured by, shape (k,).
        share: of the change that is taken.
    """
    x, f = xs[-1], fs[-1]
    if len(xs) == 1:
        return x + share * f
    dx = np.stack([a - b for a, b in zip(xs[1:], xs[:-1], strict=True)], 1)
    df = np.stack([a - b for a, b in zip(fs[1:], fs[:-1], strict=True)], 1)
    weighted = df / sizes[:, None]
    gram = weighted.T @ weighted
    gram = gram + 1e-12 * np.trace(gram) * np.eye(len(gram))
    gamma = np.linalg.solve(gram, weighted.T @ (f / sizes))
    return x + share * f - (dx + share * df) @ gamma

"""A fixed point by damped iteration with Anderson acceleration, for many unknowns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

MEMORY = 8
HEAVY, LIGHT = 0.15, 0.7  # share of the new value in the first steps, and later
FIRST = 3

Pair = tuple[np.ndarray, np.ndarray]


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


class Secants:
    """How a map's residual changed along the last steps.

    They say what any map does that differs by a constant, and nearly what a similar one does.
    """

    def __init__(self, pairs: Sequence[Pair] = ()) -> None:
        self.pairs = list(pairs)
        self.last: Pair | None = None

    def copy(self) -> Secants:
        """The same pairs, which grow by themselves."""
        return Secants(self.pairs)

    def add(self, x: np.ndarray, f: np.ndarray) -> None:
        """One more value x, shape (k,), and what the map changes there."""
        if self.last is not None:
            self.pairs = [*self.pairs[1 - MEMORY :], (x - self.last[0], f - self.last[1])]
        self.last = x, f

    def step(self, sizes: np.ndarray, share: float) -> np.ndarray:
        """The next value: the last moved along the pairs so that the residual cancels best.

        Args:
            sizes: that changes are measured by, shape (k,).
            share: of the change that is left which is taken.
        """
        assert self.last is not None
        x, f = self.last
        if not self.pairs:
            return x + share * f
        dx, df = (np.stack(part, 1) for part in zip(*self.pairs, strict=True))
        weighted = df / sizes[:, None]
        gram = weighted.T @ weighted
        gram = gram + 1e-12 * np.trace(gram) * np.eye(len(gram))
        gamma = np.linalg.solve(gram, weighted.T @ (f / sizes))
        return x + share * f - (dx + share * df) @ gamma


def fixed_point(
    answer: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    scale: Callable[[np.ndarray], np.ndarray],
    *,
    tolerance: float,
    most: int = 60,
    cautious: bool = True,
    secants: Secants | None = None,
) -> Found:
    """X with answer(x) = x.

    Args:
        answer: the map.
        start: first value, shape (k,).
        scale: x -> sizes that changes are measured by, shape (k,).
        tolerance: largest scaled change at the end.
        most: evaluations at most.
        cautious: damp the first steps heavily, as far from the end plain iteration oscillates.
        secants: of a map beside this one; they grow by this one's.
    """
    x, secants = start, secants or Secants()
    secants.last = None
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
        secants.add(x, f)
        if cautious and step <= FIRST:
            x = x + HEAVY * 2 * f
            continue
        x = secants.step(sizes, LIGHT if cautious else 1.0)
    return Found(x, error, most, False)

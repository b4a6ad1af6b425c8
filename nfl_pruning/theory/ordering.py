"""The priority order that a score induces on (u, y), in the limit of many samples.

The score itself is called on a grid of probe margins. Where its values show it to be a strictly
decreasing function of ``y u`` (label-aware scores) or of ``|u|`` (label-agnostic ones), thresholds
are quantiles of that variable; any other score has its level sets located by bisection, and the
samples of a level with positive mass tie (ties are broken at random).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.optimize import brentq
from scipy.special import ndtri

from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.problem import Problem
from nfl_pruning.programs import elementwise
from nfl_pruning.scores.base import Context, Score, binary_logits
from nfl_pruning.theory.label_law import LABELS, LabelLaw

_HALF_GRID = np.linspace(0.0, NORMAL_RANGE, 1001)
GRID = np.concatenate([-_HALF_GRID[:0:-1], _HALF_GRID])  # symmetric to the last bit
MOST_CROSSINGS = 64
THEORY_NEEDS = frozenset({"input_norm"})


class UnsupportedProblemError(Exception):
    """The theory cannot treat the problem; the message says why in a sentence."""


@dataclass(frozen=True)
class Cut:
    """A boundary in the priority order: above ``high`` is inside, at most ``low`` outside.

    Between them (a tie of positive mass) a ``fraction`` is inside, chosen at random.
    """

    high: float
    low: float
    fraction: float = 0.0


@partial(jax.jit, static_argnames=("score", "positive"))
def _evaluate(score: Score, positive: bool, margins: Array) -> Array:
    labels = jnp.full(margins.shape, int(positive))
    return score.rank_key(
        binary_logits(margins), labels, Context(input_norm=jnp.ones_like(margins))
    )


Margin = Callable[[int, np.ndarray], np.ndarray]


def score_on_margins(score: Score, margin: Margin) -> Margin:
    """The score's rank key as a numpy function of (label, u), called in float64.

    Args:
        score: what ranks the samples.
        margin: (label, u) -> the probe's margin that is scored.

    Raises:
        UnsupportedProblemError: the score needs what the limit does not have, or is not finite.
    """
    missing = sorted(score.needs - THEORY_NEEDS)
    if missing:
        raise UnsupportedProblemError(
            f"The score {score.name!r} needs {' and '.join(missing)}, which the proportional limit "
            "does not describe; it takes scores of logits, labels and input norm."
        )

    def key(label: int, u: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            margins = np.asarray(margin(label, u), np.float64)
            values = elementwise(lambda m: _evaluate(score, label > 0, m), margins)
        if not np.isfinite(values).all():
            raise UnsupportedProblemError(
                f"The score {score.name!r} is not finite on all probe margins."
            )
        return values

    return key


def find_root(function: Callable[[float], float], ends: tuple[float, float]) -> float:
    """The root that the ends bracket, to the last digits."""
    return cast(float, brentq(function, *ends, xtol=1e-15, rtol=cast(Any, 1e-14)))


class SignedOrder:
    """Priority is ``-sign * y u``: hardest first for sign = 1."""

    def __init__(self, law: LabelLaw, sign: int) -> None:
        self._law, self._sign = law, sign

    def priority(self, label: int, u: np.ndarray) -> np.ndarray:
        return -self._sign * label * np.asarray(u)

    def cut(self, share: float) -> Cut:
        law, sign = self._law, self._sign

        def excess(t: float) -> float:  # P(y u < t) for hardest first, P(y u > t) for easiest
            low = law.below(1, t) + law.label_mass[1] - law.below(-1, -t)
            return float(low - share if sign > 0 else (1 - low) - share)

        ends = (-NORMAL_RANGE, NORMAL_RANGE)
        if excess(ends[0]) * excess(ends[1]) >= 0:
            level = np.inf if share < 0.5 else -np.inf
        else:
            level = -sign * find_root(excess, ends)
        return Cut(level, level)

    def crossings(self, label: int, level: float) -> np.ndarray:
        return np.array([-self._sign * label * level])


class AbsoluteOrder:
    """Priority is ``-sign * |u|``: hardest (smallest margin) first for sign = 1."""

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def priority(self, label: int, u: np.ndarray) -> np.ndarray:
        return -self._sign * np.abs(u)

    def cut(self, share: float) -> Cut:
        size = ndtri(0.5 + 0.5 * share) if self._sign > 0 else -ndtri(0.5 * share)
        return Cut(-self._sign * size, -self._sign * size)

    def crossings(self, label: int, level: float) -> np.ndarray:
        return np.array([level, -level])


class GeneralOrder:
    """Priority is the key itself (times ``sign``), its level sets found numerically."""

    def __init__(self, law: LabelLaw, key, sign: int) -> None:
        self._law, self._key, self._sign = law, key, sign
        self._grid = {y: self.priority(y, GRID) for y in LABELS}

    def priority(self, label: int, u: np.ndarray) -> np.ndarray:
        return self._sign * self._key(label, u)

    def crossings(self, label: int, level: float) -> np.ndarray:
        above = self._grid[label] > level
        where = np.flatnonzero(above[1:] != above[:-1])
        if len(where) > MOST_CROSSINGS:
            raise UnsupportedProblemError(
                f"The score crosses its threshold more than {MOST_CROSSINGS} times in the margin."
            )
        low, high = np.zeros(MOST_CROSSINGS), np.zeros(MOST_CROSSINGS)
        low[: len(where)], high[: len(where)] = GRID[where], GRID[where + 1]
        starts = np.resize(above[where], MOST_CROSSINGS) if len(where) else np.zeros(MOST_CROSSINGS)
        for _ in range(50):
            middle = 0.5 * (low + high)
            same = (self.priority(label, middle) > level) == starts
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return (0.5 * (low + high))[: len(where)]

    def mass_above(self, level: float) -> float:
        total = 0.0
        for label in LABELS:
            edges = np.concatenate([[-NORMAL_RANGE], self.crossings(label, level), [NORMAL_RANGE]])
            inside = (self._grid[label][0] > level) ^ (np.arange(len(edges) - 1) % 2 == 1)
            total += np.diff(self._law.below(label, edges))[inside].sum()
        return float(total)

    def cut(self, share: float) -> Cut:
        values = np.concatenate(list(self._grid.values()))
        low, high = values.min() - 1.0, values.max()
        below, above = 1.0, 0.0
        for _ in range(80):
            middle = 0.5 * (low + high)
            mass = self.mass_above(middle)
            if mass >= share:
                low, below = middle, mass
            else:
                high, above = middle, mass
        if below - above < 1e-9:
            return Cut(low, low)
        return Cut(high, low, (share - above) / (below - above))


Order = SignedOrder | AbsoluteOrder | GeneralOrder


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to a few units in the last place (vectorised exponentials differ by one)."""
    return bool(np.allclose(a, b, rtol=1e-13, atol=0.0))


def _rises(values: np.ndarray) -> bool:
    """Increasing, strictly where the normal law has mass that matters; starts at the grid's end."""
    steps = np.diff(values)
    central = (np.abs(GRID[: len(steps)]) < 7.5) & (np.abs(GRID[1 : len(steps) + 1]) < 7.5)
    return bool((steps >= 0).all() and (steps[central] > 0).all())


def order_of(problem: Problem, law: LabelLaw, margin: Margin) -> Order:
    """The priority order of a problem's ranking score, recognised from the score's own values."""
    key = score_on_margins(problem.ranking_score, margin)
    sign = 1 if problem.keep == "hardest" else -1
    positive, negative = key(1, GRID), key(-1, GRID)
    if _same(positive, negative[::-1]) and _rises(positive[::-1]):
        return SignedOrder(law, sign)
    if (
        _same(positive, negative)
        and _same(positive, positive[::-1])
        and _rises(positive[: len(_HALF_GRID)])
    ):
        return AbsoluteOrder(sign)
    return GeneralOrder(law, key, sign)

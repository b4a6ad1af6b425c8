"""Level sets of any priority over (u, y): where it crosses a level, and how much lies above.

The priority is sampled on an uneven grid and its turning points between grid points are found by
golden-section search, so that it is monotone between neighbouring knots; levels are then crossed at
most once in between. A level set is as narrow as it may be: its ends are found by bisection down to
neighbouring floats and its mass is integrated over it alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.numerics.bracket import bracketed_root
from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.theory.selection_law.label_law import Law

_STEPS = np.arange(2001.0)
# Uneven, so that no period of a score goes unnoticed.
_HALF_GRID = NORMAL_RANGE * (_STEPS + 0.4 * ((_STEPS * 0.5 * (5**0.5 - 1)) % 1)) / 2000
_HALF_GRID[-1] = NORMAL_RANGE
GRID = np.concatenate([-_HALF_GRID[:0:-1], _HALF_GRID])  # symmetric to the last bit
MOST_CROSSINGS = 256  # of one level
MOST_TURNS = 512
GOLDEN = 0.5 * (5**0.5 - 1)
SEARCHES, HALVINGS = 78, 60  # until brackets of a grid step are as narrow as floats allow
ROUNDING = 8 * np.finfo(float).eps  # of a score's value: differences below it are no turns
EXACT = 1e-13  # of a mass, relative


def find_root(function: Callable[[float], float], ends: tuple[float, float]) -> float:
    """The root that the ends bracket, to the last digits."""
    return bracketed_root(function, *ends, xtol=1e-15, rtol=1e-14)


@dataclass(frozen=True)
class Cut:
    """A boundary in the priority order: above ``high`` is inside, at most ``low`` outside.

    Between them (a tie of positive mass) a ``fraction`` is inside, chosen at random.
    """

    high: float
    low: float
    fraction: float = 0.0


@dataclass(frozen=True)
class _Knots:
    """Places between which a priority is monotone, and its turning points among them.

    Attributes:
        u, value: shape (knots,). turns: shape (turns,).
        mass: of the label between neighbouring knots, roughly, shape (knots - 1,).
    """

    u: np.ndarray
    value: np.ndarray
    turns: np.ndarray
    mass: np.ndarray


class GeneralOrder:
    """Priority is the key itself (times ``sign``), its level sets found numerically.

    Attributes:
        label_agnostic: whether the priority is the same for all labels, all over the grid.
    """

    def __init__(self, law: Law, key, sign: int) -> None:
        self._law, self._key, self._sign = law, key, sign
        values = {y: self.priority(y, GRID) for y in law.labels}
        first = law.labels[0]
        self.label_agnostic = all(np.array_equal(v, values[first]) for v in values.values())
        searched = law.labels[:1] if self.label_agnostic else law.labels
        turns = {y: self._turns(y, values[y]) for y in searched}
        self._knots = {
            y: self._knots_of(y, values[y], turns.get(y, turns[first])) for y in law.labels
        }

    def priority(self, label: int, u: np.ndarray) -> np.ndarray:
        return self._sign * self._key(label, u)

    def _knots_of(self, label: int, value: np.ndarray, turns: np.ndarray) -> _Knots:
        u = np.concatenate([GRID, turns])
        value = np.concatenate([value, self.priority(label, turns)])
        order = np.argsort(u, kind="stable")
        u, value = u[order], value[order]
        mass = self._law.density(label, 0.5 * (u[1:] + u[:-1])) * np.diff(u)
        return _Knots(u, value, np.sort(turns), mass)

    def _turns(self, label: int, value: np.ndarray) -> np.ndarray:
        """Places between grid points where the priority is largest or least nearby."""
        step = np.diff(value)
        size = np.maximum(np.abs(value[1:]), np.abs(value[:-1]))
        moves = np.flatnonzero(np.abs(step) > ROUNDING * size)
        rising = step[moves] > 0
        at = np.flatnonzero(rising[1:] != rising[:-1])  # flat steps in between belong to the turn
        if len(at) > MOST_TURNS:
            raise UnsupportedProblemError(
                f"The score turns more than {MOST_TURNS} times along the margin."
            )
        side = np.where(rising[at], 1.0, -1.0)
        low, high = GRID[moves[at]], GRID[moves[at + 1] + 1]
        if not len(at):
            return low
        inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
        first, second = (side * self.priority(label, u) for u in inner)
        for _ in range(SEARCHES):
            left = first >= second
            low, high = np.where(left, low, inner[0]), np.where(left, inner[1], high)
            kept = np.where(left, inner[0], inner[1])
            new = np.where(left, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
            found, held = side * self.priority(label, new), np.where(left, first, second)
            inner = [np.where(left, new, kept), np.where(left, kept, new)]
            first, second = np.where(left, found, held), np.where(left, held, found)
        grid = moves[at] + 1  # a smooth turn is as good at a grid point that it lies on
        on_grid = side * value[grid] >= np.maximum(first, second)
        return np.where(on_grid, GRID[grid], np.where(first >= second, inner[0], inner[1]))

    @property
    def highest(self) -> float:
        """The largest priority."""
        return max(float(knots.value.max()) for knots in self._knots.values())

    @property
    def pieces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rough masses between knots, least and largest priority there; each (pieces,)."""
        every = [
            (k.mass, np.minimum(*pair), np.maximum(*pair))
            for k in self._knots.values()
            for pair in [(k.value[1:], k.value[:-1])]
        ]
        mass, least, most = (np.concatenate(part) for part in zip(*every, strict=True))
        return mass, least, most

    @property
    def turns(self) -> np.ndarray:
        """Places in u where the priority of either label turns, increasing."""
        return np.unique(np.concatenate([knots.turns for knots in self._knots.values()]))

    def crossings(self, label: int, level: float) -> np.ndarray:
        """Places where the priority crosses a level, increasing."""
        return self.crossings_of_each(label, np.array([level]))[0]

    def crossings_of_each(
        self, label: int, levels: np.ndarray, *, halvings: int = HALVINGS
    ) -> list[np.ndarray]:
        """:func:`crossings` of some levels, by a number of bisections."""
        knots, levels = self._knots[label], levels[:, None]
        above = knots.value > levels
        which, where = np.nonzero(above[:, 1:] != above[:, :-1])
        if np.bincount(which, minlength=1).max() > MOST_CROSSINGS:
            raise UnsupportedProblemError(
                f"The score crosses its threshold more than {MOST_CROSSINGS} times in the margin."
            )
        low, high, asked = knots.u[where], knots.u[where + 1], levels[which, 0]
        start = above[which, where]
        for _ in range(halvings if len(where) else 0):
            middle = 0.5 * (low + high)
            same = (self.priority(label, middle) > asked) == start
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return [0.5 * (low + high)[which == k] for k in range(len(levels))]

    def mass_above(self, level: float) -> float:
        """P(priority > level)."""
        total = 0.0
        for label in self._law.labels:
            ends = self.crossings(label, level)
            edges = np.concatenate([[-NORMAL_RANGE], ends, [NORMAL_RANGE]])
            begins = int(not self._knots[label].value[0] > level)
            low, high = edges[:-1][begins::2], edges[1:][begins::2]
            total += self._law.between(label, low, high).sum()
        return float(total)

    def cut(self, share: float) -> Cut:
        """The level above which a share of all samples lies, or the tie that the share divides."""
        for low, high in (self._around(share), self._ends()):
            below, above = self.mass_above(low) - share, self.mass_above(high) - share
            if below >= 0 >= above:
                break
        exact, turn = EXACT * share, 0
        while below > exact and above < -exact:
            ends = np.array([low, high]).view(np.int64)
            if abs(int(_ordered(ends)[1]) - int(_ordered(ends)[0])) <= 1:
                return Cut(high, low, -above / (below - above))
            turn += 1
            middle = low + (high - low) * below / (below - above)
            if turn == 1:
                middle = np.nextafter(high, low)  # most ties are at values of the grid
            if turn % 3 == 2 or not low < middle < high:
                middle = _between(low, high)
            excess = self.mass_above(middle) - share
            if excess >= 0:
                low, below = middle, excess
            else:
                high, above = middle, excess
        level = float(low if below <= exact else high)
        return Cut(level, level)

    def _around(self, share: float) -> tuple[float, float]:
        """Two levels, with no knot's value between them, above which more and less should lie."""
        values = np.unique(np.concatenate([knots.value for knots in self._knots.values()]))
        levels = np.concatenate([[np.nextafter(values[0], -np.inf)], values])
        first, last = 0, len(levels) - 1
        while last - first > 1:
            middle = (first + last) // 2
            sure, possible = self._bounds(levels[middle])
            if sure < share <= possible:
                sure = self.mass_above(levels[middle])
            first, last = (middle, last) if sure >= share else (first, middle)
        return float(levels[first]), float(levels[last])

    def _ends(self) -> tuple[float, float]:
        """Levels above which everything and nothing lies."""
        values = np.concatenate([knots.value for knots in self._knots.values()])
        return float(np.nextafter(values.min(), -np.inf)), float(values.max())

    def _bounds(self, level: float) -> tuple[float, float]:
        """Bounds of the mass above a level, from knots alone; but for the link's jumps."""
        sure = possible = 0.0
        for knots in self._knots.values():
            above = knots.value > level
            sure += knots.mass[above[1:] & above[:-1]].sum()
            possible += knots.mass[above[1:] | above[:-1]].sum()
        return 0.99 * float(sure), 1.01 * float(possible)


def _ordered(bits: np.ndarray) -> np.ndarray:
    """Integers that order like the floats whose bits are given; the map is its own inverse."""
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)


def _between(low: float, high: float) -> float:
    """The float halfway between two in the order of all floats."""
    a, b = _ordered(np.array([low, high]).view(np.int64))
    middle = int(a) + (int(b) - int(a)) // 2
    return float(_ordered(np.array([middle])).astype(np.int64).view(np.float64)[0])

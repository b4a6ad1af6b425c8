"""A smooth keep probability min(1, c exp(log propensity)) whose mean is a keep fraction.

It varies over lengths that a steep rule makes as short as it likes. So panels end where it reaches
1, where it has fallen by fixed factors below its largest value, and around turning points.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.theory.selection_law.label_law import Law
from nfl_pruning.theory.selection_law.level_sets import HALVINGS, GeneralOrder, find_root
from nfl_pruning.theory.selection_law.ordering import Margin

FALLS = np.array([0.0, 2.0, 6.0, 14.0, 30.0, 60.0])  # in the logarithm; nothing is left after them
STEEP = 0.5  # lengths in u up to this need panels of their own
SHARP = 1e-3  # turns within such a length count as kinks
_REACH = 2.0 ** np.arange(-16, 3)
_OFFSETS = np.concatenate([-_REACH, _REACH])


class Propensity:
    """The keep probability of a propensity selection.

    Attributes:
        breaks: places in u where it bends, or where a steep rule has fallen by ``FALLS``.
        layers: centres and widths in u of where it varies, as meshes need them.
        floor: a keep probability of no consequence anywhere.
    """

    def __init__(self, law: Law, log_propensity: Margin, fraction: float) -> None:
        self._law, self._raw, self._fraction = law, log_propensity, fraction
        self._order = GeneralOrder(law, log_propensity, 1)
        self._turns = self._order.turns
        self._log_c = self._factor()
        top = min(0.0, self._log_c + self._order.highest)
        self.floor = float(np.exp(top - 0.5 * (FALLS[-1] + FALLS[-2])))
        ends = self._ends(self._log_c)
        inner = np.concatenate(ends[:-1])
        edges = np.unique(np.concatenate([inner, self._turns]))
        near = np.diff(edges, prepend=-np.inf) < STEEP
        near |= np.diff(edges, append=np.inf) < STEEP
        bends = np.array([self._bend(turn) for turn in self._turns])
        kinks = np.concatenate([ends[0], self._turns[bends < SHARP]])
        edges = np.setdiff1d(edges[near], self._turns)  # a smooth turn is no end of a panel
        self.breaks = np.unique(np.concatenate([edges, kinks, ends[-1]]))
        self.layers = self._layers(ends[0], bends)

    def keep(self, u: np.ndarray) -> np.ndarray:
        """The keep probability, shape (labels, len(u)), in the law's order."""
        return np.stack([self.keep_of(y, u) for y in self._law.labels])

    def keep_of(self, label: int, u: np.ndarray) -> np.ndarray:
        """The keep probability of one label, shape of u."""
        return np.exp(np.minimum(0.0, self._log_c + self._raw(label, u)))

    def _ends(self, log_c: float, halvings: int = HALVINGS) -> list[np.ndarray]:
        """Where the keep probability is 1, and ``FALLS`` below its largest value; in u."""
        top = min(0.0, log_c + self._order.highest)
        levels = top - log_c - FALLS
        if log_c + self._order.highest <= 0:
            levels = levels[1:]  # the largest value is a turning point's, or an end's
        labels = self._law.labels[:1] if self._order.label_agnostic else self._law.labels
        found = [self._order.crossings_of_each(y, levels, halvings=halvings) for y in labels]
        ends = [np.unique(np.concatenate(both)) for both in zip(*found, strict=True)]
        return ends if len(levels) == len(FALLS) else [np.zeros(0), *ends]

    def _factor(self) -> float:
        """The log c that keeps the fraction."""
        # A kink that is off by a little changes the mass by the square of that.
        around = (self._turns[:, None] + _OFFSETS).ravel()

        def kept(log_c: float) -> float:
            cuts = np.concatenate([self._law.jumps, *self._ends(log_c, 28), self._turns, around])
            return sum(
                self._law.integral(
                    y, cuts, lambda u, y=y: np.exp(np.minimum(0, log_c + self._flat(y, u)))
                )
                for y in self._law.labels
            )

        def excess(log_c: float) -> float:
            return kept(log_c) / self._fraction - 1

        ends = (0.0, 0.0)
        for ends in self._brackets():
            if excess(ends[0]) < 0 < excess(ends[1]):
                return find_root(excess, ends)
        return ends[1]  # everything is kept

    def _brackets(self) -> Iterator[tuple[float, float]]:
        """Bounds of log c: near ones, as a priority is monotone between its knots, and far ones."""
        mass, least, most = self._order.pieces

        def root(value: np.ndarray) -> float:
            def excess(log_c: float) -> float:
                kept = np.sum(mass * np.exp(np.minimum(0.0, log_c + value)))
                return float(kept / self._fraction - 1)

            ends = np.log(self._fraction) - value.max() - 1, 1 - value.min()
            return ends[1] if excess(ends[1]) <= 0 else find_root(excess, ends)

        yield root(most) - 0.02, root(least) + 0.02
        yield np.log(self._fraction) - most.max() - 1, 1 - least.min()

    def _flat(self, label: int, u: np.ndarray) -> np.ndarray:
        return self._raw(label, u.ravel()).reshape(u.shape)

    def _layers(self, kinks: np.ndarray, bends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kinks with the length of the decay beside them, turning points with that of the turn."""
        step = 1e-6
        slope = np.zeros(len(kinks))
        for y in self._law.labels:
            sides = [self._raw(y, kinks + side * step) for side in (1, -1)]
            slope = np.maximum(slope, np.abs(sides[0] - sides[1]) / (2 * step))
        widths = np.concatenate([1 / np.maximum(slope, 1e-3), bends])
        return np.concatenate([kinks, self._turns]), np.clip(widths, 1e-6, NORMAL_RANGE)

    def _bend(self, turn: float) -> float:
        """The distance from a turning point over which the slope grows to half of its limit."""
        values = [self._raw(y, turn + np.append(0.0, _REACH)) for y in self._law.labels]
        slopes = np.max([np.abs(np.diff(v)) / np.diff(np.append(0.0, _REACH)) for v in values], 0)
        steep = slopes >= 0.5 * slopes[_REACH <= 2.0].max()
        return float(_REACH[np.argmax(steep)])

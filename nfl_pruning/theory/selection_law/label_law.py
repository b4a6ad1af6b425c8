"""The law of (u, y): the probe's standardised margin and the label.

With z = rho u + sqrt(1 - rho^2) * noise, P(y = 1 | u) is the link smoothed by that noise. All
functions here are plain float64 numpy: they run once, before a solve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from nfl_pruning.links import smoothed_probability
from nfl_pruning.numerics.quadrature import NORMAL_RANGE, gauss_legendre
from nfl_pruning.problem import Teacher

LABELS = (1, -1)
_X, _W = gauss_legendre(12)


def _between(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half lengths of panels, and Gauss-Legendre nodes on them, shape (..., nodes)."""
    half, middle = 0.5 * (high - low), 0.5 * (high + low)
    return half, middle[..., None] + half[..., None] * _X


class Law(Protocol):
    """What level sets ask of a joint law of one number u and finitely many labels."""

    @property
    def labels(self) -> tuple[int, ...]:
        """Those that occur."""
        ...

    @property
    def jumps(self) -> np.ndarray:
        """Places in u where a label's probability jumps."""
        ...

    def density(self, label: int, u: np.ndarray, /) -> np.ndarray:
        """Joint density of u and the label."""
        ...

    def between(self, label: int, low: ArrayLike, high: ArrayLike, /) -> np.ndarray:
        """Mass of a label with u in an interval, to full relative precision."""
        ...

    def integral(self, label: int, edges: np.ndarray, function: Callable, /) -> float:
        """E[function(u) 1{label}], panels ending at the edges."""
        ...


class LabelLaw:
    """P(y, u) for a teacher and a probe's alignment, with masses of half-lines to about 1e-14.

    Attributes:
        labels: those that occur.
        alignment: the probe's cosine to the teacher.
        jumps: places in u where P(y = 1 | u) jumps (only for a perfect probe and a stepped link).
    """

    labels = LABELS

    def __init__(self, teacher: Teacher, alignment: float) -> None:
        steps, scale = teacher.link.steps, teacher.scale
        self.alignment = rho = alignment
        self._slope = scale * rho
        self._noise = scale * np.sqrt(max(1 - rho**2, 0.0))
        self._steps = steps
        locations, widths = np.asarray(steps.locations), np.asarray(steps.widths)
        spread = np.hypot(widths, self._noise)
        lean = max(abs(self._slope), 1e-300)
        inside = np.abs(locations) < NORMAL_RANGE * lean
        centres = locations[inside] / (lean if self._slope >= 0 else -lean)
        self.jumps = np.unique(centres[spread[inside] == 0])
        layers = {(c, max(w / lean, 1e-9)) for c, w in zip(centres, spread[inside], strict=True)}
        narrow = min((w for _, w in layers), default=1.0)
        reach = 2.0 ** np.arange(np.floor(np.log2(narrow)) - 1, 6)
        offsets = np.concatenate([-reach, reach])
        grid = np.concatenate(
            [
                np.linspace(-NORMAL_RANGE, NORMAL_RANGE, 77),
                *(c + offsets for c, _ in layers),
                centres,
            ]
        )
        self._edges = np.unique(grid[np.abs(grid) <= NORMAL_RANGE])
        half, u = _between(self._edges[:-1], self._edges[1:])
        panels = half * (self.densities(u) @ _W)
        zero = np.zeros((2, 1))
        self._cumulative = np.concatenate([zero, np.cumsum(panels, axis=1)], axis=1)
        self._beyond = np.concatenate([np.cumsum(panels[:, ::-1], axis=1)[:, ::-1], zero], axis=1)
        self.label_mass = self._cumulative[:, -1]

    def probability(self, label: int, u: np.ndarray) -> np.ndarray:
        """P(y = label | u), shape of u."""
        margin = np.asarray(self._slope * np.asarray(u, float))
        positive = smoothed_probability(self._steps, margin, self._noise)
        return positive if label == 1 else 1 - positive

    def density(self, label: int, u: np.ndarray) -> np.ndarray:
        """Joint density of u and P(y = label | u)."""
        return self.probability(label, u) * np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi)

    def densities(self, u: np.ndarray) -> np.ndarray:
        """:meth:`density` of both labels from one evaluation of the link, shape (2, ...)."""
        positive = self.probability(1, u)
        return np.stack([positive, 1 - positive]) * np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi)

    def integral(self, label: int, edges: np.ndarray, function) -> float:
        """E[function(u) 1{y = label}] by Gauss-Legendre on panels refined to the given edges."""
        cuts = np.unique(np.concatenate([self._edges, np.clip(edges, *self._edges[[0, -1]])]))
        half, u = _between(cuts[:-1], cuts[1:])
        return float(np.sum(half[:, None] * _W * self.density(label, u) * function(u)))

    def _panel(self, label: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        half, u = _between(low, high)
        return half * (self.density(label, u) @ _W)

    def below(self, label: int, u: ArrayLike) -> np.ndarray:
        """P(U < u, y = label), shape of u."""
        u, panel = self._located(u)
        start = self._cumulative[LABELS.index(label)][panel]
        return start + self._panel(label, self._edges[panel], u)

    def between(self, label: int, low: ArrayLike, high: ArrayLike) -> np.ndarray:
        """P(low < U < high, y = label) to full relative precision, for low <= high of one shape.

        No difference of two large masses is taken, however narrow or far out the interval is.
        """
        (low, first), (high, last) = self._located(low), self._located(high)
        i = LABELS.index(label)
        whole = np.where(
            self._edges[first + 1] >= 0,
            self._beyond[i][first + 1] - self._beyond[i][last],
            self._cumulative[i][last] - self._cumulative[i][first + 1],
        )
        ends = self._panel(label, low, self._edges[first + 1]) + self._panel(
            label, self._edges[last], high
        )
        return np.where(first == last, self._panel(label, low, high), ends + whole)

    def _located(self, u: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Places moved into the range, and the panels that hold them."""
        u = np.clip(np.asarray(u, float), -NORMAL_RANGE, NORMAL_RANGE)
        panel = np.searchsorted(self._edges, u, side="right") - 1
        return u, np.clip(panel, 0, len(self._edges) - 2)

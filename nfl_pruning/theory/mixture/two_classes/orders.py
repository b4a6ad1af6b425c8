"""Thresholds for scores whose order is that of the margin or of its size: found without a grid.

Most scores of two classes rank by ``y h`` or by ``|h|``, h the logit that is scored. Then one level
of that variable cuts all populations, and where it is met in zeta is known in closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.scores.base import Context, Score, binary_logits
from nfl_pruning.theory.mixture.two_classes.populations import Populations
from nfl_pruning.theory.selection_law.level_sets import Cut, find_root

Inverse = Callable[[int, np.ndarray], np.ndarray]
_HALF = np.concatenate([[0.0], np.geomspace(1e-6, 1.0, 601)])
_GRID = np.concatenate([-_HALF[:0:-1], _HALF])


@lru_cache(maxsize=64)
def kind_of(score: Score, largest: float) -> str:
    """``"signed"``: falls strictly with y h; ``"size"``: falls strictly with |h|; ``"other"``.

    Args:
        score: of logits and labels alone.
        largest: |h| up to which it is tried.
    """
    with jax.enable_x64(True):
        margins = jnp.asarray(_GRID * largest)
        key = jax.jit(lambda h, y: score.rank_key(binary_logits(h), y, Context()))
        labels = jnp.ones(margins.shape, int)
        positive, negative = np.asarray(key(margins, labels)), np.asarray(key(margins, 0 * labels))
    if not (np.isfinite(positive).all() and np.isfinite(negative).all()):
        return "other"
    if _alike(positive, negative[::-1]) and (np.diff(positive) < 0).all():
        return "signed"
    half = len(_GRID) // 2
    even = _alike(positive, negative) and _alike(positive, positive[::-1])
    return "size" if even and (np.diff(positive[half:]) < 0).all() else "other"


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-13, atol=0.0))


class MarginOrder:
    """Priority is ``-sign * y h`` or ``-sign * |h|``; what :class:`GeneralOrder` offers.

    Args:
        law: of the populations. margin: (population, zeta) -> h, increasing in zeta.
        inverse: (population, h) -> zeta. sign: 1 for hardest first. size: whether |h| ranks.
    """

    def __init__(
        self, law: Populations, margin: Inverse, inverse: Inverse, sign: int, *, size: bool
    ) -> None:
        self._law, self._margin, self._inverse = law, margin, inverse
        self._sign, self._size = sign, size

    def priority(self, j: int, zeta: np.ndarray) -> np.ndarray:
        h = self._margin(j, np.asarray(zeta, float))
        return -self._sign * (np.abs(h) if self._size else self._law.sign[j] * h)

    def crossings(self, j: int, level: float) -> np.ndarray:
        edge = -self._sign * level
        if not self._size:
            return self._inverse(j, np.array([self._law.sign[j] * edge]))
        return self._inverse(j, np.array([-edge, edge])) if edge > 0 else np.zeros(0)

    def _mass(self, edge: float) -> float:
        """Mass whose y h, or |h|, is below the edge."""
        total = 0.0
        for j in self._law.labels:
            sign = self._law.sign[j]
            if self._size:
                low, high = self._inverse(j, np.array([-edge, edge]))
            elif sign > 0:
                low, high = -NORMAL_RANGE, float(self._inverse(j, np.array([edge]))[0])
            else:
                low, high = float(self._inverse(j, np.array([-edge]))[0]), NORMAL_RANGE
            low, high = np.clip([low, high], -NORMAL_RANGE, NORMAL_RANGE)
            total += float(self._law.between(j, low, high)) if high > low else 0.0
        return total

    def cut(self, share: float) -> Cut:
        """The level above which a share of all samples lies."""
        ends = [self._margin(j, np.array([-NORMAL_RANGE, NORMAL_RANGE])) for j in self._law.labels]
        far = float(np.abs(ends).max()) + 1.0
        low = 0.0 if self._size else -far
        wanted = share if self._sign > 0 else self._mass(far) - share
        scale = min(share, max(wanted, 1e-300))

        def excess(edge: float) -> float:
            return (self._mass(edge) - wanted) / scale

        edge = find_root(excess, (low, far))
        return Cut(-self._sign * edge, -self._sign * edge)

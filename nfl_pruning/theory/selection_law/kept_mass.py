"""How much a selection keeps, found without what its thresholds were found with.

Adaptive Clenshaw-Curtis quadrature of the keep probability alone: no order of the scores.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.theory.selection_law.label_law import LabelLaw

PANELS = 301  # of the first generation
GENERATIONS = 60
NEGLIGIBLE = 1e-12  # of the whole, relative, on one panel
ORDER = 16  # of the finer of two nested Clenshaw-Curtis rules


def clenshaw_curtis(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, ends included, and weights on [-1, 1], each of shape (order + 1,); order even."""
    angle = np.pi * np.arange(order + 1) / order
    k = np.arange(0, order + 1, 2)
    share = np.where((k == 0) | (k == order), 0.5, 1.0) * 2 / (1 - k**2)
    ends = np.where((angle == 0) | (angle == np.pi), 0.5, 1.0)
    return np.cos(angle), 2 / order * ends * (np.cos(np.outer(angle, k)) @ share)


# Nodes at the ends: a jump anywhere on a panel lies between two nodes and moves the rules apart.
X, FINE = clenshaw_curtis(ORDER)
COARSE = np.zeros(ORDER + 1)
COARSE[::2] = clenshaw_curtis(ORDER // 2)[1]

Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def _first(breaks: np.ndarray) -> np.ndarray:
    """Panels of uneven lengths on the whole range, shape (panels, 2)."""
    inside = np.sort(breaks[np.abs(breaks) < NORMAL_RANGE])
    # Not at the breaks themselves, where rounding decides, but within the pieces between them.
    inner = (inside[1:] + np.diff(inside) * np.array([[-0.29], [-0.71]])).ravel()
    edges = np.unique(np.concatenate([_uneven(), inner]))
    return np.stack([edges[:-1], edges[1:]], axis=1)


@lru_cache(maxsize=1)
def _uneven() -> np.ndarray:
    lengths = 1 + 0.6 * np.modf(np.arange(PANELS) * np.sqrt(2))[0]
    edges = np.concatenate([[0.0], np.cumsum(lengths)]) / lengths.sum()
    return NORMAL_RANGE * (2 * edges - 1)


def kept_mass(law: LabelLaw, evaluate: Evaluate, breaks: np.ndarray) -> float:
    """E[keep] of a selection, to about 1e-11 of itself.

    Args:
        law: of (u, y).
        evaluate: u of shape (k,) -> (keep probability, weight), as in ``KeepLaw``.
        breaks: places where something narrow may be: panels end around them, which adds to what is
            seen. Nothing is assumed of them.
    """
    panels, total, left, scale = _first(breaks), 0.0, 0.0, 0.0
    for _ in range(GENERATIONS):
        half, middle = 0.5 * np.diff(panels, axis=1), panels.mean(axis=1, keepdims=True)
        u = middle + half * X
        keep = evaluate(u.ravel())[0].sum(axis=0)
        values = np.sum(keep.reshape(-1, *u.shape) * law.densities(u), axis=0)
        fine, coarse = (half[:, 0] * (values @ rule) for rule in (FINE, COARSE))
        scale = scale or max(float(fine.sum()), 1e-300)
        open_ = np.abs(fine - coarse) > NEGLIGIBLE * scale
        total += fine[~open_].sum()
        panels, left = panels[open_], fine[open_].sum()
        if not len(panels):
            break
        cut = panels.mean(axis=1)
        panels = np.concatenate(
            [np.stack([panels[:, 0], cut], axis=1), np.stack([cut, panels[:, 1]], axis=1)]
        )
    else:
        total += left
    return float(total)

"""Whether infinitely many kept samples are linearly separable: exact, by geometry.

The region of the plane that holds kept samples of one label is a union of rectangles in the
coordinates (u, z), probe and teacher, because selections cut u and sharp links cut z. A direction
separates when y v >= 0 on all rectangles: a condition on their corners and on the directions in
which they are unbounded. The directions that satisfy finitely many such conditions form a cone,
which is not {0} exactly when one of the conditions' own perpendiculars lies in it.
"""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np

from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.theory.abundant.plane import PlaneLaw
from nfl_pruning.theory.selection_law.label_law import LABELS

IMPOSSIBLE = 1e-12  # a probability that is 0 up to the rounding of a link's sum

Interval = tuple[float, float]


def separable(law: PlaneLaw) -> bool:
    """Whether some direction has y v >= 0 on all kept samples, and more than 0 on some."""
    conditions = _conditions(law)
    if not len(conditions):
        return False
    conditions = conditions / np.linalg.norm(conditions, axis=1, keepdims=True)
    turned = conditions @ np.array([[0.0, -1.0], [1.0, 0.0]])
    candidates = np.concatenate([conditions, turned, -turned])
    values = candidates @ conditions.T
    return bool(((values.min(axis=1) > -1e-9) & (values.max(axis=1) > 1e-9)).any())


def _conditions(law: PlaneLaw) -> np.ndarray:
    """Vectors g with the meaning: a direction t in (u, z) needs g . t >= 0; shape (k, 2)."""
    found = []
    for i, y in enumerate(LABELS):
        labelled = _label_intervals(law, y)
        for piece in _kept_intervals(law, i):
            if law.across > 0:
                boxes = [(piece, band) for band in labelled]
            else:  # z is u itself, up to sign: the second axis is free
                side = 1.0 if law.alignment > 0 else -1.0
                bands = [sorted((side * a, side * b)) for a, b in labelled]
                overlaps = [(max(piece[0], a), min(piece[1], b)) for a, b in bands]
                boxes = [(cut, (-np.inf, np.inf)) for cut in overlaps if cut[1] - cut[0] > 1e-9]
            for box in boxes:
                found.extend(y * np.asarray(g) for g in _box_conditions(*box))
    vectors = np.asarray(found, float).reshape(-1, 2)
    return vectors[np.abs(vectors).max(axis=1, initial=0.0) > 1e-12]


def _box_conditions(first: Interval, second: Interval) -> list[tuple[float, float]]:
    """Corners of a rectangle, and the directions in which it is unbounded."""
    ends = [[e for e in side if np.isfinite(e)] or [0.0] for side in (first, second)]
    corners = [(float(a), float(b)) for a, b in product(*ends)]
    away = [(np.sign(e), 0.0) for e in first if np.isinf(e)]
    return corners + away + [(0.0, np.sign(e)) for e in second if np.isinf(e)]


def _kept_intervals(law: PlaneLaw, label: int) -> list[Interval]:
    """Pieces of u on which samples of a label (its position in LABELS) may be kept."""
    if not law.constant:  # its chance is nowhere 0, however small
        return [(-np.inf, np.inf)]
    edges = np.concatenate([[-np.inf], law.breaks, [np.inf]])
    pieces: list[Interval] = list(pairwise(edges.tolist()))
    middles = np.array([0.5 * sum(np.clip(p, -NORMAL_RANGE, NORMAL_RANGE)) for p in pieces])
    keep = law.evaluate(middles[:, None], np.zeros((len(middles), 1)))[0]
    keep = np.broadcast_to(keep.sum(axis=0), (2, len(middles), 1))[label, :, 0]
    return [piece for piece, k in zip(pieces, keep, strict=True) if k > 0]


def _label_intervals(law: PlaneLaw, label: int) -> list[Interval]:
    """Pieces of z on which a label is possible; all of it unless every step is sharp."""
    teacher = law.problem.teacher
    base, locations, widths, jumps = teacher.link.steps
    if any(width > 0 and jump != 0 for width, jump in zip(widths, jumps, strict=True)):
        return [(-np.inf, np.inf)]
    order = np.argsort(locations)
    values = base + np.concatenate([[0.0], np.cumsum(np.asarray(jumps)[order])])
    chance = values if label > 0 else 1 - values
    if teacher.scale == 0:
        there = chance[np.searchsorted(np.asarray(locations)[order], 0.0)] > IMPOSSIBLE
        return [(-np.inf, np.inf)] if there else []
    cuts = np.concatenate([[-np.inf], np.asarray(locations)[order] / teacher.scale, [np.inf]])
    pieces = zip(pairwise(cuts.tolist()), chance, strict=True)
    return [(a, b) for (a, b), probability in pieces if probability > IMPOSSIBLE]

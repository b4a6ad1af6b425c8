"""One order of the samples whose beginnings are the subsets of every budget.

A rule that gives a fixed share of its budget to the first samples of the priority order and draws
the rest from the others by lot is nested: with lots that do not change, a larger budget keeps all
that a smaller one keeps. When the budget grows by one, either one more sample joins the first ones
(and if it had been drawn before, the next lot takes its place), or one more lot is drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.kernels.order import random_integers
from nfl_pruning.selections.base import RankSelection, Selection
from nfl_pruning.selections.finite import Counts, rank_probabilities, realised_counts
from nfl_pruning.validation import check_number


class Nested(NamedTuple):
    """Subsets of every size, for n samples.

    Attributes:
        order: rows in the order in which they enter as the budget grows, shape (n,): the first m
            are the subset of m samples.
        priority: rows by priority, ties broken as in the selection, shape (n,).
    """

    order: np.ndarray
    priority: np.ndarray


def nested_order(
    key: Array, rank_key: np.ndarray, keep_fraction: float, *, keep: str, selection: Selection
) -> Nested | None:
    """The order of which the subset of :func:`select` with the same arguments is the beginning.

    Args:
        key: the key of that selection.
        rank_key: difficulty, shape (n,), larger = harder.
        keep_fraction: its keep fraction.
        keep: ``"hardest"`` or ``"easiest"``.
        selection: the rule; None is returned for one whose subsets are not nested.
    """
    if not isinstance(selection, RankSelection) or selection.nested_share is None:
        return None
    n, (key_ties, key_explore) = len(rank_key), jax.random.split(key)
    ties, lots = (np.asarray(random_integers(k, (n,))) for k in (key_ties, key_explore))
    priority = np.lexsort((-ties, -rank_key if keep == "hardest" else rank_key))
    first = first_counts(selection, keep_fraction, n)
    order = _entries(priority.tolist(), np.argsort(-lots, kind="stable").tolist(), first.tolist())
    return Nested(np.array(order), priority)


def first_counts(selection: RankSelection, keep_fraction: float, n_samples: int) -> np.ndarray:
    """How many of the first samples a budget of m = 0 .. n takes, shape (n + 1,).

    The nearest whole number to the share of m, but the counts that the rule really took at
    ``keep_fraction`` are met exactly; steps are 0 or 1, so that both parts of the budget grow.
    """
    counts = realised_counts(selection.strata(keep_fraction), n_samples)
    total = sum(band.kept for band in counts)
    first = counts[0].kept if len(counts) > 1 else 0
    m, share = np.arange(n_samples + 1), selection.nested_share
    assert share is not None
    wanted = np.floor(share * m + 0.5 + 1e-9).astype(int)
    below = np.minimum(np.maximum(wanted, m - (total - first)), first)
    above = np.minimum(np.maximum(wanted, first), m - (total - first))
    return np.where(m <= total, below, above)


def _entries(priority: list[int], lots: list[int], first: list[int]) -> list[int]:
    taken, order, next_lot = bytearray(len(priority)), [], 0
    for m in range(1, len(first)):
        row = priority[first[m] - 1] if first[m] > first[m - 1] else -1
        if row < 0 or taken[row]:  # a lot is drawn, or takes the place of one that rose
            while taken[lots[next_lot]]:
                next_lot += 1
            row = lots[next_lot]
        taken[row] = 1
        order.append(row)
    return order


class Resized(NamedTuple):
    """The subset of another budget; shapes as in :class:`Selected`."""

    indices: np.ndarray
    weights: np.ndarray
    keep_probabilities: np.ndarray


def resized(
    nested: Nested,
    rank_key: np.ndarray,
    *,
    old: float,
    new: float,
    keep: str,
    selection: RankSelection,
) -> Resized:
    """The subset of another budget, with the weights that the rule gives it.

    Args:
        nested: the order.
        rank_key: difficulty, shape (n,).
        old: the keep fraction that the order was made with.
        new: the keep fraction wanted, in (0, 1].
        keep: as in the selection.
        selection: the rule.

    Raises:
        InvalidArgumentError: out of range, nothing is kept, or nothing is left to explore.
    """
    n = len(rank_key)
    check_number("keep_fraction", new, "(0, 1]")
    total = int(np.floor(new * n + 0.5 + 1e-9))
    first = int(first_counts(selection, old, n)[total])
    bands = selection.strata(new)
    realised_counts(bands, n)  # raises where the rule cannot keep so few
    sizes = [(first, first), (n - first, total - first)] if len(bands) > 1 else [(n, total)]
    counts = tuple(
        Counts(size, kept, _weight(band.factor, size, kept, band.weight_exponent))
        for band, (size, kept) in zip(bands, sizes, strict=True)
    )
    weights, indices = np.zeros(n), np.sort(nested.order[:total])
    weights[indices] = counts[-1].weight
    weights[nested.priority[:first]] = counts[0].weight
    if not (weights[indices] > 0).all():
        raise InvalidArgumentError(f"keep_fraction {new:g} of {n} samples leaves no weight.")
    return Resized(indices, weights, rank_probabilities(rank_key, counts, keep))


def _weight(factor: float, size: int, kept: int, exponent: float) -> float:
    return factor * (size / kept) ** exponent if kept else 0.0

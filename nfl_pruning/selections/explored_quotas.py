"""Class quotas for the explored part alone: what is exploited stays as the score has it."""

from __future__ import annotations

import jax
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.selections.balanced import BALANCES, class_quotas
from nfl_pruning.selections.base import RankSelection, Selection
from nfl_pruning.selections.finite import Counts, Selected, rank_probabilities, realised_counts
from nfl_pruning.settings import with_own_settings

ALL_BALANCES = (*BALANCES, "explored")


def check_explored(rule: Selection) -> RankSelection:
    """The rule; raises where it does not explore by one lot for all that it does not exploit."""
    if not isinstance(rule, RankSelection) or rule.nested_share in (None, 1.0):
        raise InvalidArgumentError(
            "class quotas of the explored part need a protocol that draws a part of its budget by "
            f"lot, such as exact, soft or clipped; got {rule.label}."
        )
    return rule


@with_own_settings
def select_explored_by_class(
    key: Array,
    rank_key: np.ndarray,
    labels: np.ndarray,
    *,
    keep_fraction: float,
    keep: str,
    selection: Selection,
) -> Selected:
    """As ``select``, but each class gives its share of the explored part, rounded once.

    Quotas are proportional to what each class has left after exploitation. Weights are the inverse
    keep probabilities within a class to the protocol's power, so exact calibration stays unbiased,
    and which classes happen to be drawn no longer adds to its variance.

    Args:
        key: typed key; split between ties and lots.
        rank_key: difficulty, shape (n,), larger = harder.
        labels: class codes, shape (n,).
        keep_fraction: share of all samples to keep, in (0, 1].
        keep: ``"hardest"`` or ``"easiest"``.
        selection: exact, soft, clipped or random.

    Raises:
        InvalidArgumentError: the protocol is another, or a class would have nothing to explore.
    """
    rule, n = check_explored(selection), len(labels)
    *before, band = rule.strata(keep_fraction)
    *earlier, last = realised_counts((*before, band), n)
    first, explored = (earlier[0].kept if earlier else 0), last.kept
    key_ties, key_lots = jax.random.split(key)
    ties, lots = (np.asarray(jax.random.permutation(k, n)) for k in (key_ties, key_lots))
    order = np.lexsort((ties, -rank_key if keep == "hardest" else rank_key))
    weights, chances = np.zeros(n), np.zeros(n)
    weights[order[:first]] = 1.0
    left = np.sort(order[first:])
    names, sizes = np.unique(labels[left], return_counts=True)
    quotas = class_quotas(sizes, explored / max(len(left), 1), "proportional") if explored else []
    for name, size, quota in zip(names, sizes, quotas, strict=False):
        if not quota and band.weight_exponent:
            raise InvalidArgumentError(
                f"no sample is left to explore in class {name}: {explored} are explored of "
                f"{len(left)}; lower exploit or raise keep_fraction."
            )
        if quota:
            members = left[labels[left] == name]
            chosen = members[np.argsort(lots[members])[:quota]]
            ratio = (size / quota) ** band.weight_exponent
            weights[chosen] = band.factor * ratio
            chances[labels == name] = quota / size
    exploited = np.zeros(n)
    if first:
        bands_alone = (Counts(first, first, 1.0), Counts(n - first, 0, 0.0))
        exploited = rank_probabilities(rank_key, bands_alone, keep)
    return Selected(np.flatnonzero(weights), weights, exploited + (1 - exploited) * chances)

"""Sentences on an outcome of pruning that its user should read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.pruning.plausible import chance_notes, far_out_notes, largest_share
from nfl_pruning.pruning.probing import Scored
from nfl_pruning.selections import Selected, Selection

HARD_RULES = (
    "On Fashion-MNIST, keeping only the hardest 30 % or less lost up to 67 points of accuracy to "
    "random pruning (docs/networks.md); nfl-pruning compare measures a rule on your own data."
)
HARD_SHARE = 0.3  # that sentence is about keep fractions up to this one


def data_notes(dataset: Dataset, scored: Scored) -> list[str]:
    """What is odd about the data, and about what a probe learned from them."""
    learned = chance_notes(scored.accuracy, largest_share(dataset.y), len(dataset))
    return [*dataset.notes, *far_out_notes(dataset), *learned]


def hard_notes(rule: Selection, keep: str, keep_fraction: float) -> list[str]:
    """A warning where the rule keeps a hard end alone, unweighted, where that lost much."""
    alone = rule.name in ("threshold", "window") or getattr(rule, "exploit", 0.0) == 1
    return [HARD_RULES] if alone and keep == "hardest" and keep_fraction <= HARD_SHARE else []


def outcome_notes(scored: Scored, class_counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """What went wrong in scoring, and classes of which nothing is left."""
    found = []
    if not scored.converged:
        found.append("The probe's fit did not reach its tolerance; scores may be rough.")
    gone = [name for name, (total, kept) in class_counts.items() if total and not kept]
    if gone:
        found.append(f"No sample of class {', '.join(gone)} was kept.")
    return found


def tie_notes(values: np.ndarray, chosen: Selected, labels: np.ndarray | None) -> list[str]:
    """A sentence where most of what is kept by score is tied with samples that were not.

    Args:
        values: what samples are ranked by, shape (n,).
        chosen: the selection.
        labels: class codes where each class is pruned by itself.
    """
    group = np.zeros(len(values)) if labels is None else labels
    kept = chosen.keep_probabilities
    order = np.lexsort((values, group))
    starts = np.ones(len(values), bool)
    for numbers in (values[order], group[order]):
        starts[1:] &= numbers[1:] == numbers[:-1]
    starts[0], starts[1:] = True, ~starts[1:]
    names = np.empty(len(values), int)
    names[order] = np.cumsum(starts) - 1
    sizes = np.bincount(names)
    # Ties that straddle a boundary share a keep probability above that of exploration alone.
    above = (kept > kept.min()) | (kept.min() == kept.max())
    by_score = (chosen.weights > 0) & above
    tied = int((by_score & (kept < 1) & (sizes[names] > 1)).sum())
    if 2 * tied <= by_score.sum():
        return []
    return [
        f"{tied} of the {int(by_score.sum())} samples kept by score have the score of samples that "
        "were not: which of them stay was drawn by lot, from the seed."
    ]

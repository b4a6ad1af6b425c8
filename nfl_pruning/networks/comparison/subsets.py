"""Subsets that other tools made, in the place of rules: each against as many random rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import Array

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.data.side_files.subset_file import make_subset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.comparison.arms import Arm
from nfl_pruning.networks.comparison.splits import Split
from nfl_pruning.pruning.pruned import Pruned
from nfl_pruning.selections import Random, Selected


@dataclass(frozen=True)
class Subset:
    """What a tool keeps of a data set.

    Attributes:
        rows: of the data, increasing, shape (kept,).
        weights: theirs, > 0, same shape.
        share: of the data's rows that it keeps, in (0, 1].
    """

    rows: np.ndarray
    weights: np.ndarray
    share: float


def as_subset(name: str, value: Any, dataset: Dataset) -> Subset:
    """A subset from what a caller has: see :func:`compare`.

    Raises:
        InvalidArgumentError: it is no subset of this data, or its name is taken.
    """
    if not name or name == "random":
        raise InvalidArgumentError(f"a subset must have a name other than random; got {name!r}.")
    if isinstance(value, Subset):
        return value
    if isinstance(value, Pruned):
        if value.data_hash != dataset.hash:
            raise InvalidArgumentError(
                f"subset {name} must be of the data it is used with; its data_hash is "
                f"{value.data_hash[:12]}, that of {dataset.name} is {dataset.hash[:12]}."
            )
        value = (value.indices, value.weights)
    weights = None
    if isinstance(value, tuple) and len(value) == 2 and np.ndim(value[0]) == 1:
        value, weights = value
    rows, own = make_subset(value, dataset, weights=weights, where=f"subset {name}")
    return Subset(rows, own, float(f"{len(rows) / len(dataset):.4g}"))  # a name for tables


def among_candidates(subset: Subset, protected: np.ndarray) -> Subset:
    """The subset among the rows that may be trained on, by their numbers among these alone."""
    free = ~protected[subset.rows]
    rows = (np.cumsum(~protected) - 1)[subset.rows[free]]
    share = len(rows) / max(int((~protected).sum()), 1)
    return Subset(rows, subset.weights[free], float(f"{share:.4g}"))


@dataclass(frozen=True)
class FixedSubset:
    """A subset of one repeat's training rows, which is no rule.

    Attributes:
        name: how records and figures call it.
        weights: 0 where dropped, shape (n,).
    """

    name: str
    weights: np.ndarray

    def has_scores(self, rank_keys: dict[str, np.ndarray], repeat: int) -> bool:
        """It needs none."""
        return True

    def choose(
        self, key: Array, rank_keys: dict[str, np.ndarray], labels: np.ndarray, share: float
    ) -> Selected:
        """The subset, whatever the key and the share."""
        kept = self.weights > 0
        return Selected(np.flatnonzero(kept), self.weights, kept.astype(float))


def baseline_of(name: str) -> str:
    """What the random rows that a subset is compared with are called."""
    return f"random, as many as {name}"


def arms_of(name: str, subset: Subset, split: Split) -> tuple[list[Arm | FixedSubset], float]:
    """A subset of one repeat's training rows and as many random ones, and the share that they are.

    Args:
        name: of the subset.
        subset: rows of the data; those that the repeat does not train on are left out.
        split: of one repeat.

    Raises:
        InvalidArgumentError: the repeat trains on none of them.
    """
    weights = np.zeros(len(split.table))
    weights[subset.rows] = subset.weights
    own = weights[split.train_rows[0] % len(split.table)]
    kept = int((own > 0).sum())
    if not kept:
        raise InvalidArgumentError(
            f"subset {name} must keep a row that is trained on; repeat {split.numbers[0]} trains "
            f"on none of its {len(subset.rows)}."
        )
    return [Arm(baseline_of(name), Random()), FixedSubset(name, own)], kept / len(own)

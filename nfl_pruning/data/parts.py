"""Rows that are not for pruning: those of other parts than training, and those that one names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nfl_pruning.data.arrays import as_array, as_vector, plain_ids
from nfl_pruning.data.columns import listed
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError

TRAINING = ("train", "training", "fit")


def with_parts(
    dataset: Dataset, *, group: Any = None, split: Any = None, protect: Any = None
) -> Dataset:
    """The data set with groups, and with rows that must never be pruned.

    Args:
        dataset: n samples.
        group: what each row belongs to, shape (n,).
        split: the part of each row, shape (n,): all rows but those of ``train`` (or ``training``,
            ``fit``) are protected.
        protect: rows that are protected, as numbers or as a mask of shape (n,).

    Raises:
        InvalidArgumentError: a length that does not fit, no row of the training part, or fewer
            than two rows left to prune.
    """
    n, found = len(dataset), dataset
    where = str(dataset.source or dataset.name)
    if group is not None:
        found = replace(found, group=plain_ids(as_vector("group", group, n, where)))
    protected = np.zeros(n, bool)
    if split is not None:
        protected |= ~_training(as_vector("split", split, n, where), where)
    if protect is not None:
        protected[_rows(protect, n)] = True
    if not protected.any():
        return found
    if n - protected.sum() < 2:
        raise InvalidArgumentError(
            f"at least 2 rows must be left to prune in {where}; {int(protected.sum())} of {n} are "
            "protected."
        )
    note = f"{int(protected.sum())} of {n} rows are protected and are never pruned."
    return replace(found, protected=protected, notes=(*found.notes, note))


def _training(split: np.ndarray, where: str) -> np.ndarray:
    names, codes = np.unique(plain_ids(split), return_inverse=True)
    training = np.array([str(name).strip().lower() in TRAINING for name in names])
    if not training.any():
        raise InvalidArgumentError(
            f"split must name the rows to prune {' or '.join(TRAINING)} in {where}; its values are "
            f"{listed([str(name) for name in names], 5)}."
        )
    return training[codes]


def _rows(protect: Any, n_samples: int) -> np.ndarray:
    rows = as_array("protect", protect, "the arguments")
    if rows.dtype == bool and rows.shape == (n_samples,):
        return np.flatnonzero(rows)
    fits = rows.ndim == 1 and (rows.dtype.kind in "iu" or not rows.size)
    if not fits or (rows.size and (rows.min() < 0 or rows.max() >= n_samples)):
        raise InvalidArgumentError(
            f"protect must be row numbers below {n_samples} or a mask of {n_samples} rows; got "
            f"shape {rows.shape} of type {rows.dtype}."
        )
    return rows.astype(int)

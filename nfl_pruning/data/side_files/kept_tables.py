"""A subset as a table with the columns ``keep`` and ``weight``, as ``prune`` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from nfl_pruning.data.arrays import plain_ids
from nfl_pruning.data.columns import listed
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.data.readers.archives import check_hash
from nfl_pruning.data.readers.endings import provenance_of
from nfl_pruning.data.side_files.side_tables import SideTable, is_called_id
from nfl_pruning.errors import InvalidArgumentError

KEEP_NAMES = ("pruning_keep", "keep")  # the longer name is there where the user's own table has one
SAID = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "": False}


def kept_in_table(table: SideTable, dataset: Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows of the data and their weights, shape (kept,) each; None without a column ``keep``.

    Rows are known by the first column of ids that are the data's, else by their order. Rows that
    were protected, which have rank 0, are not among those kept.

    Raises:
        InvalidArgumentError: the column says something else than yes and no, weights of kept rows
            are not positive, or neither ids nor the number of rows fits the data.
    """
    own = next((name for name in KEEP_NAMES if name in table.columns), None)
    if own is None:
        return None
    keep = _truths(table, own)
    prefix = own.removesuffix("keep")
    if prefix + "rank" in table.columns:
        keep &= table.numbers([prefix + "rank"])[:, 0] > 0
    weights = np.ones(len(keep))
    if prefix + "weight" in table.columns:
        weights = table.numbers([prefix + "weight"])[:, 0]
    if not keep.any():
        raise InvalidArgumentError(f"{table.path} must keep one row at least; it keeps none.")
    rows, kept = _rows(table, dataset, keep), weights[keep]
    if not (np.isfinite(kept).all() and (kept > 0).all()):
        raise InvalidArgumentError(
            f"weights of {table.path} must be positive for kept rows; the least is {kept.min():g}."
        )
    order = np.argsort(rows)
    return rows[order], kept[order]


def _truths(table: SideTable, name: str) -> np.ndarray:
    values = table.columns[name]
    if values.dtype == bool:
        return values.copy()
    texts = [str(value).strip().lower() for value in values.tolist()]
    wrong = next((text for text in texts if text not in SAID), None)
    if wrong is not None:
        raise InvalidArgumentError(
            f"{table.path} must say True or False in column {name!r}; got {wrong!r}."
        )
    return np.array([SAID[text] for text in texts], bool)


def _rows(table: SideTable, dataset: Dataset, keep: np.ndarray) -> np.ndarray:
    """The row of the data that each kept row of the table is, shape (kept,)."""
    if dataset.ids is not None:
        places = {str(name).strip(): row for row, name in enumerate(dataset.ids.tolist())}
        for name, values in _vectors(table):
            kept = values[keep].tolist()
            lost = [own for own in kept if own not in places]
            if len(np.unique(values)) == len(values) and not lost:
                return np.array([places[own] for own in kept])
            if is_called_id(name) and len(lost) < len(kept):
                raise InvalidArgumentError(
                    f"{table.path} must keep rows of the data; {len(lost)} of {len(kept)} ids in "
                    f"column {name!r} are not theirs: {listed(lost, 3)}."
                )
    n = len(keep)
    if n != len(dataset):
        raise InvalidArgumentError(
            f"{table.path} must have a column with the data's ids, or its {len(dataset)} rows in "
            f"their order; it has {n} rows."
        )
    stated = provenance_of(table.path)
    if stated.is_file():
        try:
            told = json.loads(stated.read_text("utf-8")).get("data_hash", dataset.hash)
        except (ValueError, OSError, AttributeError):
            told = dataset.hash
        check_hash(table.path, np.asarray(told), dataset.hash)
    return np.flatnonzero(keep)


def _vectors(table: SideTable) -> Iterator[tuple[str, np.ndarray]]:
    """Names and texts of columns that may be ids; those that are called so come first."""
    for name in sorted(table.columns, key=lambda name: not is_called_id(name)):
        values = table.columns[name]
        if values.ndim == 1:
            yield name, np.char.strip(plain_ids(values).astype(str))

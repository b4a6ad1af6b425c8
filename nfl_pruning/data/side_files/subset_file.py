"""Subsets of a data set that any tool made: a list of rows or of ids, perhaps with weights."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.data.columns import ID_NAMES, listed
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.data.readers.archives import check_hash, read_npz
from nfl_pruning.data.readers.endings import COLUMNAR, TABLES, TEXT, ending_of
from nfl_pruning.data.readers.tables import UNREADABLE, open_text, read_header
from nfl_pruning.data.side_files.kept_tables import KEEP_NAMES, kept_in_table
from nfl_pruning.data.side_files.scores_file import read_npy
from nfl_pruning.data.side_files.side_tables import read_side_table
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_file

Rows = tuple[np.ndarray, np.ndarray]

WEIGHT_NAMES = ("weight", "weights")


def read_subset(path: Path, dataset: Dataset) -> Rows:
    """Rows of the data and their weights, shape (kept,) each, rows increasing.

    Reads a .npz with ``indices`` or ``ids`` and perhaps ``weights`` (of the kept rows, or of all
    rows as ``prune`` writes them) and ``data_hash``; a .npy of row numbers, of ids or of a mask; a
    table (.csv, .csv.gz, .parquet, .arrow) with a column ``keep``, as ``prune`` writes it; and a
    .csv or .txt with one row number or id a line, whose header may name a column ``weight``.

    Raises:
        InvalidArgumentError: the file cannot be read, or is no subset of this data.
    """
    check_file(path)
    kind, weights = ending_of(path, (".npz", ".npy", ".txt", *TABLES)), None
    table = read_side_table(path) if kind in COLUMNAR or _names_keep(path, kind) else None
    if table is not None and (found := kept_in_table(table, dataset)) is not None:
        return found
    if kind == ".npz":
        arrays = read_npz(path, (), ("indices", "ids", "weights", "data_hash", "scores"))
        if "data_hash" in arrays:
            check_hash(path, arrays["data_hash"], dataset.hash)
        named = "indices" if "indices" in arrays else "ids"
        if named not in arrays or (named == "ids" and "scores" in arrays):
            of_all = " of the kept rows; it holds scores" if "scores" in arrays else ""
            raise InvalidArgumentError(f"{path} must hold the array indices or ids{of_all}.")
        values, weights, is_id = arrays[named], arrays.get("weights"), named == "ids"
    elif kind == ".npy":
        values, is_id = read_npy(path), None
    elif kind in (".txt", *TABLES):
        values, weights, is_id = _one_a_line(path, _lines(path) if table is None else table.lines())
    else:
        raise InvalidArgumentError(
            f"subset must be a .npz, .npy, .txt, {', '.join(TABLES[:-1])} or {TABLES[-1]} file; "
            f"got {str(path)!r}."
        )
    return make_subset(values, dataset, weights=weights, are_ids=is_id, where=str(path))


def make_subset(
    values: Any,
    dataset: Dataset,
    *,
    weights: Any = None,
    are_ids: bool | None = None,
    where: str = "subset",
) -> Rows:
    """Rows of the data and their weights, shape (kept,) each, rows increasing.

    Args:
        values: row numbers, ids, or a mask of n booleans.
        dataset: n samples.
        weights: one a value, or one a row of the data; 1 by default.
        are_ids: whether values are ids; by default they are where they are texts, and row numbers
            where they are whole numbers.
        where: what to call them when they are refused.

    Raises:
        InvalidArgumentError: empty, repeated, not in the data, or weights are not positive.
    """
    found, n = np.asarray(values), len(dataset)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "biuU":
        raise InvalidArgumentError(
            f"{where} must be a list of row numbers, ids or n booleans; got shape {found.shape} "
            f"of type {found.dtype}."
        )
    if found.dtype.kind == "b":
        if len(found) != n:
            raise InvalidArgumentError(
                f"{where} must be a mask of {n} booleans, one a row; got {len(found)}."
            )
        rows = np.flatnonzero(found)
    elif are_ids or (are_ids is None and found.dtype.kind == "U"):
        rows = _rows_of(found.astype(str).tolist(), dataset, where)
    else:
        rows = found.astype(np.int64)
        if rows.min() < 0 or rows.max() >= n:
            wrong = rows[(rows < 0) | (rows >= n)][0]
            raise InvalidArgumentError(f"{where} must hold rows from 0 to {n - 1}; got {wrong}.")
    if not len(rows) or len(np.unique(rows)) < len(rows):
        what = "repeats a row" if len(rows) else "holds none"
        raise InvalidArgumentError(f"{where} must hold distinct rows, one at least; it {what}.")
    own = _weights_of(weights, rows, n, where)
    order = np.argsort(rows)
    return rows[order], own[order]


def _weights_of(weights: Any, rows: np.ndarray, n: int, where: str) -> np.ndarray:
    """Weights of the kept rows."""
    if weights is None:
        return np.ones(len(rows))
    found = np.asarray(weights)
    if found.shape not in ((len(rows),), (n,)) or found.dtype.kind not in "iuf":
        raise InvalidArgumentError(
            f"weights of {where} must be {len(rows)} numbers, one a kept row, or {n}, one a row; "
            f"got shape {found.shape}."
        )
    own = found.astype(np.float64)
    own = own if len(own) == len(rows) else own[rows]
    if not (np.isfinite(own).all() and (own > 0).all()):
        raise InvalidArgumentError(
            f"weights of {where} must be positive for kept rows; the least is {own.min():g}."
        )
    return own


def _rows_of(ids: Sequence[str], dataset: Dataset, where: str) -> np.ndarray:
    """Rows by what they are called; by number where the data have no ids."""
    own = range(len(dataset)) if dataset.ids is None else dataset.ids.tolist()
    places = {str(name).strip(): place for place, name in enumerate(own)}
    wanted = [name.strip() for name in ids]
    missing = [name for name in wanted if name not in places]
    if missing:
        what = "ids" if dataset.ids is not None else "row numbers: the data have no ids, and these"
        raise InvalidArgumentError(
            f"{where} must hold the data's {what}; {len(missing)} of {len(wanted)} are not: "
            f"{listed(missing, 3)}."
        )
    return np.array([places[name] for name in wanted])


def _names_keep(path: Path, kind: str | None) -> bool:
    """Whether the header of a text table has a column ``keep``."""
    return kind in TEXT and any(name in KEEP_NAMES for name in read_header(path))


def _lines(path: Path) -> list[list[str]]:
    try:
        with open_text(path) as file:
            return [[cell.strip() for cell in row] for row in csv.reader(file) if any(row)]
    except UNREADABLE as error:
        raise InvalidArgumentError(f"{path} must hold one row or id a line: {error}.") from None


def _one_a_line(
    path: Path, lines: list[list[str]]
) -> tuple[np.ndarray, np.ndarray | None, bool | None]:
    """One value a line, weights where a header names them, and whether the values are ids."""
    header = [cell.lower() for cell in lines[0]] if lines else []
    weighted = [place for place, name in enumerate(header) if name in WEIGHT_NAMES]
    titled = bool(weighted) or (header and bool(ID_NAMES.fullmatch(header[0])))
    body = lines[1:] if titled else lines
    width = 1 + bool(weighted)
    if not body or len(header) != width or any(len(row) != width for row in body):
        raise InvalidArgumentError(
            f"{path} must hold one row number or id a line, or two columns of which the header "
            "names one weight."
        )
    place = 1 - weighted[0] if weighted else 0
    names = [row[place] for row in body]
    weights = None
    if weighted:
        try:
            weights = np.array([float(row[weighted[0]]) for row in body])
        except ValueError:
            raise InvalidArgumentError(f"weights in {path} must be numbers.") from None
    if all(name.isdecimal() for name in names):
        named = titled and header[place] in ("id", "ids")
        return (np.array(names), weights, True) if named else (np.array(names, int), weights, None)
    return np.array(names), weights, True

"""Features in a .npy file, mapped into memory and not read; labels beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.data.columns import NO_IDS, Columns, listed
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.readers.archives import DAMAGED
from nfl_pruning.data.readers.endings import COLUMNAR, TABLES, TEXT, ending_of
from nfl_pruning.data.readers.frames import Frame, from_frame
from nfl_pruning.data.readers.tables import UNREADABLE, open_text
from nfl_pruning.data.side_files.side_tables import SideTable, read_side_table
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_file


def map_npy(path: Path) -> np.ndarray:
    """The array of a .npy file, mapped into memory where it can be; never unpickled.

    Raises:
        InvalidArgumentError: the file is damaged, of another kind, or holds objects.
    """
    check_file(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED as error:
        pickled = "python objects" in str(error).lower() or "pickle" in str(error).lower()
        reason = "it holds pickled objects" if pickled else "it is truncated or of another kind"
        raise InvalidArgumentError(f"{path} cannot be read as a .npy array: {reason}.") from None
    if not isinstance(array, np.ndarray):
        raise InvalidArgumentError(f"{path} cannot be read as a .npy array: it is an archive.")
    return array


def read_vector(path: Path, name: str, n_rows: int | None = None) -> np.ndarray:
    """One entry a row, from a .npy, a table or a text file with one a line.

    Args:
        path: the file.
        name: of the role, such as ``label``: which column of a table with several is meant.
        n_rows: how many entries there must be: the first of one more is a header.

    Raises:
        InvalidArgumentError: the file cannot be read, or does not say which column is meant.
    """
    kind = ending_of(path, (".npy", *TABLES))
    if kind == ".npy":
        return np.asarray(map_npy(path))
    if kind in COLUMNAR:
        return _column(read_side_table(path), name)
    check_file(path)
    try:
        with open_text(path) as file:
            lines = [line.strip() for line in file if line.strip()]
    except UNREADABLE as error:
        raise InvalidArgumentError(f"{name} in {path} cannot be read: {error}.") from None
    if kind in TEXT and lines and any(mark in lines[0] for mark in (",", '"')):
        return _column(read_side_table(path), name)
    titled = n_rows is not None and len(lines) == n_rows + 1
    return np.array(lines[1:] if titled else lines)


def _column(table: SideTable, name: str) -> np.ndarray:
    """The only column, or the one that is called as its role is."""
    called = {"label": "label labels y target class", "ids": "id ids", "split": "split part"}
    header = list(table.columns)
    found = [own for own in header if own.lower() in called.get(name, name).split()]
    if len(header) > 1 and len(found) != 1:
        raise InvalidArgumentError(
            f"{table.path} must have one column, or one named {name}; its columns are "
            f"{listed(header)}."
        )
    return table.columns[found[0] if found else header[0]]


def load_npy(path: Path, columns: Columns | None = None, label: Any = None) -> Dataset:
    """A data set from a .npy file: features (n, ...), or a structured array with named columns.

    Args:
        path: the file.
        columns: which fields of a structured array are labels, ids and features.
        label: labels of plain features, shape (n,).

    Raises:
        InvalidArgumentError: damaged, or plain features without labels.
    """
    array = map_npy(path)
    if array.dtype.names:
        fields = {name: np.asarray(array[name]) for name in array.dtype.names}
        frame = Frame(fields, name=path.stem, where=str(path), source=path)
        return from_frame(frame, columns)
    columns = columns or Columns()
    for name in ("label", "ids", "group", "split"):
        said = getattr(columns, name)
        if said not in (None, NO_IDS):
            raise InvalidArgumentError(
                f"{name} must be a file that exists, with one entry a row, since {path} has no "
                f"columns; got {said!r}."
            )
    if columns.drop or columns.features:
        name = "drop" if columns.drop else "features"
        raise InvalidArgumentError(f"{name} is for data with named columns; {path} has none.")
    if label is None:
        raise InvalidArgumentError(
            f"{path} holds features alone; name the labels too, as label= or --label-column: an "
            "array, or a .npy, a table or a text file with one label a row."
        )
    return replace(make_dataset(path.stem, array, label, where=str(path)), source=path)

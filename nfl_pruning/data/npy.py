"""Features in a .npy file, mapped into memory and not read; labels beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.data.archives import DAMAGED
from nfl_pruning.data.columns import Columns
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.frames import Frame, from_frame
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


def read_vector(path: Path, name: str) -> np.ndarray:
    """One entry a row, from a .npy, or from a text file with one a line (and no header)."""
    if path.suffix.lower() == ".npy":
        return np.asarray(map_npy(path))
    check_file(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{name} in {path} cannot be read: {error}.") from None
    return np.array([line.strip() for line in lines if line.strip()])


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
    if label is None:
        raise InvalidArgumentError(
            f"{path} holds features alone; name the labels too, as label= or --label-column: an "
            "array, or a .npy or a text file with one label a row."
        )
    return replace(make_dataset(path.stem, array, label, where=str(path)), source=path)

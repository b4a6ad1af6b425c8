"""Labels in the forms in which people have them: one-hot, whole floats, objects of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import is_number


def from_one_hot(values: np.ndarray, where: str, names: Sequence[str] | None = None) -> np.ndarray:
    """Labels of rows with a single one each, shape (n,): the column's name, or its number.

    Args:
        values: zeros and ones, shape (n, C).
        where: the source, for messages.
        names: of the C columns; numbers where None.

    Raises:
        InvalidArgumentError: a row has no one, several, or another number.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise InvalidArgumentError(
            f"one-hot labels must be zeros and ones in {where}; got type {values.dtype}."
        )
    fits = np.isin(values, (0, 1)).all(axis=1) & (values.sum(axis=1) == 1)
    if not fits.all():
        first = int(np.flatnonzero(~fits)[0])
        raise InvalidArgumentError(
            f"one-hot labels must have a single 1 a row in {where}; {int((~fits).sum())} of "
            f"{len(fits)} rows have not, the first is row {first}: labels of several classes and "
            "soft labels are not supported."
        )
    codes = values.argmax(axis=1)
    return codes if names is None else np.asarray(names, str)[codes]


def plain_labels(labels: np.ndarray, where: str) -> np.ndarray:
    """Labels in the forms that tables give them, as text or numbers, shape (n,).

    Objects, bytes and columns of shape (n, 1) are made plain; one-hot labels stay as they are.

    Raises:
        InvalidArgumentError: some labels are missing (None or NaN).
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "surrogateescape")
    if labels.dtype.kind == "T":  # NumPy's own variable-width strings
        return labels.astype(np.str_)
    if labels.ndim != 1 or labels.dtype.kind not in "Of":
        return labels
    missing = np.flatnonzero(are_missing(labels))
    if len(missing):
        raise InvalidArgumentError(
            f"every sample needs a label in {where}; {len(missing)} are None or NaN, the first is "
            f"row {missing[0]}."
        )
    if labels.dtype.kind == "f":
        return labels
    for kind, plain in ((str, np.str_), (bool, np.bool_), (int, np.int64), (float, np.float64)):
        if len(labels) and all(type(label) is kind for label in labels):
            try:
                return labels.astype(plain)
            except OverflowError:
                return labels.astype(np.str_)
    return labels


def are_missing(values: np.ndarray) -> np.ndarray:
    """Which entries are None, NaN, or pandas' own mark of a missing value; boolean, shape (n,)."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "M":
        return np.isnat(values)
    if values.dtype != object:
        return np.zeros(len(values), bool)
    return np.array([value is None or is_missing(value) for value in values], bool)


def is_missing(value: Any) -> bool:
    """Whether a value is not equal to itself, as NaN, or refuses to say so, as pandas' NA."""
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        return type(value).__name__ == "NAType"


def whole_texts(labels: np.ndarray) -> np.ndarray:
    """Texts that are all whole numbers written as floats (``1.0``), as those numbers' texts.

    A table of text and one of numbers so give the same classes.
    """
    names, codes = np.unique(labels, return_inverse=True)
    if not any("." in name for name in names) or not all(map(is_number, names)):
        return labels
    numbers = names.astype(float)
    whole = np.isfinite(numbers) & (numbers == np.round(numbers)) & (np.abs(numbers) < 2.0**53)
    if not whole.all():
        return labels
    return np.array([str(int(number)) for number in numbers])[codes]

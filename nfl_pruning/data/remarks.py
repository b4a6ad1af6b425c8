"""Sentences on labels and columns that are probably not what their reader takes them for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nfl_pruning.validation import is_number

MISSING = ("nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "none", "nil", "missing", "?", "-")
ROWS_PER_CHUNK = 4096


def remarks_on_classes(names: Sequence[str]) -> list[str]:
    """Classes that look like missing labels, and those that look like one class written twice."""
    found = [
        f"The class {name!r} looks like a missing label, and is read as a class."
        for name in names
        if name.strip().lower() in MISSING
    ]
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_plain(name), []).append(name)
    found += [
        f"The classes {' and '.join(map(repr, group))} look like one class written in "
        f"{len(group)} ways, and are read as {len(group)} classes."
        for group in alike.values()
        if len(group) > 1
    ]
    return found


def _plain(name: str) -> str:
    """A name without what spellings differ by: the form of a number, case, spaces."""
    if is_number(name) and np.isfinite(float(name)) and abs(float(name)) < 2**53:
        return repr(float(name))
    return " ".join(name.split()).casefold()


def remarks_on_copies(names: Sequence[str] | None, x: np.ndarray, y: np.ndarray) -> list[str]:
    """Columns with one value of their own for every class: copies of the labels, probably.

    Args:
        names: of the columns; numbers where None.
        x: features, shape (n, d).
        y: class codes 0 .. C - 1, each of which occurs, shape (n,).
    """
    first = x[np.unique(y, return_index=True)[1]]  # a row of each class
    if len(x) < 2 * len(first):  # hardly any class has a second row
        return []
    same = np.ones(x.shape[1], bool)
    for start in range(0, len(x), ROWS_PER_CHUNK):
        rows = slice(start, start + ROWS_PER_CHUNK)
        same &= (x[rows] == first[y[rows]]).all(axis=0)
    copies = [p for p in np.flatnonzero(same) if len(np.unique(first[:, p])) == len(first)]
    return [
        f"Column {f'{place} of x' if names is None else repr(names[place])} has one value for each "
        "class, as a copy of the labels would, and is read as a feature; --drop takes a column of "
        "a .csv out."
        for place in copies
    ]

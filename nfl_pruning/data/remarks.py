"""Sentences on labels and columns that are probably not what their reader takes them for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nfl_pruning.validation import format_number, is_number

MISSING = ("nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "none", "nil", "missing", "?", "-")
ROWS_PER_CHUNK = 4096
SAMPLE = 2000  # rows that the middle of a column is taken from
APART = 30.0  # ratio of widths, or distance in widths, at which two columns have other units


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
        f"Column {f'{place} of x' if names is None else repr(names[int(place)])} has one value "
        "for each class, as a copy of the labels would, and is read as a feature; --drop takes a "
        "column of a .csv out."
        for place in copies
    ]


def remarks_on_test_data(
    data: np.ndarray, test: np.ndarray, names: Sequence[str] | None, *, pooled: bool
) -> list[str]:
    """Test rows that were trained on, and features in other units than those of the data.

    Args:
        data: features to train on, shape (n, d).
        test: features to test on, shape (m, d).
        names: of the columns; numbers where None.
        pooled: whether the features are pixels, which share one unit.
    """
    known = set(_rows(data))
    shared = sum(row in known for row in _rows(test))
    found = []
    if shared:
        found.append(
            f"{shared} of {len(test)} test rows have the features of a row that may be trained on: "
            "accuracy on them is no accuracy on new rows."
        )
    ours, theirs = (_middle(x, pooled=pooled) for x in (data, test))
    with np.errstate(all="ignore"):
        width, other = ours[2] / 2 - ours[0] / 2, theirs[2] / 2 - theirs[0] / 2
        apart = np.abs(ours[1] / 2 - theirs[1] / 2) > APART * np.maximum(width, other)
        apart |= (width > 0) & (other > APART * width) | (other > 0) & (width > APART * other)
    if apart.any():
        place = int(apart.argmax())
        which = f"{place} of x" if names is None else repr(names[place])
        which = "all pixels together" if pooled else f"column {which}"
        bounds = (
            f"[{', '.join(format_number(float(f'{end[place]:.4g}')) for end in (low, high))}]"
            for low, _, high in (ours, theirs)
        )
        found.append(
            f"{int(apart.sum())} of {len(apart)} features are on another scale in the test data: "
            f"the middle 80 % of {which} lie in {' and in '.join(bounds)}. Are the units the same?"
        )
    return found


def _rows(x: np.ndarray) -> Iterator[int]:
    """A hash of each row, equal where the numbers are."""
    for start in range(0, len(x), ROWS_PER_CHUNK):
        plain = np.ascontiguousarray(x[start : start + ROWS_PER_CHUNK], dtype="<f8") + 0.0  # no -0
        for row in plain:
            yield hash(row.tobytes())


def _middle(x: np.ndarray, *, pooled: bool) -> np.ndarray:
    """Ends of the middle 80 % of each column and its median, shape (3, d), or (3, 1)."""
    rows = x[np.unique(np.linspace(0, len(x) - 1, min(len(x), SAMPLE)).astype(int))]
    plain = rows.astype(np.float64)
    return np.quantile(plain.reshape(-1, 1) if pooled else plain, [0.1, 0.5, 0.9], axis=0)

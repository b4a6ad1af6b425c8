"""Data sets in .csv files: read by column name, with every complaint at its line."""

from __future__ import annotations

import csv
import gzip
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from nfl_pruning.data.columns import Columns, Roles, assign, suspects, take_ids
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.labels import from_one_hot, whole_texts
from nfl_pruning.data.parts import with_parts
from nfl_pruning.data.remarks import remarks_on_copies
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_file

UNREADABLE = (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error)


def load_csv(path: Path, columns: Columns | None = None) -> Dataset:
    """A data set from a table with a header: labels, perhaps ids, and numbers in other columns."""
    check_file(path)
    columns, where = columns or Columns(), str(path)
    header = read_header(path)
    roles = assign(header, columns, where)
    one_hot = roles.label if len(roles.label) > 1 else []
    texts = {i: {} for i in range(len(header)) if i not in (*roles.features, *one_hot)}
    table = _read_numbers(path, header, roles, texts)
    plain: dict[int | None, np.ndarray] = {
        place: np.array(list(seen) or [""])[table[:, place].astype(int)]
        for place, seen in texts.items()
    }
    x = table[:, roles.features]
    if one_hot:
        labels = from_one_hot(table[:, one_hot], where, [header[i] for i in one_hot])
    else:
        labels = whole_texts(plain[roles.label[0]])
    _check_cells(path, header, roles, x=x, labels=labels)
    ids = take_ids(roles, header, {place: plain[place] for place in roles.ids}, where)
    names = tuple(header[i] for i in roles.features)
    found = make_dataset(path.name.split(".csv")[0], x, labels, where=where)
    own = [] if columns.features else [*suspects(names, x), *remarks_on_copies(names, x, found.y)]
    notes = (*roles.notes, *found.notes, *own)
    found = replace(found, features=names, ids=ids, notes=notes, source=path)
    return with_parts(found, group=plain.get(roles.group), split=plain.get(roles.split))


def open_text(path: Path) -> IO[str]:
    """The text of a table, unpacked where its name ends in .gz."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", newline="", encoding="utf-8-sig")
    return path.open(newline="", encoding="utf-8-sig")


def read_header(path: Path) -> list[str]:
    """The names in the first line, without spaces around them."""
    try:
        with open_text(path) as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except UNREADABLE as error:
        raise InvalidArgumentError(f"{path} cannot be read as text: {error}.") from None


def _read_numbers(
    path: Path, header: Sequence[str], roles: Roles, texts: dict[int, dict[str, int]]
) -> np.ndarray:
    """The whole table as numbers, texts as codes in the order in which they occur."""

    def coder(seen: dict[str, int]) -> Callable[[str], float]:
        return lambda text: float(seen.setdefault(text.strip(), len(seen)))

    table = np.empty((0, 0))
    try:
        with open_text(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty table has a sentence of ours
            next(csv.reader(file), None)
            table = np.loadtxt(
                file,
                delimiter=",",
                quotechar='"',
                comments=None,
                ndmin=2,
                converters={place: coder(seen) for place, seen in texts.items()},
            )
    except UNREADABLE as error:
        raise InvalidArgumentError(f"{path} cannot be read as text: {error}.") from None
    except (ValueError, OverflowError) as error:
        _complain(path, header, roles)
        reason = str(error).split("\n")[0].split(";")[0].rstrip(".")
        raise InvalidArgumentError(
            f"{path} must hold one number a cell in columns of features: {reason}."
        ) from None
    if not table.size:
        raise InvalidArgumentError(
            f"{path} must have rows of {len(header)} cells as its header has; got 0 rows."
        )
    if table.shape[1] != len(header):
        _complain(path, header, roles)
    return table


def _complain(path: Path, header: Sequence[str], roles: Roles) -> None:
    """Raise with the line and the column of the first cell that does not fit."""
    for line, cells in rows_of(path):
        if len(cells) != len(header):
            raise InvalidArgumentError(
                f"{path} must have rows of {len(header)} columns as its header has; line {line} "
                f"has {len(cells)} cells."
            )
        for place in roles.features:
            try:
                float(cells[place])
            except ValueError:
                raise InvalidArgumentError(
                    f"{path} must hold one number a cell in columns of features; line {line} has "
                    f"{cells[place].strip()!r} in column {header[place]!r}."
                ) from None


def _check_cells(
    path: Path, header: Sequence[str], roles: Roles, *, x: np.ndarray, labels: np.ndarray
) -> None:
    """Raise with the first line that has no number or no label."""
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, place = bad[0]
        raise InvalidArgumentError(
            f"features must be finite numbers in {path}; {len(np.unique(bad[:, 0]))} of {len(x)} "
            f"rows are not, the first is line {line_of(path, int(row))}: column "
            f"{header[roles.features[place]]!r} is {x[row, place]}."
        )
    empty = np.flatnonzero(labels == "")
    if len(empty):
        raise InvalidArgumentError(
            f"every sample needs a label in {path}; {len(empty)} are empty, the first in line "
            f"{line_of(path, int(empty[0]))}."
        )


def rows_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line in which it ends, cells) of every row below the header; blank lines are no rows."""
    with open_text(path) as file:
        reader: Any = csv.reader(file)
        next(reader, None)
        for cells in reader:
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield reader.line_num, cells


def line_of(path: Path, row: int) -> int:
    """The line of the file that holds a row of the data."""
    for number, (line, _) in enumerate(rows_of(path)):
        if number == row:
            return line
    return row + 2

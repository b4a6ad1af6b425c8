"""Tables that go beside the data: scores, logits, subsets or labels, in columns by name."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nfl_pruning.data.columns import ID_NAMES, listed
from nfl_pruning.data.readers.arrow_files import read_arrow
from nfl_pruning.data.readers.endings import TEXT, ending_of
from nfl_pruning.data.readers.tables import UNREADABLE, open_text
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_file, is_number


@dataclass(frozen=True)
class SideTable:
    """Columns by name, each of shape (n,) or (n, ...); those of a text file are texts.

    Attributes:
        path: the file.
        columns: name -> values, in the order of the file. A file without a header has the names
            0, 1, 2, ...
    """

    path: Path
    columns: Mapping[str, np.ndarray]

    def place_of_ids(self) -> str | None:
        """The name of the column that is called as ids are, or that has no name; None without."""
        return next((name for name in self.columns if is_called_id(name)), None)

    def lines(self) -> list[list[str]]:
        """The header and the rows, as a text file has them."""
        cells = ([str(cell) for cell in values.tolist()] for values in self.columns.values())
        return [list(self.columns), *map(list, zip(*cells, strict=True))]

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Columns as float64, shape (n, columns).

        Raises:
            InvalidArgumentError: a cell is no number.
        """
        found = np.empty((len(self.columns[names[0]]), len(names)))
        for place, name in enumerate(names):
            values = self.columns[name]
            try:
                found[:, place] = values
            except (ValueError, TypeError):
                wrong = next((cell for cell in values.tolist() if not is_number(str(cell))), "")
                raise InvalidArgumentError(
                    f"{self.path} must hold one number a cell in column {name!r}; got "
                    f"{str(wrong)[:40]!r}."
                ) from None
        return found


def is_called_id(name: str) -> bool:
    """Whether a column of this name is one of ids: ``id``, ``index``, or no name at all."""
    return not name or ID_NAMES.fullmatch(name.lower()) is not None


def read_side_table(path: Path) -> SideTable:
    """The columns of a .csv, .csv.gz, .parquet, .arrow or .feather file.

    The first line of a text file is its header, unless all of it is numbers, and they are not
    0, 1, 2, ..., as which columns without names are written.

    Raises:
        InvalidArgumentError: the file cannot be read, a column has the name of another, or the
            lines differ in length.
    """
    check_file(path)
    if ending_of(path, TEXT) is None:
        return SideTable(path, read_arrow(path).columns)
    lines = _lines(path)
    counted = [str(place) for place in range(len(lines[0]))]
    titled = lines[0] == counted or not all(map(is_number, lines[0]))
    header, body = (lines[0], lines[1:]) if titled else (counted, lines)
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InvalidArgumentError(f"{path} has the column {twice!r} more than once.")
    wrong = next((cells for cells in body if len(cells) != len(header)), None)
    if wrong is not None or not body:
        raise InvalidArgumentError(
            f"{path} must have rows of {len(header)} cells as its first line has; "
            f"{'it has no rows' if wrong is None else f'one has {len(wrong)}: {listed(wrong, 3)}'}."
        )
    return SideTable(path, dict(zip(header, map(np.array, zip(*body, strict=True)), strict=True)))


def _lines(path: Path) -> list[list[str]]:
    """The cells of every line that is not blank, without spaces around them."""
    try:
        with open_text(path) as file:
            lines = [[cell.strip() for cell in cells] for cells in csv.reader(file)]
    except UNREADABLE as error:
        raise InvalidArgumentError(f"{path} cannot be read as text: {error}.") from None
    found = [cells for cells in lines if any(cells)]
    if not found:
        raise InvalidArgumentError(f"{path} must hold one row a line; it holds none.")
    return found

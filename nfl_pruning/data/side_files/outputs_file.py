"""Logits and embeddings of the user's own model, from the files in which people keep them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nfl_pruning.data.arrays import plain_ids
from nfl_pruning.data.columns import listed
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.data.readers.archives import check_hash, read_npz
from nfl_pruning.data.readers.endings import TABLES, ending_of
from nfl_pruning.data.readers.npy import map_npy
from nfl_pruning.data.side_files.matching import match_rows
from nfl_pruning.data.side_files.side_tables import SideTable, read_side_table
from nfl_pruning.errors import InvalidArgumentError

PREFIXED = re.compile(r"logits?[ _.-]?(.+)", re.I)


@dataclass(frozen=True)
class GivenOutputs:
    """What a model says of each row of the data, in their order.

    Attributes:
        values: shape (n, width), or (epochs, n, classes); of a .npy, mapped and not read.
        notes: what the reader should know.
    """

    values: np.ndarray
    notes: tuple[str, ...] = ()


def read_outputs(path: Path | str, name: str, dataset: Dataset) -> GivenOutputs:
    """Logits or embeddings from a .npy, a .npz, or a table with one column a class or coordinate.

    Rows of a table are matched by id where it has a column of ids. Columns of logits are matched by
    the classes' names, as they are or after ``logit_``, where they have such names; a single column
    of vectors is all of them.

    Args:
        path: the file.
        name: of the array in a .npz, or of a column of vectors: ``logits`` or ``embeddings``.
        dataset: the n rows; a .npz that has a ``data_hash`` must have that of the data.

    Raises:
        InvalidArgumentError: the file cannot be read or belongs to other data, a cell is no
            number, or ids or columns do not fit the data's rows or classes.
    """
    path = Path(path)
    kind = ending_of(path, (".npy", ".npz", *TABLES))
    if kind == ".npy":
        return GivenOutputs(map_npy(path))
    if kind == ".npz":
        arrays = read_npz(path, (name,), ("data_hash",))
        if "data_hash" in arrays:
            check_hash(path, arrays["data_hash"], dataset.hash)
        return GivenOutputs(arrays[name])
    if kind is None:
        raise InvalidArgumentError(
            f"{name} must be a .npy, .npz, {', '.join(TABLES[:-1])} or {TABLES[-1]} file; got "
            f"{str(path)!r}."
        )
    return _of_table(read_side_table(path), name, dataset)


def _of_table(table: SideTable, name: str, dataset: Dataset) -> GivenOutputs:
    ids, notes = table.place_of_ids(), []
    rest = [column for column in table.columns if column != ids]
    vectors = [column for column in rest if table.columns[column].ndim > 1]
    if name in vectors or (len(vectors) == 1 and len(rest) == 1):
        values = table.columns[name if name in vectors else vectors[0]]
    elif vectors or not rest:
        raise InvalidArgumentError(
            f"{table.path} must hold {name} as columns of numbers, or as one column of vectors "
            f"named {name}; its columns are {listed(list(table.columns))}."
        )
    elif name == "logits":
        columns, note = _columns_of_classes(table.path, rest, dataset.classes)
        values, notes = table.numbers(columns), [note] * bool(note)
    else:
        values = table.numbers(rest)
    places, note = None, ""
    if ids is not None:
        own = plain_ids(table.columns[ids])
        places, note = match_rows(table.path, own, dataset, what="row")
    elif dataset.ids is not None:
        note = f"{table.path} has no ids: its rows are taken in the order of the data."
    notes += [note] * bool(note)
    return GivenOutputs(values if places is None else values[places], tuple(notes))


def _columns_of_classes(
    path: Path, header: list[str], classes: Sequence[str]
) -> tuple[list[str], str]:
    """The columns in the order of the classes, and what the reader should know.

    Raises:
        InvalidArgumentError: some classes have a column of their name, and others have not, or
            there are more columns than classes.
    """
    named = {found[1]: column for column in header if (found := PREFIXED.fullmatch(column))}
    if len(named) < 2:
        named = {column: column for column in header}
    missing = [name for name in classes if name not in named]
    counted = [str(place) for place in range(len(named))]
    if all(name in counted for name in classes) and set(named) == set(counted):
        return [named[name] for name in counted], ""  # the label k has the column k
    if len(missing) == len(classes) == len(named):
        told = listed(list(named.values()), 4)
        return list(named.values()), f"The columns {told} of {path} are the classes in their order."
    extra = [name for name in named if name not in classes]
    if missing or extra:
        lack = f"it lacks {listed(missing, 3)}" if missing else f"{listed(extra, 3)} are no class"
        raise InvalidArgumentError(
            f"{path} must have one column of logits for each of the data's {len(classes)} classes, "
            f"named as they are; {lack}."
        )
    return [named[name] for name in classes], ""

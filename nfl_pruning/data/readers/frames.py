"""A table as columns by name, and from it a data set: labels, ids, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from nfl_pruning.data.arrays import plain_ids
from nfl_pruning.data.columns import Columns, Roles, assign, suspects, take_ids
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.labels import are_missing, from_one_hot
from nfl_pruning.data.parts import with_parts
from nfl_pruning.data.remarks import remarks_on_copies
from nfl_pruning.errors import InvalidArgumentError


@dataclass(frozen=True)
class Frame:
    """Columns by name, each of shape (n,) or (n, ...), in the order of the table.

    Attributes:
        columns: name -> values.
        classes: names of the classes of a column of codes 0 .. C - 1, where the table has them.
        index: what the table itself calls its rows, shape (n,), where it does.
        name: what the data are called.
        where: the source, for messages.
        source: the file.
        notes: what the reader should know.
    """

    columns: Mapping[str, np.ndarray]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    index: np.ndarray | None = None
    name: str = "table"
    where: str = "the table"
    source: Path | None = None
    notes: tuple[str, ...] = ()

    def with_column(self, role: str, values: np.ndarray) -> tuple[Frame, str]:
        """The frame with one more column, and the name that it got."""
        name = role
        while name in self.columns:
            name += "_"
        return replace(self, columns={**self.columns, name: values}), name


def from_frame(frame: Frame, columns: Columns | None = None) -> Dataset:
    """A data set from a table: labels, perhaps ids, and numbers in other columns.

    A column of vectors, such as embeddings, is as many features; a lone column of images (n,
    height, width) or (n, height, width, channels) keeps its shape.

    Raises:
        InvalidArgumentError: a column is missing, or features are no finite numbers.
    """
    columns, where = columns or Columns(), frame.where
    header = list(frame.columns)
    roles = assign(header, columns, where)
    values = [frame.columns[name] for name in header]
    ids = {place: plain_ids(values[place]) for place in roles.ids}
    own = take_ids(roles, header, ids, where)
    if own is None and frame.index is not None and columns.ids is None:
        own = plain_ids(frame.index)
        roles.notes.append("The table's index is taken for the rows' ids.")
    x, names = _features(frame, roles)
    found = make_dataset(frame.name, x, _labels(frame, roles), classes=_classes(frame, roles),
                         where=where)  # fmt: skip
    notes = list(found.notes)
    if names is not None and not columns.features:
        notes += [*suspects(names, found.x), *remarks_on_copies(names, found.x, found.y)]
    found = replace(
        found,
        features=names,
        ids=own,
        notes=(*frame.notes, *roles.notes, *notes),
        source=frame.source,
    )
    parts = {
        role: None if (place := getattr(roles, role)) is None else values[place]
        for role in ("group", "split")
    }
    return with_parts(found, **parts)


def _labels(frame: Frame, roles: Roles) -> np.ndarray:
    names = [list(frame.columns)[place] for place in roles.label]
    if len(names) == 1:
        return frame.columns[names[0]]
    table = np.stack([frame.columns[name] for name in names], axis=1)
    return from_one_hot(table, frame.where, names)


def _classes(frame: Frame, roles: Roles) -> Sequence[str] | None:
    label = list(frame.columns)[roles.label[0]]
    return frame.classes.get(label) if len(roles.label) == 1 else None


def _features(frame: Frame, roles: Roles) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Features, shape (n, d) or an image's, and their names."""
    header = list(frame.columns)
    blocks = [_numbers(frame, header[place]) for place in roles.features]
    if len(blocks) == 1 and blocks[0].ndim > 1:
        flat = blocks[0].ndim == 2
        names = _vector_names(header[roles.features[0]], blocks[0]) if flat else None
        return blocks[0], names
    kind = np.result_type(*(_precision(block.dtype) for block in blocks))
    widths = [int(np.prod(block.shape[1:], dtype=int)) for block in blocks]
    x, names, start = np.empty((len(blocks[0]), sum(widths)), kind), [], 0
    for place, block, width in zip(roles.features, blocks, widths, strict=True):
        x[:, start : start + width] = block.reshape(len(block), width)
        lone = block.ndim == 1
        names += [header[place]] if lone else _vector_names(header[place], block)
        start += width
    return x, tuple(names)


def _vector_names(name: str, block: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{name}[{i}]" for i in range(int(np.prod(block.shape[1:], dtype=int))))


def _precision(dtype: np.dtype) -> np.dtype:
    """float32 where it holds every value, else float64: whatever columns stand side by side."""
    small = dtype.kind == "b" or dtype.itemsize <= (4 if dtype.kind == "f" else 2)
    return np.dtype(np.float32 if small else np.float64)


def _numbers(frame: Frame, name: str) -> np.ndarray:
    """A column of features as numbers; raises with the column and its first cell that is none."""
    values = frame.columns[name]
    if values.dtype == object:
        values = _from_objects(frame, name, values)
    if values.dtype.kind not in "biuf":
        cell = values.reshape(-1)[0] if values.size else ""
        raise InvalidArgumentError(
            f"{frame.where} must hold numbers in columns of features; column {name!r} holds "
            f"{str(cell)!r} of type {values.dtype}: drop it, or name the features."
        )
    if values.dtype.kind == "f" and not (fine := np.isfinite(values)).all():
        row = int(np.argwhere(~fine)[0][0])
        raise InvalidArgumentError(
            f"features must be finite numbers in {frame.where}; column {name!r} has "
            f"{int((~fine).sum())} that are not, the first in row {row}."
        )
    return values


def _from_objects(frame: Frame, name: str, values: np.ndarray) -> np.ndarray:
    """Objects as numbers: vectors of one length, numbers with missing ones, decimals."""
    missing = are_missing(values)
    first = next((value for value, gone in zip(values, missing, strict=True) if not gone), None)
    try:
        if isinstance(first, np.ndarray | list | tuple):
            return np.stack([np.asarray(row) for row in values])
        if not isinstance(first, str):
            return np.array(
                [np.nan if gone else value for value, gone in zip(values, missing, strict=True)],
                float,
            )
    except (ValueError, TypeError):
        pass
    raise InvalidArgumentError(
        f"{frame.where} must hold numbers, or vectors of one length, in columns of features; "
        f"column {name!r} does not, such as {str(first)[:40]!r}: drop it, or name the "
        "features."
    )

"""Tables of other libraries, recognised by what they can do: columns by name, then a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.data.arrays import as_array, plain_ids
from nfl_pruning.data.columns import Columns, Roles, assign, suspects, take_ids
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.labels import from_one_hot
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
    """

    columns: Mapping[str, np.ndarray]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    index: np.ndarray | None = None
    name: str = "table"
    where: str = "the table"
    source: Path | None = None

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
        found, features=names, ids=own, notes=(*roles.notes, *notes), source=frame.source
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
        x[:, start : start + width] = block.reshape(len(block), -1)
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
    first = values[0] if len(values) else None
    try:
        if isinstance(first, np.ndarray | list | tuple):
            return np.stack([np.asarray(row) for row in values])
        if not isinstance(first, str):
            return np.array([np.nan if value is None else value for value in values], float)
    except (ValueError, TypeError):
        pass
    raise InvalidArgumentError(
        f"{frame.where} must hold numbers, or vectors of one length, in columns of features; "
        f"column {name!r} does not, such as {str(first)[:40]!r} in row 0: drop it, or name the "
        "features."
    )


def as_frame(data: Any) -> Frame | None:
    """The table that an object is, or None: pandas, polars, Arrow, Hugging Face, or a mapping.

    Raises:
        InvalidArgumentError: columns of different lengths.
    """
    for fits, read in _READERS:
        if fits(data):
            return read(data)
    return None


def _has(*names: str) -> Callable[[Any], bool]:
    return lambda data: all(hasattr(data, name) for name in names)


def from_pandas(data: Any) -> Frame:
    """A pandas DataFrame; an index other than 0, 1, 2, ... names its rows."""
    columns, classes = {}, {}
    for place, name in enumerate(data.columns):
        column = data.iloc[:, place]
        if str(name) in columns:
            raise InvalidArgumentError(f"the table has the column {str(name)!r} more than once.")
        columns[str(name)] = column.to_numpy()
    index = np.asarray(data.index)
    plain = index.dtype.kind in "iu" and (index == np.arange(len(data))).all()
    usable = not plain and index.ndim == 1 and data.index.nlevels == 1 and data.index.is_unique
    return Frame(columns, classes, index=index if usable else None)


def from_polars(data: Any) -> Frame:
    """A polars DataFrame."""
    return Frame({name: _of_polars(data[name]) for name in data.columns})


def _of_polars(column: Any) -> np.ndarray:
    if str(column.dtype).startswith(("List", "Array")):
        return _stacked(column.to_list())
    return column.to_numpy()


def _stacked(rows: list[Any]) -> np.ndarray:
    """Vectors of one length as an array, shape (n, ...); otherwise a vector of objects."""
    try:
        return np.stack([np.asarray(row) for row in rows])
    except (ValueError, TypeError):
        values = np.empty(len(rows), object)
        values[:] = rows
        return values


def from_arrow(data: Any, **about: Any) -> Frame:
    """A pyarrow Table or RecordBatch."""
    names, columns = list(data.schema.names), {}
    for place, name in enumerate(names):
        if name in columns:
            raise InvalidArgumentError(f"the table has the column {name!r} more than once.")
        columns[name] = _of_arrow(data.column(place))
    return Frame(columns, **about)


def _of_arrow(column: Any) -> np.ndarray:
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    while hasattr(column, "storage"):  # an extension type, such as a tensor
        column = column.storage
    kind = str(column.type)
    if "list<" in kind:
        if column.null_count == 0 and kind.count("list<") == 1:
            flat = column.flatten()
            width = len(flat) // max(len(column), 1)
            lengths = {len(part) for part in (column[:1], column[-1:]) for part in part}
            if lengths == {width} and _all_wide(column, width):
                return flat.to_numpy(zero_copy_only=False).reshape(len(column), width)
        return _stacked(column.to_pylist())
    if kind.startswith("dictionary"):
        column = column.dictionary_decode()
    return column.to_numpy(zero_copy_only=False)


def _all_wide(column: Any, width: int) -> bool:
    """Whether every list of an Arrow array has this length."""
    if not hasattr(column, "offsets"):
        return True  # lists of a fixed size
    return bool((np.diff(np.asarray(column.offsets)) == width).all())


def from_hugging_face(data: Any) -> Frame:
    """A Hugging Face ``datasets.Dataset``, selected, shuffled or filtered as it is."""
    classes = {
        name: list(kind.names)
        for name, kind in data.features.items()
        if getattr(kind, "names", None) and hasattr(kind, "str2int")
    }
    table = data.with_format("arrow")[:]
    frame = from_arrow(table, classes=classes)
    for name in classes:
        codes = frame.columns[name]
        if codes.dtype.kind not in "iu" or (len(codes) and codes.min() < 0):
            raise InvalidArgumentError(
                f"every sample needs a label in the table; column {name!r} has rows without one."
            )
    return frame


def from_mapping(data: Mapping[Any, Any]) -> Frame:
    """Columns by name, each an array of any library."""
    columns = {str(name): as_array(str(name), values, "the table") for name, values in data.items()}
    lengths = {name: len(values) if values.ndim else -1 for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name}: {length}" for name, length in list(lengths.items())[:4])
        raise InvalidArgumentError(f"the table must have columns of one length; got {told}.")
    return Frame(columns)


_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Frame]], ...] = (
    (_has("iloc", "columns", "index"), from_pandas),
    (_has("column_names", "features", "with_format"), from_hugging_face),
    (_has("get_columns", "columns", "schema", "to_numpy"), from_polars),
    (_has("schema", "column", "num_rows"), from_arrow),
    (lambda data: isinstance(data, Mapping), from_mapping),
)

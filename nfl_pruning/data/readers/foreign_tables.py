"""Tables of other libraries, recognised by what they can do and never imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nfl_pruning.data.arrays import as_array
from nfl_pruning.data.readers.frames import Frame
from nfl_pruning.errors import InvalidArgumentError


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
    notes = ()
    if not plain and not usable:
        notes = ("The table's index repeats or has several levels: rows are known by number.",)
    return Frame(columns, classes, index=index if usable else None, notes=notes)


def from_polars(data: Any) -> Frame:
    """A polars DataFrame, or a LazyFrame, which is collected."""
    data = data.collect() if hasattr(data, "collect") else data
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
    """A Hugging Face ``datasets.Dataset``, selected, shuffled or filtered as it is.

    Raises:
        InvalidArgumentError: rows that can only be walked through once, or labels that are missing.
    """
    if not hasattr(data, "select"):
        raise InvalidArgumentError(
            "a data set of Hugging Face must hold its rows, as datasets.Dataset does; got "
            f"{type(data).__name__}, whose rows come one after another."
        )
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
    """Columns by name, each an array of any library.

    Raises:
        InvalidArgumentError: columns of different lengths, or whole tables in place of columns.
    """
    if data and all(hasattr(part, "column_names") for part in data.values()):
        raise InvalidArgumentError(
            f"the data must be one table; got the parts {', '.join(map(str, data))}: choose one, "
            f"as data[{next(iter(data))!r}]."
        )
    columns = {str(name): as_array(str(name), values, "the table") for name, values in data.items()}
    lengths = {name: len(values) if values.ndim else -1 for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name}: {length}" for name, length in list(lengths.items())[:4])
        raise InvalidArgumentError(f"the table must have columns of one length; got {told}.")
    return Frame(columns)


_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Frame]], ...] = (
    (_has("collect", "collect_schema"), from_polars),
    (_has("iloc", "columns", "index"), from_pandas),
    (_has("column_names", "features", "with_format"), from_hugging_face),
    (_has("get_columns", "columns", "schema", "to_numpy"), from_polars),
    (_has("schema", "column", "num_rows"), from_arrow),
    (lambda data: isinstance(data, Mapping), from_mapping),
)

"""Columnar files, .parquet and .arrow: the optional extra ``tables`` reads them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from nfl_pruning.data.columns import Columns
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.data.readers.foreign_tables import from_arrow
from nfl_pruning.data.readers.frames import Frame, from_frame
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_file


def library(name: str, what: str, extra: str) -> Any:
    """An optional library, imported; refused in a sentence that names the extra to install.

    Args:
        name: the module.
        what: what needs it, at the start of the sentence.
        extra: this package's extra that brings it.
    """
    try:
        return import_module(name)
    except ImportError:
        raise InvalidArgumentError(
            f"{what} needs {name.split('.')[0]}, which is not installed here: pip install "
            f"'nfl-pruning[{extra}]' brings it."
        ) from None


def read_table(path: Path) -> Any:
    """The pyarrow Table in a .parquet, .arrow, .feather or .csv file.

    Raises:
        InvalidArgumentError: pyarrow is not installed, or the file is damaged or of another kind.
    """
    check_file(path)
    kind = path.suffix.lower()
    pyarrow = library("pyarrow", f"a {kind} file", "tables")
    try:
        return _table(path, kind)
    except (pyarrow.ArrowException, OSError, ValueError):
        raise InvalidArgumentError(
            f"{path} cannot be read as a {kind} file: it is truncated or of another kind."
        ) from None


def read_arrow(path: Path) -> Frame:
    """The columns of a .parquet or .arrow (.feather) file; raises as :func:`read_table`."""
    return from_arrow(read_table(path), name=path.stem, where=str(path), source=path)


def _table(path: Path, kind: str) -> Any:
    if kind == ".parquet":
        return import_module("pyarrow.parquet").read_table(path)
    if kind in (".csv", ".gz"):
        return _text_table(path)
    ipc, pyarrow = import_module("pyarrow.ipc"), import_module("pyarrow")
    with pyarrow.memory_map(str(path)) as source:
        try:
            return ipc.open_file(source).read_all()
        except pyarrow.ArrowInvalid:  # a stream, as Hugging Face datasets write it
            source.seek(0)
            return ipc.open_stream(source).read_all()


def _text_table(path: Path) -> Any:
    """A text file with numbers as numbers, but names such as 007, which no number is, as texts."""
    reader, pyarrow = import_module("pyarrow.csv"), import_module("pyarrow")
    table = reader.read_csv(path)
    whole = [field.name for field in table.schema if pyarrow.types.is_integer(field.type)]
    if not whole:
        return table
    kinds = dict.fromkeys(whole, pyarrow.string())
    only = reader.ConvertOptions(include_columns=whole, column_types=kinds)
    texts = reader.read_csv(path, convert_options=only)
    for name in whole:
        if table[name].cast(pyarrow.string()).fill_null("") != texts[name]:
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, texts[name])
    return table


def load_arrow(path: Path, columns: Columns | None = None) -> Dataset:
    """A data set from a .parquet or .arrow file: columns as in a .csv, or columns of vectors."""
    return from_frame(read_arrow(path), columns)

"""The outcome as a table on disk: the user's own with columns added, and provenance beside it."""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from nfl_pruning.adapters.tables import add_columns, added_columns, result_columns
from nfl_pruning.adapters.weights import NORMALISATIONS
from nfl_pruning.archive import check_no_input, real_place
from nfl_pruning.data.readers.arrow_files import library, read_table
from nfl_pruning.data.readers.endings import COLUMNAR, TABLES, TEXT, ending_of, provenance_of
from nfl_pruning.data.readers.tables import open_text, rows_of
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.pruned import Pruned
from nfl_pruning.records import to_json, write_atomically
from nfl_pruning.validation import check_writable


def check_table(
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    inputs: Iterable[str | os.PathLike[str] | None] = (),
) -> Path:
    """The path of a table that may be written, and of the file of provenance beside it.

    Raises:
        InvalidArgumentError: another ending, no such folder, one of the inputs, or a file that
            exists (unless ``force``).
    """
    target = Path(path)
    ending = ending_of(target, TABLES)
    if ending is None:
        raise InvalidArgumentError(
            f"a table must be a file name that ends in {' or '.join(TABLES)}; got {str(path)!r}."
        )
    if ending in COLUMNAR:
        library("pyarrow", f"a {ending} file", "tables")
    for place in (target, provenance_of(target)):
        real = real_place("out", place)
        check_no_input("out", place, inputs)
        if real.exists() and not (force and real.is_file()):
            raise InvalidArgumentError(
                f"out exists already: {str(place)!r}; pass --force to replace it."
            )
        check_writable("out", real.parent)
    return target


def save_table(
    pruned: Pruned,
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    inputs: Iterable[str | os.PathLike[str] | None] = (),
) -> Path:
    """Write a table, whole or not at all, and its provenance beside it.

    The file's ending chooses the format: .csv, .csv.gz, .parquet, .arrow or .feather; provenance of
    ``t.csv`` is in ``t.csv.provenance.json``. Where the data came from such a file, the table is
    that one, each cell as it was, with the columns ``score, rank, keep, weight, keep_probability``
    added; else it has these beside ``id``. See
    :func:`nfl_pruning.adapters.tables.result_columns`.

    Args:
        pruned: the outcome.
        path: the table.
        force: whether files that exist may be replaced.
        inputs: files beside the data's own that must stay as they are.

    Raises:
        InvalidArgumentError: see :func:`check_table`.
    """
    inputs = (pruned.source, *inputs)
    target = check_table(path, force=force, inputs=inputs)
    source = pruned.source
    own = source is not None and ending_of(source, TABLES) is not None
    if ending_of(target, TEXT) is not None:
        header, rows = _own_text(source) if own and source else ([], None)
        _write_csv(target, pruned, header, rows)
    else:
        table = add_columns(read_table(source), pruned) if own and source else _results(pruned)
        write_atomically(Path(os.path.realpath(target)), lambda file: _write(table, target, file))
    _write_provenance(pruned, target)
    return target


def _write_provenance(pruned: Pruned, target: Path) -> None:
    form = pruned.config.get("weight_normalisation", "as-is")
    stated = {"table": target.name, "columns": _meanings(form), **pruned.summary()}
    text = to_json(stated, indent=1) + "\n"
    place = Path(os.path.realpath(provenance_of(target)))
    write_atomically(place, lambda file: file.write(text.encode()))


def _meanings(normalisation: str) -> dict[str, str]:
    return {
        "score": "difficulty, larger = harder; empty for protected rows",
        "rank": "place in the order of entry, from 1; rows with rank <= m are the subset of m "
        "where the protocol is nested (threshold, random, exact, soft); 0 for protected rows",
        "keep": "whether the row stays; protected rows do",
        "weight": f"0 for dropped rows, 1 for protected ones; {NORMALISATIONS[normalisation]}",
        "keep_probability": "chance that the row had to stay, given the scores",
    }


def _own_text(source: Path) -> tuple[list[str], Iterable[Sequence[str]]]:
    """Header and rows of the user's file, as text."""
    if ending_of(source, COLUMNAR) is not None:
        columns = read_table(source).to_pydict()
        return list(columns), ([*map(_cell, row)] for row in zip(*columns.values(), strict=True))
    with open_text(source) as file:
        header = next(csv.reader(file), [])
    return header, (cells for _, cells in rows_of(source))


def _write_csv(
    target: Path, pruned: Pruned, header: list[str], rows: Iterable[Sequence[str]] | None
) -> None:
    if rows is None:
        columns, rows = result_columns(pruned), ([] for _ in range(len(pruned.weights)))
    else:
        columns = added_columns(pruned, [name.strip() for name in header], len(pruned.weights))
    texts = [list(map(_cell, values.tolist())) for values in columns.values()]
    zipped = target.suffix.lower() == ".gz"

    def write(file: IO[bytes]) -> None:
        packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if zipped else None
        text = io.TextIOWrapper(packed or file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*header, *columns])
        for own, *cells in zip(rows, *texts, strict=True):
            writer.writerow([*own, *cells])
        text.flush()
        text.detach()
        if packed is not None:
            packed.close()

    write_atomically(Path(os.path.realpath(target)), write)


def _cell(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _results(pruned: Pruned) -> Any:
    pyarrow = library("pyarrow", "a columnar file", "tables")
    columns = result_columns(pruned)
    return pyarrow.table({name: np.asarray(values) for name, values in columns.items()})


def _write(table: Any, target: Path, file: IO[bytes]) -> None:
    from importlib import import_module

    kind = target.suffix.lower()
    if kind == ".parquet":
        import_module("pyarrow.parquet").write_table(table, file)
    else:
        with import_module("pyarrow.ipc").new_file(file, table.schema) as writer:
            writer.write_table(table)

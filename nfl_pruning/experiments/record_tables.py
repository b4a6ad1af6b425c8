"""The numbers behind a figure as a table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nfl_pruning.archive import real_place
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.records import to_json, write_atomically
from nfl_pruning.validation import check_writable


def rows_of_records(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of plain values: one a record, or one an entry of a record's longest lists.

    Nested names are joined by dots, ``config`` first. Lists as long as the record's longest one
    give one row an entry, numbered in ``entry``; other lists are JSON text.
    """
    found = []
    for record in records:
        flat = _flat("config", record["config"]) | _flat("result", record["result"])
        lengths = [len(value) for value in flat.values() if _is_list(value)]
        longest = max(lengths, default=0)
        for entry in range(max(longest, 1)):
            row: dict[str, Any] = {"entry": entry} if longest else {}
            for name, value in flat.items():
                own = _is_list(value) and len(value) == longest
                row[name] = value[entry] if own else to_json(value) if _held(value) else value
            found.append(row)
    return found


def _flat(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            key: inner
            for part, content in value.items()
            for key, inner in _flat(f"{name}.{part}", content).items()
        }
    return {name: value}


def _held(value: Any) -> bool:
    return isinstance(value, list | dict)


def _is_list(value: Any) -> bool:
    """Whether this is a list of plain values."""
    return isinstance(value, list) and bool(value) and not any(map(_held, value))


def check_csv(path: str | os.PathLike[str]) -> Path:
    """The path of a table that may be written (and replaced); raises where it may not be."""
    target = Path(path)
    if target.suffix.lower() != ".csv":
        raise InvalidArgumentError(
            f"table must be a file name that ends in .csv; got {str(path)!r}."
        )
    check_writable("table", real_place("table", target).parent)
    return target


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a .csv, whole or not at all; columns in the order in which they first occur."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(
        Path(os.path.realpath(path)), lambda file: file.write(text.getvalue().encode())
    )

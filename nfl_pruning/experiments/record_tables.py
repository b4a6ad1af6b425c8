"""The numbers behind a figure as a table, and figures of other numbers than the script's own."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from nfl_pruning.archive import real_place
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.records import to_json, write_atomically
from nfl_pruning.validation import check_writable, is_number


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
            row = {"entry": entry} if longest else {}
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


def parse_changes(texts: Iterable[str]) -> dict[str, float]:
    """Numbers from texts such as ``signal=3``, by name.

    Raises:
        InvalidArgumentError: another form, or a name twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not name.isidentifier() or not is_number(number) or name in found:
            raise InvalidArgumentError(f"set must be NAME=NUMBER, each name once; got {text!r}.")
        found[name] = float(number)
    return found


def folder_name(name: str, changes: Mapping[str, float]) -> str:
    """What records and figures of changed numbers are called: ``NAME+signal=3``."""
    return "".join([name, *(f"+{key}={value:g}" for key, value in sorted(changes.items()))])


@contextmanager
def changed(script: ModuleType, changes: Mapping[str, float]) -> Iterator[None]:
    """Numbers of a simulation script, and of the helpers beside it, moved for a while.

    A number is a constant of the script, or of a helper that it imports: ``signal`` is ``SIGNAL``.

    Raises:
        InvalidArgumentError: neither has a number of that name.
    """
    folder = Path(str(script.__file__)).resolve().parent
    modules = [script, *_helpers(folder)]
    known = sorted({name for module in modules for name in _numbers(module)})
    before: list[tuple[ModuleType, str, Any]] = []
    for name, value in changes.items():
        owners = [module for module in modules if name.upper() in _numbers(module)]
        if not owners:
            raise InvalidArgumentError(
                f"set must name a number of the experiment; got {name!r}, its numbers are "
                f"{', '.join(map(str.lower, known)) or 'none'}."
            )
        before += [(module, name.upper(), getattr(module, name.upper())) for module in owners]
        for module in owners:
            setattr(module, name.upper(), value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _helpers(folder: Path) -> list[ModuleType]:
    """Modules that lie in a folder and whose names start with an underscore, once imported."""
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("_")
        and getattr(module, "__file__", None)
        and Path(str(module.__file__)).resolve().parent == folder
    ]


def _numbers(module: ModuleType) -> set[str]:
    """Names of the constants that are numbers."""
    return {
        name
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int | float) and not isinstance(value, bool)
    }

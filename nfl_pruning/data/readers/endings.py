"""Which files are read as what, by the end of their names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

TEXT = (".csv", ".csv.gz")
COLUMNAR = (".parquet", ".arrow", ".feather")
TABLES = (*TEXT, *COLUMNAR)


def ending_of(path: Path, known: Iterable[str]) -> str | None:
    """The ending of a file's name among those that are known, in lower case; None for another."""
    name = path.name.lower()
    return next((ending for ending in known if name.endswith(ending)), None)


def provenance_of(path: Path) -> Path:
    """The file beside a table that says how it came about."""
    return path.with_name(path.name + ".provenance.json")

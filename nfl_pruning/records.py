"""Results on disk: one JSON file a configuration, written atomically, so that runs can resume.

A record is ``{"config": ..., "result": ..., "provenance": ...}``. Its file name is a hash of the
configuration alone, so a run that meets a finished configuration finds the record and skips it,
and two processes that write the same record replace it with the same content.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import marshal
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np

from nfl_pruning import __version__
from nfl_pruning.errors import InvalidArgumentError

Record = dict[str, Any]


def plain(value: Any) -> Any:
    """``value`` as strict JSON's types: numbers that are not finite become None.

    Takes numbers, texts, booleans, None, enumerations, paths, arrays (numpy's or JAX's) and any
    nesting of mappings and sequences of these.

    Raises:
        InvalidArgumentError: something else is inside.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "dtype") and np.asarray(value).dtype.kind in "biufU":
        return plain(np.asarray(value).tolist())
    raise InvalidArgumentError(
        f"records hold numbers, texts, lists and mappings; got {type(value).__name__}."
    )


def to_json(value: Any, *, indent: int | None = None) -> str:
    """``value`` as strict JSON text: null for what does not exist, never NaN or Infinity."""
    return json.dumps(plain(value), indent=indent, allow_nan=False, ensure_ascii=False)


def config_hash(config: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that name a configuration, whatever its key order; 1.0 is 1."""

    def whole(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, dict):
            return {key: whole(item) for key, item in value.items()}
        return [whole(item) for item in value] if isinstance(value, list) else value

    text = json.dumps(whole(plain(config)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _software() -> dict[str, str]:
    found = {"python": platform.python_version(), "nfl-pruning": __version__}
    for name in ("jax", "jaxlib", "numpy", "scipy", "scikit-learn", "flax", "optax"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def software() -> dict[str, str]:
    """Versions of Python, this package and what it computes with, by name."""
    return dict(_software())


def settings_of_jax() -> dict[str, Any]:
    """What of JAX's settings and device can change numbers."""
    import jax

    flags = {
        "random_generator": "jax_default_prng_impl",
        "threefry_partitionable": "jax_threefry_partitionable",
        "matmul_precision": "jax_default_matmul_precision",
        "x64": "jax_enable_x64",
    }
    found = {name: getattr(jax.config, flag) for name, flag in flags.items()}
    return found | {"backend": jax.default_backend()}


@cache
def source_hash() -> str:
    """16 hexadecimal digits that name this package's source code."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def code_hash(function: Callable[..., Any]) -> str:
    """16 hexadecimal digits that name a function's own code, empty where it has none to read.

    What it calls is not looked at.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    return hashlib.sha256(marshal.dumps(code)).hexdigest()[:16] if code else ""


def provenance() -> dict[str, Any]:
    """When, with which software and on what kind of machine a result was computed."""
    return {
        "source": source_hash(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "software": software(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


class RecordStore:
    """The records in one folder, which is made when the first one is written.

    Safe for several processes at once: a record appears whole or not at all.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def path(self, config: Mapping[str, Any]) -> Path:
        """Where the record of ``config`` is or will be."""
        return self.folder / f"{config_hash(config)}.json"

    def get(self, config: Mapping[str, Any]) -> dict[str, Any] | None:
        """The *result* recorded for ``config``, or None where there is none that can be read.

        A damaged file counts as none: the run computes the result again and replaces the file.
        """
        try:
            record = _read(self.path(config))
        except (FileNotFoundError, InvalidArgumentError):
            return None
        return record["result"] if config_hash(record["config"]) == config_hash(config) else None

    def put(self, config: Mapping[str, Any], result: Mapping[str, Any]) -> Path:
        """Write the record of ``config`` atomically, replacing an older one; returns its path.

        Raises:
            InvalidArgumentError: config or result is not made of plain values (see :func:`plain`).
        """
        record = {"config": config, "result": result, "provenance": provenance()}
        text = to_json(record, indent=1) + "\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        return write_atomically(self.path(config), lambda file: file.write(text.encode()))

    def all(self) -> list[Record]:
        """Every record in the folder, in the order of file names.

        Raises:
            InvalidArgumentError: a file is no record; the sentence names it.
        """
        return [_read(path) for path in sorted(self.folder.glob("*.json"))]

    def select(self, **entries: Any) -> list[Record]:
        """The records whose configuration has all these entries; reads the whole folder."""
        return matching(self.all(), **entries)

    def forget_others(
        self,
        configs: Iterable[Mapping[str, Any]],
        *,
        spare: Callable[[Mapping[str, Any]], bool] = lambda config: False,
    ) -> None:
        """Delete the records of all other configurations, such as those of a former grid.

        Args:
            configs: whose records stay.
            spare: other configurations to leave alone; asked of records that can be read.
        """
        wanted = {self.path(config) for config in configs}
        for path in self.folder.glob("*.json"):
            if path not in wanted and not _is(path, spare):
                path.unlink(missing_ok=True)


def _is(path: Path, kind: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Whether the record's configuration is of a kind; a damaged file is of none."""
    try:
        return kind(_read(path)["config"])
    except (FileNotFoundError, InvalidArgumentError):
        return False


def matching(records: Iterable[Record], **entries: Any) -> list[Record]:
    """Those of ``records`` whose configuration has all these entries."""
    wanted = plain(entries)
    return [
        record
        for record in records
        if all(record["config"].get(key, ...) == value for key, value in wanted.items())
    ]


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> Path:
    """Let ``write`` fill ``path``; readers see the old file or the new one, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _read(path: Path) -> Record:
    """The record in ``path``; raises where the file is missing or no record."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(record[key], dict) for key in ("config", "result", "provenance")):
            raise TypeError
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError):
        raise InvalidArgumentError(f"{path} is not a record; delete it and run again.") from None
    return record

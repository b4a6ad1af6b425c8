"""Results for people as .npz files: arrays, the hash of the data, the configuration; no pickles."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from nfl_pruning.records import write_atomically
from nfl_pruning.validation import InvalidArgumentError


def check_output(path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """The path of a .npz file that may be written.

    Raises:
        InvalidArgumentError: another ending, no such folder, or a file that exists (unless
            ``force``).
    """
    target = Path(path)
    if target.suffix.lower() != ".npz":
        raise InvalidArgumentError(f"out must be a file name that ends in .npz; got {str(path)!r}.")
    if not target.parent.is_dir():
        raise InvalidArgumentError(f"out must lie in a folder that exists; got {str(path)!r}.")
    if target.is_dir() or (target.exists() and not force):
        raise InvalidArgumentError(
            f"out exists already: {str(path)!r}; pass --force to replace it."
        )
    return target


def write_archive(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    *,
    data_hash: str,
    config: Mapping[str, Any],
    force: bool = False,
) -> Path:
    """Write a .npz with the arrays, ``data_hash`` and ``config`` (JSON text), whole or not at all.

    Raises:
        InvalidArgumentError: see :func:`check_output`.
    """
    target = check_output(path, force=force)
    stated = json.dumps(dict(config), sort_keys=True, allow_nan=False)

    def write(file: IO[bytes]) -> None:
        np.savez_compressed(
            file,
            allow_pickle=False,
            data_hash=np.array(data_hash),
            config=np.array(stated),
            **arrays,
        )

    return write_atomically(target, write)

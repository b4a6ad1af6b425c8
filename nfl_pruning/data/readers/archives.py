"""Reading .npz archives without executing anything in them."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_file

DAMAGED = (  # what numpy and zipfile raise on files that are cut, forged or of another kind
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


def read_npz(
    path: Path, wanted: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """The named arrays of a .npz file, never unpickling.

    Raises:
        InvalidArgumentError: the file cannot be read or is truncated, or lacks a wanted array.
    """
    check_file(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InvalidArgumentError(f"{path} is not a .npz archive.")
            missing = [name for name in wanted if name not in archive]
            if missing:
                held = ", ".join(archive.files) or "nothing"
                raise InvalidArgumentError(
                    f"{path} must hold the array{'s' * (len(wanted) > 1)} {' and '.join(wanted)}; "
                    f"it holds {held}."
                )
            found = {name: archive[name] for name in wanted}
            return found | _plain_ones(archive, optional)
    except DAMAGED as error:
        if isinstance(error, InvalidArgumentError):
            raise
        pickled = "pickle" in str(error).lower() and zipfile.is_zipfile(path)
        reason = "it holds pickled objects" if pickled else "it is truncated or of another kind"
        raise InvalidArgumentError(f"{path} cannot be read as a .npz archive: {reason}.") from None


def _plain_ones(archive: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those arrays that are there and hold no pickled objects."""
    found = {}
    for name in names:
        try:
            if name in archive:
                found[name] = archive[name]
        except ValueError as error:
            if "pickle" not in str(error).lower():
                raise
    return found


def check_hash(path: Path, found: np.ndarray, wanted: str) -> None:
    """Raise when a file belongs to other data."""
    if str(found) != wanted:
        raise InvalidArgumentError(
            f"{path} belongs to other data: its data_hash starts with {str(found)[:12]}, the "
            f"data's with {wanted[:12]}."
        )

"""Reader of IDX files, the format of MNIST and of its successors."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from nfl_pruning.errors import InvalidArgumentError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file, plain or gzip-compressed (recognised by its first bytes).

    The format: two zero bytes, a type byte, the number of axes, each axis's length as a big-endian
    32-bit number, then the entries in C order (http://yann.lecun.com/exdb/mnist).

    Raises:
        InvalidArgumentError: the file cannot be read, is truncated, or is no IDX file.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidArgumentError(
            f"{path} cannot be read as an IDX file: {_reason(error)}."
        ) from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in TYPES or len(raw) < 4 + 4 * raw[3]:
        raise InvalidArgumentError(f"{path} is not an IDX file, or its header is truncated.")
    dtype, axes = np.dtype(TYPES[raw[2]]), raw[3]
    shape = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes])
    body = raw[4 + 4 * axes :]
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(body) != wanted:
        raise InvalidArgumentError(
            f"{path} must hold {wanted} bytes of entries of shape {shape}; it holds {len(body)}."
        )
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _reason(error: BaseException) -> str:
    return (
        (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".").lower()
    )

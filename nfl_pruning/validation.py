"""Argument checks whose failures are one sentence with the offending value."""

from __future__ import annotations

import errno
import math
import operator
import os
import sys
import tempfile
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nfl_pruning.errors import InvalidArgumentError


def check_number(name: str, value: Any, interval: str) -> float:
    """Return ``value`` as a float when it lies in ``interval``, else raise.

    Args:
        name: the argument's public name, used in the message.
        value: what the caller passed.
        interval: the range in the usual notation, such as ``"(0, 1]"`` or ``"[0, inf)"``.

    Raises:
        InvalidArgumentError: ``value`` is no finite real number or lies outside the interval.
    """
    if _is_traced(value):
        raise InvalidArgumentError(
            f"{name} must be a number that is known, not one that JAX traces: limit_function gives "
            "the limit as a function that jax.grad, jax.jit and jax.vmap go through."
        )
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = operator.ge if interval[0] == "[" else operator.gt
    below = operator.le if interval[-1] == "]" else operator.lt
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not (
        math.isfinite(number) and above(number, low) and below(number, high)
    ):
        raise InvalidArgumentError(f"{name} must be a number in {interval}; got {value!r}.")
    return number


def _is_traced(value: Any) -> bool:
    """Whether a value is traced by jax.grad, jit or vmap; JAX need not be imported to say no."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, jax.core.Tracer)


def check_integer(name: str, value: Any, low: int) -> int:
    """Return ``value`` as an int when it is a whole number of at least ``low``, else raise."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < low:
        raise InvalidArgumentError(
            f"{name} must be a whole number of at least {low}; got {value!r}."
        )
    return number


def check_seed(value: Any, *, bits: int = 32) -> int:
    """Return ``value`` as an int when it is a whole number in [0, 2^bits), else raise.

    Args:
        value: what the caller passed.
        bits: 32 where keys are made at JAX's default precision, which drops all higher bits of a
            seed; 63 where they are made in a float64 scope.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not 0 <= number < 2**bits:
        raise InvalidArgumentError(
            f"seed must be a whole number of at least 0 and below 2^{bits}; got {value!r}."
        )
    return number


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return ``value`` when it is one of ``choices``, else raise and name the nearest one."""
    known = list(choices)
    if isinstance(value, str) and value in known:
        return value
    near = get_close_matches(str(value), known, n=1, cutoff=0.0)
    hint = f" (nearest: {near[0]})" if near else ""
    raise InvalidArgumentError(f"{name} must be one of {', '.join(known)}; got {value!r}{hint}.")


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raise unless ``value`` is of a class of this package that an argument must be of."""
    if not isinstance(value, kind):
        text = repr(value) if isinstance(value, (str, int, float, type(None))) else None
        raise InvalidArgumentError(
            f"{name} must be a {kind.__name__}; got {text or type(value).__name__}."
        )


def check_unmasked(name: str, value: Any) -> None:
    """Raise where entries of a masked array are masked: what lies under a mask is no value."""
    mask = getattr(value, "mask", None)
    if hasattr(value, "filled") and mask is not None and mask.any():
        raise InvalidArgumentError(
            f"{name} must not be masked; {int(mask.sum())} of {value.size} entries are."
        )


def check_folder(name: str, place: str | os.PathLike[str]) -> Path:
    """Return ``place`` when it is a folder or can become one, else raise.

    Raises:
        InvalidArgumentError: it is empty, it or something above it is a file, or nothing can be
            written there.
    """
    if not os.fspath(place):
        raise InvalidArgumentError(f"{name} must be a folder; got ''.")
    path = Path(place)
    there = next(above for above in (path, *path.absolute().parents) if above.exists())
    if not there.is_dir():
        raise InvalidArgumentError(f"{name} must be a folder; {str(there)!r} is a file.")
    check_writable(name, path)
    return path


def check_writable(name: str, folder: Path) -> None:
    """Raise unless files can be made in a folder, or in the one above it that exists.

    A file is made and removed: for the superuser, permissions alone say nothing.
    """
    there = next(above for above in (folder, *folder.absolute().parents) if above.exists())
    try:
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InvalidArgumentError(
            f"{name} must lie in a folder that can be written to; got {str(folder)!r}: "
            f"{(error.strerror or str(error)).lower()}."
        ) from None


def check_file(path: Path) -> None:
    """Raise unless ``path`` is a file with something in it."""
    if not os.path.exists(path):  # False for names that no file can have
        raise InvalidArgumentError(f"there is no file {str(path)!r}.")
    if not path.is_file():
        raise InvalidArgumentError(f"{str(path)!r} is a folder, not a file.")
    if not path.stat().st_size:
        raise InvalidArgumentError(f"{str(path)!r} is empty.")


def format_number(value: float) -> str:
    """The shortest text that reads back as the same number (``0.1``, ``5``, ``1e-07``)."""
    return repr(float(value)).removesuffix(".0")


def is_number(text: str) -> bool:
    """Whether a table's cell reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True

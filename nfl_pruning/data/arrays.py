"""Arrays of other libraries as NumPy arrays, recognised by what they can do and never imported."""

from __future__ import annotations

from typing import Any

import numpy as np

from nfl_pruning.data.labels import are_missing
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_unmasked

MOST_DENSE = 2**32  # bytes that sparse features may take once they are dense


def is_sparse(value: Any) -> bool:
    """Whether this is a SciPy sparse matrix or array."""
    return hasattr(value, "tocsr") and hasattr(value, "nnz")


def is_array(value: Any) -> bool:
    """Whether this is an array of some library, or a list of numbers, and no table."""
    known = ("__array__", "__array_interface__", "__dlpack__", "detach")
    return isinstance(value, list | tuple) or any(hasattr(value, name) for name in known)


def as_array(name: str, value: Any, where: str) -> np.ndarray:
    """The values of a NumPy-like array, of a torch tensor on any device, or of a sparse matrix.

    A memory-mapped array stays one. Sparse values are made dense.

    Args:
        name: what the values are, for messages.
        value: numbers or texts.
        where: the source, for messages.

    Raises:
        InvalidArgumentError: it cannot be an array, or a sparse one is too large once dense.
    """
    check_unmasked(f"{name} in {where}", value)
    try:
        return _as_array(value, name, where)
    except (ValueError, TypeError, BufferError, RuntimeError) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        reason = str(error).split(". ")[0].split("\n")[0]
        raise InvalidArgumentError(
            f"{name} must be an array in {where}; what is given cannot be one: {reason}."
        ) from None


def _as_array(value: Any, name: str, where: str) -> np.ndarray:
    if isinstance(value, np.memmap):
        return value
    if is_sparse(value):
        return _dense(value, name, where)
    if hasattr(value, "detach"):  # a torch tensor: off the tape, off the accelerator
        value = value.detach().cpu()
        try:
            return np.asarray(value.numpy())
        except TypeError:  # a precision that NumPy does not have, such as bfloat16
            return np.asarray(value.float().numpy())
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    return np.asarray(value)


def _dense(value: Any, name: str, where: str) -> np.ndarray:
    needed = value.dtype.itemsize * int(np.prod(value.shape))
    if needed > MOST_DENSE:
        raise InvalidArgumentError(
            f"{name} in {where} is sparse and would take {needed / 2**30:.1f} GiB once dense, more "
            f"than {MOST_DENSE / 2**30:.0f} GiB; reduce its {value.shape[1]} columns first, as "
            "sklearn.decomposition.TruncatedSVD does."
        )
    return np.asarray(value.toarray())


def as_vector(name: str, value: Any, n_samples: int | None, where: str) -> np.ndarray:
    """One entry a sample, shape (n,).

    Raises:
        InvalidArgumentError: another shape or length.
    """
    array = as_array(name, value, where)
    if array.ndim != 1 or (n_samples is not None and len(array) != n_samples):
        count = "one entry a sample" if n_samples is None else f"{n_samples} entries, one a sample"
        raise InvalidArgumentError(f"{name} must be {count}, in {where}; got shape {array.shape}.")
    return array


def plain_ids(values: np.ndarray) -> np.ndarray:
    """Ids as whole numbers or text, shape (n,): what a file without pickles can hold.

    Whole floats are whole numbers, as which tables with gaps write them; missing ids are empty.
    """
    kind = values.dtype.kind
    if kind in "iuU":
        return values
    if kind == "S":
        return np.char.decode(values, "utf-8", "surrogateescape")
    missing = are_missing(values)
    if kind == "M":
        return np.where(missing, "", values.astype(np.str_))
    if kind == "f" and not missing.any() and (values == np.round(values)).all():
        small = bool((np.abs(values) < 2.0**53).all())
        return values.astype(np.int64) if small else values.astype(np.str_)
    pairs = zip(values.tolist(), missing.tolist(), strict=True)
    return np.array(["" if gone else str(value) for value, gone in pairs], np.str_)

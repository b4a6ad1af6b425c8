"""What is given to a score: shapes and types are checked always, values where they are at hand.

Under ``jax.jit`` and its kin values are not known; then only shapes and types are.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_unmasked

Shape = tuple[int, ...]


def as_numbers(name: str, value: Any) -> Any:
    """An array of real numbers from what a user gave; raises for text, objects, complex numbers."""
    found = value
    check_unmasked(name, value)
    if not isinstance(value, jax.Array):
        try:
            found = np.asarray(value)
        except (ValueError, TypeError):
            raise InvalidArgumentError(
                f"{name} must be an array of numbers; got {value!r}."
            ) from None
    kinds = (np.floating, np.integer, np.bool_)
    if not any(jnp.issubdtype(found.dtype, kind) for kind in kinds):
        shown = f"type {found.dtype}" if found.size != 1 else repr(value)
        raise InvalidArgumentError(f"{name} must be real numbers; got {shown}.")
    return found


def check_logits(value: Any) -> Any:
    """Logits of shape (..., classes) with at least two classes and no NaN."""
    logits = as_numbers("logits", value)
    if logits.ndim < 1 or logits.shape[-1] < 2:
        raise InvalidArgumentError(
            f"logits must have shape (..., classes) with at least 2 classes; got {logits.shape}."
        )
    if is_at_hand(logits):
        host = np.asarray(logits, float)
        bad = np.argwhere(np.isnan(host) | np.isposinf(host))
        if len(bad):
            raise InvalidArgumentError(
                f"logits must be numbers below infinity; got {host[tuple(bad[0])]} in sample "
                f"{_place(bad[0][:-1])}."
            )
    return logits


def check_labels(value: Any, logits: Any) -> Any:
    """Class codes 0 .. C - 1, one for each sample of the logits."""
    labels = value if isinstance(value, jax.Array) else _labels_array(value)
    n_classes, shape = logits.shape[-1], logits.shape[:-1]
    if jnp.issubdtype(labels.dtype, np.bool_):
        labels = labels.astype(np.int32)
    if not jnp.issubdtype(labels.dtype, np.integer):
        shown = f", such as {labels.reshape(-1)[0]!s}" if labels.size and is_at_hand(labels) else ""
        raise InvalidArgumentError(
            f"labels must be class codes 0 to {n_classes - 1}, whole numbers; got type "
            f"{labels.dtype}{shown}."
        )
    if labels.shape != shape:
        raise InvalidArgumentError(
            f"labels must have one code a sample, shape {shape} for logits of shape "
            f"{logits.shape}; got shape {labels.shape}."
        )
    if labels.size and is_at_hand(labels):
        host = np.asarray(labels)
        bad = np.argwhere((host < 0) | (host >= n_classes))
        if len(bad):
            raise InvalidArgumentError(
                f"labels must be class codes 0 to {n_classes - 1}; got {host[tuple(bad[0])]} for "
                f"sample {_place(bad[0])}."
            )
    return labels


def _labels_array(value: Any) -> np.ndarray:
    check_unmasked("labels", value)
    try:
        return np.asarray(value)
    except (ValueError, TypeError):
        raise InvalidArgumentError(f"labels must be class codes; got {value!r}.") from None


def check_precision(given: Any, values: Any) -> None:
    """Raise where logits at hand are finite, and infinite in JAX's precision."""
    if is_at_hand(values) and values.dtype == np.float32 and values.dtype != given.dtype:
        lost = np.isfinite(np.asarray(given, float)) & ~np.isfinite(np.asarray(values))
        if lost.any():
            raise InvalidArgumentError(
                "logits must fit single precision, below 3.4e38, outside jax.enable_x64(True); got "
                f"{np.asarray(given, float)[lost][0]:g}."
            )


def check_result(name: str, found: Any, shape: Shape) -> None:
    """Raise where a score is not one real number a sample, or one for all of them."""
    whose = f"score {name!r}"
    if not isinstance(found, jax.Array):
        found = as_numbers(f"what {whose} returns", found)
    if not jnp.issubdtype(found.dtype, jnp.number) or jnp.iscomplexobj(found):
        raise InvalidArgumentError(f"{whose} must return real numbers; got type {found.dtype}.")
    try:
        fits = np.broadcast_shapes(found.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise InvalidArgumentError(
            f"{whose} must return one number a sample, shape {shape}; got shape {found.shape}."
        )
    if is_at_hand(found) and jnp.issubdtype(jnp.asarray(found).dtype, jnp.floating):
        bad = np.argwhere(np.isnan(np.asarray(found)))
        if len(bad):
            raise InvalidArgumentError(
                f"score {name!r} is not finite: it is not a number for sample {_place(bad[0])}."
            )


def check_context(context: Any, needs: frozenset[str], logits: Any) -> None:
    """The entries of a context that a score reads fit its logits."""
    shape, classes = logits.shape[:-1], logits.shape[-1]
    given = {name: as_numbers(name, getattr(context, name)) for name in sorted(needs)}
    for name in ("input_norm", "gradient_norm", "component", "label_is_right"):
        if name in given and not _broadcasts(given[name].shape, shape):
            _refuse(name, f"{shape}, one number a sample", given[name].shape)
    if "trajectory" in given:
        _check_trajectory(given["trajectory"], shape, classes)
    if "gap_gradient" in given and given["gap_gradient"].shape != logits.shape:
        _refuse("gap_gradient", f"{logits.shape}, as the logits", given["gap_gradient"].shape)
    for name in ("features", "inputs"):
        if name in given and given[name].shape[:-1] != shape:
            _refuse(name, f"{(*shape, 'width')}, one row a sample", given[name].shape)
    if "prototypes" in given and "features" in given:
        width = given["features"].shape[-1]
        if given["prototypes"].ndim != 2 or given["prototypes"].shape[-1] != width:
            _refuse("prototypes", f"(centres, {width})", given["prototypes"].shape)
    for name, values in given.items():
        if name != "trajectory" and is_at_hand(values):
            _check_finite(name, np.asarray(values, float))


def _check_trajectory(path: Any, shape: Shape, classes: int) -> None:
    """Logits over training, shape (..., time, classes), at least one time, all finite."""
    fits = path.ndim == len(shape) + 2 and path.shape[:-2] == shape and path.shape[-1] == classes
    if not fits or path.shape[-2] < 1:
        _refuse("trajectory", f"{(*shape, 'time', classes)}", path.shape)
    if is_at_hand(path):
        bad = np.argwhere(~np.isfinite(np.asarray(path, float)))
        if len(bad):
            raise InvalidArgumentError(
                f"trajectory must be finite; it is not for sample {_place(bad[0][:-2])} at time "
                f"{int(bad[0][-2])}."
            )


def _check_finite(name: str, values: np.ndarray) -> None:
    bad = values[~np.isfinite(values)]
    if len(bad):
        raise InvalidArgumentError(f"{name} must be finite numbers; got {bad[0]}.")


def _broadcasts(shape: Shape, wanted: Shape) -> bool:
    return shape in ((), wanted)


def _refuse(name: str, wanted: str, got: Shape) -> None:
    raise InvalidArgumentError(f"{name} must have shape {wanted}; got {got}.".replace("'", ""))


def is_at_hand(value: Any) -> bool:
    """Whether values are known, not traced by JAX."""
    return not isinstance(value, Tracer)


def _place(index: np.ndarray) -> str:
    """An index as people write it."""
    numbers = [int(number) for number in index]
    return str(numbers[0]) if len(numbers) == 1 else str(tuple(numbers))

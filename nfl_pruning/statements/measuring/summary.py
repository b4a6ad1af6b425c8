"""Means, standard errors and rates of repeated measurements."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

_FORGET: list[Callable[[], None]] = []


def seedless(function: F) -> F:
    """What depends on no seed is computed once a process; the function's arguments are hashable."""
    kept: Any = cache(function)
    _FORGET.append(kept.cache_clear)
    return kept


def forget() -> None:
    """Compute everything anew, as when the code behind it has changed."""
    for clear in _FORGET:
        clear()


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean over repeats and its standard error."""
    values = np.asarray(values, float)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def rate_and_error(
    size: float, values: np.ndarray, size2: float, values2: np.ndarray
) -> tuple[float, float]:
    """Exponent between two sizes of the mean of positive values, with its standard error."""
    (a, da), (b, db) = mean_and_error(values), mean_and_error(values2)
    span = np.log(size2 / size)
    return float(np.log(b / a) / span), float(np.hypot(da / a, db / b) / abs(span))


def extrapolate(
    size: float, values: np.ndarray, size2: float, values2: np.ndarray
) -> tuple[float, float]:
    """Mean at infinite size, when it approaches that like 1 / size, with its standard error."""
    (a, da), (b, db) = mean_and_error(values), mean_and_error(values2)
    ratio = size2 / size
    weight, other = ratio / (ratio - 1), -1 / (ratio - 1)
    return weight * b + other * a, float(np.hypot(weight * db, other * da))

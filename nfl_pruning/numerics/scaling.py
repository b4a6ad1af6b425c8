"""Scaling of features at any magnitude: float64 throughout, no overflow and no cancellation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nfl_pruning.validation import check_choice

SCALES = ("auto", "common", "per-feature", "none")
ROUNDING = 8.0  # spacings of floating point: what varies by no more varies by rounding alone
ROWS_PER_CHUNK = 4096


class Scaling(NamedTuple):
    """An affine map of the features: ``(x - centre) / unit``.

    Attributes:
        kind: ``common``, ``per-feature`` or ``none``.
        centre: shape (d,).
        unit: shape (d,), or (1,) where all features share one.
    """

    kind: str
    centre: np.ndarray
    unit: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scaled features, shape and precision of ``x``; computed in float64."""
        if self.kind == "none":
            return x
        found = np.empty(x.shape, x.dtype)
        shrink = _power(np.maximum(np.abs(self.centre), self.unit))
        centre, unit = self.centre * shrink, self.unit * shrink
        largest = np.finfo(x.dtype).max
        for start in range(0, len(x), ROWS_PER_CHUNK):
            rows = slice(start, start + ROWS_PER_CHUNK)
            with np.errstate(over="ignore"):  # rows far beyond the fitted ones end at the largest
                scaled = (x[rows].astype(np.float64) * shrink - centre) / unit
            found[rows] = np.clip(scaled, -largest, largest)
        return found


def fit_scaling(x: np.ndarray, kind: str = "auto", *, is_image: bool = False) -> Scaling:
    """Centre the features and bring ``||x|| / sqrt(d)`` to about 1.

    What varies by rounding alone counts as constant: it is centred and brought to the size of
    rounding, about 1e-16, and never blown up.

    Args:
        x: features, shape (n, d).
        kind: ``"common"`` divides all features by one number, the root mean square of their
            standard deviations: right for pixels, which share a unit, and of which many are nearly
            constant. ``"per-feature"`` divides each by its own deviation: right for tables.
            ``"auto"`` is common for images, per-feature otherwise; ``"none"`` does nothing.
        is_image: whether the features are pixels.
    """
    kind = check_choice("scale", kind, SCALES)
    if kind == "auto":
        kind = "common" if is_image else "per-feature"
    if kind == "none":
        return Scaling(kind, np.zeros(1, x.dtype), np.ones(1, x.dtype))
    low, high = (end.astype(np.float64) for end in (x.min(axis=0), x.max(axis=0)))
    size = np.maximum(np.abs(low), np.abs(high))
    if kind == "common":
        size = size.max(keepdims=True)
    shrink = _power(size)  # a power of 2: exact, and sums of what it scales do not overflow
    centre, variance = _moments(x, low, shrink)
    width = high * shrink - low * shrink
    if kind == "common":
        variance, width = variance.mean(keepdims=True), width.max(keepdims=True)
    varies = width > ROUNDING * np.spacing(size * shrink)
    fallback = np.where(size > 0, size * shrink, 1.0)
    unit = np.where(varies, np.sqrt(variance), fallback)
    return Scaling(
        kind, centre / shrink, np.maximum(unit / shrink, np.finfo(float).smallest_subnormal)
    )


def _power(size: np.ndarray) -> np.ndarray:
    """The power of 2 that brings a positive size into (1/4, 1/2]; 1 for zero."""
    exponent = np.frexp(size)[1] + 1
    return np.where(size > 0, np.ldexp(1.0, -np.clip(exponent, -1020, 1020)), 1.0)


def _moments(x: np.ndarray, low: np.ndarray, shrink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of ``x * shrink`` by column, from differences to the least value."""
    total, squares, n = np.zeros(x.shape[1]), np.zeros(x.shape[1]), len(x)
    chunks = [slice(start, start + ROWS_PER_CHUNK) for start in range(0, n, ROWS_PER_CHUNK)]
    start = low * shrink
    for rows in chunks:
        total += (x[rows].astype(np.float64) * shrink - start).sum(axis=0) / n
    for rows in chunks:
        gaps = x[rows].astype(np.float64) * shrink - start - total
        squares += (gaps**2).sum(axis=0) / n
    return start + total, squares

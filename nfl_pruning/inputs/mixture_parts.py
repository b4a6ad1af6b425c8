"""What a mixture is made of, checked: weights, means, laws of labels; corners of a simplex."""

from __future__ import annotations

from typing import Any

import numpy as np

from nfl_pruning.errors import InvalidArgumentError

ROUNDING = 1e-9  # by which probabilities may miss a sum of 1; they are then scaled


def finite_numbers(name: str, values: Any, ndim: int) -> np.ndarray:
    """Weights (ndim 1) or means (ndim 2) as a float64 array, else a sentence."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != ndim or not array.size or not np.isfinite(array).all():
        shape = "(C,)" if ndim == 1 else "(C, d)"
        raise InvalidArgumentError(
            f"{name} must be finite numbers of shape {shape}; got shape {np.shape(values)}."
        )
    return array


def of_sum_one(name: str, values: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis, scaled to a sum of 1 that they all but have."""
    total = values.sum(axis=-1, keepdims=True)
    off = np.abs(total - 1) > ROUNDING
    if off.any():
        raise InvalidArgumentError(f"{name} must sum to 1; got {total[off].reshape(-1)[0]:g}.")
    return values / total


def label_law_of(labels: Any, n_components: int) -> np.ndarray | None:
    """P(y | component) of shape (C, K) from class codes or rows; None for a teacher's labels."""
    if labels is None:
        return None
    array = np.asarray(labels)
    if array.ndim not in (1, 2) or len(array) != n_components or array.dtype.kind not in "iuf":
        raise InvalidArgumentError(
            f"labels must be a class code or a row of probabilities for each of the {n_components} "
            f"components; got shape {array.shape}."
        )
    if array.ndim == 1:
        codes = array.astype(int)
        if (codes != array).any() or codes.min() < 0:
            raise InvalidArgumentError(
                f"labels must be class codes, whole numbers from 0; got {array.min():g}."
            )
        n_classes = max(int(codes.max()) + 1, 2)
        missing = sorted(set(range(n_classes)) - set(codes.tolist()))
        if missing:
            raise InvalidArgumentError(
                f"every class up to the largest code must have a component; {missing[0]} has none."
            )
        return np.eye(n_classes)[codes]
    law = array.astype(np.float64)
    if law.shape[1] < 2:
        raise InvalidArgumentError(f"labels must be of at least 2 classes; got {law.shape[1]}.")
    if not ((law >= 0) & (law <= 1)).all():
        raise InvalidArgumentError("labels must be probabilities, in [0, 1]; some are not.")
    if not (law.sum(axis=0) > 0).all():
        empty = int(np.flatnonzero(law.sum(axis=0) == 0)[0])
        raise InvalidArgumentError(f"every class must have a component; class {empty} has none.")
    return of_sum_one("labels of a component", law)


def simplex_corners(n_classes: int) -> np.ndarray:
    """Unit vectors with equal angles, the first along e_1, shape (n_classes, n_classes - 1)."""
    corners = np.zeros((n_classes, n_classes - 1))
    product = -1 / (n_classes - 1)  # of any two
    for row in range(n_classes):
        for column in range(min(row, n_classes - 1)):
            known = corners[row, :column] @ corners[column, :column]
            corners[row, column] = (product - known) / corners[column, column]
        if row < n_classes - 1:
            corners[row, row] = np.sqrt(1 - np.sum(corners[row, :row] ** 2))
    return corners

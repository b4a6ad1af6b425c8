"""What in a data set breaks the theory's assumptions: copies, leaks, heavy tails, thin classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import chi2

from nfl_pruning.realdata.fitted.fitting import Component, FittedMixture, log_density

QUERIES = 1000  # rows whose nearest neighbour is sought
POOL = 20_000  # rows among which it is sought
NEIGHBOUR = 10  # whose distance is a row's usual one
NEAR = 0.02  # of that distance: a copy with noise
ROWS_PER_CHUNK = 4096
LEADING = 16  # directions along which tails are looked at


@dataclass(frozen=True)
class Diagnostics:
    """Numbers on how well a mixture describes the rows, on rows it was not fitted to.

    Attributes:
        n_samples: rows.
        n_features: directions used.
        smallest_class: rows of the rarest class.
        smallest_component: rows of the rarest component.
        n_components: components of the mixture.
        duplicates: share of rows that repeat an earlier one exactly.
        conflicting: share of rows that repeat one with another label.
        near_copies: share of rows whose nearest neighbour is far nearer than is usual.
        leaked: share of test rows that are, or nearly are, rows of the data; None if none came.
        tail: how much further the outermost hundredth of held-out rows lies, in its component's
            metric and over the median, than under a normal law: 1 if normal.
        kurtosis: largest excess kurtosis of a logit within components; 0 if normal.
        accuracy: of refits to all rows, on rows that they have not seen.
        balanced: the same, as the mean over classes.
        chance: share of the largest class.
        wrong_labels: share of labels that the mixture takes for wrong.
    """

    n_samples: int
    n_features: int
    smallest_class: int
    smallest_component: int
    n_components: int
    duplicates: float
    conflicting: float
    near_copies: float
    leaked: float | None
    tail: float
    kurtosis: float
    accuracy: float
    balanced: float
    chance: float
    wrong_labels: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def row_codes(x: np.ndarray) -> np.ndarray:
    """One whole number a row, equal for equal rows and hardly else, shape (n,)."""
    found = np.empty(len(x), np.int64)
    for start in range(0, len(x), ROWS_PER_CHUNK):
        block = np.ascontiguousarray(x[start : start + ROWS_PER_CHUNK])
        block = block + np.zeros(1, block.dtype)  # -0.0 becomes 0.0
        found[start : start + len(block)] = [hash(row.tobytes()) for row in block]
    return found


def repeated(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Shares of rows that repeat an earlier one, and that repeat one with another label."""
    _, codes, counts = np.unique(row_codes(x), return_inverse=True, return_counts=True)
    copies = 1 - len(counts) / len(x)
    if not copies:
        return 0.0, 0.0
    low, high = np.full(len(counts), np.iinfo(np.int64).max), np.full(len(counts), -1)
    np.minimum.at(low, codes, y)
    np.maximum.at(high, codes, y)
    return float(copies), float((low != high)[codes].mean())


def near_copies(
    rng: np.random.Generator, x: np.ndarray, queries: np.ndarray | None = None
) -> float:
    """Share of rows whose nearest other row is far nearer than their eleventh nearest.

    Args:
        rng: chooses rows where there are many.
        x: rows, shape (n, d).
        queries: rows of another set to seek in ``x``; rows of ``x`` by default.
    """
    pool = rng.permutation(len(x))[:POOL]
    own = queries is None
    asked = pool[:QUERIES] if own else rng.permutation(len(queries))[:QUERIES]
    points = x[asked] if queries is None else queries[asked]
    among = x[pool]
    squares = (among**2).sum(axis=1)
    square = (points**2).sum(axis=1)[:, None] + squares - 2 * points @ among.T
    if own:
        square[np.arange(len(asked)), np.arange(len(asked))] = np.inf
    place = min(NEIGHBOUR, len(among) - 1 - own)
    if place < 1 or x.shape[1] < 2:
        return 0.0
    ordered = np.sqrt(np.maximum(np.partition(square, (0, place), axis=1), 0.0))
    # Rounding of the expanded square hides distances below 1e-7 of the rows' size.
    floor = 1e-6 * float(np.sqrt(squares.mean()))
    return float((ordered[:, 0] <= np.maximum(NEAR * ordered[:, place], floor)).mean())


class HeldOut(NamedTuple):
    """Rows that a mixture was not fitted to.

    Attributes:
        mixture: fitted to other rows.
        x: held-out rows, shape (n, d).
        y: their class codes.
        directions: of the logits, shape (d, K).
    """

    mixture: FittedMixture
    x: np.ndarray
    y: np.ndarray
    directions: np.ndarray


def tails(parts: Sequence[HeldOut]) -> tuple[float, float]:
    """How heavy the tails of held-out rows are, as ``tail`` and ``kurtosis`` of diagnostics.

    Args:
        parts: disjoint ones, looked at together: the outermost hundredth of few rows says little.
    """
    both = [_standardised(part) for part in parts]
    distance, standard = (np.concatenate(found) for found in zip(*both, strict=True))
    few = min(LEADING, parts[0].x.shape[1])
    ratio = np.quantile(distance, 0.99) / max(float(np.median(distance)), 1e-300)
    tail = float(ratio / (chi2.ppf(0.99, few) / chi2.ppf(0.5, few)))
    spread = standard.std(axis=0)
    standard = (standard - standard.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return tail, float(((standard**4).mean(axis=0) - 3).max())


def _standardised(part: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances (n,) and logits (n, K) in the metric of each row's likeliest component."""
    mixture, x, y, directions = part
    listed = mixture.components
    # Along leading directions alone: far ones have variances too small to be known.
    few = min(LEADING, x.shape[1])
    leading = tuple(_leading(c, few) for c in listed)
    found = [log_density(c, x[:, :few]) for c in leading]
    value = np.stack(
        [
            np.log(np.maximum(c.weight * c.labels[y], 1e-12)) + one[0]
            for c, one in zip(listed, found, strict=True)
        ]
    )
    own = value.argmax(axis=0)
    distance = np.stack([one[1] for one in found])[own, np.arange(len(x))]
    means = np.stack([c.mean for c in listed])[own]
    logits = (x - means) @ (directions - directions.mean(axis=1, keepdims=True))
    scale = np.stack([((directions.T @ c.root) ** 2).sum(axis=1) for c in listed])[own]
    return distance, logits / np.sqrt(np.maximum(scale, 1e-300))


def _leading(component: Component, few: int) -> Component:
    """Its law along the first ``few`` directions."""
    own = component.root[:few]
    root = np.linalg.cholesky(own @ own.T + 1e-12 * np.eye(few) * np.trace(own @ own.T) / few)
    return component._replace(mean=component.mean[:few], root=root)

"""What refitted networks are worth on rows that they have not seen."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
from jax import Array
from scipy.special import logsumexp

from nfl_pruning.networks.comparison.splits import Split
from nfl_pruning.networks.scoring import logits_of
from nfl_pruning.networks.training import is_finite
from nfl_pruning.settings import with_own_settings


class Measured(NamedTuple):
    """One network on its rows; all NaN where it diverged.

    Attributes:
        accuracy: share of rows classified right.
        loss: mean cross-entropy.
        balanced_accuracy: mean over the classes that occur of the share classified right.
        worst_class_accuracy: the least of these shares.
    """

    accuracy: float
    loss: float
    balanced_accuracy: float
    worst_class_accuracy: float


DIVERGED = Measured(np.nan, np.nan, np.nan, np.nan)


def measure(
    model: nn.Module, params: Any, split: Split, own: np.ndarray
) -> list[tuple[float, float]]:
    """(accuracy, loss) on the test rows of each replica's repeat; NaN where it diverged."""
    rows, labels = split.test_rows[own], split.test_labels[own]
    return measure_rows(model, params, split.x, rows=rows, labels=labels)


def measure_rows(
    model: nn.Module, params: Any, x: Array, *, rows: np.ndarray, labels: np.ndarray
) -> list[tuple[float, float]]:
    """(accuracy, mean cross-entropy) of each replica on its own rows: see :func:`evaluate_rows`."""
    found = evaluate_rows(model, params, x, rows=rows, labels=labels)
    return [(one.accuracy, one.loss) for one in found]


@with_own_settings
def evaluate_rows(
    model: nn.Module, params: Any, x: Array, *, rows: np.ndarray, labels: np.ndarray
) -> list[Measured]:
    """How each replica does on its own rows.

    All is NaN for a replica whose parameters or whose loss are not finite: parameters can be
    finite and yet so large that the logits are not, and then the accuracy means nothing.

    Args:
        model: the network.
        params: stacked parameters.
        x: inputs, shape (n, d).
        rows: of x, shape (replicas, rows).
        labels: class codes, same shape.
    """
    logits = logits_of(model, params, x, rows=rows).astype(np.float64)
    right = logits.argmax(axis=2) == labels
    at_label = np.take_along_axis(logits, labels[..., None], axis=2)[..., 0]
    with np.errstate(invalid="ignore"):
        loss = (np.asarray(logsumexp(logits, axis=2)) - at_label).mean(axis=1)
    finite = is_finite(params) & np.isfinite(loss)
    return [
        Measured(float(own.mean()), float(lost), *_by_class(own, codes)) if ok else DIVERGED
        for own, lost, codes, ok in zip(right, loss, labels, finite, strict=True)
    ]


def _by_class(right: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """Mean and least over the classes that occur of the share of rows classified right."""
    totals = np.bincount(codes)
    shares = np.bincount(codes, weights=right)[totals > 0] / totals[totals > 0]
    return float(shares.mean()), float(shares.min())

"""Train networks on a data set, or on what pruning kept of it, and test them once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks import standardising
from nfl_pruning.networks.measuring import measure_rows
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.training import (
    USUAL,
    Training,
    is_finite,
    make_samples,
    train_replicas,
)
from nfl_pruning.pruning.pruned import Pruned
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_integer, check_seed

DROPPED = "the dropped rows, which is no fair test"


@dataclass(frozen=True)
class TrainedNetworks:
    """Networks that were trained, and how they did on rows they had not seen.

    Attributes:
        data: name of the data set.
        model: name of the network.
        n_samples: before pruning.
        n_kept: samples that were trained on.
        steps: of the optimiser.
        tested_on: what the accuracy is of, None where there was nothing to test on.
        accuracies: share of test rows classified right, one entry a network; None where it
            diverged; empty where there was nothing to test on.
        diverged: which networks did, shape (networks,).
        seconds: of training and testing.
        params: the stacked parameters.
        warnings: sentences that the user should read.
        features: what was read, as plain values.
    """

    data: str
    model: str
    n_samples: int
    n_kept: int
    steps: int
    tested_on: str | None
    accuracies: tuple[float | None, ...]
    diverged: np.ndarray
    seconds: float
    params: Any = field(repr=False)
    warnings: tuple[str, ...] = ()
    features: dict[str, Any] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """Mean over the networks that did not diverge; None without any."""
        valid = [value for value in self.accuracies if value is not None]
        return float(np.mean(valid)) if valid else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the parameters left out."""
        return {
            "data": self.data,
            "model": self.model,
            "models": len(self.diverged),
            "n_samples": self.n_samples,
            "n_kept": self.n_kept,
            "steps": self.steps,
            "tested_on": self.tested_on,
            "accuracy": self.accuracy,
            "each_accuracy": list(self.accuracies),
            "diverged": int(self.diverged.sum()),
            "seconds": self.seconds,
            "warnings": list(self.warnings),
            **self.features,
        }


@with_own_settings
def train(
    dataset: Dataset,
    *,
    seed: int,
    subset: Pruned | tuple[np.ndarray, np.ndarray] | None = None,
    test: Dataset | None = None,
    n_networks: int = 1,
    model: str = "mlp",
    training: Training = USUAL,
    progress: Callable[[int, int], Any] | None = None,
) -> TrainedNetworks:
    """Train networks on the kept rows and weights of a data set; test after the last epoch.

    The loss is the weighted mean sum w loss / sum w over the kept rows. Tables are standardised
    with the moments of all rows of the data, kept or not, and never of the test rows.

    Args:
        dataset: n samples.
        seed: whole number in [0, 2^32).
        subset: what pruning kept: its outcome, or row numbers and their weights, shape (kept,)
            each; everything by default.
        test: what to test on, in the class codes of ``dataset``; the dropped rows by default,
            which is no fair test: the rule chose them. Protected rows are never trained on, and
            are what is tested on where there are any.
        n_networks: networks to train, each from its own start.
        model: name of the network.
        training: how to train.
        progress: called with (epochs done, epochs in all).

    Raises:
        InvalidArgumentError: an argument is out of range, or the subset is one of other data.
    """
    check_seed(seed)
    check_integer("models", n_networks, 1)
    kept, weights = _rows_and_weights(subset, dataset)
    if dataset.protected is not None:
        kept = _among_candidates(kept, dataset.protected)
        test, dataset = test or dataset.protected_part, dataset.candidates
    n = len(dataset)
    tested, name = _test_rows(test, dataset, kept)
    network = make_model(model, len(dataset.classes), dataset.shape)
    table = dataset.x if tested is None else np.concatenate([dataset.x, tested.x])
    x = jnp.asarray(
        standardising.network_inputs(table, is_image=dataset.is_image, fitted=dataset.x)
    )
    rows = np.tile(kept, (n_networks, 1))
    epochs, start = training.plan(len(kept), n).epochs, time.perf_counter()
    state = train_replicas(
        jax.random.split(jax.random.key(seed), n_networks),
        make_samples(x, rows, dataset.y[rows], weights=np.tile(weights, (n_networks, 1))),
        model=network,
        training=training,
        n_all=n,
        on_epoch=None if progress is None else lambda done, _: progress(done, epochs),
        shape=dataset.shape,
    )
    finite = np.asarray(is_finite(state.params))
    each: tuple[float | None, ...] = ()
    if tested is not None:
        rows = np.tile(np.arange(n, n + len(tested)), (n_networks, 1))
        labels = np.tile(tested.y, (n_networks, 1))
        found = measure_rows(network, state.params, x, rows=rows, labels=labels)
        finite = np.array([np.isfinite(loss) for _, loss in found])
        each = tuple(right if ok else None for (right, _), ok in zip(found, finite, strict=True))
    return TrainedNetworks(
        data=dataset.name,
        model=model,
        n_samples=n,
        n_kept=len(kept),
        steps=int(np.asarray(state.step)[0]),
        tested_on=name,
        accuracies=each,
        diverged=~finite,
        seconds=time.perf_counter() - start,
        params=state.params,
        warnings=(*dataset.notes, *(() if test is None else test.notes)),
        features=dataset.describe_features(),
    )


def _rows_and_weights(
    subset: Pruned | tuple[np.ndarray, np.ndarray] | None, dataset: Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Kept rows and their weights, shape (kept,) each."""
    n = len(dataset)
    if subset is None:
        rows = np.arange(n) if dataset.protected is None else np.flatnonzero(~dataset.protected)
        return rows, np.ones(len(rows))
    if isinstance(subset, Pruned):
        if subset.data_hash != dataset.hash:
            raise InvalidArgumentError(
                f"subset must be of the data it is used with; its data_hash is "
                f"{subset.data_hash[:12]}, that of {dataset.name} is {dataset.hash[:12]}."
            )
        return subset.indices, subset.weights[subset.indices]
    rows, weights = (np.asarray(part) for part in subset)
    fits = rows.ndim == 1 and len(rows) and rows.dtype.kind in "iu" and weights.shape == rows.shape
    if not fits or rows.min() < 0 or rows.max() >= n:
        raise InvalidArgumentError(
            f"subset must be row numbers below {n} and a weight for each; got shapes {rows.shape} "
            f"and {weights.shape}."
        )
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise InvalidArgumentError(
            f"subset must have positive weights; the least is {weights.min():g}."
        )
    return rows, weights


def _among_candidates(kept: np.ndarray, protected: np.ndarray) -> np.ndarray:
    """The numbers of kept rows among those that are not protected.

    Raises:
        InvalidArgumentError: a kept row is protected.
    """
    if protected[kept].any():
        raise InvalidArgumentError(
            f"subset must hold no protected row; it holds row {kept[protected[kept]][0]}."
        )
    return (np.cumsum(~protected) - 1)[kept]


def _test_rows(
    test: Dataset | None, dataset: Dataset, kept: np.ndarray
) -> tuple[Dataset | None, str | None]:
    """What to test on, and its name for people."""
    if test is not None:
        if test.shape != dataset.shape or test.classes != dataset.classes:
            raise InvalidArgumentError(
                f"test must have the features and classes of {dataset.name}; got shape "
                f"{test.shape} and {len(test.classes)} classes."
            )
        return test, test.name
    dropped = np.setdiff1d(np.arange(len(dataset)), kept)
    return (dataset.take(dropped), DROPPED) if len(dropped) else (None, None)

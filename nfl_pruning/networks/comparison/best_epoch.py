"""The epoch that validation chooses, for each replica of a stack."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.networks.comparison.splits import Split
from nfl_pruning.networks.scoring import logits_of
from nfl_pruning.networks.training import State, is_finite


class BestEpoch:
    """Watches a refit, and keeps the parameters of the epoch with the best validation accuracy."""

    def __init__(self, model: nn.Module, split: Split, own: np.ndarray) -> None:
        self.model, self.split, self.own = model, split, own
        self.accuracy = np.full(len(own), -1.0)
        self.epochs = np.zeros(len(own), int)
        self.params: Any = None

    def __call__(self, epoch: int, state: State) -> None:
        if epoch == 0:
            return
        rows, labels = (a[self.own] for a in (self.split.valid_rows, self.split.valid_labels))
        logits = logits_of(self.model, state.params, self.split.x, rows=rows)
        right = (logits.argmax(axis=2) == labels).mean(axis=1)
        better = (right > self.accuracy) & np.isfinite(logits).all(axis=(1, 2))
        self.accuracy[better], self.epochs[better] = right[better], epoch

        def take(new: Array, old: Array) -> Array:
            return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        now = jax.tree.map(jnp.copy, state.params)  # the state's own buffers are reused
        self.params = now if self.params is None else jax.tree.map(take, now, self.params)

    def chosen(self, state: State, last: int) -> tuple[Any, np.ndarray]:
        """Parameters to test and the epochs they are of: the last where nothing was validated."""
        if self.params is None:
            return state.params, np.full(len(self.own), last)
        finite = is_finite(state.params)
        spoilt = jax.tree.map(
            lambda leaf: jnp.where(finite.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, jnp.nan),
            self.params,
        )  # a training that ends in NaN is reported, however good an earlier epoch was
        return spoilt, self.epochs

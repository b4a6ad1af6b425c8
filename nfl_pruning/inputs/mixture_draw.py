"""Samples of a mixture, drawn so that equal keys give equal samples whatever the rule."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_integer

if TYPE_CHECKING:
    from nfl_pruning.inputs.mixture import Mixture


def bucket(count: int) -> int:
    """The next of 8, 10, 12, 14, 16, 20, ...: few sizes are compiled, at most a quarter is lost."""
    power = max(count - 1, 1).bit_length()
    step = max(1 << max(power - 3, 0), 2)
    return max(-(-count // step) * step, 8)


@partial(jax.jit, static_argnames=("count", "n_features", "rank"))
def _noise(
    key: Array, cumulated: Array, *, count: int, n_features: int, rank: int
) -> tuple[Array, Array, Array, Array]:
    """Components, standard normal rows and factors, and uniform numbers for the labels."""
    keys = jax.random.split(key, 4)
    lots = jax.random.uniform(keys[0], (count,), jnp.float64)
    component = jnp.sum(lots[:, None] >= cumulated[:-1], axis=1)
    rows = jax.random.normal(keys[1], (count, n_features), jnp.float64)
    factors = jax.random.normal(keys[2], (count, rank), jnp.float64)
    return component, rows, factors, jax.random.uniform(keys[3], (count,), jnp.float64)


@with_own_settings
def draw_mixture(
    mixture: Mixture, key: Array, n_samples: int, n_features: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """See :meth:`nfl_pruning.inputs.mixture.Mixture.draw`."""
    n = check_integer("n_samples", n_samples, 1)
    means = mixture.placed(n_features)
    with jax.enable_x64(True):
        drawn = _noise(
            key, jnp.asarray(np.cumsum(mixture.weights)),
            count=bucket(n), n_features=means.shape[1],
            rank=mixture.covariances.rank,
        )  # fmt: skip
    component, noise, factors, lots = (np.asarray(part)[:n] for part in drawn)
    rows = np.empty_like(noise)
    for c in range(mixture.n_components):
        inside = component == c
        rows[inside] = means[c] + mixture.covariances.shape(c, noise[inside], factors[inside])
    labels = None
    if mixture.labels is not None:
        edges = np.cumsum(mixture.labels, axis=1)[:, :-1]
        labels = np.sum(lots[:, None] >= edges[component], axis=1)
    return rows, component, labels

"""Draw a training set and prune it, without drawing what the pruning throws away.

In a basis whose first vector is the teacher and whose second is the probe's part orthogonal to it,
labels and scores depend on two coordinates of a sample (and on its norm, for scores that ask). So
those are drawn for all n samples, the selection is made, and the other d - 2 coordinates are drawn
for the kept samples alone, from counters that contain the row number: rival rules on the same seed
see the same rows.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.kernels.normals import normal_columns, normal_rows
from nfl_pruning.montecarlo.plan import Parameters, Plan
from nfl_pruning.scores.base import Context, binary_logits
from nfl_pruning.selections.finite import band_weights, propensity_weights


class Kept(NamedTuple):
    """The kept rows, padded to the plan's capacity with rows of weight 0.

    Attributes:
        rows: row numbers in the full sample, shape (capacity,).
        plane: coordinates along the teacher and across it, shape (capacity, 2), float64.
        latent: what the law of the inputs needs to know of a row, shape (capacity,).
        radius: norm of the other coordinates, shape (capacity,), or None when it was not drawn.
        labels: -1 or 1, shape (capacity,), float64.
        weights: 0 for padding, shape (capacity,), float64.
        kept: number of samples that the selection kept; above the capacity some are missing.
    """

    rows: Array
    plane: Array
    latent: Array
    radius: Array | None
    labels: Array
    weights: Array
    kept: Array


class TrialKeys(NamedTuple):
    """One key a purpose, all from (seed, trial) alone, so rival rules share their data."""

    plane: Array
    radius: Array
    rest: Array
    latent: Array
    labels: Array
    select: Array
    probe: Array


def trial_keys(key: Array) -> TrialKeys:
    """The keys of one data set."""
    return TrialKeys(*jax.random.split(key, 7))


class Drawn(NamedTuple):
    """What labels and scores depend on, for all n samples.

    Attributes:
        plane: coordinates along the teacher and across it, shape (n, 2).
        latent: of the law of the inputs, shape (n,).
        radius: norm of the other coordinates, shape (n,), or None where no score asks for it.
        positive: whether the label is 1, shape (n,).
    """

    plane: Array
    latent: Array
    radius: Array | None
    positive: Array


def draw_all(keys: TrialKeys, plan: Plan, parameters: Parameters) -> Drawn:
    """Draw the plane and the labels of all samples."""
    n = plan.n_samples
    latent = plan.law.latent(keys.latent, n)
    plane = plan.law.shape_plane(latent, jax.random.normal(keys.plane, (n, 2), jnp.float64))
    chance = plan.link(parameters.scale * plane[:, 0])
    positive = jax.random.uniform(keys.labels, (n,), jnp.float64) < chance
    radius = None
    if plan.score.needs:
        radius = plan.law.shape_radius(latent, _chi(keys.radius, n, plan.n_features - 2))
    return Drawn(plane, latent, radius, positive)


def choose(key: Array, drawn: Drawn, margin: Array, *, plan: Plan, parameters: Parameters) -> Array:
    """Weights of the selection, 0 for dropped samples, shape (n,).

    Args:
        key: the trial's ``select`` key.
        drawn: all samples.
        margin: the probe's margin for each, shape (n,).
        plan: shapes and functions of the problem.
        parameters: its numbers.
    """
    context = Context()
    if drawn.radius is not None:
        square = jnp.sum(drawn.plane**2, axis=1) + drawn.radius**2
        context = Context(input_norm=jnp.sqrt(square / plan.n_features))
    rank_key = plan.score.rank_key(binary_logits(margin), drawn.positive.astype(jnp.int32), context)
    if plan.counts is not None:
        return band_weights(key, rank_key, plan.counts, plan.keep)[0]
    assert plan.selection is not None
    log_propensity = plan.selection.log_propensity(rank_key)
    return propensity_weights(key, log_propensity, parameters.keep_fraction)[0]


def probe_margin(drawn: Drawn, alignment: Array, norm: Array) -> Array:
    """Margins of a probe in the plane, shape (n,)."""
    across = jnp.sqrt(jnp.maximum(1 - alignment**2, 0))
    return norm * (alignment * drawn.plane[:, 0] + across * drawn.plane[:, 1])


def keep_rows(drawn: Drawn, weights: Array, capacity: int) -> Kept:
    """The rows with positive weight, in increasing order, padded to ``capacity`` rows."""
    n = weights.shape[0]
    everything = capacity == n
    rows = jnp.arange(n) if everything else jnp.nonzero(weights, size=capacity, fill_value=n)[0]
    inside = jnp.minimum(rows, n - 1)
    return Kept(
        rows=rows,
        plane=drawn.plane[inside],
        latent=drawn.latent[inside],
        radius=None if drawn.radius is None else drawn.radius[inside],
        labels=jnp.where(drawn.positive[inside], 1.0, -1.0),
        weights=jnp.where(rows < n, weights[inside], 0.0),
        kept=jnp.sum(weights > 0),
    )


def _chi(key: Array, n_samples: int, degrees: int) -> Array:
    """Norms of standard normal vectors of length ``degrees``, shape (n_samples,)."""
    if degrees == 0:
        return jnp.zeros(n_samples, jnp.float64)
    return jnp.sqrt(2 * jax.random.gamma(key, 0.5 * degrees, (n_samples,), jnp.float64))


def draw_rows(key: Array, kept: Kept, plan: Plan) -> Array:
    """Full rows in the plane's basis, shape (rows, n_features), float32.

    Args:
        key: the trial's ``rest`` key.
        kept: some kept rows.
        plan: gives the number of features and the law.
    """
    rest = _shaped(normal_rows(key, kept.rows, plan.n_features - 2), kept, plan)
    return jnp.concatenate([kept.plane.astype(jnp.float32), rest], axis=1)


def draw_columns(key: Array, kept: Kept, plan: Plan) -> Array:
    """The transpose of ``draw_rows``, computed in that order: faster for few features."""
    rest = normal_columns(key, kept.rows, plan.n_features - 2)
    rest = _shaped(rest.T, kept, plan).T
    return jnp.concatenate([kept.plane.astype(jnp.float32).T, rest], axis=0)


def _shaped(rest: Array, kept: Kept, plan: Plan) -> Array:
    """Coordinates outside the plane, shape (rows, d - 2), from normal ones."""
    if kept.radius is not None:
        size = jnp.sqrt(jnp.sum(rest * rest, axis=1))
        scale = kept.radius.astype(jnp.float32) / jnp.where(size > 0, size, 1)
        return rest * scale[:, None]
    return plan.law.shape_rest(kept.latent, rest) if plan.n_features > 2 else rest

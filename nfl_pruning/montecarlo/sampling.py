"""Draw a training set and prune it, without drawing what the pruning throws away.

In a basis whose first vector is the teacher and whose second is the probe's part orthogonal to it,
labels and scores depend on two coordinates of a sample (and on its norm, for scores that ask). So
those are drawn for all n samples, the selection is made, and the other d - 2 coordinates are drawn
for the kept samples alone, from counters that contain the row number: rival rules on the same seed
see the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.links import Link
from nfl_pruning.montecarlo.laws import GaussianLaw
from nfl_pruning.montecarlo.normals import normal_columns, normal_rows
from nfl_pruning.probes import FixedProbe, InSampleProbe, PilotProbe
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import SCORES, Context, Score, binary_logits
from nfl_pruning.selections import PropensitySelection, RankSelection
from nfl_pruning.selections.finite import (
    Counts,
    band_weights,
    propensity_weights,
    realised_counts,
)
from nfl_pruning.validation import InvalidArgumentError

SUPPLIED = frozenset({"input_norm"})  # of the things that a score may need


@dataclass(frozen=True)
class Plan:
    """What is fixed when the simulation is compiled: shapes and functions.

    Attributes:
        n_samples, n_features: size of the data before pruning.
        capacity: number of rows that the kept samples are given; the rest of them is padding.
        link, score: the problem's.
        counts: whole-number strata of a rank selection, or None for a propensity selection.
        selection: a propensity selection, or None.
        keep: which end of the order stays.
        law: law of the inputs.
        pilot: plan of the samples that a pilot probe is fitted to, or None.
        in_sample: whether the probe is fitted to the samples that it scores; all rows are then
            drawn, and the capacity is the number of samples.
    """

    n_samples: int
    n_features: int
    capacity: int
    link: Link
    score: Score
    counts: tuple[Counts, ...] | None
    selection: PropensitySelection | None
    keep: str
    law: GaussianLaw
    pilot: Plan | None = None
    in_sample: bool = False


class Parameters(NamedTuple):
    """The problem's numbers, which may change without recompiling; float64 scalars.

    Attributes:
        scale: teacher margin per unit of the first coordinate.
        alignment, probe_norm: of a fixed probe; not used for others.
        probe_ridge: of a fitted probe; not used for a fixed one.
        keep_fraction, ridge: the problem's.
    """

    scale: Array
    alignment: Array
    probe_norm: Array
    probe_ridge: Array
    keep_fraction: Array
    ridge: Array


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


def make_plan(problem: Problem, n_features: int, law: GaussianLaw | None = None) -> Plan:
    """Shapes and functions for a problem at a finite number of features.

    Raises:
        InvalidArgumentError: nothing would be kept, or the score needs what is not simulated.
    """
    missing = sorted(problem.ranking_score.needs - SUPPLIED)
    if missing:
        raise InvalidArgumentError(
            f"score {problem.ranking_score.name!r} needs {' and '.join(missing)}, which a linear "
            "probe on simulated samples does not have; use one of logits, labels and input norm."
        )
    law = law or GaussianLaw()
    if problem.ranking_score.needs and not law.knows_norm:
        raise InvalidArgumentError(
            f"score {problem.ranking_score.name!r} needs input_norm, which covariate law "
            f"{law.label!r} does not supply; use another score or law."
        )
    n = int(np.floor(problem.samples_per_feature * n_features + 0.5))
    selection, counts, capacity = _shapes(problem, n)
    plan = Plan(
        n, n_features, capacity, problem.teacher.link, problem.ranking_score, counts, selection,
        problem.keep, law,
    )  # fmt: skip
    probe = problem.probe
    if isinstance(probe, PilotProbe):
        if not law.rotates:
            raise InvalidArgumentError(
                f"a pilot probe needs a law of inputs that looks alike in all directions but the "
                f"teacher's; got {law.label!r}."
            )
        size = int(np.floor(probe.samples_per_feature * n_features + 0.5))
        if size < 1:
            raise InvalidArgumentError(
                f"pilot samples_per_feature {probe.samples_per_feature:g} at {n_features} features "
                "gives fewer than one sample."
            )
        pilot = replace(plan, n_samples=size, capacity=size, score=SCORES["random"], selection=None)
        plan = replace(plan, pilot=pilot)
    if isinstance(probe, InSampleProbe):
        plan = replace(plan, in_sample=True, capacity=n)
    return plan


def _shapes(
    problem: Problem, n: int
) -> tuple[PropensitySelection | None, tuple[Counts, ...] | None, int]:
    """Propensity selection, strata and number of rows to provide for the kept samples."""
    selection = problem.selection
    if isinstance(selection, RankSelection):
        counts = realised_counts(selection.strata(problem.keep_fraction), max(n, 1))
        return None, counts, sum(stratum.kept for stratum in counts)
    if not isinstance(selection, PropensitySelection):
        raise InvalidArgumentError(f"protocol {selection.name!r} has no rule for finite samples.")
    r = problem.keep_fraction
    if r * n < 1:
        raise InvalidArgumentError(
            f"keep_fraction {r:g} of {n} samples keeps fewer than one sample."
        )
    spread = 8 * np.sqrt(n * r * (1 - r)) + 8  # beyond it the trial is reported as failed
    return selection, None, min(n, int(np.ceil(r * n + spread)))


def make_numbers(problem: Problem) -> tuple[float, ...]:
    """The problem's numbers in the order of :class:`Parameters`."""
    probe = problem.probe
    if isinstance(probe, FixedProbe):
        about_probe = (probe.alignment, problem.probe_norm, 0.0)
    else:
        about_probe = (0.0, 0.0, probe.ridge)
    return (problem.teacher.scale, *about_probe, problem.keep_fraction, problem.student.ridge)


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

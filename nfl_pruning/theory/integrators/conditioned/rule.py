"""The selections that the compiled solver knows: bands of a monotone order, as arrays.

A score that orders samples by y u (label-aware) or by |u| (label-agnostic) and a selection by
ranks give a keep probability and a weight that are constant between edges in u.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import ndtri

from nfl_pruning.numerics.arrays import library_of
from nfl_pruning.numerics.quadrature import normal_density
from nfl_pruning.numerics.root import implicit
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind, label_probability
from nfl_pruning.theory.integrators.conditioned.geometry import REACH, alone
from nfl_pruning.theory.integrators.conditioned.mesh import Mesh
from nfl_pruning.theory.integrators.conditioned.table import table
from nfl_pruning.theory.probe_fit import ProbeFit

BISECTIONS = 36  # to 3e-10 of a range of 16; one Newton step from there leaves rounding alone


class Setting(NamedTuple):
    """One problem's numbers, float64 scalars (or with batch axes under ``vmap``).

    Attributes:
        samples_per_feature, ridge: as in ``Problem``.
        signal: teacher margin per unit of z.
        alignment: the probe's cosine to the teacher.
        pilot_samples: samples per feature that a pilot probe is fitted on.
        probe_ridge: penalty of a pilot or in-sample probe.
        hardest: 1 where small values of the order come first, 0 where large ones do.
        share, keep, weight: of the selection's bands, first priority first, shape (bands,).
    """

    samples_per_feature: Any
    ridge: Any
    signal: Any
    alignment: Any
    pilot_samples: Any
    probe_ridge: Any
    hardest: Any
    share: Any
    keep: Any
    weight: Any


@dataclass(frozen=True)
class Rule:
    """What is compiled in of a selection.

    Attributes:
        aware: whether the order is by the label's margin y h, rather than by |h|.
        probe: ``"fixed"``, ``"pilot"`` or ``"in-sample"``.
        kept: for each interval between the edges in u, whether any of its samples are kept;
            in-sample probes spend no nodes on the others. None: all, which derivatives in numbers
            of the selection need.
    """

    aware: bool
    probe: str = "fixed"
    kept: tuple[bool, ...] | None = None


def between_edges(aware: bool, values: Any) -> Any:
    """From bands by increasing y u or |u| to the intervals between edges in u, last axis."""
    return (
        values if aware else library_of(values).concatenate([values[..., :0:-1], values], axis=-1)
    )


def banded_cell(
    kind: Kind, setting: Setting, rule: Rule, *, count: int, probe: ProbeFit | None = None
) -> Cell:
    """The problem as arrays; differentiable in every number.

    Args:
        kind: ``labels`` may be (1,) for symmetric links only.
        setting: its numbers.
        rule: the order.
        count: nodes of the integrals that locate thresholds.
        probe: the fit of a probe that has seen the samples, whose training margins are ranked.
    """
    low = setting.hardest > 0.5  # small values of the order come first
    first = jnp.cumsum(setting.share)[:-1]
    below = jnp.where(low, first, 1 - first[::-1])  # shares of small values up to each edge
    if rule.aware:
        edges = [_signed_quantile(kind, setting, share, count) for share in below]
    else:
        pairs = [_interval(kind, setting, share, count=count, probe=probe) for share in below]
        edges = [*(pair[0] for pair in pairs[::-1]), *(pair[1] for pair in pairs)]
    weight = jnp.where(setting.keep > 0, setting.weight, 1.0)

    def rows(values: Array) -> Array:
        ordered = jnp.where(low, values, values[::-1])
        return jnp.tile(between_edges(rule.aware, ordered), (len(kind.labels), 1))

    return Cell(
        setting.samples_per_feature,
        setting.ridge,
        setting.alignment,
        setting.signal,
        jnp.tile(jnp.stack(edges), (len(kind.labels), 1)),
        rows(setting.keep),
        rows(weight),
    )


def _interval(
    kind: Kind, setting: Setting, share: Array, *, count: int, probe: ProbeFit | None
) -> Array:
    """The edges in u of the margins of least size that have a given share, shape (2,)."""
    if probe is None:
        size = ndtri(jnp.clip(0.5 + 0.5 * share, 0.5, 1 - 1e-16))
        return jnp.stack([-1.0, 1.0]) * jnp.minimum(size, REACH)

    def edges(c: Array, probe: ProbeFit) -> Array:
        return jnp.clip(probe.leave_one_out(jnp.stack([-c, c])), -REACH, REACH)

    def inside(c: Array, setting: Setting, probe: ProbeFit) -> Array:
        low, high = edges(c, probe)
        return _below(kind, setting, high, count) - _below(kind, setting, low, count)

    frozen, held = jax.lax.stop_gradient((setting, probe))
    c = _bisect(lambda c: inside(c, frozen, held), share, (jnp.zeros(()), held.widest))
    slope = jnp.sum(
        jax.jvp(lambda c: edges(c, held), (c,), (jnp.ones(()),))[1]
        * jnp.stack([-1.0, 1.0])
        * jnp.stack([_signed_density(kind, frozen, edge, count) for edge in edges(c, held)])
    )
    c = _moving(c, slope, lambda c: inside(c, setting, probe) - share)
    return edges(c, probe)


def _bisect(function, target: Array, ends: tuple[Array, Array]) -> Array:
    """Where an increasing function reaches the target, without derivatives."""
    target = jax.lax.stop_gradient(target)

    def halve(_, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        short = function(middle) < target
        return jnp.where(short, middle, low), jnp.where(short, high, middle)

    low, high = jax.lax.fori_loop(0, BISECTIONS, halve, ends)
    return jax.lax.stop_gradient(0.5 * (low + high))


def _moving(t: Array, slope: Array, excess: Callable[[Array], Array]) -> Array:
    """A root with its derivatives; at the ends of the range, where the slope is 0, it rests."""
    moves = slope > 1e-13
    root = implicit(
        t[None],
        jnp.where(moves, slope, 1.0)[None, None],
        lambda x: jnp.where(moves, excess(x[0]), x[0] - t)[None],
    )
    return root[0]


def _edge_cell(kind: Kind, setting: Setting, t: Array) -> Cell:
    """A cell with one edge at t, for its masses alone."""
    rows = len(kind.labels)
    zero, unused = jnp.zeros(()), jnp.zeros((rows, 2))
    return Cell(
        zero, zero, setting.alignment, setting.signal, jnp.full((rows, 1), t), unused, unused
    )


def _point() -> Mesh:
    """No student: one node at x = 0."""
    return Mesh(jnp.zeros(1), jnp.ones(1), None)


def _below(kind: Kind, setting: Setting, t: Array, count: int) -> Array:
    """P(y u < t)."""
    cell = _edge_cell(kind, setting, t)
    found = table(kind, cell, alone(setting.alignment), _point(), count=count)
    return jnp.sum(found.below[..., 0])


def _signed_quantile(kind: Kind, setting: Setting, share: Array, count: int) -> Array:
    """The t with P(y u < t) = share, within +-REACH."""
    frozen = jax.lax.stop_gradient(setting)
    ends = (jnp.full_like(share, -REACH), jnp.full_like(share, REACH))
    t = _bisect(lambda t: _below(kind, frozen, t, count), share, ends)
    slope = _signed_density(kind, frozen, t, count)
    return _moving(t, slope, lambda t: _below(kind, setting, t, count) - share)


def _signed_density(kind: Kind, setting: Setting, t: Array, count: int) -> Array:
    """Density of y u at t."""
    if kind.perfect:
        margin = setting.signal * setting.alignment * t
        probability = sum(label_probability(kind, label, margin) for label in kind.labels)
        return probability * normal_density(t)
    geo = alone(setting.alignment)
    found = table(kind, _edge_cell(kind, setting, t), geo, _point(), count=count)
    return jnp.sum(found.at) / geo.sd

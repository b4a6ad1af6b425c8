"""The selections that the compiled solver knows: two bands of a monotone order, as arrays.

A score that orders samples by y u (label-aware) or by |u| (label-agnostic) and a protocol that
keeps the first ``exploit * keep_fraction`` for certain and explores the rest give a keep
probability and a weight that are constant between one or two edges in u. Threshold pruning is
exploit = 1, random pruning exploit = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import ndtri

from nfl_pruning.numerics.quadrature import normal_density
from nfl_pruning.numerics.root import implicit
from nfl_pruning.theory.fast.cell import Cell, Kind, label_probability
from nfl_pruning.theory.fast.geometry import REACH, alone
from nfl_pruning.theory.fast.memory import Probe, margin_of_widest, margin_to_u
from nfl_pruning.theory.fast.mesh import Mesh
from nfl_pruning.theory.fast.table import table

BISECTIONS = 48


class Setting(NamedTuple):
    """One problem's numbers, float64 scalars (or with batch axes under ``vmap``).

    Attributes:
        samples_per_feature, ridge, keep_fraction: as in ``Problem``.
        signal: teacher margin per unit of z.
        alignment: the probe's cosine to the teacher.
        exploit: share of the budget kept by score: 1 for threshold, 0 for random pruning.
        exponent: explored samples weigh the inverse of their keep probability to this power.
        pilot_samples: samples per feature that a pilot probe is fitted on.
        probe_ridge: penalty of a pilot or in-sample probe.
        hardest: 1 where small values of the order come first, 0 where large ones do.
    """

    samples_per_feature: Any
    ridge: Any
    keep_fraction: Any
    signal: Any
    alignment: Any
    exploit: Any
    exponent: Any
    pilot_samples: Any
    probe_ridge: Any
    hardest: Any


def _bands(setting: Setting) -> tuple[Array, Array, Array]:
    """Share of the first band, keep probability and weight in the second."""
    share = setting.exploit * setting.keep_fraction
    rest = jnp.maximum(1 - share, 1e-300)
    explored = (1 - setting.exploit) * setting.keep_fraction / rest
    kept = explored > 0
    weight = jnp.where(kept, jnp.where(kept, explored, 1.0) ** -setting.exponent, 1.0)
    return share, explored, weight


@dataclass(frozen=True)
class Rule:
    """What is compiled in of a selection.

    Attributes:
        aware: whether the order is by the label's margin y h, rather than by |h|.
        probe: ``"fixed"``, ``"pilot"`` or ``"in-sample"``.
        kept: for each band between the edges in u, whether any of its samples are kept; in-sample
            probes spend no nodes on the others. None: all, which derivatives in the exploited share
            need.
    """

    aware: bool
    probe: str = "fixed"
    kept: tuple[bool, ...] | None = None


def first_bands(aware: bool, *, hardest: bool) -> tuple[bool, ...]:
    """Which of the bands between the edges in u come first in the order."""
    return (hardest, not hardest) if aware else (not hardest, hardest, not hardest)


def two_bands(
    kind: Kind, setting: Setting, rule: Rule, *, count: int, probe: Probe | None = None
) -> Cell:
    """The problem as arrays; differentiable in every number.

    Args:
        kind: ``labels`` may be (1,) for symmetric links only.
        setting: its numbers.
        rule: the order.
        count: nodes of the integrals that locate thresholds.
        probe: the fit of a probe that has seen the samples, whose training margins are ranked.
    """
    share, explored, weight = _bands(setting)
    low = setting.hardest > 0.5  # the inner band comes first
    inner = jnp.where(low, share, 1 - share)
    if rule.aware:
        edges = _signed_quantile(kind, setting, inner, count)[None]
    else:
        edges = _interval(kind, setting, inner, count=count, probe=probe)
    ends = (jnp.array(first_bands(rule.aware, hardest=end)) for end in (True, False))
    first = jnp.where(low, *ends)
    rows = len(kind.labels)
    return Cell(
        setting.samples_per_feature,
        setting.ridge,
        setting.alignment,
        setting.signal,
        jnp.tile(edges, (rows, 1)),
        jnp.tile(jnp.where(first, 1.0, explored), (rows, 1)),
        jnp.tile(jnp.where(first, 1.0, weight), (rows, 1)),
    )


def _interval(
    kind: Kind, setting: Setting, share: Array, *, count: int, probe: Probe | None
) -> Array:
    """The edges in u of the margins of least size that have a given share, shape (2,)."""
    if probe is None:
        size = ndtri(jnp.clip(0.5 + 0.5 * share, 0.5, 1 - 1e-16))
        return jnp.stack([-1.0, 1.0]) * jnp.minimum(size, REACH)

    def edges(c: Array, probe: Probe) -> Array:
        return jnp.clip(margin_to_u(probe, jnp.stack([-c, c])), -REACH, REACH)

    def inside(c: Array, setting: Setting, probe: Probe) -> Array:
        low, high = edges(c, probe)
        return _below(kind, setting, high, count) - _below(kind, setting, low, count)

    frozen, memory = jax.lax.stop_gradient((setting, probe))
    widest = margin_of_widest(memory)
    c = _bisect(lambda c: inside(c, frozen, memory), share, (jnp.zeros(()), widest))
    slope = jnp.sum(
        jax.jvp(lambda c: edges(c, memory), (c,), (jnp.ones(()),))[1]
        * jnp.stack([-1.0, 1.0])
        * jnp.stack([_signed_density(kind, frozen, edge, count) for edge in edges(c, memory)])
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
        chance = sum(label_probability(kind, label, margin) for label in kind.labels)
        return chance * normal_density(t)
    geo = alone(setting.alignment)
    found = table(kind, _edge_cell(kind, setting, t), geo, _point(), count=count)
    return jnp.sum(found.at) / geo.sd

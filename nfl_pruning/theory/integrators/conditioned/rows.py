"""Quadrature in (u, xi) for probes fitted on the samples that they score.

The selection jumps at places in u, where panels end. The uniform rule has Gauss-Legendre nodes in u
between them and trapezoidal ones in xi. The graded rule has panels that shrink towards the lines
along which the integrand varies fast: the rise of the link, and the bends of both proximal maps.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.losses import LOSSES
from nfl_pruning.numerics.quadrature import gauss_legendre, normal_density
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind
from nfl_pruning.theory.integrators.conditioned.geometry import REACH
from nfl_pruning.theory.integrators.conditioned.mesh import (
    PANEL_NODES,
    Nodes,
    graded,
    link_rises,
    panel_rule,
    uniform,
)
from nfl_pruning.theory.probe_fit import ProbeFit
from nfl_pruning.theory.state import State, across_share

FLAT = 1e-9


class Rows(NamedTuple):
    """Nodes for one label.

    Attributes:
        u: folded, shape (rows,).
        keep: keep probability times quadrature weight and density. omega: weight of a kept sample.
        pull: derivative of the probe's own training loss, y f_1.
        xi, xi_weight: nodes and weights times density, shape (rows, nodes) or (1, nodes).
    """

    u: Array
    keep: Array
    omega: Array
    pull: Array
    xi: Array
    xi_weight: Array


def build_rows(
    kind: Kind,
    cell: Cell,
    probe: ProbeFit,
    *,
    kept: tuple[bool, ...] | None,
    unknowns: Array,
    nodes: Nodes,
) -> list[Rows]:
    """Rows for every label.

    Args:
        kind: what is compiled in.
        cell: the problem, with edges in u.
        probe: its own fit.
        kept: of ``Rule``; the uniform rule alone reads it.
        unknowns: the root, or what is known of it; the graded rule alone reads it.
        nodes: the resolution.
    """
    return [
        _label(kind, cell, probe, i=i, kept=kept, unknowns=unknowns, nodes=nodes)
        for i in range(len(kind.labels))
    ]


def _label(
    kind: Kind,
    cell: Cell,
    probe: ProbeFit,
    *,
    i: int,
    kept: tuple[bool, ...] | None,
    unknowns: Array,
    nodes: Nodes,
) -> Rows:
    cuts = jnp.clip(cell.edges[i], -REACH, REACH)
    held_cell, held_probe, x = jax.lax.stop_gradient((cell, probe, unknowns))
    if nodes.graded:
        edges = _u_edges(kind, held_cell, held_probe, x, nodes.zeta // PANEL_NODES)
        u, weight = panel_rule(jnp.sort(jnp.concatenate([edges, cuts])))
    else:
        bands = np.flatnonzero(kept or [True] * (len(cuts) + 1))
        u, weight = _between(cuts, bands, max(8, nodes.zeta))
    stratum = jnp.sum(u[:, None] > cuts, axis=1)
    own = LOSSES["logistic"].prox_residual(probe.sigma * u, probe.step) / probe.step
    if nodes.graded:
        rows = jax.lax.stop_gradient((u, cell.omega[i][stratum], own))
        xi, xi_weight = panel_rule(_xi_edges(kind, held_cell, x, rows, i=i, nodes=nodes))
    else:
        xi, xi_weight = (part[None] for part in uniform(nodes.x))
    return Rows(u, weight * cell.keep[i][stratum], cell.omega[i][stratum], own, xi, xi_weight)


def _between(cuts: Array, bands: np.ndarray, count: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes in bands between cuts and normal weights, shape (bands * count,)."""
    t, w = gauss_legendre(count)
    ends = jnp.full(1, REACH)
    edges = jnp.concatenate([-ends, cuts, ends])
    half, middle = 0.5 * jnp.diff(edges)[bands], 0.5 * (edges[1:] + edges[:-1])[bands]
    u = (middle[:, None] + half[:, None] * t).ravel()
    return u, (half[:, None] * w).ravel() * normal_density(u)


def _u_edges(kind: Kind, cell: Cell, probe: ProbeFit, x: Array, panels: int) -> Array:
    state = State.unpack(x)
    places, widths = link_rises(kind, cell)
    lean = jnp.maximum(jnp.abs(cell.rho), FLAT)
    rise_at = jnp.where(cell.rho < 0, -1.0, 1.0) * places / lean
    rise = jnp.sqrt(widths**2 + 1 - cell.rho**2) / lean
    bend = jnp.hypot(1.0, state.spread) / jnp.maximum(jnp.abs(state.along), FLAT)
    own = jnp.stack([-jnp.ones(()), jnp.zeros(())]) * probe.step / probe.sigma
    own_width = jnp.full(2, (1 + jnp.log1p(probe.step)) / probe.sigma)
    centres = jnp.concatenate([rise_at, jnp.zeros(2), own])
    return graded(
        centres, jnp.concatenate([rise, jnp.stack([bend, 0.5 + 0 * bend]), own_width]), panels
    )


def _xi_edges(
    kind: Kind, cell: Cell, x: Array, rows: tuple[Array, Array, Array], *, i: int, nodes: Nodes
) -> Array:
    """Panel edges in xi for every row, shape (rows, panels + 1)."""
    u, omega, own = (part[:, None] for part in rows)
    state = State.unpack(x)
    a_p, kappa, s, perp = state.across, state.step, state.spread, across_share(cell.rho)
    places, widths = link_rises(kind, cell)
    lean = jnp.maximum(perp * jnp.abs(a_p) / s, FLAT)
    rise_at = jnp.where(a_p < 0, -1.0, 1.0) * (places - cell.rho * u) / lean
    rise = jnp.hypot(widths, perp * state.noise / s) / lean
    steps = kappa * omega * jnp.array([0.0, -1.0])
    bend_at = (steps - state.along * u - state.shift * own) / s
    bend = (1 + jnp.log1p(kappa * jnp.max(cell.omega[i]))) / s
    centres = jnp.concatenate([rise_at, bend_at], axis=1)
    return graded(centres, jnp.concatenate([rise, jnp.full(2, bend)]), nodes.x // PANEL_NODES)

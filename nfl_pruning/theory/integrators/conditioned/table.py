"""Integrals over the teacher's and the probe's margin, given the student's.

Let x be the student's margin in units of its standard deviation. Given x, z = c_z x + s_z zeta, and
u = c_u x + d zeta + sd * noise. A selection that is constant between edges in u is integrated over
the noise in closed form, so that one integral over zeta is left for every x: by the trapezoidal
rule, which converges geometrically on functions that are analytic and decay like a normal density;
where a link jumps or the probe is perfect, by Gauss-Legendre rules between the jumps.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from nfl_pruning.numerics.quadrature import normal_cdf, normal_density
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind, label_probability
from nfl_pruning.theory.integrators.conditioned.geometry import REACH, Geometry
from nfl_pruning.theory.integrators.conditioned.mesh import PANEL_NODES, Mesh, panel_rule, uniform


def z_breaks(kind: Kind, cell: Cell, i: int) -> Array:
    """Places in folded z where the integrand of the i-th label jumps, sorted; shape (breaks,)."""
    label = kind.labels[i]
    sharp = [label * location for location, width, _ in kind.steps if width == 0]
    scale = jnp.maximum(cell.scale, 1e-12)
    places = [jnp.asarray(location) / scale for location in sharp]
    if kind.perfect:
        places += list(cell.edges[i] * cell.rho)
    return jnp.sort(jnp.stack(places)) if places else jnp.zeros(0)


def _zeta_nodes(breaks: Array, geo: Geometry, mesh: Mesh, count: int) -> tuple[Array, Array]:
    """Nodes and normal weights in zeta, shape (x, nodes) or (nodes,); panels end on the breaks."""
    if mesh.edges is None and not len(breaks):
        return uniform(count)
    jumps = jnp.clip((breaks - geo.c_z * mesh.x[:, None]) / geo.s_z, -REACH, REACH)
    if mesh.edges is None:
        inner = jnp.linspace(-REACH, REACH, max(2, count // PANEL_NODES // (len(breaks) + 1) + 1))
        edges = jnp.broadcast_to(inner, (len(mesh.x), len(inner)))
    else:
        edges = mesh.edges
    return panel_rule(jnp.sort(jnp.concatenate([edges, jumps], axis=1), axis=1))


class Table(NamedTuple):
    """Moments over zeta and the noise for every label, x and edge.

    Attributes:
        whole: integrals of g (1, zeta), shape (labels, x, 2), g the label's probability.
        below: the same for u below each edge, shape (labels, edges, x, 2).
        at: density of the noise at each edge, shape (labels, edges, x).
    """

    whole: Array
    below: Array
    at: Array


def table(kind: Kind, cell: Cell, geo: Geometry, mesh: Mesh, *, count: int) -> Table:
    """The integrals over zeta for every x of the mesh.

    Args:
        kind: what is compiled in.
        cell: the problem.
        geo: the law of (x, u, z).
        mesh: where to integrate.
        count: nodes in zeta of a uniform rule.
    """
    parts = [_one_label(kind, cell, i, geo=geo, mesh=mesh, count=count) for i in _labels(kind)]
    return Table(*(jnp.stack(part) for part in zip(*parts, strict=True)))


def _labels(kind: Kind) -> range:
    return range(len(kind.labels))


def _one_label(kind: Kind, cell: Cell, i: int, *, geo: Geometry, mesh: Mesh, count: int) -> Table:
    x = mesh.x
    zeta, weights = _zeta_nodes(z_breaks(kind, cell, i), geo, mesh, count)
    z = geo.c_z * x[:, None] + geo.s_z * zeta
    mass = label_probability(kind, kind.labels[i], cell.scale * z) * weights
    zeta = jnp.broadcast_to(zeta, mass.shape)
    if kind.perfect:
        low = (cell.rho * z < cell.edges[i][:, None, None]) * mass
        dense = jnp.zeros(low.shape[:2])
    else:
        gap = cell.edges[i][:, None, None] - geo.c_u * x[:, None] - geo.d * zeta
        gap = gap / geo.sd
        low = mass * normal_cdf(gap)
        dense = jnp.sum(mass * normal_density(gap), axis=-1)
    return Table(_moments(mass, zeta), _moments(low, zeta), dense)


def _moments(mass: Array, zeta: Array) -> Array:
    """Sums of (1, zeta) times the mass over the last axis."""
    return jnp.stack([jnp.sum(mass, axis=-1), jnp.sum(mass * zeta, axis=-1)], axis=-1)


class Bands(NamedTuple):
    """Per label, stratum and x: P, E[u], E[z] on the stratum; shapes (labels, strata, x)."""

    mass: Array
    u: Array
    z: Array


def bands(found: Table, geo: Geometry, x: Array) -> Bands:
    """Differences of a table between neighbouring edges, as moments of 1, u and z."""
    zero = jnp.zeros_like(found.whole[:, None])
    steps = jnp.diff(jnp.concatenate([zero, found.below, found.whole[:, None]], axis=1), axis=1)
    mass, zeta = steps[..., 0], steps[..., 1]
    zero = jnp.zeros_like(zero[..., 0])
    at = jnp.diff(jnp.concatenate([zero, found.at, zero], axis=1), axis=1)
    u = geo.c_u * x * mass + geo.d * zeta - geo.sd * at
    return Bands(mass, u, geo.c_z * x * mass + geo.s_z * zeta)

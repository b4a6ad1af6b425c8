"""Quadrature in (x, zeta): a uniform rule where it suffices, graded panels elsewhere.

The uniform rule is the trapezoidal one, which converges geometrically for integrands that are
analytic in a strip and decay like a normal density. The strip narrows where the student's norm is
large (the proximal map bends within pi / norm), where the link is steep, and where much data leaves
little noise, so that x and z all but determine u. There Gauss-Legendre panels shrink towards the
layers.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.numerics.quadrature import gauss_legendre, graded_edges, normal_density
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind
from nfl_pruning.theory.integrators.conditioned.geometry import REACH, Geometry, direction, geometry
from nfl_pruning.theory.state import State

PANEL_NODES = 8
TINY = 1e-6


class Nodes(NamedTuple):
    """A resolution: nodes in x and in zeta; graded panels or a uniform rule."""

    x: int
    zeta: int
    graded: bool = False

    @property
    def threshold(self) -> int:
        """Nodes for locating thresholds, an integral over one variable."""
        return (8 if self.graded else 4) * self.zeta

    def finer(self) -> Nodes:
        """Twice as many in each direction for the uniform rule, 1.5 times for graded panels."""
        factor = 1.5 if self.graded else 2
        return Nodes(int(factor * self.x), int(factor * self.zeta), self.graded)


class Mesh(NamedTuple):
    """Where to integrate; no derivative flows through it.

    Attributes:
        x, weight: nodes and normal weights in x, shape (x,).
        edges: panel edges in zeta of shape (x, panels + 1), or None for the uniform rule.
    """

    x: Array
    weight: Array
    edges: Array | None


def uniform(count: int) -> tuple[Array, Array]:
    """Trapezoidal nodes and normal weights on +-REACH, each of shape (count,)."""
    width = 2 * REACH / count
    nodes = (jnp.arange(count) + 0.5) * width - REACH
    return nodes, width * normal_density(nodes)


def panel_rule(edges: Array) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and normal weights on panels, shape (..., panels * nodes)."""
    t, w = gauss_legendre(PANEL_NODES)
    half = 0.5 * (edges[..., 1:] - edges[..., :-1])[..., None]
    middle = 0.5 * (edges[..., 1:] + edges[..., :-1])[..., None]
    shape = (*edges.shape[:-1], -1)
    nodes = (middle + half * t).reshape(shape)
    return nodes, (half * w).reshape(shape) * normal_density(nodes)


def build_mesh(kind: Kind, cell: Cell, unknowns: Array, nodes: Nodes) -> Mesh:
    """The mesh for a cell whose root is near ``unknowns``.

    Args:
        kind: what is compiled in.
        cell: the problem.
        unknowns: the root, or what is known of it; graded panels alone read it.
        nodes: the resolution.
    """
    if not nodes.graded:
        return Mesh(*uniform(nodes.x), None)
    cell, unknowns = jax.lax.stop_gradient((cell, unknowns))
    norm, unit = direction(unknowns)
    geo = geometry(unit, cell.rho)
    layers = _layers(kind, cell)
    bends = _bends(cell, norm, State.unpack(unknowns).step)
    across = _x_features(geo, layers)
    centres, widths = (jnp.concatenate(pair) for pair in zip(bends, across, strict=True))
    x, weight = panel_rule(graded(centres, widths, nodes.x // PANEL_NODES))
    rows = _zeta_features(geo, layers, x)
    return Mesh(x, weight, graded(*rows, nodes.zeta // PANEL_NODES))


def graded(centres: Array, widths: Array, panels: int) -> Array:
    """Panel edges on +-REACH that shrink towards layers, shape (..., panels + 1)."""
    return graded_edges(
        jnp.clip(centres, -30.0, 30.0), jnp.clip(widths, 1e-6, 1e3), n_panels=panels, limit=REACH
    )


class _Layers(NamedTuple):
    """Lines along which the integrand varies fast: rises of the link, edges of the selection.

    Attributes:
        z, z_width: places and widths of the rises in z, shape (rises,).
        u: places of the edges in u, shape (edges,).
    """

    z: Array
    z_width: Array
    u: Array


def _layers(kind: Kind, cell: Cell) -> _Layers:
    return _Layers(*link_rises(kind, cell), cell.edges.ravel())


def link_rises(kind: Kind, cell: Cell) -> tuple[Array, Array]:
    """Places and widths of the link's rises in the folded z, for all labels; shape (rises,)."""
    scale = jnp.maximum(cell.scale, 1e-12)
    folded = [(label * place, width) for label in kind.labels for place, width in kind.link.rises]
    places, widths = (jnp.asarray(part, float) / scale for part in zip(*folded, strict=True))
    return places, widths


def _bends(cell: Cell, norm: Array, kappa: Array) -> tuple[Array, Array]:
    """Where the proximal map bends in x: at margin 0, and one full step on the wrong side."""
    steps = kappa * cell.omega.ravel()
    centres = jnp.concatenate([jnp.zeros(1), -steps / norm])
    return centres, jnp.full(centres.shape, 1.0) * (2 / norm)


def _x_features(geo: Geometry, layers: _Layers) -> tuple[Array, Array]:
    """Places and widths in x of what is left of the lines once zeta is integrated out."""
    c_z, c_u = _away(geo.c_z), _away(geo.c_u)
    rise = (layers.z / c_z, jnp.hypot(layers.z_width, geo.s_z) / jnp.abs(c_z))
    cut = (
        layers.u / c_u,
        jnp.full(layers.u.shape, jnp.sqrt(geo.d**2 + geo.sd**2) / jnp.abs(c_u)),
    )
    # Where a rise and an edge meet in zeta.
    d = _away(geo.d)
    slope = _away(geo.c_z / geo.s_z - geo.c_u / d)
    where = layers.z[:, None] / geo.s_z - layers.u / d
    width = layers.z_width[:, None] / geo.s_z + geo.sd / jnp.abs(d) + 0 * layers.u
    meet = ((where / slope).ravel(), (width / jnp.abs(slope)).ravel())
    parts = zip(rise, cut, meet, strict=True)
    centres, widths = (jnp.concatenate(part) for part in parts)
    return centres, widths


def _zeta_features(geo: Geometry, layers: _Layers, x: Array) -> tuple[Array, Array]:
    """Places and widths of the lines in zeta for every x, shape (x, features)."""
    x = x[:, None]
    d = _away(geo.d)
    rise = (layers.z - geo.c_z * x) / geo.s_z
    cut = (layers.u - geo.c_u * x) / d
    widths = jnp.concatenate(
        [layers.z_width / geo.s_z, jnp.full(layers.u.shape, geo.sd / jnp.abs(d))]
    )
    return jnp.concatenate([rise, cut], axis=1), widths


def _away(value: Array) -> Array:
    """The value, kept off 0."""
    return jnp.where(value < 0, -1.0, 1.0) * jnp.maximum(jnp.abs(value), TINY)

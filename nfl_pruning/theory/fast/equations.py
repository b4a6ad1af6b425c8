"""The four equations of :mod:`nfl_pruning.theory.equations`, on the tables of this package.

Unknowns are (a_u, a_p, log tau, log kappa). With D = pi (v - h), E[u_perp D] and E[G D] follow from
E[z D] and E[v D], since z = rho u + sqrt(1 - rho^2) u_perp and v = a_u u + a_p u_perp + tau G.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.numerics.root import with_jacobian
from nfl_pruning.theory.fast.cell import Cell, Kind
from nfl_pruning.theory.fast.geometry import alone, direction, geometry
from nfl_pruning.theory.fast.mesh import Mesh
from nfl_pruning.theory.fast.table import Bands, bands, table


def masses(kind: Kind, cell: Cell, count: int = 192) -> Bands:
    """P, E[u] and E[z] of every stratum under the data law; shapes (labels, strata)."""
    geo, point = alone(cell.rho), Mesh(jnp.zeros(1), jnp.ones(1), None)
    found = bands(table(kind, cell, geo, point, count=count), geo, point.x)
    return Bands(*(part[..., 0] for part in found))


def _moments(kind: Kind, cell: Cell, unknowns: Array, *, found: Bands, mesh: Mesh) -> Array:
    """E[D (u, z, v, D)], shape (4,)."""
    margin = direction(unknowns)[0] * mesh.x
    step = jnp.exp(unknowns[3]) * cell.omega[..., None]
    pull = kind.loss.pull(margin, step)
    kept = cell.keep[..., None] * pull * mesh.weight
    parts = (found.u, found.z, margin * found.mass, pull * found.mass)
    return jnp.stack([jnp.sum(kept * part) for part in parts])


def residual(kind: Kind, cell: Cell, unknowns: Array, *, moments: Array, size: Array) -> Array:
    """The equations, scaled to order one; ``size`` is the kept weight."""
    a_u, a_p, tau, kappa = unknowns[0], unknowns[1], jnp.exp(unknowns[2]), jnp.exp(unknowns[3])
    u_d, z_d, v_d, square = moments
    norm = jnp.sqrt(a_u**2 + a_p**2 + tau**2)
    scale = jax.lax.stop_gradient(size + cell.ridge * norm)
    if kind.perfect:  # nothing distinguishes u_perp from the noise
        across, p_d = a_p, 0.0
    else:
        p_d = (z_d - cell.rho * u_d) / jnp.sqrt(1 - cell.rho**2)
        across = (p_d / kappa + cell.ridge * a_p) / scale
    noise_d = (v_d - a_u * u_d - a_p * p_d) / tau
    return jnp.stack(
        [
            (u_d / kappa + cell.ridge * a_u) / scale,
            across,
            cell.delta * noise_d / tau - (1 - cell.delta * cell.ridge * kappa),
            cell.delta * square / tau**2 - 1,
        ]
    )


def kept_weight(cell: Cell, law: Bands) -> Array:
    """E[pi omega]."""
    return jnp.sum(cell.keep * cell.omega * law.mass)


class Integral(NamedTuple):
    """How the equations are integrated, and the kept weight that scales them."""

    mesh: Mesh
    zeta: int
    size: Array


def value_and_kept(kind: Kind, cell: Cell, unknowns: Array, how: Integral) -> tuple[Array, Array]:
    """The residual, shape (4,), and the share of all samples that the same nodes keep."""
    _, unit = direction(unknowns)
    geo = geometry(unit, cell.rho)
    found = bands(table(kind, cell, geo, how.mesh, count=how.zeta), geo, how.mesh.x)
    moments = _moments(kind, cell, unknowns, found=found, mesh=how.mesh)
    kept = jnp.sum(cell.keep[..., None] * found.mass * how.mesh.weight)
    return residual(kind, cell, unknowns, moments=moments, size=how.size), kept


def _tangents(unit: Array) -> Array:
    """Two unit vectors orthogonal to ``unit`` and to each other, shape (2, 3)."""
    least = jnp.zeros(3).at[jnp.argmin(jnp.abs(unit))].set(1.0)
    first = least - unit * jnp.sum(unit * least)
    first = first / jnp.linalg.norm(first)
    return jnp.stack([first, jnp.cross(unit, first)])


def value_and_jacobian(
    kind: Kind, cell: Cell, unknowns: Array, how: Integral
) -> tuple[Array, Array]:
    """The residual and its Jacobian in the unknowns, shapes (4,) and (4, 4).

    The costly table depends on the student's direction alone, two parameters on the sphere; it
    is differentiated in those, and the rest of the Jacobian follows on the nodes in x.
    """
    _, unit = direction(unknowns)
    frame = _tangents(unit)

    def turned(angles: Array) -> Bands:
        moved = unit + angles @ frame
        geo = geometry(moved / jnp.linalg.norm(moved), cell.rho)
        return bands(table(kind, cell, geo, how.mesh, count=how.zeta), geo, how.mesh.x)

    here, slopes = with_jacobian(turned, jnp.zeros(2))

    def whole(unknowns: Array) -> Array:
        angles = frame @ (direction(unknowns)[1] - unit)
        found = Bands(*(at + slope @ angles for at, slope in zip(here, slopes, strict=True)))
        moments = _moments(kind, cell, unknowns, found=found, mesh=how.mesh)
        return residual(kind, cell, unknowns, moments=moments, size=how.size)

    return with_jacobian(whole, unknowns)

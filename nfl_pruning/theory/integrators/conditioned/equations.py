"""The moments of the limit equations on the tables of this package.

With D = pi (v - h), E[u_perp D] and E[G D] follow from E[z D] and E[v D], since z = rho u +
sqrt(1 - rho^2) u_perp and v = a_u u + a_p u_perp + tau G.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from nfl_pruning.numerics.root import with_jacobian
from nfl_pruning.theory.closing import Terms, isotropic
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind
from nfl_pruning.theory.integrators.conditioned.geometry import alone, direction, geometry
from nfl_pruning.theory.integrators.conditioned.mesh import Mesh
from nfl_pruning.theory.integrators.conditioned.table import Bands, bands, table
from nfl_pruning.theory.state import Moments, State


def masses(kind: Kind, cell: Cell, count: int = 192) -> Bands:
    """P, E[u] and E[z] of every stratum under the data law; shapes (labels, strata)."""
    geo, point = alone(cell.rho), Mesh(jnp.zeros(1), jnp.ones(1), None)
    found = bands(table(kind, cell, geo, point, count=count), geo, point.x)
    return Bands(*(part[..., 0] for part in found))


def _moments(kind: Kind, cell: Cell, state: State, *, found: Bands, mesh: Mesh) -> Moments:
    """Moments of a student from those of u and z on every band, given its own margin x."""
    margin, kappa = state.norm * mesh.x, state.step
    pull = kind.loss.prox_residual(margin, kappa * cell.omega[..., None])  # eq. (2)
    kept = cell.keep[..., None] * pull * mesh.weight
    parts = (found.u, found.z, margin * found.mass, pull * found.mass)
    u_d, z_d, v_d, square = (jnp.sum(kept * part) for part in parts)
    left = v_d - state.along * u_d  # E[(a_p u_perp + tau G) D]
    if kind.perfect:  # nothing distinguishes u_perp from the noise: shares of a_p^2 + tau^2
        per_unit = left / state.spread**2
        p_d, noise_d = state.across * per_unit, state.noise * per_unit
    else:
        p_d = (z_d - cell.rho * u_d) / jnp.sqrt(1 - cell.rho**2)
        noise_d = (left - state.across * p_d) / state.noise
    unseen = jnp.zeros_like(kappa)
    return Moments(u_d / kappa, p_d / kappa, noise_d / kappa, square / kappa**2, unseen)


def _residual(kind: Kind, cell: Cell, x: Array, *, found: Bands, how: Integral) -> Array:
    state = State.unpack(x)
    terms = Terms(cell.delta, cell.ridge, cell.rho, how.size, isotropic(cell.delta, None))
    moments = _moments(kind, cell, state, found=found, mesh=how.mesh)
    return terms.closing.residual(state, moments, terms)


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
    kept = jnp.sum(cell.keep[..., None] * found.mass * how.mesh.weight)
    return _residual(kind, cell, unknowns, found=found, how=how), kept


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
        return _residual(kind, cell, unknowns, found=found, how=how)

    return with_jacobian(whole, unknowns)

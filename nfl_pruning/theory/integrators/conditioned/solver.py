"""Newton's method on the compiled equations, with an error estimate from a finer quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.numerics.root import Evaluate, Found, implicit
from nfl_pruning.theory.closing import Linear, isotropic
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind
from nfl_pruning.theory.integrators.conditioned.equations import (
    Integral,
    kept_weight,
    masses,
    value_and_jacobian,
    value_and_kept,
)
from nfl_pruning.theory.integrators.conditioned.mesh import Nodes, build_mesh
from nfl_pruning.theory.integrators.conditioned.path import Reached, easy_ridge, follow, root
from nfl_pruning.theory.integrators.conditioned.table import Bands
from nfl_pruning.theory.state import Moments, across_share

COARSE, FEW = Nodes(48, 48), Nodes(24, 24)


class Answer(NamedTuple):
    """A solved cell.

    Attributes:
        x: unknowns (a_u, a_p, log tau, log kappa) on the finer quadrature, shape (4,), or (5,)
            with chi for an in-sample probe; differentiable in the cell.
        coarse: on the one that Newton's method used.
        residual: largest entry there.
        evaluations: of the equations and their Jacobian.
        kept: share of all samples that the nodes of the finer quadrature keep.
    """

    x: Array
    coarse: Array
    residual: Array
    evaluations: Array
    kept: Array


def start(kind: Kind, cell: Cell, law: Bands) -> Array:
    """The fit linearised at theta = 0, exact for a large ridge; shape (4,)."""
    slope, kept = kind.loss.slope_at_zero, kept_weight(cell, law)
    at_zero = Moments(
        -slope * jnp.sum(cell.keep * cell.omega * law.u),
        -0.3 * slope * kept * across_share(cell.rho),
        jnp.zeros(()),
        slope**2 * jnp.sum(cell.keep * cell.omega**2 * law.mass),
        jnp.zeros(()),
    )
    linear = Linear(cell.delta, cell.ridge, slope**2 * kept, cell.rho, at_zero)
    return isotropic(cell.delta, None).start(linear).pack()


def remeshed(make: Callable[[Array, Nodes], Evaluate], first: Reached, nodes: Nodes) -> Found:
    """A root at a resolution; graded meshes are built at an earlier root, twice over.

    Args:
        make: (where the mesh is built, resolution) -> the equations on it.
        first: where to start.
        nodes: the resolution.
    """
    if not nodes.graded:
        return root(make(first.x, nodes), first.x, most=first.most)
    near = root(make(first.x, COARSE), first.x, most=first.most)

    def again(_, found: Found) -> Found:
        return root(make(found.x, nodes), found.x, most=first.most)

    return jax.lax.fori_loop(0, 2, again, near)


def _near(kind: Kind, cell: Cell, law: Bands, *, size: Array, patient: bool) -> Reached:
    """A root on few nodes, by continuation in the ridge where Newton's method fails."""
    how = Integral(build_mesh(kind, cell, jnp.zeros(4), FEW), FEW.zeta, size)
    return follow(
        lambda ridge: lambda x: value_and_jacobian(kind, cell._replace(ridge=ridge), x, how),
        lambda ridge: start(kind, cell._replace(ridge=ridge), law),
        ends=(easy_ridge(cell.ridge), cell.ridge),
        patient=patient,
    )


def solve_cell(
    kind: Kind,
    rough: Cell,
    cell: Cell,
    *,
    nodes: Nodes,
    finer: Nodes | None = None,
    patient: bool = True,
) -> Answer:
    """The root, moved by one Newton step on a quadrature of more nodes in each direction.

    Args:
        kind: what is compiled in.
        rough: the problem with thresholds as accurate as ``nodes``, for Newton's method.
        cell: with those of the finer quadrature, for the last step and all derivatives.
        nodes: the resolution.
        finer: the other one; ``nodes.finer()`` if None.
        patient: of ``follow``.
    """
    frozen = jax.lax.stop_gradient(rough)
    law = masses(kind, frozen)
    size = kept_weight(frozen, law)

    def make(at: Array, nodes: Nodes) -> Evaluate:
        how = Integral(build_mesh(kind, frozen, at, nodes), nodes.zeta, size)
        return lambda x: value_and_jacobian(kind, frozen, x, how)

    near = _near(kind, frozen, law, size=size, patient=patient)
    found = remeshed(make, near, nodes)
    finer = finer or nodes.finer()
    how = Integral(build_mesh(kind, frozen, found.x, finer), finer.zeta, size)
    left, kept = value_and_kept(kind, cell, jax.lax.stop_gradient(found.x), how)
    x = implicit(
        found.x, found.jacobian, lambda x: value_and_kept(kind, cell, x, how)[0], value=left
    )
    return Answer(x, found.x, found.residual, found.evaluations, kept)

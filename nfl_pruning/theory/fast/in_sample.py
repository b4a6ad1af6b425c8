"""Probes fitted on the very samples that they score, on nodes that the compiled solver builds.

The moments and the five equations are those of :mod:`nfl_pruning.theory.equations`; only the
quadrature differs: Gauss-Legendre rules in u between the selection's edges, trapezoidal in xi.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import expit

from nfl_pruning.losses import logistic_prox
from nfl_pruning.numerics.quadrature import gauss_legendre, normal_density
from nfl_pruning.numerics.root import implicit
from nfl_pruning.theory.equations import Rows, Terms, moments, residual
from nfl_pruning.theory.fast.cell import Cell, Kind
from nfl_pruning.theory.fast.equations import kept_weight, masses
from nfl_pruning.theory.fast.geometry import REACH
from nfl_pruning.theory.fast.memory import Probe
from nfl_pruning.theory.fast.mesh import Nodes, uniform
from nfl_pruning.theory.fast.solver import Answer, root, start


def _rows(kind: Kind, cell: Cell, probe: Probe, *, nodes: Nodes) -> Rows:
    """Quadrature rows for both labels at once; labels differ in the sign of u."""
    t, w = gauss_legendre(max(8, nodes.zeta))
    parts = []
    for i, label in enumerate(kind.labels):
        ends = jnp.full(1, REACH)
        edges = jnp.concatenate([-ends, jnp.clip(cell.edges[i], -REACH, REACH), ends])
        half, middle = 0.5 * jnp.diff(edges), 0.5 * (edges[1:] + edges[:-1])
        u = (middle[:, None] + half[:, None] * t).ravel()
        weight = (half[:, None] * w).ravel() * normal_density(u)
        keep, omega = (jnp.repeat(part[i], len(t)) for part in (cell.keep, cell.omega))
        pull = -expit(-logistic_prox(probe.sigma * u, probe.kappa))
        own = jnp.arange(len(kind.labels))[:, None] == i
        spread = lambda part, own=own: jnp.where(own, part, 0.0)  # noqa: E731
        fold = 2.0 if len(kind.labels) == 1 else 1.0
        parts.append((label * u, spread(fold * weight * keep), spread(omega), spread(pull)))
    u, keep, omega, pull = (jnp.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    xi, xi_weight = uniform(nodes.x)
    wide = lambda part: jnp.broadcast_to(part, (len(u), nodes.x))  # noqa: E731
    return Rows(u, keep[None], omega[None], pull, wide(xi), wide(xi_weight))


def _terms(kind: Kind, cell: Cell, probe: Probe, size: Array) -> Terms:
    steps = kind.link.steps
    return Terms(
        cell.delta,
        cell.ridge,
        cell.rho,
        size,
        cell.scale,
        jnp.asarray(steps.base),
        jnp.asarray(steps.locations),
        jnp.asarray(steps.widths),
        jnp.asarray(steps.jumps),
        jnp.asarray(kind.labels, float),
        jnp.stack(probe),
    )


def solve_in_sample(kind: Kind, cells: tuple[Cell, Cell], probe: Probe, *, nodes: Nodes) -> Answer:
    """As ``solve_cell``, for a probe with memory; ``rho`` is its cosine, edges are in u."""
    rough, cell = cells
    frozen, frozen_probe = jax.lax.stop_gradient((rough, probe))
    law = masses(kind, frozen)
    size = kept_weight(frozen, law)

    def value(x: Array, cell: Cell, probe: Probe, nodes: Nodes) -> Array:
        terms = _terms(kind, cell, probe, size)
        return residual(
            x, moments(x, terms, _rows(kind, cell, probe, nodes=nodes), kind.loss), terms
        )

    def evaluate(x: Array) -> tuple[Array, Array]:
        def twice(x: Array) -> tuple[Array, Array]:
            found = value(x, frozen, frozen_probe, nodes)
            return found, found

        jacobian, found = jax.jacfwd(twice, has_aux=True)(x)
        return found, jacobian

    first = jnp.append(start(kind, frozen, law), 0.0)
    found = root(evaluate, first)
    finer = nodes.finer()
    x = implicit(found.x, found.jacobian, lambda x: value(x, cell, probe, finer))
    return Answer(x, found.x, found.residual, found.evaluations)

"""Probes fitted on the very samples that they score, on nodes that the compiled solver builds.

The five equations are those of :mod:`nfl_pruning.theory.integrators.panels.equations`. Given the
probe's margin u, the student's margin is a_u u + s xi plus chi times the probe's own pull; the
teacher's is a mean plus noise that is integrated in closed form.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.numerics.root import Evaluate, implicit, with_jacobian
from nfl_pruning.theory.closing import Linear, Terms, isotropic
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind
from nfl_pruning.theory.integrators.conditioned.equations import kept_weight, masses
from nfl_pruning.theory.integrators.conditioned.inner import Inner, inner_integrals
from nfl_pruning.theory.integrators.conditioned.mesh import Nodes
from nfl_pruning.theory.integrators.conditioned.path import easy_ridge, follow, root
from nfl_pruning.theory.integrators.conditioned.rows import Rows, build_rows
from nfl_pruning.theory.integrators.conditioned.smooth import smoothed
from nfl_pruning.theory.integrators.conditioned.solver import Answer
from nfl_pruning.theory.integrators.conditioned.table import Bands
from nfl_pruning.theory.integrators.panels.equations import from_line
from nfl_pruning.theory.probe_fit import ProbeFit
from nfl_pruning.theory.state import Moments, State, across_share, at_rest

PATH = Nodes(24, 24)  # resolution of the continuation that finds a start
AGREEMENT = 1e-6
TOLERANCE = 1e-10  # the last step, on more nodes, squares what is left


class Found(NamedTuple):
    """Moments of a student, and E[df / dv] computed directly."""

    moments: Moments
    response: Array


def _moments(kind: Kind, cell: Cell, every: list[Rows], state: State) -> Found:
    kappa, s = state.step, state.spread
    perp = cell.scale * across_share(cell.rho)
    noise = perp * state.noise / s
    sums, response = jnp.zeros(5), jnp.zeros(())
    for label, rows in zip(kind.labels, every, strict=True):
        inner = Inner(
            shift=state.along * rows.u + state.shift * rows.pull,
            spread=s,
            step=kappa * rows.omega,
            mean=cell.scale * cell.rho * rows.u,
            lean=perp * state.across / s,
            noise=noise,
        )
        level, slant = inner_integrals(kind, label, rows.xi, rows.xi_weight, inner) * rows.keep
        total = jnp.sum(level, axis=1)
        mixed = level[0] @ rows.u, jnp.sum(slant[0]), noise * total[1]
        sums = sums + jnp.stack([*mixed, total[2], level[0] @ rows.pull])
        response = response + total[3]
    return Found(from_line(state, *sums), response / kappa)


def _kept(kind: Kind, cell: Cell, every: list[Rows]) -> Array:
    """The share of all samples that the rows keep, from P(label | u)."""
    noise = cell.scale * across_share(cell.rho)
    total = jnp.zeros(())
    for label, rows in zip(kind.labels, every, strict=True):
        probability = smoothed(kind, label, cell.scale * cell.rho * rows.u, noise).chance
        total = total + jnp.sum(rows.keep * probability * jnp.sum(rows.xi_weight, axis=-1))
    return total


def _like_the_probe(cell: Cell, probe: ProbeFit, law: Bands, size: Array) -> Array:
    """A guess for a student that keeps most of what the probe has seen; shape (5,).

    It tends to the probe as the effective sample size of the kept weights tends to that of all.
    The factor of the noise is the best of those that were tried on random problems.
    """
    share = size**2 / jnp.sum(cell.keep * cell.omega**2 * law.mass)
    noise = 0.25 * probe.sigma * jnp.sqrt(jnp.maximum(1.02 - share, 0.02))
    zero = jnp.zeros_like(share)
    return State(probe.sigma, zero, jnp.log(noise), jnp.log(probe.step / share), zero).pack()


def solve_in_sample(
    kind: Kind,
    cells: tuple[Cell, Cell],
    probe: ProbeFit,
    *,
    kept: tuple[bool, ...] | None,
    nodes: Nodes,
    patient: bool,
) -> Answer:
    """As ``solve_cell``, for a probe with memory; ``rho`` is its cosine, edges are in u.

    ``kept`` is that of ``Rule``.

    Equations that the student satisfies by copying the probe (kappa -> 0) are told from a fit by
    E[df_2 / dv_2], which they do not bind then: the answer's residual is infinite where it differs.
    """
    rough, cell = cells
    frozen, frozen_probe = jax.lax.stop_gradient((rough, probe))
    law = masses(kind, frozen)
    size, slope = kept_weight(frozen, law), kind.loss.slope_at_zero

    def rows_at(x: Array, nodes: Nodes) -> list[Rows]:
        return build_rows(kind, frozen, frozen_probe, kept=kept, unknowns=x, nodes=nodes)

    def value(x: Array, cell: Cell, probe: ProbeFit, rows: list[Rows]) -> tuple[Array, Array]:
        state, closing = State.unpack(x), isotropic(cell.delta, probe)
        found = _moments(kind, cell, rows, state)
        terms = Terms(cell.delta, cell.ridge, cell.rho, size, closing)
        unit = cell.delta * state.step
        gap = jnp.abs(unit * found.response - (1 - unit * cell.ridge))
        return closing.residual(state, found.moments, terms), gap

    def at(ridge: Array, rows: list[Rows]) -> Evaluate:
        held = frozen._replace(ridge=ridge)
        return lambda x: with_jacobian(lambda x: value(x, held, frozen_probe, rows)[0], x)

    still = at_rest()
    few = rows_at(still.pack(), PATH)
    at_zero = _moments(kind, frozen, few, still).moments

    def begin(ridge: Array) -> Array:
        linear = Linear(frozen.delta, ridge, slope**2 * size, frozen.rho, at_zero)
        return isotropic(frozen.delta, frozen_probe).start(linear).pack()

    near = follow(
        lambda ridge: at(ridge, few),
        begin,
        ends=(easy_ridge(frozen.ridge), frozen.ridge),
        guesses=[_like_the_probe(frozen, frozen_probe, law, size)],
        sound=lambda ridge, x: value(x, frozen._replace(ridge=ridge), frozen_probe, few)[1] < 0.05,
        patient=patient,
    )
    fitted = at(frozen.ridge, rows_at(near.x, nodes))
    found = root(fitted, near.x, tolerance=TOLERANCE, most=near.most)
    held = jax.lax.stop_gradient(found.x)
    fine = build_rows(kind, cell, probe, kept=kept, unknowns=held, nodes=nodes.finer())
    left, gap = value(held, cell, probe, fine)
    x = implicit(found.x, found.jacobian, lambda x: value(x, cell, probe, fine)[0], value=left)
    wrong = jax.lax.stop_gradient(gap) > AGREEMENT
    miss = jnp.where(wrong, jnp.inf, found.residual)
    return Answer(x, found.x, miss, found.evaluations, _kept(kind, cell, fine))

"""The moments of the proximal fit on quadrature rows, and the equations that they close.

docs/equations.md derives what is computed here. Given (u, xi) the pair (u_perp, G) is
((a_p xi + tau eta), (tau xi - a_p eta)) / s with eta an independent normal that enters through the
label alone; it is integrated in closed form because links are smoothed steps.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.links import Steps, smoothed_steps
from nfl_pruning.losses import Loss
from nfl_pruning.numerics.root import with_jacobian
from nfl_pruning.theory.closing import Terms
from nfl_pruning.theory.state import Moments, State, across_share


class LabelTerms(NamedTuple):
    """What the moments need of the labels' law besides the nodes.

    Attributes:
        rho: probe's cosine to the teacher. scale: teacher margin per unit of z.
        steps: the link's, in the teacher margin; its entries are arrays of shape (steps,).
        labels: labels that are summed over, shape (labels,): (1, -1), or (1,) when folded.
    """

    rho: Array
    scale: Array
    steps: Steps
    labels: Array


class Rows(NamedTuple):
    """Quadrature nodes: a row is one u with a run of xi.

    Attributes:
        u: shape (rows,). keep: weight of the node in u times density times keep probability, and
        omega: weight of a kept sample, both of shape (layers, labels, rows).
        probe_slope: loss derivative of the probe's own fit, y f_1, shape (labels, rows).
        xi, xi_weight: nodes in xi and their weights times density, shape (rows, nodes).
    """

    u: Array
    keep: Array
    omega: Array
    probe_slope: Array
    xi: Array
    xi_weight: Array


def smoothed_label(state: State, terms: LabelTerms, rows: Rows) -> tuple[Array, Array]:
    """P(y = 1 | u, xi) and, by Stein's identity, E[eta 1{y = 1} | u, xi]; shapes (rows, nodes)."""
    s = state.spread
    perp = terms.scale * across_share(terms.rho)
    centre = terms.scale * terms.rho * rows.u[:, None] + perp * (state.across / s) * rows.xi
    noise = perp * state.noise / s
    positive, slope = smoothed_steps(terms.steps, centre, noise)
    return positive, noise * slope


def from_line(state: State, u: Array, xi: Array, eta: Array, square: Array, shared: Array):
    """Moments from E[D (u, xi, eta, D, f_1)], D = kappa f, by the rotation of this file's head."""
    a_p, tau, s, kappa = state.across, state.noise, state.spread, state.step
    across, noise = (a_p * xi + tau * eta) / s, (tau * xi - a_p * eta) / s
    return Moments(u / kappa, across / kappa, noise / kappa, square / kappa**2, shared / kappa)


def moments_and_mass(
    state: State, terms: LabelTerms, rows: Rows, loss: Loss
) -> tuple[Moments, Array]:
    """Contribution of the rows to the moments, and to the share of all samples that is kept."""
    kappa = state.step
    v = state.along * rows.u[:, None] + state.spread * rows.xi  # eq. (1)
    positive, tilt = smoothed_label(state, terms, rows)
    total, mass = jnp.zeros(5), jnp.zeros(())
    for i in range(terms.labels.shape[0]):
        y = terms.labels[i]
        probability = jnp.where(y > 0, positive, 1 - positive) * rows.xi_weight
        lean = y * tilt * rows.xi_weight
        for keep, omega in zip(rows.keep[:, i], rows.omega[:, i], strict=True):
            shifted = y * v + state.shift * rows.probe_slope[i][:, None]
            d = y * loss.prox_residual(shifted, kappa * omega[:, None])  # eq. (2)
            first = jnp.sum(probability * d, axis=1)
            sums = (
                first * rows.u,
                jnp.sum(probability * d * rows.xi, axis=1),
                jnp.sum(lean * d, axis=1),
                jnp.sum(probability * d * d, axis=1),
                first * y * rows.probe_slope[i],
            )
            total = total + jnp.stack([jnp.sum(keep * part) for part in sums])
            mass = mass + jnp.sum(keep * jnp.sum(probability, axis=1))
    return from_line(state, *total), mass


@partial(jax.jit, static_argnames="loss")
def response_of(x: Array, terms: LabelTerms, rows: Rows, loss: Loss) -> Array:
    """Contribution of the rows to E[df / dv], the derivative itself instead of E[G f] / tau."""
    state = State.unpack(x)
    kappa = state.step
    v = state.along * rows.u[:, None] + state.spread * rows.xi
    positive, _ = smoothed_label(state, terms, rows)
    total = jnp.zeros(())
    for i in range(terms.labels.shape[0]):
        y = terms.labels[i]
        probability = jnp.where(y > 0, positive, 1 - positive) * rows.xi_weight
        for keep, omega in zip(rows.keep[:, i], rows.omega[:, i], strict=True):
            shifted = y * v + state.shift * rows.probe_slope[i][:, None]
            steps = jnp.broadcast_to(kappa * omega[:, None], shifted.shape)
            tangents = jnp.ones_like(v), jnp.zeros_like(v)
            slope = jax.jvp(loss.prox_residual, (shifted, steps), tangents)[1]
            total = total + jnp.sum(keep * jnp.sum(probability * slope, axis=1)) / kappa
    return total


def residual(x: Array, moments: Array, terms: Terms) -> Array:
    """The equations, scaled to order one: four, or five with the coupling.

    Args:
        x: packed unknowns.
        moments: entries of :class:`Moments`, shape (5,).
        terms: numbers, and what closes the equations.
    """
    return terms.closing.residual(State.unpack(x), Moments(*moments), terms)


@partial(jax.jit, static_argnames="loss")
def moments_and_slopes(
    x: Array, terms: LabelTerms, rows: Rows, loss: Loss
) -> tuple[Array, Array, Array]:
    """:func:`moments_and_mass`, the moments' Jacobian between, shapes (5,), (5, k) and ()."""

    def at(x: Array) -> tuple[Array, Array]:
        moments, mass = moments_and_mass(State.unpack(x), terms, rows, loss)
        return jnp.stack(moments), mass

    (moments, mass), (slopes, _) = with_jacobian(at, x)
    return moments, slopes, mass


@jax.jit
def residual_and_slopes(
    x: Array, moment: Array, slopes: Array, terms: Terms
) -> tuple[Array, Array]:
    """:func:`residual` and its Jacobian, from the moments and theirs."""
    value = residual(x, moment, terms)
    direct, through = jax.jacfwd(residual, argnums=(0, 1))(x, moment, terms)
    return value, direct + through @ slopes

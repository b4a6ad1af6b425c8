"""The equations of the proportional limit.

Notation in this file: the student is theta = a_u e_u + a_p e_perp + tau g, where e_u is the probe's
direction, e_perp the rest of the teacher's, g an independent Gaussian direction. A fresh sample has
margin v = a_u u + s xi with s^2 = a_p^2 + tau^2; in the fit it becomes the proximal point
h = argmin omega loss(y h) + (h - v)^2 / (2 kappa). With D = S (v - h) and S = 1 for kept samples,

    E[u D]      + ridge kappa a_u = 0        delta E[G D]  = tau (1 - delta ridge kappa)
    E[u_perp D] + ridge kappa a_p = 0        delta E[D^2]  = tau^2

(stationarity of the scalar min-max problem that Gordon's comparison gives). Given (u, xi), the pair
(u_perp, G) is ((a_p xi + tau eta), (tau xi - a_p eta)) / s with eta an independent normal that
enters through the label alone; it is integrated in closed form because links are smoothed steps.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.losses import Loss
from nfl_pruning.numerics.quadrature import normal_cdf, normal_density
from nfl_pruning.numerics.root import with_jacobian

TINY_WIDTH = 1e-9


class Terms(NamedTuple):
    """What the equations need besides the nodes.

    Attributes:
        delta: samples per feature. ridge: penalty. rho: probe's cosine to the teacher.
        size: kept (weighted) fraction, the natural scale of the first two equations.
        scale: teacher margin per unit of z. base, locations, widths, jumps: the link's steps in
            the teacher margin, of shape (steps,).
        labels: labels that are summed over, shape (labels,): (1, -1), or (1,) when folded.
        probe: for a probe fitted on the same samples, its (a_1, tau_1, kappa_1); else zeros.
        closing: what closes the equations for another covariance than the identity, or None.
    """

    delta: Array
    ridge: Array
    rho: Array
    size: Array
    scale: Array
    base: Array
    locations: Array
    widths: Array
    jumps: Array
    labels: Array
    probe: Array
    closing: Any = None


class Rows(NamedTuple):
    """Quadrature nodes: a row is one u with a run of xi.

    Attributes:
        u: shape (rows,). keep: weight of the node in u times density times keep probability, and
        omega: weight of a kept sample, both of shape (layers, labels, rows).
        probe_pull: loss derivative of the probe's own fit, y f_1, shape (labels, rows).
        xi, xi_weight: nodes in xi and their weights times density, shape (rows, nodes).
    """

    u: Array
    keep: Array
    omega: Array
    probe_pull: Array
    xi: Array
    xi_weight: Array


def unpack(x: Array) -> tuple[Array, Array, Array, Array]:
    """(a_u, a_p, tau, kappa) from the unknowns (a_u, a_p, log tau, log kappa)."""
    return x[0], x[1], jnp.exp(x[2]), jnp.exp(x[3])


def smoothed_label(x: Array, terms: Terms, rows: Rows) -> tuple[Array, Array]:
    """P(y = 1 | u, xi) and, by Stein's identity, E[eta 1{y = 1} | u, xi]; shapes (rows, nodes)."""
    _, a_p, tau, _ = unpack(x)
    s = jnp.hypot(a_p, tau)
    perp = terms.scale * jnp.sqrt(jnp.maximum(1 - terms.rho**2, 0.0))
    centre = terms.scale * terms.rho * rows.u[:, None] + perp * (a_p / s) * rows.xi
    noise = perp * tau / s

    def add(total, step):
        location, width, jump = step
        spread = jnp.sqrt(width**2 + noise**2 + TINY_WIDTH**2)
        edge = (centre - location) / spread
        rise, slope = normal_cdf(edge), normal_density(edge)
        return (total[0] + jump * rise, total[1] + jump * (noise / spread) * slope), None

    start = (jnp.full_like(centre, terms.base), jnp.zeros_like(centre))
    return jax.lax.scan(add, start, (terms.locations, terms.widths, terms.jumps))[0]


def moments(x: Array, terms: Terms, rows: Rows, loss: Loss) -> Array:
    """Contribution of the rows to E[D (u, xi, eta, D, f_1)], shape (5,)."""
    a_u, a_p, tau, kappa = unpack(x)
    chi = x[4] if x.shape[0] == 5 else 0.0
    v = a_u * rows.u[:, None] + jnp.hypot(a_p, tau) * rows.xi
    positive, tilt = smoothed_label(x, terms, rows)
    total = jnp.zeros(5)
    for i in range(terms.labels.shape[0]):
        y = terms.labels[i]
        chance = jnp.where(y > 0, positive, 1 - positive) * rows.xi_weight
        lean = y * tilt * rows.xi_weight
        for keep, omega in zip(rows.keep[:, i], rows.omega[:, i], strict=True):
            shifted = y * v + chi * rows.probe_pull[i][:, None]
            d = y * loss.pull(shifted, kappa * omega[:, None])
            first = jnp.sum(chance * d, axis=1)
            sums = (
                first * rows.u,
                jnp.sum(chance * d * rows.xi, axis=1),
                jnp.sum(lean * d, axis=1),
                jnp.sum(chance * d * d, axis=1),
                first * y * rows.probe_pull[i],
            )
            total = total + jnp.stack([jnp.sum(keep * part) for part in sums])
    return total


@partial(jax.jit, static_argnames="loss")
def response_of(x: Array, terms: Terms, rows: Rows, loss: Loss) -> Array:
    """Contribution of the rows to E[df / dv], the derivative itself instead of E[G f] / tau."""
    a_u, a_p, tau, kappa = unpack(x)
    chi = x[4] if x.shape[0] == 5 else 0.0
    v = a_u * rows.u[:, None] + jnp.hypot(a_p, tau) * rows.xi
    positive, _ = smoothed_label(x, terms, rows)
    total = jnp.zeros(())
    for i in range(terms.labels.shape[0]):
        y = terms.labels[i]
        chance = jnp.where(y > 0, positive, 1 - positive) * rows.xi_weight
        for keep, omega in zip(rows.keep[:, i], rows.omega[:, i], strict=True):
            shifted = y * v + chi * rows.probe_pull[i][:, None]
            steps = jnp.broadcast_to(kappa * omega[:, None], shifted.shape)
            bend = jax.jvp(lambda t: loss.pull(t, steps), (shifted,), (jnp.ones_like(v),))[1]  # noqa: B023
            total = total + jnp.sum(keep * jnp.sum(chance * bend, axis=1)) / kappa
    return total


def residual(x: Array, moment: Array, terms: Terms) -> Array:
    """The equations, scaled to order one, from the moments: four, or five with chi."""
    if terms.closing is not None:
        return terms.closing.residual(x, moment, terms)
    return (_in_sample if x.shape[0] == 5 else _fresh)(x, moment, terms)


def _fresh(x: Array, moment: Array, terms: Terms) -> Array:
    """A probe independent of the samples: unknowns (a_u, a_p, log tau, log kappa)."""
    a_u, a_p, tau, kappa = unpack(x)
    s = jnp.hypot(a_p, tau)
    u_d, xi_d, eta_d, d_squared, _ = moment
    perp_d = (a_p * xi_d + tau * eta_d) / s
    noise_d = (tau * xi_d - a_p * eta_d) / s
    scale = jax.lax.stop_gradient(terms.size + terms.ridge * jnp.hypot(a_u, s))
    return jnp.stack(
        [
            (u_d / kappa + terms.ridge * a_u) / scale,
            (perp_d / kappa + terms.ridge * a_p) / scale,
            terms.delta * noise_d / tau - (1 - terms.delta * terms.ridge * kappa),
            terms.delta * d_squared / tau**2 - 1,
        ]
    )


def _in_sample(x: Array, moment: Array, terms: Terms) -> Array:
    """A probe fitted on the same samples: unknowns (a_u, a_p, log tau, log kappa, chi).

    With margins v_k = a_k z + G_k (k = 1 the probe, 2 the student), T the covariance of (G_1, G_2),
    f_k the loss derivatives, Q = delta E[f f^T] and K = (delta ridge + A)^-1 lower triangular,

        ridge a_2 = -E[z f_2],   delta E[G f_2] = T A_2^T,   T = K Q K^T,   chi = -K_21,

    where A_22 = 1 / kappa - delta ridge and A_21 = chi / (kappa_1 kappa). In the coordinates of
    this file a_2 = rho a_u + sqrt(1 - rho^2) a_p, and u is v_1 over its standard deviation sigma.
    """
    a_u, a_p, tau, kappa = unpack(x)
    chi, s, delta, ridge = x[4], jnp.hypot(a_p, tau), terms.delta, terms.ridge
    a_1, tau_1, kappa_1 = terms.probe
    sigma = jnp.hypot(a_1, tau_1)
    u_f, xi_f, eta_f = moment[0] / kappa, moment[1] / kappa, moment[2] / kappa
    perp = jnp.sqrt(jnp.maximum(1 - terms.rho**2, 0.0))
    z_f = terms.rho * u_f + perp * (a_p * xi_f + tau * eta_f) / s
    a_2 = terms.rho * a_u + perp * a_p
    t_11, t_12 = tau_1**2, sigma * a_u - a_1 * a_2
    t_22 = a_u**2 + a_p**2 + tau**2 - a_2**2
    q_11, q_12, q_22 = t_11 / kappa_1**2, delta * moment[4] / kappa, delta * moment[3] / kappa**2
    a_21, a_22 = chi / (kappa_1 * kappa * delta), 1 / (kappa * delta) - ridge
    g_1, g_2 = sigma * u_f - a_1 * z_f, a_u * u_f + s * xi_f - a_2 * z_f
    return jnp.stack(
        [
            (ridge * a_2 + z_f) / terms.size,
            (g_1 - t_11 * a_21 - t_12 * a_22) / (terms.size * sigma),
            (g_2 - t_12 * a_21 - t_22 * a_22) * delta * kappa / t_22,
            (t_12 - kappa_1 * (kappa * q_12 - chi * q_11)) / (sigma * jnp.sqrt(t_22)),
            (chi**2 * q_11 - 2 * chi * kappa * q_12 + kappa**2 * q_22) / t_22 - 1,
        ]
    )


@partial(jax.jit, static_argnames="loss")
def moments_and_slopes(x: Array, terms: Terms, rows: Rows, loss: Loss) -> tuple[Array, Array]:
    """:func:`moments` and their Jacobian in the unknowns, shapes (5,) and (5, k)."""
    return with_jacobian(lambda x: moments(x, terms, rows, loss), x)


@jax.jit
def residual_and_slopes(
    x: Array, moment: Array, slopes: Array, terms: Terms
) -> tuple[Array, Array]:
    """:func:`residual` and its Jacobian, from the moments and theirs."""
    value = residual(x, moment, terms)
    direct, through = jax.jacfwd(residual, argnums=(0, 1))(x, moment, terms)
    return value, direct + through @ slopes

"""The fit linearised at theta = 0 for a probe that has seen the samples: where to start from."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

SMALL = 1e-6


class Shared(NamedTuple):
    """What the linear fit needs besides its moments.

    Attributes:
        delta: samples per feature. ridge: penalty, > 0. rho: the probe's cosine to the teacher.
        probe: its own fit (a_1, tau_1, kappa_1), shape (3,).
        bend: E[df / dv] of the student at theta = 0.
    """

    delta: Array
    ridge: Array
    rho: Array
    probe: Array
    bend: Array


def at_rest() -> Array:
    """Unknowns of a student so close to 0 that its pulls are those of a linear fit; shape (5,)."""
    small = jnp.log(jnp.asarray(SMALL))
    return jnp.stack([0 * small, SMALL + 0 * small, small, small, 0 * small])


def linearised(shared: Shared, sums: Array) -> Array:
    """Unknowns (a_u, a_p, log tau, log kappa, chi), exact for a large ridge; shape (5,).

    With constant pulls the matrices of :mod:`nfl_pruning.theory.equations` are known, and the
    equation for E[G_1 f_2] gives chi.

    Args:
        shared: see there.
        sums: moments E[D (u, xi, eta, D, f_1)] of a student at rest, shape (5,).
    """
    delta, ridge, rho, _, bend = shared
    a_1, tau_1, kappa_1 = shared.probe
    sigma = jnp.hypot(a_1, tau_1)
    perp = jnp.sqrt(jnp.maximum(1 - rho**2, 1e-12))
    kappa = 1 / (delta * (ridge + bend))
    u_f, xi_f, eta_f, _, both = sums / SMALL
    z_f = rho * u_f + perp * (xi_f + eta_f) / jnp.sqrt(2.0)
    a_2 = -z_f / (ridge + bend)
    q_11, q_12, q_22 = (tau_1 / kappa_1) ** 2, delta * both, delta * sums[3] / SMALL**2
    g_1 = sigma * u_f - a_1 * z_f
    chi = kappa_1 * (g_1 - kappa_1 * kappa * q_12 * bend) / (tau_1**2 * ridge)
    t_12 = kappa_1 * (kappa * q_12 - chi * q_11)
    t_22 = chi**2 * q_11 - 2 * chi * kappa * q_12 + kappa**2 * q_22
    a_u = (t_12 + a_1 * a_2) / sigma
    a_p = (a_2 - rho * a_u) / perp
    noise = jnp.maximum(t_22 + a_2**2 - a_u**2 - a_p**2, 1e-3 * t_22)
    return jnp.stack([a_u, a_p, 0.5 * jnp.log(noise), jnp.log(kappa), chi])

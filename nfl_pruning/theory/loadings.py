"""The closing equations for inputs of any covariance.

Given the four (or five) unknowns, the moments of a fit do not know the covariance: probe, teacher
and student margins are jointly normal whatever it is. What changes is how the moments fix the
unknowns. With s_k the eigenvalues, n samples, f = omega l'(y h) y on kept samples and

    alpha = E[G f] / tau,  b = E[(u, u_perp) f] - alpha (a_u, a_p),  R_k = 1 / (ridge + alpha s_k),

the parameter is theta_k = -R_k s_k (beta_k . b) plus noise of variance s_k R_k^2 E[f^2] / n, where
beta_k = (beta_ku, beta_kp) are the coefficients of u and of the features' part of u_perp. Hence

    a      = -sum_k s_k^2 R_k beta_k (beta_k . b)
    q      =  sum_k s_k^3 R_k^2 (beta_k . b)^2 + E[f^2] sum_k s_k^2 R_k^2 / n
    kappa  =  sum_k s_k R_k / n,         tau^2 = q - a_u^2 - a_p^2.

s_k = 1 gives back the equations of ``equations.py``. What the teacher's margin owes to things that
are no features enters through a beta_p of less than unit variance, and nowhere else.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.theory.equations import Terms, unpack
from nfl_pruning.theory.memory import Memory

ROUNDS = 3


class Linear(NamedTuple):
    """The fit linearised at theta = 0, where f = -pull y omega on kept samples.

    Attributes:
        n: samples. ridge: penalty. alpha: E[df / dv].
        along, across: -E[u f] and -E[u_perp f], the second a guess where the probe saw other
            samples. square: E[f^2].
        shared: E[f_1 f] with the probe's f_1.
    """

    n: float
    ridge: float
    alpha: float
    along: float
    across: float
    square: float
    shared: float


class Loadings(NamedTuple):
    """How a fixed or pilot probe and the teacher lie in the eigenbasis; closes the equations.

    Attributes:
        s: eigenvalues, shape (features,).
        uu, up, pp: beta_ku^2, beta_ku beta_kp and beta_kp^2, same shape each.
    """

    s: np.ndarray
    uu: np.ndarray
    up: np.ndarray
    pp: np.ndarray

    def start(self, linear: Linear, memory: None = None) -> np.ndarray:
        """Unknowns of the fit that is linear in the labels."""
        r = 1 / (linear.ridge + linear.alpha * self.s)
        shrunk = self.s * r
        x = [
            np.clip(linear.along * np.sum(self.s**2 * self.uu * r), -3, 3),
            min(linear.across * np.sum(self.s**2 * self.pp * r), 1.0),
            0.5 * np.log(linear.square * np.sum(shrunk**2) / linear.n),
            np.log(np.sum(shrunk) / linear.n),
        ]
        return np.array(x)

    def residual(self, x: Array, moment: Array, terms: Terms) -> Array:
        """The four equations at unknowns (a_u, a_p, log tau, log kappa), scaled to order one."""
        a_u, a_p, tau, kappa = unpack(x)
        s = jnp.hypot(a_p, tau)
        n = terms.delta * self.s.shape[0]
        alpha = response(kappa, n, terms.ridge, self.s)
        u_f, xi_f, eta_f, square = moment[0], moment[1], moment[2], moment[3] / kappa
        u_f, xi_f, eta_f, square = u_f / kappa, xi_f / kappa, eta_f / kappa, square / kappa
        perp_f, noise_f = (a_p * xi_f + tau * eta_f) / s, (tau * xi_f - a_p * eta_f) / s
        b_u, b_p = u_f - alpha * a_u, perp_f - alpha * a_p
        r = 1 / (terms.ridge + alpha * self.s)
        lean_u, lean_p = self.uu * b_u + self.up * b_p, self.up * b_u + self.pp * b_p
        square_of_mean = b_u * lean_u + b_p * lean_p
        q = jnp.sum(self.s**3 * r**2 * square_of_mean) + square * jnp.sum(self.s**2 * r**2) / n
        scale = jax.lax.stop_gradient(jnp.hypot(a_u, s))
        return jnp.stack(
            [
                (a_u + jnp.sum(self.s**2 * r * lean_u)) / scale,
                (a_p + jnp.sum(self.s**2 * r * lean_p)) / scale,
                (noise_f / tau - alpha) / grip(alpha, terms.ridge, self.s),
                (q - a_u**2 - a_p**2) / tau**2 - 1,
            ]
        )


class MemoryLoadings(NamedTuple):
    """The same for a probe that was fitted on the samples it scores, with chi as fifth unknown.

    With v = (v_1, v_2) the leave-one-out margins of probe and student, A = E[df / dv] (lower
    triangular), K_k = (diag(ridge_1, ridge) + A s_k)^-1, Q = E[f f^T], b = E[z f] - A (a_1, a_2),

        a = -sum_k s_k^2 t_k^2 K_k b,
        Cov(v) = sum_k s_k^3 t_k^2 K_k b b^T K_k^T + sum_k s_k^2 K_k Q K_k^T / n,
        ((kappa_1, 0), (-chi, kappa)) = sum_k s_k K_k / n.

    Attributes:
        s: eigenvalues, shape (features,). tt: t_k^2, the teacher's coefficients, same shape.
        ridge_1, alpha_1, b_1, q_11: the probe's ridge, and A_11, b_1, Q_11 of its fit.
    """

    s: np.ndarray
    tt: np.ndarray
    ridge_1: np.ndarray
    alpha_1: np.ndarray
    b_1: np.ndarray
    q_11: np.ndarray

    def start(self, linear: Linear, memory: Memory) -> np.ndarray:
        """Unknowns of the fit that is linear in the labels: a few rounds of the equations."""
        s, n, alpha = self.s, linear.n, linear.alpha
        a_1, sigma = memory.a, memory.sigma
        rho, perp = a_1 / sigma, max(memory.tau / sigma, 1e-9)
        u_f, z_f = -linear.along, -rho * linear.along - perp * linear.across
        r_1, r_2 = 1 / (self.ridge_1 + self.alpha_1 * s), 1 / (linear.ridge + alpha * s)
        a_2 = a_21 = v_12 = v_22 = 0.0
        for _ in range(ROUNDS):
            # At theta = 0 the student's pull does not depend on its margin: alpha adds nothing.
            k_21 = -r_1 * r_2 * a_21 * s
            mean_1, mean_2 = r_1 * self.b_1, k_21 * self.b_1 + r_2 * (z_f - a_21 * a_1)
            noise_12 = r_1 * (self.q_11 * k_21 + linear.shared * r_2)
            noise_22 = k_21**2 * self.q_11 + 2 * k_21 * r_2 * linear.shared + r_2**2 * linear.square
            a_2 = -np.sum(s**2 * self.tt * mean_2)
            v_12 = np.sum(s**3 * self.tt * mean_1 * mean_2) + np.sum(s**2 * noise_12) / n
            v_22 = np.sum(s**3 * self.tt * mean_2**2) + np.sum(s**2 * noise_22) / n
            a_21 = (sigma * u_f - a_1 * z_f) / memory.tau**2
        a_u = v_12 / sigma
        a_p = (a_2 - rho * a_u) / perp
        tau = np.sqrt(max(v_22 - a_u**2 - a_p**2, 1e-4 * v_22))
        kappa, chi = np.sum(s * r_2) / n, a_21 * np.sum(s**2 * r_1 * r_2) / n
        return np.array([a_u, a_p, np.log(tau), np.log(kappa), chi])

    def residual(self, x: Array, moment: Array, terms: Terms) -> Array:
        """The five equations at (a_u, a_p, log tau, log kappa, chi), scaled to order one."""
        a_u, a_p, tau, kappa = unpack(x)
        chi, spread = x[4], jnp.hypot(a_p, tau)
        a_1, tau_1, _ = terms.probe
        sigma = jnp.hypot(a_1, tau_1)
        n, s = terms.delta * self.s.shape[0], self.s
        u_f, xi_f, eta_f = moment[0] / kappa, moment[1] / kappa, moment[2] / kappa
        q_12, q_22 = moment[4] / kappa, moment[3] / kappa**2
        perp = jnp.sqrt(jnp.maximum(1 - terms.rho**2, 0.0))
        z_f = terms.rho * u_f + perp * (a_p * xi_f + tau * eta_f) / spread
        a_2 = terms.rho * a_u + perp * a_p
        t_11, t_12 = tau_1**2, sigma * a_u - a_1 * a_2
        v_22 = a_u**2 + a_p**2 + tau**2
        t_22 = v_22 - a_2**2
        alpha = response(kappa, n, terms.ridge, s)
        r_1, r_2 = 1 / (self.ridge_1 + self.alpha_1 * s), 1 / (terms.ridge + alpha * s)
        a_21 = chi * n / jnp.sum(s**2 * r_1 * r_2)
        k_21 = -r_1 * r_2 * a_21 * s
        b_2 = z_f - a_21 * a_1 - alpha * a_2
        mean_1, mean_2 = r_1 * self.b_1, k_21 * self.b_1 + r_2 * b_2
        noise_12 = r_1 * (self.q_11 * k_21 + q_12 * r_2)
        noise_22 = k_21**2 * self.q_11 + 2 * k_21 * r_2 * q_12 + r_2**2 * q_22
        v_12 = jnp.sum(s**3 * self.tt * mean_1 * mean_2) + jnp.sum(s**2 * noise_12) / n
        new_22 = jnp.sum(s**3 * self.tt * mean_2**2) + jnp.sum(s**2 * noise_22) / n
        g_1, g_2 = sigma * u_f - a_1 * z_f, a_u * u_f + spread * xi_f - a_2 * z_f
        return jnp.stack(
            [
                (a_2 + jnp.sum(s**2 * self.tt * mean_2)) / jnp.sqrt(v_22),
                (g_1 - t_11 * a_21 - t_12 * alpha) / (terms.size * sigma),
                (g_2 - t_12 * a_21 - t_22 * alpha) / (grip(alpha, terms.ridge, s) * t_22),
                (v_12 - sigma * a_u) / (sigma * jnp.sqrt(v_22)),
                (new_22 - v_22) / t_22,
            ]
        )


Closing = Loadings | MemoryLoadings


def grip(alpha: Array, ridge: Array, s: Array | np.ndarray) -> Array:
    """What a change of alpha compares to; alpha itself may vanish: a hinge under a large ridge."""
    return jax.lax.stop_gradient(alpha + ridge / jnp.max(s))


@jax.jit
def response(kappa: Array, n: Array, ridge: Array, s: Array | np.ndarray) -> Array:
    """The alpha with sum_k s_k / (ridge + alpha s_k) = n kappa; differentiable in kappa.

    The sum falls from infinity to 0 as alpha grows from -ridge / max s. It is at least s_max /
    (ridge + alpha s_max) and at most the number of features times that, which brackets the root.
    """
    top = jnp.max(s)
    gap = (
        ridge / top - ridge / s
    )  # alpha + ridge / s_k = beta - gap_k with beta = alpha + ridge/top
    fixed_kappa, fixed_gap = jax.lax.stop_gradient((kappa, gap))

    def trace(beta: Array, shift: Array) -> Array:
        return jnp.sum(1 / (beta - shift)) / n

    def halve(_, bracket):
        low, high = bracket
        middle = 0.5 * (low + high)
        above = trace(jnp.exp(middle), fixed_gap) > fixed_kappa
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    unit = -jnp.log(jax.lax.stop_gradient(n) * fixed_kappa)
    low, high = jax.lax.fori_loop(0, 60, halve, (unit, unit + jnp.log(1.0 * s.shape[0])))
    beta = jax.lax.stop_gradient(jnp.exp(0.5 * (low + high)))
    slope = -jnp.sum(1 / (beta - jax.lax.stop_gradient(gap)) ** 2) / jax.lax.stop_gradient(n)
    beta = beta - (trace(beta, gap) - kappa) / slope  # one Newton step carries the derivative
    return beta - ridge / top

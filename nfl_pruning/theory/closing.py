"""How the moments of a fit fix its unknowns, for inputs of any covariance (docs/equations.md).

Given the unknowns, the moments of a fit do not know the covariance: probe, teacher and student
margins are jointly normal whatever it is. What it changes is how the moments close the equations.
Isotropic inputs are a covariance of one eigenvalue. Two closings exist: for a probe that has not
seen the samples, and for one that was fitted on them, where both fits stand stacked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.theory.probe_fit import ProbeFit
from nfl_pruning.theory.state import Moments, State, across_share


class Terms(NamedTuple):
    """The numbers of the equations.

    Attributes:
        delta: samples per feature. ridge: penalty. rho: probe's cosine to the teacher.
        size: kept (weighted) fraction, the natural scale of the first equations.
        closing: how the moments close them.
    """

    delta: Any
    ridge: Any
    rho: Any
    size: Any
    closing: Any


class Linear(NamedTuple):
    """The fit linearised at theta = 0, where f = -slope y omega on kept samples.

    Attributes:
        delta: samples per feature. ridge: penalty. response: alpha, E[df / dv]. rho: as in Terms.
        moments: at theta = 0; the part across a guess where the probe saw other samples.
    """

    delta: Any
    ridge: Any
    response: Any
    rho: Any
    moments: Moments


class FreshClosing(NamedTuple):
    """For a probe that has not seen the samples: how it and the teacher lie in the eigenbasis.

    Attributes:
        s: eigenvalues, shape (features,).
        uu, up, pp: beta_ku^2, beta_ku beta_kp and beta_kp^2, the coefficients of u and of the
            features' part of u_perp; same shape each.
    """

    s: Any
    uu: Any
    up: Any
    pp: Any

    def start(self, linear: Linear) -> State:
        """The fit that is linear in the labels, exact for a large ridge."""
        n = linear.delta * self.s.shape[0]
        r = 1 / (linear.ridge + linear.response * self.s)
        shrunk = self.s * r
        return State(
            jnp.clip(-linear.moments.along * jnp.sum(self.s**2 * self.uu * r), -3, 3),
            jnp.minimum(-linear.moments.across * jnp.sum(self.s**2 * self.pp * r), 1.0),
            0.5 * jnp.log(linear.moments.square * jnp.sum(shrunk**2) / n),
            jnp.log(jnp.sum(shrunk) / n),
        )

    def residual(self, state: State, moments: Moments, terms: Terms) -> Array:
        """Equations (7) to (10), scaled to order one; shape (4,)."""
        a_u, a_p, tau, s = state.along, state.across, state.noise, self.s
        n = terms.delta * s.shape[0]
        alpha = response(state.step, n, terms.ridge, s)  # eq. (6)
        b_u, b_p = moments.along - alpha * a_u, moments.across - alpha * a_p  # eq. (4)
        r = 1 / (terms.ridge + alpha * s)  # eq. (5)
        # loadings of the mean parameter, beta_k (beta_k . b)
        on_u, on_p = self.uu * b_u + self.up * b_p, self.up * b_u + self.pp * b_p
        new_u, new_p = -jnp.sum(s**2 * r * on_u), -jnp.sum(s**2 * r * on_p)
        mean_square = jnp.sum(s**3 * r**2 * (b_u * on_u + b_p * on_p))
        noise_square = moments.square * jnp.sum(s**2 * r**2) / n
        # Newton's method differentiates the unit of the first three rows too: for one eigenvalue
        # they are then free of the step in every denominator, and it takes fewer steps.
        unit = alpha + terms.ridge / jnp.max(s)
        scale = jax.lax.stop_gradient(terms.size + terms.ridge * state.norm) / unit
        return jnp.stack(
            [
                (a_u - new_u) / scale,  # eq. (7): along the probe
                (a_p - new_p) / scale,  # eq. (8): along the rest of the teacher
                (moments.noise / tau - alpha) / unit,  # eq. (9): response
                (mean_square - new_u**2 - new_p**2 + noise_square) / tau**2 - 1,  # eq. (10): noise
            ]
        )


class StackedClosing(NamedTuple):
    """For a probe fitted on the samples that it scores: both fits stacked, chi a fifth unknown.

    Attributes:
        s: eigenvalues, shape (features,). tt: t_k^2, the teacher's coefficients, same shape.
        fit: the probe's own.
        r_1: 1 / (ridge_1 + alpha_1 s_k) of that fit, same shape. b_1, q_11: its b and E[f_1^2].
    """

    s: Any
    tt: Any
    fit: ProbeFit
    r_1: Any
    b_1: Any
    q_11: Any

    def start(self, linear: Linear) -> State:
        """The fit that is linear in the labels: a few rounds of the equations."""
        s, rho, fit = self.s, linear.rho, self.fit
        n = linear.delta * s.shape[0]
        z_f = linear.moments.on_teacher(rho)
        q_12, q_22 = linear.moments.shared, linear.moments.square
        r_2 = 1 / (linear.ridge + linear.response * s)
        # At theta = 0 the student's f does not depend on its margin: alpha adds nothing, and
        # eq. (12) gives A_21 at once.
        a_21 = (fit.sigma * linear.moments.along - fit.along * z_f) / fit.noise**2
        k_21 = -self.r_1 * r_2 * a_21 * s
        means = self.r_1 * self.b_1, k_21 * self.b_1 + r_2 * (z_f - a_21 * fit.along)
        a_2, v_12, v_22 = self._overlaps(means, k_21, r_2, q_12, q_22, n)
        a_u = v_12 / fit.sigma
        a_p = (a_2 - rho * a_u) / jnp.maximum(across_share(rho), 1e-9)
        noise = jnp.maximum(v_22 - a_u**2 - a_p**2, 1e-4 * v_22)
        chi = a_21 * jnp.sum(s**2 * self.r_1 * r_2) / n
        return State(a_u, a_p, 0.5 * jnp.log(noise), jnp.log(jnp.sum(s * r_2) / n), chi)

    def _overlaps(
        self, means: tuple[Any, Any], k_21: Any, r_2: Any, q_12: Any, q_22: Any, n: Any
    ) -> tuple[Any, Any, Any]:
        """a_2, Cov(v_1, v_2) and Var(v_2), eq. (11)."""
        s, (mean_1, mean_2) = self.s, means
        noise_12 = self.r_1 * (self.q_11 * k_21 + q_12 * r_2)
        noise_22 = k_21**2 * self.q_11 + 2 * k_21 * r_2 * q_12 + r_2**2 * q_22
        a_2 = -jnp.sum(s**2 * self.tt * mean_2)
        v_12 = jnp.sum(s**3 * self.tt * mean_1 * mean_2) + jnp.sum(s**2 * noise_12) / n
        v_22 = jnp.sum(s**3 * self.tt * mean_2**2) + jnp.sum(s**2 * noise_22) / n
        return a_2, v_12, v_22

    def residual(self, state: State, moments: Moments, terms: Terms) -> Array:
        """Equations (12) to (16), scaled to order one; shape (5,)."""
        s, fit, rho = self.s, self.fit, terms.rho
        a_1, a_2 = fit.along, state.on_teacher(rho)
        n = terms.delta * s.shape[0]
        # covariance T of the margins' parts beyond the teacher's, G_k = v_k - a_k z
        t_11, t_12 = fit.noise**2, fit.sigma * state.along - a_1 * a_2
        v_22 = state.norm**2
        t_22 = v_22 - a_2**2
        z_f = moments.on_teacher(rho)
        v_f = state.along * moments.along + state.across * moments.across
        v_f = v_f + state.noise * moments.noise
        g_1, g_2 = fit.sigma * moments.along - a_1 * z_f, v_f - a_2 * z_f
        # the matrices A and K = (Lambda + A s_k)^-1, lower triangular: eq. (11)
        alpha = response(state.step, n, terms.ridge, s)
        r_2 = 1 / (terms.ridge + alpha * s)
        a_21 = state.coupling * n / jnp.sum(s**2 * self.r_1 * r_2)
        k_21 = -self.r_1 * r_2 * a_21 * s
        b_2 = z_f - a_21 * a_1 - alpha * a_2
        means = self.r_1 * self.b_1, k_21 * self.b_1 + r_2 * b_2
        new_2, new_12, new_22 = self._overlaps(means, k_21, r_2, moments.shared, moments.square, n)
        new_1 = -jnp.sum(s**2 * self.tt * means[0])
        unit = effective_curvature(alpha, terms.ridge, s)
        return jnp.stack(
            [
                (a_2 - new_2) * unit / terms.size,  # eq. (12): along the teacher
                (g_1 - t_11 * a_21 - t_12 * alpha) / (terms.size * fit.sigma),  # eq. (13)
                (g_2 - t_12 * a_21 - t_22 * alpha) / (unit * t_22),  # eq. (14): response
                (t_12 - new_12 + new_1 * new_2) / (fit.sigma * jnp.sqrt(t_22)),  # eq. (15)
                (new_22 - new_2**2) / t_22 - 1,  # eq. (16): noise
            ]
        )


Closing = FreshClosing | StackedClosing


def isotropic(delta: Any, fit: ProbeFit | None) -> Closing:
    """The closing of isotropic inputs: one eigenvalue.

    Args:
        delta: samples per feature; read where there is a fit.
        fit: of a probe that has seen the samples, or None.
    """
    one = np.ones(1)
    if fit is None:
        return FreshClosing(one, one, np.zeros(1), one)
    r_1 = delta * fit.step
    return StackedClosing(
        one, one, fit, one * r_1, -fit.along / r_1, fit.noise**2 / (delta * fit.step**2)
    )


def effective_curvature(alpha: Any, ridge: Any, s: Any) -> Array:
    """What a change of alpha compares to; alpha itself may vanish: a hinge under a large ridge."""
    return jax.lax.stop_gradient(alpha + ridge / jnp.max(s))


@jax.jit
def response(step: Array, n: Array, ridge: Array, s: Array | np.ndarray) -> Array:
    """The alpha with sum_k s_k / (ridge + alpha s_k) = n kappa, eq. (6); differentiable in kappa.

    The sum falls from infinity to 0 as alpha grows from -ridge / max s. It is at least s_max /
    (ridge + alpha s_max) and at most the number of features times that, which brackets the root.
    """
    if s.shape[0] == 1:
        return 1 / (n * step) - ridge / s[0]
    top = jnp.max(s)
    # alpha + ridge / s_k = beta - gap_k with beta = alpha + ridge / top
    gap = ridge / top - ridge / s
    fixed_step, fixed_gap = jax.lax.stop_gradient((step, gap))

    def trace(beta: Array, shift: Array) -> Array:
        return jnp.sum(1 / (beta - shift)) / n

    def halve(_, bracket):
        low, high = bracket
        middle = 0.5 * (low + high)
        above = trace(jnp.exp(middle), fixed_gap) > fixed_step
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    unit = -jnp.log(jax.lax.stop_gradient(n) * fixed_step)
    low, high = jax.lax.fori_loop(0, 60, halve, (unit, unit + jnp.log(1.0 * s.shape[0])))
    beta = jax.lax.stop_gradient(jnp.exp(0.5 * (low + high)))
    slope = -jnp.sum(1 / (beta - jax.lax.stop_gradient(gap)) ** 2) / jax.lax.stop_gradient(n)
    beta = beta - (trace(beta, gap) - step) / slope  # one Newton step carries the derivative
    return beta - ridge / top

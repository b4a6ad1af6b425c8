"""Fit the student: Newton's method, float32 inside, float64 outside.

The objective is ``(1/n) sum_i w_i loss(y_i <x_i, theta>) + (ridge/2) ||theta||^2`` with rows x_i
in float32. The gradients that decide are computed in float64, so the fit ends at the exact
minimiser for those rows; Newton directions come from float32 products, whose error the next step
removes.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from nfl_pruning.losses import QUADRATIC_PROGRAM, Loss
from nfl_pruning.montecarlo.estimates.controls import row_controls
from nfl_pruning.montecarlo.fits.interior import fit_margins
from nfl_pruning.montecarlo.fits.newton import (
    Gradient,
    direction,
    plane_start,
    second_derivative,
    step_length,
)
from nfl_pruning.montecarlo.fits.outcome import (
    CONVERGED,
    GRADIENT_TOLERANCE,
    SEPARABLE,
    UNCONVERGED,
    Fit,
)
from nfl_pruning.montecarlo.fits.passes import Samples, double_product, widen

MAX_STEPS = 60
FORCING = 3.0  # accuracy of a Newton direction, relative to the relative gradient
ROUGH_ABOVE = 1e-4  # relative gradients above this may come from float32


class _State(NamedTuple):
    theta: Array
    here: Gradient
    steps: Array
    passes: Array


def _gradient(samples: Samples, loss: Loss, ridge: Array, theta: Array) -> tuple[Array, Array]:
    """Margins and gradient of the objective, computed in the precision of ``theta``."""
    weights, labels = (part.astype(theta.dtype) for part in (samples.weights, samples.labels))

    def pull(number: Array, margins: Array) -> Array:
        y = labels[number]
        return weights[number] * y * loss.derivative(y * margins)

    margins, total = double_product(samples, theta, pull)
    return widen(margins), widen(total + ridge.astype(theta.dtype) * theta)


def gradient_at(
    samples: Samples, loss: Loss, ridge: Array, theta: Array, expected: Array
) -> Gradient:
    """The gradient; in float32 where a relative error of 1e-6 is far below what is ``expected``."""
    exact = expected < ROUGH_ABOVE
    margins, gradient = lax.cond(
        exact,
        lambda: _gradient(samples, loss, ridge, theta),
        lambda: _gradient(samples, loss, ridge, theta.astype(jnp.float32)),
    )
    return Gradient(margins, gradient, jnp.linalg.norm(gradient), exact)


def _separated(samples: Samples, loss: Loss, ridge: Array, margins: Array) -> Array:
    """Whether these margins prove that no minimiser exists."""
    if not loss.separates:
        return jnp.array(False)
    right = jnp.where(samples.weights > 0, samples.labels * margins, jnp.inf)
    return (ridge == 0) & (samples.least(right.min()) > 0)


def fit(
    samples: Samples, loss: Loss, ridge: Array, *, tolerance: float = GRADIENT_TOLERANCE
) -> Fit:
    """Minimise the objective to a gradient norm of ``tolerance``.

    Args:
        samples: training rows, labels and weights w_i / n.
        loss: a convex loss with a way of fitting; quadratic programs are in ``interior.py``.
        ridge: float64 scalar >= 0. At 0, samples that some parameter separates have no minimiser
            under a loss whose infimum lies at infinity: the code is then SEPARABLE. Where a loss
            has many minimisers, the one of least norm is found, the limit of a vanishing ridge.
        tolerance: Euclidean norm of the gradient to reach.
    """
    if loss.fitting == QUADRATIC_PROGRAM:
        return fit_margins(samples, loss, ridge, tolerance=tolerance)
    pull = jnp.sum(samples.weights * jnp.abs(loss.derivative(jnp.zeros_like(samples.labels))))
    scale = jnp.maximum(samples.total(pull), 1e-300)  # no sample can make a steeper gradient at 0

    def improve(state: _State) -> _State:
        here = state.here
        curvature = samples.weights * second_derivative(loss, samples.labels * here.margins)
        accuracy = jnp.clip(FORCING * here.norm / scale, 1e-5, 0.2)
        accuracy = jnp.maximum(accuracy, 0.3 * tolerance / here.norm)
        along, moved, count = direction(samples, curvature, ridge, here.gradient, accuracy)
        s = step_length(samples, loss, ridge, here, (along, moved))
        theta = state.theta + s * along
        there = gradient_at(samples, loss, ridge, theta, accuracy * here.norm / scale)
        return _State(theta, there, state.steps + 1, state.passes + count + 1)

    def unfinished(state: _State) -> Array:
        met = state.here.exact & (state.here.norm <= tolerance)
        stuck = (state.steps >= MAX_STEPS) | ~jnp.isfinite(state.here.norm)
        return ~met & ~stuck & ~_separated(samples, loss, ridge, state.here.margins)

    theta = jnp.zeros(samples.width, jnp.float64)
    begin = plane_start(samples, loss, ridge)
    theta = theta.at[:2].set(jnp.where(ridge > 0, begin, 0.0))  # 0 lies in the span of the rows
    margins, gradient = _gradient(samples, loss, ridge, theta.astype(jnp.float32))
    first = Gradient(margins, gradient, jnp.linalg.norm(gradient), jnp.array(False))
    controls = row_controls(samples, loss, theta, gradient)
    end = lax.while_loop(unfinished, improve, _State(theta, first, jnp.asarray(0), jnp.asarray(2)))
    met = end.here.exact & (end.here.norm <= tolerance)
    code = jnp.where(met, CONVERGED, UNCONVERGED)
    code = jnp.where(_separated(samples, loss, ridge, end.here.margins), SEPARABLE, code)
    return Fit(end.theta, end.here.margins, end.here.norm, code, end.steps, end.passes, controls)

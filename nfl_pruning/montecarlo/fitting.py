"""Fit the student: Newton's method with conjugate gradients, float32 inside, float64 outside.

The objective is ``(1/n) sum_i w_i loss(y_i <x_i, theta>) + (ridge/2) ||theta||^2`` with rows x_i
stored in float32. Its gradient is always computed in float64, so the fit ends at the exact
minimiser for those rows; only the Newton direction comes from float32 products, whose error the
next step removes. Every pass over the rows goes block by block and uses a block twice while it is
in cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from nfl_pruning.losses import Loss

GRADIENT_TOLERANCE = 1e-11
MAX_STEPS = 60
MAX_INNER = 400
CONVERGED, SEPARABLE, UNCONVERGED = 0, 1, 2


class Blocks(NamedTuple):
    """Training rows in blocks: ``rows`` (blocks, size, d) float32, the others (blocks, size)."""

    rows: Array
    labels: Array
    weights: Array


class Fit(NamedTuple):
    """Outcome: parameter (d,), gradient norm, code (CONVERGED ...), Newton steps and passes."""

    theta: Array
    gradient_norm: Array
    code: Array
    steps: Array
    passes: Array


class _State(NamedTuple):
    theta: Array
    margins: Array
    gradient: Array
    norm: Array
    steps: Array
    passes: Array


def _product(
    rows: Array, vector: Array, weigh: Callable[[Array, Array], Array]
) -> tuple[Array, Array]:
    """The margins = rows @ vector and rows.T @ weigh(block number, margins), in one pass.

    Runs in the precision of ``vector``: float32 rows are widened block by block.
    """

    def step(total: Array, block: tuple[Array, Array]) -> tuple[Array, Array]:
        number, x = block
        x = x.astype(vector.dtype)
        margins = jnp.matmul(x, vector, precision=lax.Precision.HIGHEST)
        pulled = jnp.matmul(weigh(number, margins), x, precision=lax.Precision.HIGHEST)
        return total + pulled, margins

    numbers = jnp.arange(rows.shape[0])
    total, margins = lax.scan(step, jnp.zeros_like(vector), (numbers, rows))
    return margins, total


def second_derivative(loss: Loss, t: Array) -> Array:
    """d^2 loss / dt^2, elementwise."""
    return jax.jvp(loss.derivative, (t,), (jnp.ones_like(t),))[1]


def _gradient(data: Blocks, loss: Loss, ridge: Array, theta: Array) -> tuple[Array, Array]:
    """Margins and gradient of the objective in float64; weights carry the 1/n."""

    def pull(number: Array, margins: Array) -> Array:
        y = data.labels[number]
        return data.weights[number] * y * loss.derivative(y * margins)

    margins, total = _product(data.rows, theta, pull)
    return margins, total + ridge * theta


def _direction(
    data: Blocks, curvature: Array, ridge: Array, gradient: Array, accuracy: Array
) -> tuple[Array, Array, Array]:
    """Solve (X^T diag(curvature) X + ridge) p = -gradient by conjugate gradients in float32.

    Returns p, the rows' products with p (float64), and the number of passes. The right-hand
    side is scaled to unit norm first, so float32 does not underflow near the minimum.
    """
    size = jnp.linalg.norm(gradient)
    right = (-gradient / size).astype(jnp.float32)
    curvature, ridge = curvature.astype(jnp.float32), ridge.astype(jnp.float32)
    accuracy = accuracy.astype(jnp.float32)

    def improve(state):
        p, moved, residual, search, square, count = state
        products, pulled = _product(data.rows, search, lambda i, m: curvature[i] * m)
        pulled = pulled + ridge * search
        step = square / jnp.maximum(jnp.vdot(search, pulled), jnp.finfo(jnp.float32).tiny)
        residual = residual - step * pulled
        new = jnp.vdot(residual, residual)
        return (
            p + step * search, moved + step * products, residual,
            residual + (new / square) * search, new, count + 1,
        )  # fmt: skip

    def unfinished(state):
        return (state[4] > accuracy**2) & (state[5] < MAX_INNER)

    zero = jnp.zeros_like(right)
    start = (zero, jnp.zeros(data.labels.shape, jnp.float32), right, right, jnp.float32(1), 0)
    p, moved, _, _, _, count = lax.while_loop(unfinished, improve, start)
    return size * p.astype(jnp.float64), size * moved.astype(jnp.float64), jnp.asarray(count)


def _step_length(data: Blocks, loss: Loss, ridge: Array, state: _State, move: tuple) -> Array:
    """A step at which the objective's slope along the move has halved, or 1 if it is short of that.

    The slope is increasing (the objective is convex), costs no pass over the rows, and does not
    suffer the cancellation that comparing objective values does: near the minimum its change is
    summed, and its start is the gradient's.
    """
    direction, moved = move
    start, square = jnp.vdot(state.gradient, direction), jnp.vdot(direction, direction)
    here = loss.derivative(data.labels * state.margins)

    def slope(s):
        there = loss.derivative(data.labels * (state.margins + s * moved))
        change = jnp.sum(data.weights * data.labels * moved * (there - here))
        return start + change + ridge * s * square

    limit = 0.5 * jnp.abs(start)

    def halve(bracket):
        low, high, middle, count = bracket
        value = slope(middle)
        low, high = jnp.where(value < 0, middle, low), jnp.where(value < 0, high, middle)
        return low, high, jnp.where(jnp.abs(value) <= limit, middle, 0.5 * (low + high)), count + 1

    def unfinished(bracket):
        return (jnp.abs(slope(bracket[2])) > limit) & (bracket[3] < 40)

    one = jnp.ones(())
    return lax.cond(
        slope(one) <= limit,
        lambda: one,
        lambda: lax.while_loop(unfinished, halve, (0 * one, one, 0.5 * one, 0))[2],
    )


def fit(data: Blocks, loss: Loss, ridge: Array, tolerance: float = GRADIENT_TOLERANCE) -> Fit:
    """Minimise the objective to a gradient norm of ``tolerance``; see the module's text.

    Args:
        data: training rows; the weights are w_i / n.
        loss: a convex loss.
        ridge: float64 scalar >= 0. At 0, a sample that some parameter separates has no minimiser
            under a loss whose infimum lies at infinity: the code is then SEPARABLE.
        tolerance: Euclidean norm of the gradient to reach.
    """
    theta = jnp.zeros(data.rows.shape[-1], jnp.float64)
    margins, first = _gradient(data, loss, ridge, theta)
    scale = jnp.maximum(jnp.linalg.norm(first), 1e-300)

    def separated(margins):
        right = jnp.where(data.weights > 0, data.labels * margins, jnp.inf)
        return jnp.logical_and(
            loss.separates and jnp.asarray(True), (ridge == 0) & (right.min() > 0)
        )

    def improve(state: _State) -> _State:
        t = data.labels * state.margins
        curvature = data.weights * second_derivative(loss, t)
        accuracy = jnp.clip(state.norm / scale, 1e-4, 0.1)
        direction, moved, count = _direction(data, curvature, ridge, state.gradient, accuracy)
        s = _step_length(data, loss, ridge, state, (direction, moved))
        theta = state.theta + s * direction
        margins, gradient = _gradient(data, loss, ridge, theta)
        norm = jnp.linalg.norm(gradient)
        return _State(theta, margins, gradient, norm, state.steps + 1, state.passes + count + 1)

    def unfinished(state: _State) -> Array:
        going = (state.norm > tolerance) & (state.steps < MAX_STEPS)
        return going & ~separated(state.margins)

    start = _State(theta, margins, first, jnp.linalg.norm(first), jnp.asarray(0), jnp.asarray(1))
    end = lax.while_loop(unfinished, improve, start)
    code = jnp.where(end.norm <= tolerance, CONVERGED, UNCONVERGED)
    code = jnp.where(separated(end.margins), SEPARABLE, code)
    return Fit(end.theta, end.norm, code, end.steps, end.passes)

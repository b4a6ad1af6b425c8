"""A Newton direction by conjugate gradients, and how far to go along it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from nfl_pruning.losses import Loss
from nfl_pruning.montecarlo.fits.passes import Samples, double_product, widen

MAX_INNER = 400
PLANE_STEPS = 6


class Gradient(NamedTuple):
    """Margins (blocks, size), gradient (d,), its norm, and whether float64 computed them."""

    margins: Array
    gradient: Array
    norm: Array
    exact: Array


class Preconditioner(NamedTuple):
    """The Hessian as theory sees it: exact in the plane, a multiple of 1 across it.

    Rows are standard normal outside the plane and independent of the curvature, so the Hessian's
    mean there is (sum of curvatures + ridge) times the identity.
    """

    plane: Array
    bulk: Array

    def __call__(self, vector: Array) -> Array:
        """The inverse applied to a vector of shape (d,)."""
        return jnp.concatenate([self.plane @ vector[:2], self.bulk * vector[2:]])


def second_derivative(loss: Loss, t: Array) -> Array:
    """d^2 loss / dt^2, elementwise."""
    return jax.jvp(loss.derivative, (t,), (jnp.ones_like(t),))[1]


def precondition(samples: Samples, curvature: Array, ridge: Array) -> Preconditioner:
    """The preconditioner for curvatures of shape (blocks, size).

    Without a ridge it is a multiple of 1 in the plane too: directions then stay in the span of the
    rows, and where many parameters interpolate the fit ends at the one of least norm.
    """
    plane = widen(samples.plane)
    hessian = samples.total(jnp.einsum("bk,bki,bkj->ij", curvature, plane, plane))
    hessian = hessian + ridge * jnp.eye(2)
    determinant = hessian[0, 0] * hessian[1, 1] - hessian[0, 1] ** 2
    turned = jnp.array([[hessian[1, 1], -hessian[0, 1]], [-hessian[0, 1], hessian[0, 0]]])
    bulk = jnp.maximum(samples.total(jnp.sum(curvature)) + ridge, 1e-300)
    usable = (determinant > 1e-6 * hessian[0, 0] * hessian[1, 1]) & (ridge > 0)
    inverse = jnp.where(usable, turned / jnp.where(usable, determinant, 1), jnp.eye(2) / bulk)
    return Preconditioner(inverse, 1 / bulk)


def direction(
    samples: Samples, curvature: Array, ridge: Array, gradient: Array, accuracy: Array
) -> tuple[Array, Array, Array]:
    """Solve (X^T diag(curvature) X + ridge) p = -gradient by conjugate gradients in float32.

    Both sides are divided by the gradient's norm times the bulk curvature, so that float32
    neither underflows near the minimum nor where all curvatures are small.

    Returns:
        p and the rows' products with p, both float64, and the number of passes.
    """
    inverse = precondition(samples, curvature, ridge)
    size = jnp.linalg.norm(gradient)
    right = (-gradient / size).astype(jnp.float32)
    curvature = (curvature * inverse.bulk).astype(jnp.float32)
    ridge = (ridge * inverse.bulk).astype(jnp.float32)
    scaled = Preconditioner((inverse.plane / inverse.bulk).astype(jnp.float32), jnp.float32(1))
    limit = jnp.square(accuracy.astype(jnp.float32))

    def improve(state):
        p, moved, residual, search, fall, _, count = state
        products, pulled = double_product(samples, search, lambda i, m: curvature[i] * m)
        pulled = pulled + ridge * search
        step = fall / jnp.maximum(jnp.vdot(search, pulled), jnp.finfo(jnp.float32).tiny)
        residual = residual - step * pulled
        turned = scaled(residual)
        new = jnp.vdot(residual, turned)
        return (
            p + step * search, moved + step * products, residual,
            turned + (new / fall) * search, new, jnp.vdot(residual, residual), count + 1,
        )  # fmt: skip

    def unfinished(state):
        return (state[5] > limit) & (state[6] < MAX_INNER)

    first = scaled(right)
    moved = jnp.zeros(samples.labels.shape, jnp.float32)
    start = (jnp.zeros_like(right), moved, right, first, jnp.vdot(right, first), jnp.float32(1), 0)
    p, moved, *_, count = lax.while_loop(unfinished, improve, start)
    scale = size * inverse.bulk
    return scale * widen(p), scale * widen(moved), jnp.asarray(count)


def step_length(
    samples: Samples, loss: Loss, ridge: Array, here: Gradient, move: tuple[Array, Array]
) -> Array:
    """A step at which the objective's slope along the move has halved, or 1 if it is short of that.

    The slope is increasing (the objective is convex), costs no pass over the rows, and does not
    suffer the cancellation that comparing objective values does: near the minimum its change is
    summed, and its start is the gradient's.
    """
    along, moved = move
    start, square = jnp.vdot(here.gradient, along), jnp.vdot(along, along)
    pulled = loss.derivative(samples.labels * here.margins)

    def slope(s):
        there = loss.derivative(samples.labels * (here.margins + s * moved))
        change = jnp.sum(samples.weights * samples.labels * moved * (there - pulled))
        return start + samples.total(change) + ridge * s * square

    limit = 0.5 * jnp.abs(start)

    def halve(bracket):
        low, high, middle, value, count = bracket
        low, high = jnp.where(value < 0, middle, low), jnp.where(value < 0, high, middle)
        middle = 0.5 * (low + high)
        return low, high, middle, slope(middle), count + 1

    def unfinished(bracket):
        return (jnp.abs(bracket[3]) > limit) & (bracket[4] < 40)

    one = jnp.ones(())
    full = slope(one)
    start_value = jnp.where(full <= limit, 0.0, full)  # a short step is taken as it is
    bracket = (0 * one, one, one, start_value, 0)
    return lax.while_loop(unfinished, halve, bracket)[2]


def plane_start(samples: Samples, loss: Loss, ridge: Array) -> Array:
    """The first two coordinates of a parameter near the best one within the plane.

    A few Newton steps in two unknowns cost less than one pass over the rows, and leave out of the
    real search the part of the solution that is not noise. Steps are kept short, since nothing
    bounds the minimiser when there is no ridge.
    """
    plane = widen(samples.plane)

    def improve(state):
        coordinates, _, count = state
        t = samples.labels * (plane @ coordinates)
        pull = samples.weights * samples.labels * loss.derivative(t)
        gradient = samples.total(jnp.einsum("bk,bki->i", pull, plane)) + ridge * coordinates
        scale = precondition(samples, samples.weights * second_derivative(loss, t), ridge)
        step = scale.plane @ gradient
        size = jnp.linalg.norm(step)
        return coordinates - step / jnp.maximum(1, size), size, count + 1

    start = (jnp.zeros(2), jnp.ones(()), 0)
    return lax.while_loop(lambda s: (s[1] > 0.05) & (s[2] < PLANE_STEPS), improve, start)[0]

"""Fits of one margin or of K logits, with or without intercepts: Newton's method, float64.

Each Newton step solves its system by conjugate gradients, preconditioned by the mean of the
Hessian's blocks that couple one logit with itself, as it was at an earlier step: an iteration costs
two passes over the rows, where the block costs d / 2 of them, and the whole Hessian K^2 times that.
The block is formed anew when iterations become many.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.nn import log_softmax, logsumexp, one_hot, softmax

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs.mixture_draw import bucket
from nfl_pruning.losses import Loss
from nfl_pruning.montecarlo.fits.outcome import CONVERGED, UNCONVERGED

MOST_STEPS = 100
INNER, MOST_INNER = 1e-5, 300  # conjugate gradients: residual relative to the first, iterations
MANY_INNER = 16  # after which the preconditioner is formed anew
GOOD = 1e-8  # gradient norm at which a fit counts, where rounding keeps it from going on
NO_MINIMUM = 6  # an intercept that nothing bounds


class LogitFit(NamedTuple):
    """A linear model.

    Attributes:
        weights: shape (J, d): J = 1 for the margin of two classes, else K.
        intercepts: shape (J,), zeros where there are none.
        gradient_norm: Euclidean norm of the objective's gradient.
        steps, passes: Newton steps and passes over the rows.
        code: CONVERGED, UNCONVERGED or NO_MINIMUM.
    """

    weights: np.ndarray
    intercepts: np.ndarray
    gradient_norm: float
    steps: int
    passes: int
    code: int

    def logits(self, x: np.ndarray) -> np.ndarray:
        """LogitLoss of shape (n, J)."""
        return x @ self.weights.T + self.intercepts


class LogitLoss(NamedTuple):
    """What is compiled in: the loss, the number J of outputs and whether they have intercepts."""

    loss: Loss
    outputs: int
    intercept: bool

    @property
    def softmax(self) -> bool:
        return self.outputs > 1 and self.loss.many == "softmax"

    def value(self, h: Array, y: Array) -> Array:
        """Loss of each row, shape (n,), from outputs (n, J) and class codes (n,)."""
        if self.outputs == 1:
            return self.loss.value(_signs(y) * h[:, 0])
        if self.softmax:
            return logsumexp(h, axis=1) - jnp.take_along_axis(h, y[:, None], axis=1)[:, 0]
        return 0.5 * jnp.sum((h - one_hot(y, self.outputs, dtype=h.dtype)) ** 2, axis=1)

    def slope(self, h: Array, y: Array) -> Array:
        """Its derivative by the outputs, shape (n, J)."""
        if self.outputs == 1:
            signs = _signs(y)
            return (signs * self.loss.derivative(signs * h[:, 0]))[:, None]
        target = one_hot(y, self.outputs, dtype=h.dtype)
        return (softmax(h, axis=1) if self.softmax else h) - target

    def curvature(self, h: Array, y: Array) -> Array:
        """What ``bend`` needs of the outputs, shape (n, J)."""
        if self.outputs == 1:
            t = _signs(y) * h[:, 0]
            return jax.jvp(self.loss.derivative, (t,), (jnp.ones_like(t),))[1][:, None]
        return jnp.exp(log_softmax(h, axis=1)) if self.softmax else jnp.ones_like(h)

    def bend(self, c: Array, move: Array) -> Array:
        """The loss's second derivative times a move of the outputs, shape (n, J)."""
        if not self.softmax:
            return c * move
        return c * (move - jnp.sum(c * move, axis=1, keepdims=True))

    def own_bend(self, c: Array) -> Array:
        """Its diagonal, the mean over outputs, shape (n,)."""
        return jnp.mean(c * (1 - c) if self.softmax else c, axis=1)


def _signs(y: Array) -> Array:
    return jnp.where(y > 0, 1.0, -1.0)


class _State(NamedTuple):
    theta: Array
    outputs: Array
    gradient: Array
    factor: Array
    inner: Array
    steps: Array
    passes: Array
    stuck: Array


def fit_logits(
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    *,
    ridge: float,
    loss: Loss,
    n_classes: int,
    intercept: bool,
    tolerance: float = 1e-11,
) -> LogitFit:
    """Minimise ``sum_i w_i loss_i + (ridge / 2) ||W||^2`` over W and free intercepts.

    Args:
        x: rows, shape (n, d); those of weight 0 are left out.
        y: class codes, shape (n,).
        weights: >= 0, shape (n,); 1 / n each for a mean.
        ridge: > 0; of the margin's parameter where there are two classes.
        loss: smooth; with three classes or more logistic (softmax) or squared (one against all).
        n_classes: K >= 2.
        intercept: whether outputs have an intercept, which has no ridge.
        tolerance: gradient norm at which to stop; 1e-8 counts where rounding allows no less.

    Raises:
        InvalidArgumentError: the loss has corners, or no form for many classes.
    """
    check_loss(loss, n_classes)
    kept, d = np.flatnonzero(weights), x.shape[1]
    what = LogitLoss(loss, 1 if n_classes == 2 else n_classes, intercept)
    packed = _packed(x[kept], y[kept], weights[kept], intercept=intercept)
    with jax.enable_x64(True):
        rows = (jnp.asarray(part) for part in packed)
        found = minimise(*rows, float(ridge), float(tolerance), what=what)
    theta, norm, steps, passes = (np.asarray(part) for part in found)
    code = CONVERGED if norm <= max(GOOD, tolerance) else UNCONVERGED
    if intercept and loss.separates and len(np.unique(y[kept])) < n_classes:
        code = NO_MINIMUM
    offsets = theta[:, d] if intercept else np.zeros(what.outputs)
    return LogitFit(theta[:, :d], offsets, float(norm), int(steps), int(passes), code)


def _packed(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, *, intercept: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, perhaps with a column of ones, codes and weights, padded to one of few sizes."""
    n, d = x.shape
    size = bucket(n)
    rows = np.ones((size, d + intercept))
    rows[:n, :d], rows[n:, :d] = x, 0.0
    codes, strength = np.zeros(size, np.int32), np.zeros(size)
    codes[:n], strength[:n] = y, weights
    return rows, codes, strength


def check_loss(loss: Loss, n_classes: int) -> None:
    """Raise where a loss has no fit here."""
    if not loss.smooth:
        raise InvalidArgumentError(
            f"inputs of components are fitted with smooth losses; got {loss.name!r}."
        )
    if n_classes > 2 and loss.many is None:
        raise InvalidArgumentError(
            "with three classes or more the loss must be logistic (softmax) or squared (one "
            f"against all); got {loss.name!r}."
        )


@partial(jax.jit, static_argnames="what")
def minimise(
    x: Array, y: Array, w: Array, ridge: Array, tolerance: Array, *, what: LogitLoss
) -> tuple[Array, Array, Array, Array]:
    """Newton's method, compiled.

    Args:
        x: rows, shape (n, columns); the last column is 1 where outputs have an intercept.
        y: class codes, or signs of a margin, shape (n,).
        w: weights, shape (n,); rows of weight 0 count for nothing.
        ridge: > 0; not on an intercept.
        tolerance: gradient norm at which to stop.
        what: loss and outputs J.

    Returns:
        Minimiser (J, columns), its gradient's norm, Newton steps, passes over the rows.
    """
    penalty = jnp.full(x.shape[1], ridge)
    if what.intercept:
        penalty = penalty.at[-1].set(0.0)

    def value(theta: Array, h: Array) -> Array:
        return jnp.sum(w * what.value(h, y)) + 0.5 * jnp.sum(penalty * theta**2)

    def gradient(theta: Array, h: Array) -> Array:
        return (w[:, None] * what.slope(h, y)).T @ x + penalty * theta

    def improve(state: _State) -> _State:
        theta, h = state.theta, state.outputs
        c = what.curvature(h, y)
        factor = lax.cond(
            state.inner > MANY_INNER,
            lambda: _factor(x, w * what.own_bend(c), penalty),
            lambda: state.factor,
        )
        step, inner = _solve(x, w, c, penalty, -state.gradient, factor=factor, what=what)
        move = x @ step.T
        here, fall = value(theta, h), jnp.sum(state.gradient * step)

        def too_long(length: Array) -> Array:
            drop = value(theta + length * step, h + length * move) - here
            # Rounding hides a decrease below it, where the full step is right.
            return (drop > 1e-4 * length * fall + 1e-14 * jnp.abs(here)) & (length > 1e-9)

        length = lax.while_loop(too_long, lambda f: 0.5 * f, jnp.ones(()))
        theta = theta + length * step
        h = x @ theta.T
        slope = gradient(theta, h)
        norm, before = jnp.linalg.norm(slope), jnp.linalg.norm(state.gradient)
        stuck = ~(norm < 0.5 * before) & (before < GOOD)  # rounding: no step gets on
        passes = state.passes + 3 + 2 * inner
        stuck = stuck | ~jnp.isfinite(norm)
        return _State(theta, h, slope, factor, inner, state.steps + 1, passes, stuck)

    def unfinished(state: _State) -> Array:
        going = jnp.linalg.norm(state.gradient) > tolerance
        return going & ~state.stuck & (state.steps < MOST_STEPS)

    theta = jnp.zeros((what.outputs, x.shape[1]))
    h = jnp.zeros((x.shape[0], what.outputs))
    factor = _factor(x, w * what.own_bend(what.curvature(h, y)), penalty)
    none, one = jnp.array(0), jnp.array(1)
    start = _State(theta, h, gradient(theta, h), factor, none, none, one, jnp.array(False))
    end = lax.while_loop(unfinished, improve, start)
    return end.theta, jnp.linalg.norm(end.gradient), end.steps, end.passes


def _solve(
    x: Array, w: Array, c: Array, penalty: Array, right: Array, *, factor: Array, what: LogitLoss
) -> tuple[Array, Array]:
    """Newton's step by preconditioned conjugate gradients, and their number."""

    def hessian(v: Array) -> Array:
        return (w[:, None] * what.bend(c, x @ v.T)).T @ x + penalty * v

    def balanced(v: Array) -> Array:
        # Softmax: a shift of all logits changes nothing, and the minimiser has none.
        return v - jnp.mean(v, axis=0) if what.softmax else v

    def precondition(r: Array) -> Array:
        return balanced(jax.scipy.linalg.cho_solve((factor, True), balanced(r).T).T)

    def iterate(state: tuple[Array, ...]) -> tuple[Array, ...]:
        v, r, p, rho, count = state
        q = hessian(p)
        length = rho / jnp.sum(p * q)
        v, r = v + length * p, r - length * q
        z = precondition(r)
        after = jnp.sum(r * z)
        return v, r, z + after / rho * p, after, count + 1

    z = precondition(right)
    first = jnp.sum(right * z)

    def unfinished(state: tuple[Array, ...]) -> Array:
        return (state[3] > INNER**2 * first) & (state[4] < MOST_INNER)

    start = (jnp.zeros_like(right), right, z, first, jnp.array(0))
    found = lax.while_loop(unfinished, iterate, start)
    return found[0], found[4]


def _factor(x: Array, bend: Array, penalty: Array) -> Array:
    """Cholesky factor of the Hessian's block of one output, shape (columns, columns)."""
    block = (x * bend[:, None]).T @ x + jnp.diag(penalty)
    # The bend of an intercept vanishes where every probability is 0 or 1.
    return jnp.linalg.cholesky(block + 1e-14 * jnp.trace(block) * jnp.eye(len(block)))

"""Newton's method as one compiled loop, and derivatives of a root by the implicit function theorem.

For small dense systems. Everything here runs inside ``jit``, ``vmap`` and ``lax.map``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Evaluate = Callable[[Array], tuple[Array, Array]]


def with_jacobian(function: Callable[[Array], Any], x: Array) -> tuple[Any, Any]:
    """The value at x, an array or a tree of them, and the Jacobian there, from one evaluation."""

    def twice(x: Array) -> tuple[Any, Any]:
        value = function(x)
        return value, value

    jacobian, value = jax.jacfwd(twice, has_aux=True)(x)
    return value, jacobian


class Found(NamedTuple):
    """Where Newton's method ended.

    Attributes:
        x: unknowns, shape (k,).
        jacobian: there, shape (k, k).
        residual: largest entry of the residual there; infinite or NaN where it broke down.
        evaluations: of the residual and its Jacobian.
    """

    x: Array
    jacobian: Array
    residual: Array
    evaluations: Array


class _State(NamedTuple):
    x: Array
    jacobian: Array
    error: Array
    step: Array
    factor: Array
    evaluations: Array


def newton(
    evaluate: Evaluate,
    start: Array,
    *,
    tolerance: float,
    reach: Callable[[Array], Array],
    longest: float = 2.0,
    most: int | Array = 60,
) -> Found:
    """Damped Newton: a step is halved until the largest residual falls.

    Args:
        evaluate: x -> (residual, Jacobian), shapes (k,) and (k, k).
        start: shape (k,).
        tolerance: stops when the largest residual is below it.
        reach: x -> lengths of shape (k,) in which a step may not exceed ``longest``.
        longest: see ``reach``.
        most: evaluations at most; it also stops when ten halvings did not help.
    """

    def direction(x: Array, value: Array, jacobian: Array) -> Array:
        step = jnp.linalg.solve(jacobian, -value)
        size = jnp.max(jnp.abs(step) / reach(x))
        return step * jnp.minimum(1.0, longest / jnp.maximum(size, 1e-300))

    def improve(state: _State) -> _State:
        x = state.x + state.factor * state.step
        value, jacobian = evaluate(x)
        error = jnp.max(jnp.abs(value))
        better = error < state.error  # False for NaN
        take = lambda new, old: jnp.where(better, new, old)  # noqa: E731
        factor = jnp.where(better, jnp.minimum(1.0, 4 * state.factor), 0.5 * state.factor)
        return _State(
            take(x, state.x),
            take(jacobian, state.jacobian),
            take(error, state.error),
            take(direction(x, value, jacobian), state.step),
            factor,
            state.evaluations + 1,
        )

    def going(state: _State) -> Array:
        open_ = (state.error > tolerance) & (state.evaluations < most)
        return open_ & (state.factor > 1e-3)

    # The start enters the loop as a step of length 0, so that `evaluate` is compiled once.
    size = len(start)
    first = _State(
        start,
        jnp.eye(size),
        jnp.asarray(jnp.inf),
        jnp.zeros(size),
        jnp.ones(()),
        jnp.zeros((), jnp.int32),
    )
    last = jax.lax.while_loop(going, improve, first)
    return Found(last.x, last.jacobian, last.error, last.evaluations)


def implicit(
    x: Array, jacobian: Array, residual: Callable[[Array], Array], *, value: Array | None = None
) -> Array:
    """The root again, with the derivatives that the implicit function theorem gives it.

    ``residual`` closes over what the root shall be differentiated in. The value is that after one
    Newton step from the frozen root; derivatives of any order, forward and reverse, are those of
    the root of ``residual``, whose own Jacobian is formed for them alone. ``value`` is the residual
    at x where it is known already.
    """
    x, jacobian, value = jax.lax.stop_gradient((x, jacobian, value))

    def step(function: Callable[[Array], Array], start: Array) -> Array:
        return start - jnp.linalg.solve(jacobian, function(start) if value is None else value)

    def tangent(linear: Callable[[Array], Array], change: Array) -> Array:
        return jnp.linalg.solve(jax.jacfwd(linear)(jnp.zeros_like(change)), change)

    return jax.lax.custom_root(residual, x, step, tangent)

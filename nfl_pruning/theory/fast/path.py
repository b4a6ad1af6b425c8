"""Continuation as one compiled loop: a root is followed from an easy value of a parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.numerics.root import Evaluate, Found, newton

TOLERANCE = 1e-12
FIRST_STRIDE, WIDEST, NARROWEST = 0.25, 0.35, 0.01
MOST_TRIALS, MOST_STEPS = 40, 16
DIRECT, EASY = -2.0, -1.0  # places that stand for "nothing tried" and "tried directly, in vain"
LOOSE = 1e-6


def reach(x: Array) -> Array:
    """Step lengths: the first two unknowns are no logarithms."""
    size = 1 + jnp.max(jnp.abs(x[:2])) + jnp.exp(jnp.minimum(x[2], 60.0))
    return jnp.ones_like(x).at[:2].set(size)


def root(
    evaluate: Evaluate, first: Array, *, tolerance: float = TOLERANCE, most: int = 60
) -> Found:
    """Newton's method with this package's step lengths."""
    return newton(evaluate, first, tolerance=tolerance, reach=reach, most=most)


def easy_ridge(ridge: Array) -> Array:
    """A ridge so large that the fit is nearly linear."""
    return jnp.maximum(10.0, 10 * ridge)


class _State(NamedTuple):
    place: Array
    x: Array
    slope: Array
    stride: Array
    trials: Array


def follow(
    at: Callable[[Array], Evaluate],
    begin: Callable[[Array], Array],
    *,
    ends: tuple[Array, Array],
    sound: Callable[[Array, Array], Array] = lambda parameter, x: jnp.array(True),
) -> Array:
    """A root at the second end of a parameter's range.

    Tried directly first; then from the first end on, in steps of the parameter's logarithm that
    adapt. Where that fails, the last root that was found.

    Args:
        at: the parameter -> the equations there.
        begin: the parameter -> a guess of the root, good at the first end.
        sound: (parameter, root) -> whether it is a root of the right kind.
        ends: the easy value of the parameter and the one asked for, both positive.
    """
    easy, asked = ends
    first = begin(asked)

    def value_at(place: Array) -> Array:
        return easy * (asked / easy) ** place

    def improve(state: _State) -> _State:
        place, x, slope, stride, trials = state
        direct, restart = place == DIRECT, place == EASY
        ahead = jnp.minimum(place + stride, 1.0)
        trial = jnp.where(direct, 1.0, jnp.where(restart, 0.0, ahead))
        guess = jnp.where(restart, begin(easy), x + slope * (trial - place))
        parameter, guess = value_at(trial), jnp.where(direct, first, guess)
        found = root(at(parameter), guess, tolerance=LOOSE, most=MOST_STEPS)
        good = (found.residual <= LOOSE) & sound(parameter, found.x)
        known = place >= 0
        gained = jnp.where(known, (found.x - x) / jnp.maximum(trial - place, 1e-9), 0.0)
        wider = jnp.minimum(jnp.where(known, 1.5, 1.0) * stride, WIDEST)
        return _State(
            jnp.where(good, trial, jnp.where(direct, EASY, jnp.where(restart, 2.0, place))),
            jnp.where(good, found.x, x),
            jnp.where(good, gained, slope),
            jnp.where(good, wider, jnp.where(known, 0.4 * stride, stride)),
            trials + 1,
        )

    def going(state: _State) -> Array:
        return (state.place < 1) & (state.stride > NARROWEST) & (state.trials < MOST_TRIALS)

    begin_state = _State(
        jnp.asarray(DIRECT),
        first,
        jnp.zeros_like(first),
        jnp.asarray(FIRST_STRIDE),
        jnp.zeros((), jnp.int32),
    )
    return jax.lax.while_loop(going, improve, begin_state).x

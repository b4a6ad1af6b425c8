"""Continuation as one compiled loop: a root is followed from an easy value of a parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.numerics.root import Evaluate, Found, newton
from nfl_pruning.theory.state import step_lengths

TOLERANCE = 1e-12
FIRST_STRIDE, WIDEST, NARROWEST = 0.25, 0.35, 0.01
MOST_TRIALS, MOST_STEPS, MOST_AT_LAST = 40, 12, 60
EASY = -1.0  # a place that stands for "tried directly, in vain"; before it, for a guess to be tried
LOOSE = 1e-6


def root(
    evaluate: Evaluate,
    first: Array,
    *,
    tolerance: float = TOLERANCE,
    most: int | Array = MOST_AT_LAST,
) -> Found:
    """Newton's method with this package's step lengths."""
    return newton(evaluate, first, tolerance=tolerance, reach=step_lengths, most=most)


def easy_ridge(ridge: Array) -> Array:
    """A ridge so large that the fit is nearly linear."""
    return jnp.maximum(10.0, 10 * ridge)


class Reached(NamedTuple):
    """The end of a path.

    Attributes:
        x: the last root that was found, or the first guess.
        most: evaluations that the search for a finer root from there is worth.
    """

    x: Array
    most: Array


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
    guesses: Sequence[Array] = (),
    sound: Callable[[Array, Array], Array] = lambda parameter, x: jnp.array(True),
    patient: bool = True,
) -> Reached:
    """A root at the second end of a parameter's range.

    Tried directly first, from one guess after another; then from the first end on, in steps of the
    parameter's logarithm that adapt. Where that fails, the last root that was found may do.

    Args:
        at: the parameter -> the equations there.
        begin: the parameter -> a guess of the root, good at the first end.
        ends: the easy value of the parameter and the one asked for, both positive.
        guesses: further ones, for the second end alone.
        sound: (parameter, root) -> whether it is a root of the right kind.
        patient: whether it is followed from the first end where no guess leads to a root; if not,
            nothing more is spent on such a problem.
    """
    easy, asked = ends
    direct = jnp.stack([begin(asked), *guesses])
    most = MOST_TRIALS if patient else len(direct)

    def value_at(place: Array) -> Array:
        return easy * (asked / easy) ** place

    def improve(state: _State) -> _State:
        place, x, slope, stride, trials = state
        guessing, restart = place < EASY, place == EASY
        ahead = jnp.minimum(place + stride, 1.0)
        trial = jnp.where(guessing, 1.0, jnp.where(restart, 0.0, ahead))
        guess = jnp.where(restart, begin(easy), x + slope * (trial - place))
        guess = jnp.where(guessing, direct[jnp.minimum(trials, len(direct) - 1)], guess)
        parameter = value_at(trial)
        found = root(at(parameter), guess, tolerance=LOOSE, most=MOST_STEPS)
        good = (found.residual <= LOOSE) & sound(parameter, found.x)
        known = place >= 0
        gained = jnp.where(known, (found.x - x) / jnp.maximum(trial - place, 1e-9), 0.0)
        wider = jnp.minimum(jnp.where(known, 1.5, 1.0) * stride, WIDEST)
        failed = jnp.where(guessing, place + 1, jnp.where(restart, 2.0, place))
        return _State(
            jnp.where(good, trial, failed),
            jnp.where(good, found.x, x),
            jnp.where(good, gained, slope),
            jnp.where(good, wider, jnp.where(known, 0.4 * stride, stride)),
            trials + 1,
        )

    def going(state: _State) -> Array:
        return (state.place < 1) & (state.stride > NARROWEST) & (state.trials < most)

    begin_state = _State(
        EASY - jnp.asarray(float(len(direct))),
        direct[0],
        jnp.zeros_like(direct[0]),
        jnp.asarray(FIRST_STRIDE),
        jnp.zeros((), jnp.int32),
    )
    last = jax.lax.while_loop(going, improve, begin_state)
    worth = (last.place == 1) | patient
    return Reached(last.x, jnp.where(worth, MOST_AT_LAST, 0))

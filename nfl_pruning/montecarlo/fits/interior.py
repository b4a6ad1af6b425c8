"""Fits with a hinge or under a hard margin: a primal-dual interior-point method.

Each step solves the program's equations with products mu in place of 0, linearised, by one Cholesky
factorisation in d + 1 unknowns; predictor and corrector share it (Mehrotra 1992). The last digits
come from equations without products: those of the samples that lie on the corner.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve

from nfl_pruning.losses import Loss
from nfl_pruning.montecarlo.fits.outcome import CONVERGED, NOT_SEPARABLE, UNCONVERGED, Fit
from nfl_pruning.montecarlo.fits.passes import Samples
from nfl_pruning.montecarlo.fits.quadratic import (
    ON_THE_CORNER,
    Program,
    State,
    Unknowns,
    make_program,
    measured,
    unit_of_s,
)

MOST_STEPS = 80
SMALL_GAP = 1e-12  # of the squared norm: which margins lie on the corner is then settled
BACK_OFF = 0.995  # of the way to the boundary
PENALTY, MOST_ROUNDS = 1e2, 200
NO_MARGIN = 1e-9  # a hard margin on unit parameters that is provably smaller does not exist


def fit_margins(samples: Samples, loss: Loss, ridge: Array, *, tolerance: float) -> Fit:
    """Minimise the objective of ``fit`` for the hinge loss, or under a hard margin.

    Args:
        samples: training rows, labels and weights w_i / n.
        loss: ``hinge`` or ``max-margin``.
        ridge: float64 scalar, > 0 for the hinge; a hard margin does not depend on it.
        tolerance: norm of the least subgradient to reach. For a hard margin it is that of
            ``|theta|^2 / 2`` plus multipliers, relative to the norm of theta.

    Returns:
        The fit; its code is NOT_SEPARABLE where multipliers prove that no parameter of norm 1 has
        margins above 1e-9.
    """
    program = make_program(samples, loss, ridge)
    scale = jnp.where(loss.hard, 1.0, ridge)

    def step(state: State) -> State:
        along, length = _direction(program, state)
        new = measured(program, state.vars.moved(length, along), state.steps + 1)
        lost = state._replace(steps=jnp.asarray(MOST_STEPS))  # rounding: what was found stands
        return jax.tree.map(lambda a, b: jnp.where(jnp.isfinite(new.gap), a, b), new, lost)

    def apart(state: State) -> Array:
        size = jnp.sum(jnp.square(state.vars.point[:-1]))
        return (state.gap > SMALL_GAP * size) & (state.steps < MOST_STEPS)

    near = lax.while_loop(
        lambda state: apart(state) & ~_no_margin(program, state),
        step,
        measured(program, _start(program), jnp.asarray(0)),
    )
    none = _no_margin(program, near)
    end = _polish(program, near, jnp.where(none, jnp.inf, tolerance / scale))
    size = end.vars.point[-1] if loss.hard else jnp.ones(())
    code = jnp.where(scale * end.violation <= tolerance, CONVERGED, UNCONVERGED)
    code = jnp.where(none, NOT_SEPARABLE, code)
    theta = end.vars.point[:-1] / size
    margins = samples.labels * (end.margins + end.vars.point[-1]) / size
    violation = jnp.where(none, jnp.nan, scale * end.violation)
    passes = 5 * end.steps + 1
    return Fit(theta, margins, violation, code, end.steps, passes, jnp.zeros(4))


def _start(program: Program) -> Unknowns:
    """Multipliers in the middle, the parameter that belongs to them, and sides of order one."""
    count = program.sum(jnp.ones_like(program.there))
    alpha = jnp.where(program.hard, 0.5 / count, 0.5 * program.cap)
    _, force = program.products(jnp.zeros(program.samples.width + 1), alpha)
    point = (force + unit_of_s(program)) if program.hard else force.at[-1].set(1.0)
    margins, _ = program.products(point, alpha)
    if program.hard:
        return Unknowns(point, alpha, jnp.maximum(margins, 0.1), jnp.zeros_like(margins))
    reach = 0.1 + 0.1 * jnp.abs(margins)
    return Unknowns(point, alpha, jnp.maximum(margins, 0) + reach, jnp.maximum(-margins, 0) + reach)


def _no_margin(program: Program, state: State) -> Array:
    """Whether the multipliers prove that no parameter has margins (Gordan's alternative)."""
    if not program.hard:
        return jnp.array(False)
    total = program.sum(state.vars.alpha)
    return jnp.linalg.norm(state.force[:-1]) < NO_MARGIN * total


def _polish(program: Program, near: State, limit: Array) -> State:
    """From nearly a solution to one: guess which samples lie on the corner, solve, guess again.

    The interior-point equations lose digits as their products vanish; these do not. A guess is a
    semismooth Newton step: a sample is off the corner where alpha - t <= 0, over it where that is
    above C, on it otherwise (t its margin's distance to the corner). The answer counts only if it
    is a solution of the whole problem to the same measure.
    """

    def improve(best: State) -> State:
        push = best.vars.alpha - best.margins
        over = (push >= program.cap) if not program.hard else jnp.zeros(push.shape, bool)
        on = (program.there > 0) & (push > 0) & ~over
        return _on_the_corner(program, best, on, jnp.where(over, program.cap, 0.0), limit)

    def unfinished(best: State) -> Array:
        return (best.violation > limit) & (best.steps < near.steps + MOST_ROUNDS)

    end = lax.while_loop(unfinished, improve, near)
    better = end.violation < near.violation
    return jax.tree.map(lambda a, b: jnp.where(better, a, b), end, near)


def _on_the_corner(
    program: Program, start: State, on: Array, settled: Array, limit: Array
) -> State:
    """Hold some samples on the corner, by the method of multipliers; others have theirs settled."""
    factor = cho_factor(program.gram(jnp.where(on, PENALTY, 0.0)))

    def improve(now: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
        state, _, count = now
        pushed = jnp.where(on, state.vars.alpha - PENALTY * state.margins, settled)
        _, force = program.products(state.vars.point, pushed)
        unmet = program.held(state.vars.point - force - unit_of_s(program))
        point = state.vars.point - cho_solve(factor, unmet)
        margins, _ = program.products(point, pushed)
        alpha = jnp.where(on, state.vars.alpha - PENALTY * margins, settled)
        new = measured(program, state.vars._replace(point=point, alpha=alpha), state.steps + 1)
        left = jnp.max(jnp.where(on, jnp.abs(new.margins), 0.0))
        return new, -program.samples.least(-left), count + 1

    def unfinished(now: tuple[State, Array, Array]) -> Array:
        state, left, count = now
        held = left <= ON_THE_CORNER * jnp.minimum(1.0, jnp.abs(state.vars.point[-1])) / 10
        return (state.violation > limit) & (count < MOST_ROUNDS) & ~held

    begin = start._replace(vars=start.vars._replace(alpha=jnp.where(on, start.vars.alpha, settled)))
    return lax.while_loop(unfinished, improve, (begin, jnp.asarray(jnp.inf), jnp.asarray(0)))[0]


def _direction(program: Program, state: State) -> tuple[Unknowns, Array]:
    """Predictor and corrector, and how far to go along their sum."""
    now, hard = state.vars, program.hard
    room = program.cap - now.alpha
    one_sided = now.above / now.alpha
    scale = 1 / (one_sided if hard else one_sided + now.below / room)
    factor = cho_factor(program.gram(scale))
    unmet = program.held(now.point - state.force - (unit_of_s(program) if hard else 0))
    apart = state.margins - now.above + now.below

    def solve(above: Array, below: Array) -> Unknowns:
        """The direction that brings the products r alpha and xi (C - alpha) to change so."""
        other = 0.0 if hard else below / room
        wanted = -apart + above / now.alpha - other
        _, pulled = program.products(now.point, scale * wanted)
        point = cho_solve(factor, program.held(pulled - unmet))
        moved, _ = program.products(point, now.alpha)
        alpha = program.there * scale * (wanted - moved)
        up = program.there * (above - now.above * alpha) / now.alpha
        down = jnp.zeros_like(up) if hard else program.there * (below + now.below * alpha) / room
        return Unknowns(point, alpha, up, down)

    count = program.sum(jnp.ones_like(room)) * (1 if hard else 2)
    mean = state.gap / count
    first = solve(-now.above * now.alpha, -now.below * room)
    length = _reach(program, now, first)
    there = now.moved(length, first)
    gap = program.sum(there.above * there.alpha + there.below * (program.cap - there.alpha))
    target = mean * (gap / state.gap) ** 3
    second = solve(
        target - now.above * now.alpha - first.above * first.alpha,
        target - now.below * room + first.below * first.alpha,
    )
    return second, jnp.minimum(1.0, BACK_OFF * _reach(program, now, second))


def _reach(program: Program, now: Unknowns, along: Unknowns) -> Array:
    """The longest step, at most 1 / BACK_OFF, that leaves everything nonnegative."""

    def room(value: Array, change: Array) -> Array:
        falling = (change < 0) & (program.there > 0)
        return jnp.min(jnp.where(falling, -value / jnp.where(falling, change, -1.0), jnp.inf))

    limits = [room(now.alpha, along.alpha), room(now.above, along.above)]
    if not program.hard:
        limits += [room(program.cap - now.alpha, -along.alpha), room(now.below, along.below)]
    return jnp.minimum(1 / BACK_OFF, program.samples.least(jnp.min(jnp.stack(limits))))

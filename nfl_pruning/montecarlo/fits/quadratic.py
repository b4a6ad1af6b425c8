"""The quadratic programs behind fits with a hinge or under a hard margin.

The hinge fit minimises ``|theta|^2 / 2 + sum_i C_i (1 - y_i <x_i, theta>)_+`` with
C_i = w_i / (n ridge). With multipliers alpha and the two sides r, xi of a margin's distance to 1,

    theta = sum_i alpha_i y_i x_i,     y_i <x_i, theta> - s = r_i - xi_i,
    r_i alpha_i = 0,    xi_i (C_i - alpha_i) = 0,    0 <= alpha_i <= C_i,   r_i, xi_i >= 0,

where s = 1. The fit under a hard margin has no xi and no C. It may not exist, so the problem that
is solved for it always has a solution: minimise ``|beta|^2 / 2 + s^2 / 2 - s`` subject to
``y_i <x_i, beta> >= s``. At its minimum s = 1 / (1 + |theta|^2) and beta = s theta where the
samples are separable, and s = 0 where they are not. The same equations hold for (beta, s), but for
s = 1 - sum_i alpha_i in place of s = 1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from nfl_pruning.losses import Loss
from nfl_pruning.montecarlo.fits.passes import Samples, double_product, widen

ON_THE_CORNER = 1e-9  # margins this close to the corner may have any multiplier


class Unknowns(NamedTuple):
    """Unknowns, or a direction in them.

    Attributes:
        point: (theta, s), shape (d + 1,).
        alpha, above, below: multipliers and the two sides r, xi; shape (blocks, size).
    """

    point: Array
    alpha: Array
    above: Array
    below: Array

    def moved(self, step: Array, along: Unknowns) -> Unknowns:
        return Unknowns(*(a + step * b for a, b in zip(self, along, strict=True)))


class Program(NamedTuple):
    """The quadratic program.

    Attributes:
        samples: rows and labels.
        there: 1 for samples, 0 for padding, shape (blocks, size).
        cap: largest multipliers C_i (1 where there is no cap).
        hard: whether s is free and there is no cap.
    """

    samples: Samples
    there: Array
    cap: Array
    hard: bool

    def sum(self, values: Array) -> Array:
        """Sum over samples, over all devices."""
        return self.samples.total(jnp.sum(self.there * values))

    def products(self, point: Array, alpha: Array) -> tuple[Array, Array]:
        """Margins y <x, theta> - s, shape (blocks, size), and the sum of alpha (y x, -1)."""
        labels = self.samples.labels
        pulled = self.there * alpha * labels
        margins, total = double_product(self.samples, point[:-1], lambda i, _: pulled[i])
        return labels * margins - point[-1], jnp.append(total, -self.sum(alpha))

    def gram(self, scale: Array) -> Array:
        """1 + the sum of scale (y x, -1)(y x, -1)^T, shape (d + 1, d + 1)."""
        samples, d = self.samples, self.samples.width
        scale = self.there * scale

        def step(total: tuple[Array, Array], number: Array) -> tuple[tuple[Array, Array], None]:
            rows = widen(samples.block(number))
            scaled = rows * scale[number][:, None]
            product = jnp.matmul(rows.T, scaled, precision=lax.Precision.HIGHEST)
            cross = -jnp.matmul(samples.labels[number], scaled, precision=lax.Precision.HIGHEST)
            return (total[0] + product, total[1] + cross), None

        zero = (jnp.zeros((d, d)), jnp.zeros(d))
        inner, cross = lax.scan(step, zero, jnp.arange(scale.shape[0]))[0]
        inner, cross, corner = (samples.total(x) for x in (inner, cross, jnp.sum(scale)))
        whole = jnp.block([[inner, cross[:, None]], [cross[None], corner[None, None]]])
        if not self.hard:  # s stays 1: its row and column drop out
            whole = whole.at[-1].set(0.0).at[:, -1].set(0.0)
        return whole + jnp.eye(d + 1)

    def held(self, vector: Array) -> Array:
        """A vector of shape (d + 1,) without its last entry where s is no unknown."""
        return vector if self.hard else vector.at[-1].set(0.0)


def make_program(samples: Samples, loss: Loss, ridge: Array) -> Program:
    """The program of a fit with the hinge loss, or under a hard margin."""
    there = (samples.weights > 0).astype(jnp.float64)
    cap = jnp.where(there > 0, samples.weights / jnp.where(loss.hard, 1.0, ridge), 1.0)
    return Program(samples, there, cap, loss.hard)


def unit_of_s(program: Program) -> Array:
    """The unit vector of s."""
    return jnp.zeros(program.samples.width + 1).at[-1].set(1.0)


class State(NamedTuple):
    """Unknowns and what was measured there.

    Attributes:
        vars: the unknowns.
        margins: y <x, theta> - s, shape (blocks, size).
        force: the sum of alpha (y x, -1), shape (d + 1,).
        gap: sum of all products that vanish at a solution.
        violation: norm of the least subgradient, margins near the corner counting as on it; with a
            hard margin, what it is broken by is added and all is relative to the norm of theta.
        steps: taken so far.
    """

    vars: Unknowns
    margins: Array
    force: Array
    gap: Array
    violation: Array
    steps: Array


def measured(program: Program, now: Unknowns, steps: Array) -> State:
    """The state at some unknowns: products with the rows, and how far from a solution."""
    margins, force = program.products(now.point, now.alpha)
    gap = program.sum(now.above * now.alpha + now.below * (program.cap - now.alpha))
    size = jnp.maximum(now.point[-1], 1e-300)
    corner = ON_THE_CORNER * size
    best = jnp.where(program.hard, now.alpha, program.cap)
    inside = jnp.clip(now.alpha, 0.0, jnp.inf if program.hard else program.cap)
    settled = jnp.where(margins > corner, 0.0, jnp.where(margins < -corner, best, inside))
    _, pull = program.products(now.point, settled)
    rest = program.held(now.point - pull - unit_of_s(program))
    violation = jnp.linalg.norm(rest)
    if program.hard:
        broken = -program.samples.least(jnp.min(jnp.where(program.there > 0, margins, 0.0)))
        worst = jnp.maximum(broken - corner, 0.0)
        violation = (violation + worst) / jnp.maximum(jnp.linalg.norm(now.point[:-1]), 1e-300)
    return State(now, margins, force, gap, violation, steps)

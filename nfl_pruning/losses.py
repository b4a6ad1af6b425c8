"""Losses of a classification margin, each with its value, derivative and proximal point.

A loss is a convex function of ``t = y * h`` (label times margin). Its proximal point
``prox(v, step) = argmin_t step * loss(t) + (t - v)^2 / 2`` solves ``t + step * loss'(t) = v``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import expit

from nfl_pruning.registry import Registry


@dataclass(frozen=True)
class Loss:
    """A convex loss of the margin ``t = y h``.

    Attributes:
        name: public name.
        value: loss at t, elementwise.
        derivative: d loss / d t, elementwise.
        prox: (v, step) -> t solving ``t + step * derivative(t) = v``, elementwise; differentiable.
        separates: whether the infimum lies at t = infinity, so that a ridge-free fit to linearly
            separable samples does not exist.
        curvature_bound: largest second derivative.
    """

    name: str
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    prox: Callable[[Array, Array], Array]
    separates: bool
    curvature_bound: float


@jax.custom_jvp
def logistic_prox(v: Array, step: Array) -> Array:
    """The t with ``t = v + step * sigmoid(-t)``, to machine precision for every step >= 0.

    Newton's method from the inflection point t = 0 is monotone; it is kept inside the bracket
    [v, v + step], and it runs until no entry moves by more than a few units in the last place.
    """
    v, step = jnp.broadcast_arrays(v, step)
    low, high = v, v + step
    tolerance = 4 * jnp.finfo(v.dtype).eps

    def improve(state):
        t, _, count = state
        pull = expit(-t)
        slope = 1 + step * pull * (1 - pull)
        new = jnp.clip(t - (t - v - step * pull) / slope, low, high)
        moving = jnp.any(jnp.abs(new - t) > tolerance * (1 + jnp.abs(new)))
        return new, moving, count + 1

    start = (jnp.clip(jnp.zeros_like(v), low, high), jnp.array(True), 0)
    return jax.lax.while_loop(lambda s: s[1] & (s[2] < 100), improve, start)[0]


@logistic_prox.defjvp
def _logistic_prox_jvp(primals, tangents):
    v, step = jnp.broadcast_arrays(*primals)
    t = logistic_prox(v, step)
    pull = expit(-t)
    slope = 1 + step * pull * expit(t)
    return t, (tangents[0] + pull * tangents[1]) / slope


LOSSES: Registry[Loss] = Registry("loss")
LOSSES.add(
    "logistic",
    Loss(
        "logistic",
        value=lambda t: jax.nn.softplus(-t),
        derivative=lambda t: -expit(-t),
        prox=logistic_prox,
        separates=True,
        curvature_bound=0.25,
    ),
)
LOSSES.add(
    "squared",
    Loss(
        "squared",
        value=lambda t: 0.5 * (1 - t) ** 2,
        derivative=lambda t: t - 1,
        prox=lambda v, step: (v + step) / (1 + step),
        separates=False,
        curvature_bound=1.0,
    ),
)

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


def _no_kinks(step: Array) -> tuple[Array, ...]:
    return ()


@dataclass(frozen=True)
class Loss:
    """A convex loss of the margin ``t = y h``.

    Attributes:
        name: public name.
        value: loss at t, elementwise.
        derivative: d loss / d t, elementwise (a subgradient at kinks).
        prox: (v, step) -> t, the proximal point, elementwise; differentiable almost everywhere.
        pull: (v, step) -> v - prox(v, step), in a form that loses no digits.
        kinks: step -> the v at which ``pull`` bends.
        separates: whether the infimum lies at t = infinity, so that a ridge-free fit to linearly
            separable samples does not exist.
    """

    name: str
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    prox: Callable[[Array, Array], Array]
    pull: Callable[[Array, Array], Array]
    separates: bool
    kinks: Callable[[Array], tuple[Array, ...]] = _no_kinks


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
        pull=lambda v, step: -step * expit(-logistic_prox(v, step)),
        separates=True,
    ),
)
LOSSES.add(
    "squared",
    Loss(
        "squared",
        value=lambda t: 0.5 * (1 - t) ** 2,
        derivative=lambda t: t - 1,
        prox=lambda v, step: (v + step) / (1 + step),
        pull=lambda v, step: (v - 1) * step / (1 + step),
        separates=False,
    ),
)

# Two hard constraints as losses: 0 where they hold, infinite elsewhere. Their fits are limits of
# vanishing ridge where no finite ridge-free fit exists, and do not depend on the ridge's size.
MAX_MARGIN = Loss(
    "max-margin",
    value=lambda t: jnp.where(t >= 1, 0.0, jnp.inf),
    derivative=lambda t: jnp.where(t >= 1, 0.0, -jnp.inf),
    prox=lambda v, step: jnp.maximum(v, 1.0),
    pull=lambda v, step: -jnp.maximum(1 - v, 0.0) + 0 * step,
    separates=True,
    kinks=lambda step: (jnp.ones_like(step),),
)
INTERPOLATION = Loss(
    "interpolation",
    value=lambda t: jnp.where(t == 1, 0.0, jnp.inf),
    derivative=lambda t: jnp.where(t == 1, 0.0, jnp.where(t < 1, -jnp.inf, jnp.inf)),
    prox=lambda v, step: jnp.ones_like(v),
    pull=lambda v, step: v - 1 + 0 * step,
    separates=False,
)

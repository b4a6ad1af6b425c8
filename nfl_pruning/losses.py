"""Losses of a classification margin, each with its value, derivative and proximal point.

A loss is a convex function of ``t = y * h`` (label times margin). Its proximal point
``prox(v, step) = argmin_t step * loss(t) + (t - v)^2 / 2`` solves ``t + step * loss'(t) = v``.
``max-margin`` is a constraint written as a loss: 0 where t >= 1, infinite elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import expit

from nfl_pruning.registry import Registry

MOST_STEPS = 40  # of the proximal map; more than any step size in double precision takes


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
        separates: whether the infimum lies at t = infinity, so that a ridge-free fit to linearly
            separable samples does not exist.
        kinks: step -> the v at which ``pull`` bends; at step 0, the t at which the loss does.
        limit: name of the constraint that fits obey in the limit of a vanishing ridge, where the
            kept samples can obey it.
        attained: whether the limit of a vanishing ridge attains the least loss on samples that obey
            the constraint, so that it is a fit like any other and not a mere direction.
        hard: whether the loss is itself a constraint, 0 or infinite: its fit is then the shortest
            parameter that obeys it, whatever the ridge and the weights.
        smooth: whether the loss has a derivative everywhere; fits to others are quadratic programs.
    """

    name: str
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    prox: Callable[[Array, Array], Array]
    pull: Callable[[Array, Array], Array]
    separates: bool
    kinks: Callable[[Array], tuple[Array, ...]] = _no_kinks
    limit: str = "max-margin"
    attained: bool = False
    hard: bool = False
    smooth: bool = True

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Registered losses go to other processes by name: their functions have none."""
        if self.name in LOSSES and LOSSES[self.name] is self:
            return _registered, (self.name,)
        return super().__reduce_ex__(protocol)


def _registered(name: str) -> Loss:
    return LOSSES[name]


@jax.custom_jvp
def _miss(t: Array) -> Array:
    """sigmoid(-t) to full relative precision; XLA's own logistic function is slower on a CPU."""
    return 1 / (1 + jnp.exp(t))


@_miss.defjvp
def _miss_jvp(primals, tangents):
    p = _miss(primals[0])
    return p, -p * (1 - p) * tangents[0]


@jax.custom_jvp
def logistic_prox(v: Array, step: Array) -> Array:
    """The t with ``t = v + step * sigmoid(-t)``, to machine precision for every step >= 0.

    Halley's method from the inflection point t = 0, kept inside the bracket [v, v + step]. It
    converges cubically, so that it may stop once a step is below the cube root of the precision.
    """
    v, step = jnp.broadcast_arrays(v, step)
    low, high = v, v + step
    small = 0.1 * float(jnp.finfo(v.dtype).eps) ** (1 / 3)

    def improve(state):
        t, _, count = state
        p = _miss(t)
        excess, bend = t - v - step * p, step * p * (1 - p)
        slope = 1 + bend
        move = excess * slope / (slope**2 + 0.5 * excess * bend * (1 - 2 * p))
        new = jnp.clip(t - move, low, high)
        return new, jnp.any(jnp.abs(new - t) > small * (1 + jnp.abs(new))), count + 1

    start = (jnp.clip(jnp.zeros_like(v), low, high), jnp.array(True), 0)
    return jax.lax.while_loop(lambda s: s[1] & (s[2] < MOST_STEPS), improve, start)[0]


@logistic_prox.defjvp
def _logistic_prox_jvp(primals, tangents):
    v, step = jnp.broadcast_arrays(*primals)
    t = logistic_prox(v, step)
    p = _miss(t)
    return t, (tangents[0] + p * tangents[1]) / (1 + step * p * _miss(-t))


LOSSES: Registry[Loss] = Registry("loss")
LOSSES.add(
    "logistic",
    Loss(
        "logistic",
        value=lambda t: jax.nn.softplus(-t),
        derivative=lambda t: -expit(-t),
        prox=logistic_prox,
        pull=lambda v, step: -step * _miss(logistic_prox(v, step)),
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
        limit="interpolation",
    ),
)
LOSSES.add(
    "hinge",
    Loss(
        "hinge",
        value=lambda t: jnp.maximum(1 - t, 0.0),
        derivative=lambda t: jnp.where(t < 1, -1.0, 0.0),
        prox=lambda v, step: v + jnp.clip(1 - v, 0.0, step),
        pull=lambda v, step: -jnp.clip(1 - v, 0.0, step),
        separates=False,
        kinks=lambda step: (jnp.ones_like(step), 1 - step),
        attained=True,
        smooth=False,
    ),
)
LOSSES.add(
    "max-margin",
    Loss(
        "max-margin",
        value=lambda t: jnp.where(t >= 1, 0.0, jnp.inf),
        derivative=lambda t: jnp.where(t >= 1, 0.0, -jnp.inf),
        prox=lambda v, step: jnp.maximum(v, 1.0),
        pull=lambda v, step: -jnp.maximum(1 - v, 0.0) + 0 * step,
        separates=False,
        kinks=lambda step: (jnp.ones_like(step),),
        hard=True,
        smooth=False,
    ),
)
MAX_MARGIN = LOSSES["max-margin"]

# The limit of a vanishing ridge for the squared loss, where samples can be interpolated. It is no
# loss to choose: labels that every margin must equal are fitted by ``squared`` itself.
INTERPOLATION = Loss(
    "interpolation",
    value=lambda t: jnp.where(t == 1, 0.0, jnp.inf),
    derivative=lambda t: jnp.where(t == 1, 0.0, jnp.where(t < 1, -jnp.inf, jnp.inf)),
    prox=lambda v, step: jnp.ones_like(v),
    pull=lambda v, step: v - 1 + 0 * step,
    separates=False,
    limit="interpolation",
    hard=True,
)

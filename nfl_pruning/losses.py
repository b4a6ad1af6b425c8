"""Losses of a classification margin, each with its value, derivative and proximal point.

A loss is a convex function of ``t = y * h`` (label times margin). Its proximal point
``prox(v, step) = argmin_t step * loss(t) + (t - v)^2 / 2`` solves ``t + step * loss'(t) = v``.
``max-margin`` is a constraint written as a loss: 0 where t >= 1, infinite elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import expit

from nfl_pruning.registry import Registry
from nfl_pruning.validation import check_choice

NEWTON, QUADRATIC_PROGRAM = "newton", "quadratic program"
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
        prox_residual: (v, step) -> v - prox(v, step), in a form that loses no digits.
        summary: when a fit exists without a ridge, for people.
        separates: whether the infimum lies at t = infinity, so that a ridge-free fit to linearly
            separable samples does not exist.
        kinks: step -> the v at which ``prox_residual`` has a corner; at step 0, the t at which the
            loss does.
        constraint: the hard loss that fits obey in the limit of a vanishing ridge, where the kept
            samples can obey it; None where that limit is not known: a ridge is then needed.
        attained: whether the limit of a vanishing ridge attains the least loss on samples that obey
            the constraint, so that it is a fit like any other and not a mere direction.
        hard: whether the loss is itself a constraint, 0 or infinite: its fit is then the shortest
            parameter that obeys it, whatever the ridge and the weights.
        one_sided: of a hard loss, whether it bounds margins from below rather than fixing them.
        softened: of a hard loss, the name of the loss that becomes it as the ridge vanishes.
        turns: step -> the v around which ``prox_residual`` of a smooth loss bends, none where it is
            straight; None where that is not known: quadrature is then fine everywhere.
        many: with three classes or more, ``"softmax"`` or ``"one against all"``; None where the
            loss has no such form.
        smooth: whether the loss has a derivative everywhere.
        fitting: how samples are fitted: ``"newton"``, which needs a derivative, or ``"quadratic
            program"``, which knows the hinge and the hard margin; None where no method is known:
            simulation then refuses the loss. By default Newton's method for a smooth one.
    """

    name: str
    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    prox: Callable[[Array, Array], Array]
    prox_residual: Callable[[Array, Array], Array]
    summary: str = ""
    separates: bool = False
    kinks: Callable[[Array], tuple[Array, ...]] = _no_kinks
    constraint: Loss | None = None
    attained: bool = False
    hard: bool = False
    one_sided: bool = True
    softened: str | None = None
    turns: Callable[[float], tuple[float, ...]] | None = None
    many: str | None = None
    smooth: bool = True
    fitting: str | None = None

    def __post_init__(self) -> None:
        if self.fitting is None and self.smooth:
            object.__setattr__(self, "fitting", NEWTON)
        if self.fitting is not None:
            check_choice("fitting", self.fitting, (NEWTON, QUADRATIC_PROGRAM))

    @property
    def obeys(self) -> Loss | None:
        """The constraint on ridge-free fits: its own of a hard loss."""
        return self if self.hard else self.constraint

    @cached_property
    def slope_at_zero(self) -> float:
        """Size of the derivative at t = 0, where fits are linearised; 1 for a constraint."""
        with jax.ensure_compile_time_eval():
            slope = -float(self.derivative(jnp.zeros(())))
        return 1.0 if self.hard else slope

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
        excess, curvature = t - v - step * p, step * p * (1 - p)
        slope = 1 + curvature
        move = excess * slope / (slope**2 + 0.5 * excess * curvature * (1 - 2 * p))
        new = jnp.clip(t - move, low, high)
        return new, jnp.any(jnp.abs(new - t) > small * (1 + jnp.abs(new))), count + 1

    start = (jnp.clip(jnp.zeros_like(v), low, high), jnp.array(True), 0)
    return jax.lax.while_loop(lambda s: s[1] & (s[2] < MOST_STEPS), improve, start)[0]


@logistic_prox.defjvp
def _logistic_prox_jvp(primals, tangents):
    v, step = jnp.broadcast_arrays(*primals)
    # Broadcast by hand: newer versions of JAX run this outside the scope of our settings.
    along_v, along_step = (jnp.broadcast_to(tangent, v.shape) for tangent in tangents)
    t = logistic_prox(v, step)
    p = _miss(t)
    return t, (along_v + p * along_step) / (1 + step * p * _miss(-t))


def _logistic_turns(step: float) -> tuple[float, ...]:
    """Ends of the stretch on which the logistic proximal residual goes from -step to 0."""
    along = float(np.log1p(step))
    return along, -step - along


LOSSES: Registry[Loss] = Registry("loss")

MAX_MARGIN = Loss(
    "max-margin",
    value=lambda t: jnp.where(t >= 1, 0.0, jnp.inf),
    derivative=lambda t: jnp.where(t >= 1, 0.0, -jnp.inf),
    prox=lambda v, step: jnp.maximum(v, 1.0),
    prox_residual=lambda v, step: -jnp.maximum(1 - v, 0.0) + 0 * step,
    summary="a constraint: a fit exists only while the kept samples are separable",
    kinks=lambda step: (jnp.ones_like(step),),
    hard=True,
    softened="hinge",
    smooth=False,
    fitting=QUADRATIC_PROGRAM,
)

# The limit of a vanishing ridge for the squared loss, where samples can be interpolated. It is no
# loss to choose: labels that every margin must equal are fitted by ``squared`` itself.
INTERPOLATION = Loss(
    "interpolation",
    value=lambda t: jnp.where(t == 1, 0.0, jnp.inf),
    derivative=lambda t: jnp.where(t == 1, 0.0, jnp.where(t < 1, -jnp.inf, jnp.inf)),
    prox=lambda v, step: jnp.ones_like(v),
    prox_residual=lambda v, step: v - 1 + 0 * step,
    hard=True,
    one_sided=False,
    softened="squared",
)

LOGISTIC = Loss(
    "logistic",
    value=lambda t: jax.nn.softplus(-t),
    derivative=lambda t: -expit(-t),
    prox=logistic_prox,
    prox_residual=lambda v, step: -step * _miss(logistic_prox(v, step)),
    summary="without ridge a fit exists only while the kept samples are not separable",
    separates=True,
    constraint=MAX_MARGIN,
    turns=_logistic_turns,
    many="softmax",
)

SQUARED = Loss(
    "squared",
    value=lambda t: 0.5 * (1 - t) ** 2,
    derivative=lambda t: t - 1,
    prox=lambda v, step: (v + step) / (1 + step),
    prox_residual=lambda v, step: (v - 1) * step / (1 + step),
    summary="a fit exists also without ridge, separable samples or not",
    constraint=INTERPOLATION,
    turns=lambda step: (),
    many="one against all",
)

HINGE = Loss(
    "hinge",
    value=lambda t: jnp.maximum(1 - t, 0.0),
    derivative=lambda t: jnp.where(t < 1, -1.0, 0.0),
    prox=lambda v, step: v + jnp.clip(1 - v, 0.0, step),
    prox_residual=lambda v, step: -jnp.clip(1 - v, 0.0, step),
    summary="a fit exists also without ridge, separable samples or not",
    kinks=lambda step: (jnp.ones_like(step), 1 - step),
    constraint=MAX_MARGIN,
    attained=True,
    smooth=False,
    fitting=QUADRATIC_PROGRAM,
)

for _loss in (LOGISTIC, SQUARED, HINGE, MAX_MARGIN):
    LOSSES.add(_loss.name, _loss)

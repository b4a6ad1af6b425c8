"""What differentiating a limit in the problem's numbers needs, whichever limit it is.

At a solution the equations F(x, a) = 0 hold for every value of the numbers a, so
dx / da = -(dF / dx)^-1 dF / da. dF / da at fixed x contains the motion of thresholds, of a fitted
probe and of labels; it is taken by a fourth-order central difference of F. Every value of F is a
quadrature to about 1e-12, so derivatives are good to about 1e-8 for every score and protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from nfl_pruning.validation import InvalidArgumentError

STEP = 2e-3
RELATIVE_STEP = 5e-3  # of the distance to the end of a number's range
STENCIL = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))

Solved = tuple[np.ndarray, np.ndarray]


def safe_step(name: str, value: float) -> float:
    """A step whose stencil stays inside the number's range.

    Raises:
        InvalidArgumentError: the number is at an end of its range.
    """
    room = {
        "alignment": 1 - abs(value),
        "keep_fraction": min(value, 1 - value),
        "exploit": min(value, 1 - value),
        "exponent": min(value, 1 - value) if 0 < value < 1 else 1.0,  # of power rules: any
    }.get(name, value)
    if room <= 0:
        raise InvalidArgumentError(
            f"{name} must lie inside its range, not at an end, to be differentiated; got {value:g}."
        )
    return min(STEP * max(1.0, abs(value)), RELATIVE_STEP * room)


def difference(function: Callable[[float], Any], step: float) -> Any:
    """The derivative at 0 by a fourth-order central difference."""
    return sum(weight * function(k * step) for k, weight in STENCIL) / step


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def implicit(solve: Callable[[list[float]], Solved], numbers: tuple[Array, ...]) -> Array:
    """Values of a limit as a function of numbers that ``jax.grad`` can differentiate.

    Args:
        solve: numbers -> values (k,) and a callable that gives their Jacobian (k, numbers).
        numbers: concrete, or traced by differentiation (not by ``jax.jit``).
    """
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return jnp.asarray(solve([float(value) for value in numbers])[0])


@implicit.defjvp
def _implicit_jvp(solve: Callable, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (numbers,), (changes,) = primals, tangents
    if any(isinstance(number, Tracer) for number in numbers):
        raise InvalidArgumentError(
            "This limit has first derivatives only, outside jax.jit; got a second one or a jit "
            "(limit_function has both for the problems that it takes)."
        )
    with jax.enable_x64(True), jax.ensure_compile_time_eval():  # none of this is traced
        values, jacobian = solve([float(value) for value in numbers])
        slopes = jacobian()
    moved = jnp.zeros(len(values))
    for column, change in zip(slopes.T, changes, strict=True):
        moved = moved + jnp.asarray(column) * change
    return jnp.asarray(values), moved

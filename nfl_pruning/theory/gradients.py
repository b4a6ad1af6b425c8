"""The proportional limit as a differentiable function of a problem's numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero

from nfl_pruning.problem import Problem
from nfl_pruning.theory.fast.cell import Kind
from nfl_pruning.theory.fast.known import STEEPEST, TAKES, Known, known, unknown
from nfl_pruning.theory.fast.limit import Limit, limit
from nfl_pruning.theory.fast.mesh import Nodes
from nfl_pruning.validation import InvalidArgumentError, check_choice, check_number

RANGES = {
    "samples_per_feature": "(0, inf)",
    "ridge": "(0, inf)",
    "keep_fraction": "(0, 1]",
    "signal": "(0, inf)",
    "alignment": "[-1, 1]",
    "exploit": "[0, 1]",
    "exponent": "[0, 1]",
    "pilot_samples": "(0, inf)",
    "probe_ridge": "(0, inf)",
}
"""The numbers of :func:`limit_function` and their ranges."""
ENDS = {"keep_fraction": (1.0,), "exploit": (0.0, 1.0)}
"""Where bands appear or vanish, so that there is no derivative."""


def limit_function(
    problem: Problem, *, nodes: int = 96, graded: bool = False
) -> Callable[..., Limit]:
    """A function of a problem's numbers that ``jax.grad``, ``jax.jit`` and ``jax.vmap`` go through.

    Derivatives come from the implicit function theorem at the solved equations, thresholds and the
    probe's own fit included, forward and reverse. Second ones are right, too, for fixed probes
    short of perfect alignment; for the others they are NaN.

    Args:
        problem: what is not a number (link, loss, order of the score, protocol, kind of probe) and
            the numbers that a call does not give.
        nodes: resolution in each of two directions; the answer has at least 1.5 times as many. Its
            ``error_estimate`` tells whether that was enough.
        graded: whether panels shrink towards layers, for steep links, large norms and much data.

    Returns:
        A function with keyword arguments, any of samples_per_feature, ridge, keep_fraction,
        signal, alignment (of a fixed probe), exploit, exponent (of calibration weights),
        pilot_samples and probe_ridge, that returns a :class:`Limit` of float64 scalars. A traced
        number outside its range gives NaN, and so does a derivative in one at an end of it.

    Raises:
        InvalidArgumentError: the problem is not one that the compiled solver knows, or a call is
            made outside double precision or with a number outside its range.

    Example:
        >>> with jax.enable_x64(True):
        ...     f = limit_function(Problem(probe="fixed:0.8"))
        ...     jax.grad(lambda r: f(keep_fraction=r).cosine)(0.3)
    """
    taken = known(problem)
    if taken is None:
        raise InvalidArgumentError(
            f"limit_function takes {TAKES} (limit_values all that solve does); got "
            f"{unknown(problem)}."
        )
    resolution = Nodes(nodes, nodes, graded)

    def function(**numbers: Any) -> Limit:
        for name in numbers:
            check_choice("number of limit_function", name, RANGES)
        if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
            raise InvalidArgumentError(
                "limit_function works in double precision; call it inside jax.enable_x64(True)."
            )
        return _evaluate(taken, numbers, resolution)

    return function


def _evaluate(taken: Known, numbers: dict[str, Any], resolution: Nodes) -> Limit:
    given = {name: jnp.asarray(value, jnp.float64) for name, value in numbers.items()}
    valid = jnp.array(True)
    for name, value in given.items():
        if not isinstance(numbers[name], Tracer):  # the copy may be traced by a jit around
            check_number(name, numbers[name], RANGES[name])
        valid &= _inside(value, RANGES[name])
        if name in ENDS:
            given[name] = no_slope_at(value, _at_end(value, ENDS[name]))
    kind, rule = taken.kind, taken.rule
    if "alignment" in given:
        kind, given["alignment"], near = _aligned(kind, numbers["alignment"])
        valid &= near
    if "exploit" in given:
        rule = replace(rule, kept=None)  # every band may keep some samples
    filled = taken.setting._replace(**given)
    setting = type(filled)(*(jnp.asarray(value, jnp.float64) for value in filled))
    found = limit(kind, setting, rule, nodes=resolution)[0]
    return Limit(*(jnp.where(valid, value, jnp.nan) for value in found))


def _aligned(kind: Kind, alignment: Any) -> tuple[Kind, Array, Array]:
    """What is compiled in for an alignment; for a traced one, whether that is right for it."""
    if isinstance(alignment, Tracer):  # a perfect probe is another program
        return replace(kind, perfect=False), alignment, jnp.abs(alignment) <= STEEPEST
    value = float(alignment)
    perfect = abs(value) > STEEPEST
    snapped = jnp.asarray(np.sign(value) if perfect else value)
    return replace(kind, perfect=perfect), snapped, jnp.array(True)


def _inside(value: Array, interval: str) -> Array:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    return above & (value <= high if interval[-1] == "]" else value < high)


def _at_end(value: Array, ends: tuple[float, ...]) -> Array:
    return jnp.any(jnp.stack([value == end for end in ends]))


@jax.custom_jvp
def no_slope_at(value: Array, end: Array) -> Array:
    """The value; differentiated in it, NaN where ``end`` is true."""
    return value


def _no_slope_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    value, end = primals
    change = tangents[0]
    if isinstance(change, SymbolicZero):  # another number is differentiated in
        return value, jnp.zeros_like(value)
    return value, jnp.where(end, jnp.nan, 1.0) * change


no_slope_at.defjvp(_no_slope_jvp, symbolic_zeros=True)

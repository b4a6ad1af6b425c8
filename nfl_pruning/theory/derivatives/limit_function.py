"""The proportional limit as a differentiable function of a problem's numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.problem import Problem
from nfl_pruning.settings import with_own_settings
from nfl_pruning.theory.integrators.conditioned.cell import Kind
from nfl_pruning.theory.integrators.conditioned.known import (
    STEEPEST,
    TAKES,
    Known,
    bands_at,
    known,
    unknown,
)
from nfl_pruning.theory.integrators.conditioned.limit import Limit, limit
from nfl_pruning.theory.integrators.conditioned.mesh import Nodes
from nfl_pruning.validation import check_choice, check_kind, check_number

DIRECT = {
    "samples_per_feature": "(0, inf)",
    "ridge": "(0, inf)",
    "signal": "(0, inf)",
    "alignment": "[-1, 1]",
    "pilot_samples": "(0, inf)",
    "probe_ridge": "(0, inf)",
}
"""Numbers that the compiled solver reads as they are, and their ranges."""
OF_SELECTIONS = {"keep_fraction": "(0, 1]", "exploit": "[0, 1]", "exponent": "[0, 1]"}
"""Those that become bands of the selection; its other numbers are checked by itself."""
ENDS = {"keep_fraction": (1.0,), "exploit": (0.0, 1.0)}
"""Where bands appear or vanish, so that there is no derivative."""

# Outside a jit of the caller's, the limit's loops would be compiled again in every call.
_limit = partial(jax.jit, static_argnames=("kind", "rule", "nodes"))(limit)


@with_own_settings
def limit_function(
    problem: Problem, *, nodes: int = 96, graded: bool = False
) -> Callable[..., Limit]:
    """A function of a problem's numbers that ``jax.grad``, ``jax.jit`` and ``jax.vmap`` go through.

    Derivatives come from the implicit function theorem at the solved equations, thresholds and the
    probe's own fit included, forward and reverse. Second ones are right, too, for fixed and
    pilot probes; for in-sample probes nothing is known of them, and they may be NaN.

    Args:
        problem: what is not a number (link, loss, order of the score, protocol, kind of probe) and
            the numbers that a call does not give.
        nodes: resolution in each of two directions; the answer has at least 1.5 times as many. Its
            ``error_estimate`` tells whether that was enough.
        graded: whether panels shrink towards layers, for steep links, large norms and much data.

    Returns:
        A function with keyword arguments, any of samples_per_feature, ridge, keep_fraction,
        signal, alignment (of a fixed probe), pilot_samples, probe_ridge and the numbers of the
        selection (exploit, exponent of calibration weights, offset), that returns a
        :class:`Limit` of float64 scalars. A traced number outside its range gives NaN, and so does
        a derivative in one at an end of it.

    Raises:
        InvalidArgumentError: the problem is not one that the compiled solver knows, or a call is
            made outside double precision or with a number outside its range.

    Example:
        >>> with jax.enable_x64(True):
        ...     f = limit_function(Problem(probe="fixed:0.8"))
        ...     jax.grad(lambda r: f(keep_fraction=r).cosine)(0.3)
    """
    check_kind("problem", problem, Problem)
    taken = known(problem)
    if taken is None:
        raise InvalidArgumentError(
            f"limit_function takes {TAKES} (limit_values all that solve does); got "
            f"{unknown(problem)}."
        )
    resolution = Nodes(nodes, nodes, graded)
    known_numbers = (*DIRECT, "keep_fraction", *problem.selection.numbers)

    @with_own_settings
    def function(**numbers: Any) -> Limit:
        for name in numbers:
            check_choice("number of limit_function", name, known_numbers)
        if jnp.result_type(float) != jnp.float64:
            raise InvalidArgumentError(
                "limit_function works in double precision; call it inside jax.enable_x64(True)."
            )
        return _evaluate(problem, taken, numbers, resolution=resolution)

    return function


def _evaluate(
    problem: Problem, taken: Known, numbers: dict[str, Any], *, resolution: Nodes
) -> Limit:
    given = {name: jnp.asarray(value, jnp.float64) for name, value in numbers.items()}
    valid = jnp.array(True)
    for name, value in given.items():
        interval = (DIRECT | OF_SELECTIONS).get(name, "(-inf, inf)")
        if not isinstance(numbers[name], Tracer):  # the copy may be traced by a jit around
            check_number(name, numbers[name], interval)
        valid &= _inside(value, interval)
        if name in ENDS:
            given[name] = no_slope_at(value, _at_end(value, ENDS[name]))
    kind = taken.kind
    if "alignment" in given:
        kind, given["alignment"], near = _aligned(kind, numbers["alignment"])
        valid &= near
    share, keep, weight = bands_at(problem, given)
    direct = {name: given[name] for name in DIRECT if name in given}
    filled = taken.setting._replace(**direct, share=share, keep=keep, weight=weight)
    setting = type(filled)(*(jnp.asarray(value, jnp.float64) for value in filled))
    found = _limit(kind, setting, taken.rule, nodes=resolution)[0]
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

"""The proportional limit as a differentiable function of a problem's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nfl_pruning.problem import Problem
from nfl_pruning.settings import with_own_settings
from nfl_pruning.theory.fast.known import TAKES, Known, bands_at, known, unknown
from nfl_pruning.theory.fast.limit import Limit, limit
from nfl_pruning.theory.fast.mesh import Nodes
from nfl_pruning.validation import InvalidArgumentError, check_choice

DIRECT = ("samples_per_feature", "ridge", "signal", "alignment", "pilot_samples", "probe_ridge")


@with_own_settings
def limit_function(
    problem: Problem, *, nodes: int = 96, graded: bool = False
) -> Callable[..., Limit]:
    """A function of a problem's numbers that ``jax.grad``, ``jax.jit`` and ``jax.vmap`` go through.

    Derivatives come from the implicit function theorem at the solved equations, thresholds and the
    probe's own fit included. First derivatives (forward and reverse) are right, second ones not.

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
        :class:`Limit` of float64 scalars.

    Raises:
        InvalidArgumentError: the problem is not one that the compiled solver knows, or a call is
            made outside double precision.

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
    known_numbers = (*DIRECT, "keep_fraction", *problem.selection.numbers)

    @with_own_settings
    def function(**numbers: Any) -> Limit:
        for name in numbers:
            check_choice("number of limit_function", name, known_numbers)
        if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
            raise InvalidArgumentError(
                "limit_function works in double precision; call it inside jax.enable_x64(True)."
            )
        return _evaluate(problem, taken, numbers, resolution=resolution)

    return function


def _evaluate(
    problem: Problem, taken: Known, numbers: dict[str, Any], *, resolution: Nodes
) -> Limit:
    given = {name: numbers[name] for name in DIRECT if name in numbers}
    share, keep, weight = bands_at(problem, numbers)
    filled = taken.setting._replace(**given, share=share, keep=keep, weight=weight)
    setting = type(filled)(*(jnp.asarray(value, jnp.float64) for value in filled))
    return limit(taken.kind, setting, taken.rule, nodes=resolution)[0]

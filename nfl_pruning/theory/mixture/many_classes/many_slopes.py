"""Derivatives of a mixture's limit for three classes and more: differences on common points.

The limits beside are solved with the same random points, which move with thresholds, so that the
noise of the integrals cancels but for its own derivative. What is left is seen between scrambles,
and the curvature in a difference over twice the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.problem import Problem
from nfl_pruning.theory.derivatives.implicit import implicit, safe_step
from nfl_pruning.theory.mixture.limit import prepared
from nfl_pruning.theory.mixture.many_classes.many import Warm, runs_at
from nfl_pruning.theory.numbers import numbers_of, with_numbers

N_POINTS = 2**11  # of a component with one label
ROUNDS = 1e-5  # tolerance of the test error that rounds end at
WIDER = 4.0  # times the step of smooth equations: many points lie between two thresholds


class Slope(NamedTuple):
    """A derivative. error: standard error over scrambles and change at the double step, added."""

    value: float
    error: float


def slopes_of(problem: Problem, name: str, keys: tuple[str, ...] = ("test_error",)) -> list[Slope]:
    """Derivatives of numbers of a solution in one number of the problem, with their errors.

    Args:
        problem: with inputs in three classes or more.
        name: of the number.
        keys: numbers of a solution, its fields or observables.

    Raises:
        UnsupportedProblemError: a limit beside has no solution.
    """
    value, warm = numbers_of(problem)[name], Warm()
    step = WIDER * safe_step(name, value)

    def at(k: int) -> np.ndarray:
        return _table(with_numbers(problem, (name,), [value + k * step]), keys, warm)

    near, far = (at(1) - at(-1)) / (2 * step), (at(2) - at(-2)) / (4 * step)
    best = (4 * near - far) / 3
    noise = best.std(axis=1, ddof=1) / np.sqrt(best.shape[1])
    bend = np.abs(best - near).mean(axis=1)
    return [Slope(float(v), float(e)) for v, e in zip(best.mean(axis=1), noise + bend, strict=True)]


def _table(problem: Problem, keys: tuple[str, ...], warm: Warm) -> np.ndarray:
    """Numbers from each scramble, shape (keys, scrambles)."""
    runs = runs_at(prepared(problem), N_POINTS, ROUNDS, warm)
    return np.array([[run[key] for run in runs] for key in keys])


def many_values(problem: Problem, numbers: Mapping[str, Any]) -> dict[str, Array]:
    """:func:`limit_values` for a mixture of three classes or more: test_error and test_loss."""
    names, keys = tuple(numbers), ("test_error", "test_loss")
    values = tuple(jnp.asarray(numbers[name], float) for name in names)

    def solve(given: list[float]) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        here = with_numbers(problem, names, given)
        row = _table(here, keys, Warm()).mean(axis=1)

        def jacobian() -> np.ndarray:
            rows = [[slope.value for slope in slopes_of(here, name, keys)] for name in names]
            return np.array(rows).T

        return row, jacobian

    return dict(zip(keys, implicit(solve, values), strict=True))

"""Derivatives of a spectrum's limit in the problem's numbers, by implicit differentiation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.problem import Problem
from nfl_pruning.spectrum import Spectrum
from nfl_pruning.theory.certify import certified_root, digits_of
from nfl_pruning.theory.implicit import NUMBERS, difference, implicit, safe_step, with_numbers
from nfl_pruning.theory.mesh import LEVELS
from nfl_pruning.theory.newton import System, equations_at, newton
from nfl_pruning.theory.observables import observables
from nfl_pruning.theory.ordering import UnsupportedProblemError
from nfl_pruning.theory.spectrum import spectrum_system
from nfl_pruning.validation import check_choice

VALUES = ("cosine", "norm", "test_error", "test_loss")
LEVEL = LEVELS[3]


def spectrum_values(
    problem: Problem, spectrum: Spectrum, numbers: Mapping[str, Any]
) -> dict[str, Array]:
    """A spectrum's limit as a function that ``jax.grad`` and its kin can differentiate.

    Args:
        problem: what does not change.
        spectrum: covariance, teacher and perhaps probe.
        numbers: values for some of ``implicit.NUMBERS``, concrete or traced by ``jax.grad``,
            ``jax.jvp`` or ``jax.jacrev`` (not by ``jax.jit``), strictly inside their ranges.

    Returns:
        Float64 scalars (in a float64 scope) cosine, norm, test_error and test_loss.

    Raises:
        UnsupportedProblemError: the problem has no solution here.
        InvalidArgumentError: a number is unknown or out of range.
    """
    names = tuple(check_choice("number", name, NUMBERS) for name in numbers)
    values = tuple(jnp.asarray(numbers[name], float) for name in names)

    def system_at(given: list[float]) -> System:
        return spectrum_system(with_numbers(problem, names, given), spectrum)[0]

    def solve(given: list[float]) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        system = system_at(given)
        root, digits, _ = certified_root(system)
        if digits is None:
            raise UnsupportedProblemError("The limit cannot be differentiated: no solution found.")
        x = newton(root.x, system.terms(), system.rows(root.x, LEVEL), system.loss).x
        return _values(system, x), lambda: _jacobian(system_at, names, given, x)

    return dict(zip(VALUES, implicit(solve, values), strict=True))


def _values(system: System, x: np.ndarray) -> np.ndarray:
    digits = digits_of(system, x)
    teacher = system.problem.teacher
    found = observables(teacher, system.loss, cosine=digits.cosine, norm=digits.norm)
    return np.array([digits.cosine, digits.norm, digits.test_error, float(found["test_loss"])])


def _jacobian(
    system_at: Callable[[list[float]], System],
    names: tuple[str, ...],
    given: list[float],
    x: np.ndarray,
) -> np.ndarray:
    """Derivatives of VALUES in the numbers, shape (values, numbers)."""
    system = system_at(given)
    slopes = equations_at(x, system, LEVEL)[1]
    columns = []
    for i, name in enumerate(names):
        step = safe_step(name, given[i])
        systems = {
            k: system_at([v + k * step * (j == i) for j, v in enumerate(given)])
            for k in (1, -1, 2, -2)
        }
        pull = difference(lambda h, s=systems: equations_at(x, s[round(h)], LEVEL)[0], 1.0)
        change = -np.linalg.solve(slopes, pull)  # of x, for one step of the number
        values = difference(lambda h, s=systems, c=change: _values(s[round(h)], x + h * c), 1.0)
        columns.append(values / step)
    return np.stack(columns, axis=1)

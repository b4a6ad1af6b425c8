"""Derivatives of any limit in the problem's numbers, by implicit differentiation.

``gradients.limit_function`` is compiled and knows the common problems; this is for all the others
that ``solve`` solves: other losses and protocols, no ridge, any covariance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs import Mixture, Spectrum
from nfl_pruning.problem import Problem
from nfl_pruning.settings import with_own_settings
from nfl_pruning.theory.derivatives.implicit import difference, implicit, safe_step
from nfl_pruning.theory.integrators.panels.certify import certified_root, digits_of
from nfl_pruning.theory.integrators.panels.mesh import LEVELS
from nfl_pruning.theory.integrators.panels.newton import System, equations_at, newton
from nfl_pruning.theory.mixture.many_classes.many_slopes import many_values
from nfl_pruning.theory.mixture.two_classes.slopes import mixture_values
from nfl_pruning.theory.numbers import all_numbers, with_numbers
from nfl_pruning.theory.observables import observables
from nfl_pruning.theory.proportional import no_fit_sentence, pose
from nfl_pruning.theory.spectrum import spectrum_system
from nfl_pruning.validation import check_choice, check_kind, check_number

VALUES = ("cosine", "norm", "test_error", "test_loss")
LEVEL = LEVELS[3]


@with_own_settings
def limit_values(problem: Problem, numbers: Mapping[str, Any]) -> dict[str, Array]:
    """The limit of a problem as a function that ``jax.grad`` and its kin can differentiate.

    Args:
        problem: what does not change; any that ``solve`` solves.
        numbers: values for some of ``numbers.all_numbers()``, concrete or traced by ``jax.grad``,
            ``jax.jvp`` or ``jax.jacrev`` (not by ``jax.jit``), strictly inside their ranges.

    Returns:
        Float64 scalars (in a float64 scope) cosine, norm, test_error and test_loss, the last not
        for a loss that is a hard constraint: it is infinite there. For a mixture test_error,
        test_loss, calibration_slope and the observables of a :class:`Solution`; with three
        classes or more test_error and test_loss, whose derivatives are differences on common
        random points (``many_slopes.slopes_of`` states their errors).

    Raises:
        UnsupportedProblemError: the problem has no solution here.
        InvalidArgumentError: a number is unknown or out of range.

    Example:
        >>> hinge = Problem(samples_per_feature=4, probe="fixed:0.8").replace(loss="hinge")
        >>> with jax.enable_x64(True):
        ...     jax.grad(lambda r: limit_values(hinge, {"keep_fraction": r})["test_error"])(0.3)
    """
    check_kind("problem", problem, Problem)
    check_kind("numbers", numbers, Mapping)
    names = tuple(check_choice("number", name, all_numbers()) for name in numbers)
    for name in names:
        if not isinstance(numbers[name], Tracer):
            check_number(name, numbers[name], "(-inf, inf)")
    if isinstance(problem.inputs, Mixture):
        two = problem.inputs.n_classes == 2
        return (mixture_values if two else many_values)(problem, numbers)
    values = tuple(jnp.asarray(numbers[name], float) for name in names)

    def system_at(given: list[float]) -> System:
        changed = with_numbers(problem, names, given)
        if isinstance(changed.inputs, Spectrum):
            return spectrum_system(changed)[0]
        posed = pose(changed)
        if posed.ending is not None:
            raise UnsupportedProblemError(no_fit_sentence(posed.system))
        return posed.system

    def solve(given: list[float]) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        system = system_at(given)
        root, digits, _, flaw = certified_root(system)
        if digits is None:
            raise UnsupportedProblemError("The limit cannot be differentiated: no solution found.")
        if flaw:
            raise UnsupportedProblemError(flaw)
        x = newton(system, root.x, LEVEL).x
        return _values(system, x), lambda: _jacobian(system_at, names, given, x)

    known = VALUES[:-1] if problem.student.loss.hard else VALUES
    return dict(zip(known, implicit(solve, values), strict=True))


def _values(system: System, x: np.ndarray) -> np.ndarray:
    digits = digits_of(system, x)
    teacher, loss = system.problem.teacher, system.problem.student.loss
    found = [digits.cosine, digits.norm, digits.test_error]
    if not loss.hard:
        risks = observables(teacher, loss, cosine=digits.cosine, norm=digits.norm)
        found.append(float(risks["test_loss"]))
    return np.array(found)


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

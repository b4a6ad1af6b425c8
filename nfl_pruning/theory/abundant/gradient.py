"""Derivatives of the abundant-data limit in the problem's numbers, by implicit differentiation.

The equation is that the kept risk has gradient 0 at an interior minimiser; see ``implicit.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.problem import Problem
from nfl_pruning.theory.abundant.ball import Risk
from nfl_pruning.theory.abundant.limit import RADIUS, plane_law
from nfl_pruning.theory.abundant.plane import PLANE_LEVELS, plane_nodes
from nfl_pruning.theory.derivatives.implicit import difference, implicit, safe_step
from nfl_pruning.theory.numbers import with_numbers
from nfl_pruning.theory.selection_law.keep_law import mass_flaw
from nfl_pruning.theory.solve import solve
from nfl_pruning.validation import check_choice

NUMBERS = ("signal", "alignment", "probe_norm", "keep_fraction", "exploit")
VALUES = ("theta_u", "theta_p", "cosine", "norm", "test_loss", "excess_risk")


def abundant_values(
    problem: Problem,
    numbers: Mapping[str, Any],
    *,
    n_features: int | None = None,
    radius: float = RADIUS,
) -> dict[str, Array]:
    """The abundant-data limit as a function that ``jax.grad`` and its kin can differentiate.

    Args:
        problem: what does not change.
        numbers: values for some of signal, alignment, probe_norm, keep_fraction and exploit,
            concrete or traced by ``jax.grad``, ``jax.jvp`` or ``jax.jacrev`` (not by ``jax.jit``);
            strictly inside their ranges.
        n_features: see :func:`solve`.
        radius: of the ball.

    Returns:
        Float64 scalars (in a float64 scope) theta_u, theta_p, cosine, norm, test_loss and
        excess_risk. Derivatives are good to about 1e-8.

    Raises:
        UnsupportedProblemError: there is no minimiser inside the ball.
        InvalidArgumentError: a number is unknown or out of range.
    """
    names = tuple(check_choice("number", name, NUMBERS) for name in numbers)
    values = tuple(jnp.asarray(numbers[name], float) for name in names)

    def solved(given: list[float]) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        setting = (problem, names, n_features, radius)
        found, theta = _solved(setting, given)
        return found, lambda: _jacobian(setting, given, theta)

    return dict(zip(VALUES, implicit(solved, values), strict=True))


def _solved(setting: tuple, values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """VALUES and theta."""
    problem, names, n_features, radius = setting
    here = with_numbers(problem, names, values)
    found = solve(here, n_features=n_features, radius=radius, limit="abundant")
    if not found.status.has_estimate or found.binding:
        raise UnsupportedProblemError(f"The limit cannot be differentiated: {found.message}")
    theta = np.array([found.state["theta_u"], found.state["theta_p"]])
    rest = (found.cosine, found.norm, found.test_loss, found.excess_risk)
    return np.array([*theta, *rest], float), theta


def _jacobian(setting: tuple, values: list[float], theta: np.ndarray) -> np.ndarray:
    """Derivatives of VALUES in the numbers, shape (values, numbers)."""
    problem, names, n_features, radius = setting
    here = with_numbers(problem, names, values)
    loss, level = problem.student.loss, PLANE_LEVELS[-1]

    def kept(moved: Problem) -> Risk:
        return Risk(plane_law(moved, n_features, radius), loss, level)

    def everything(moved: Problem) -> Risk:
        return Risk(plane_law(_unpruned(moved), None, radius), loss, level)

    law = plane_law(here, n_features, radius)
    plane = plane_nodes(law, theta, loss=loss, level=level)
    if flaw := mass_flaw("quadrature", plane.defect(law.fraction)):
        raise UnsupportedProblemError(flaw)
    hessian = kept(here).full(theta)[2]
    slope = everything(here).slope(theta)
    places = (theta, _best(here, radius))
    columns = []
    for i, name in enumerate(names):

        def moved(shift: float, i: int = i) -> Problem:
            shifted = [v + shift * (j == i) for j, v in enumerate(values)]
            return with_numbers(problem, names, shifted)

        step = safe_step(name, values[i])
        pull = difference(lambda h: kept(moved(h)).slope(theta), step)
        direct = np.zeros(2)
        if name == "signal":  # the population's own risk, at theta and at its minimiser

            def risks(h: float, moved: Callable = moved) -> np.ndarray:
                return np.array([everything(moved(h)).full(place)[0] for place in places])

            direct = difference(risks, step)
        change = -np.linalg.solve(hessian, pull)
        columns.append(_column(here, theta, change, name=name, slope=slope, direct=direct))
    return np.stack(columns, axis=1)


def _unpruned(problem: Problem) -> Problem:
    return problem.replace(selection="random", keep_fraction=1.0)


def _best(problem: Problem, radius: float) -> np.ndarray:
    """The unpruned minimiser, in the plane of probe and teacher."""
    whole = solve(_unpruned(problem), radius=radius, limit="abundant")
    return np.array([whole.state.get("theta_u", 0.0), whole.state.get("theta_p", 0.0)])


def _column(
    problem: Problem,
    theta: np.ndarray,
    change: np.ndarray,
    *,
    name: str,
    slope: np.ndarray,
    direct: np.ndarray,
) -> np.ndarray:
    """Derivatives of VALUES in one number, from that of theta.

    Args:
        problem: at the point.
        theta: the limit there.
        change: its derivative.
        name: of the number.
        slope: gradient of the population risk at theta.
        direct: derivatives of the population risk at a fixed theta, and at the best one.
    """
    law = plane_law(_unpruned(problem), None)
    axis = np.array([law.alignment, law.across])
    norm = np.hypot(*theta)
    stretch = theta @ change / norm
    turn, loss = axis @ change, slope @ change + direct[0]
    if name == "alignment":
        # The teacher moves by (1, -rho / sqrt(1 - rho^2)) in the probe's coordinates, a turn by
        # -1 / sqrt(1 - rho^2). The risk sees relative angles only: theta turns the other way.
        turn += theta[0] - theta[1] * law.alignment / law.across
        loss += (slope[1] * theta[0] - slope[0] * theta[1]) / law.across
    cosine = axis @ theta / norm
    return np.array([*change, (turn - cosine * stretch) / norm, stretch, loss, loss - direct[1]])

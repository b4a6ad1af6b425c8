"""The keep fractions at which abundant data do not help: sets of intervals, not a single number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from nfl_pruning.problem import Problem
from nfl_pruning.theory.abundant.limit import RADIUS
from nfl_pruning.theory.selection_law.ordering import UnsupportedProblemError
from nfl_pruning.theory.solution import Solution
from nfl_pruning.theory.solve import solve
from nfl_pruning.validation import check_integer, check_number

Interval = tuple[float, float]

WIDTH = 1e-8  # tolerance of an interval's end, in log r


def excess_risk_above(
    problem: Problem,
    size: float,
    *,
    n_features: int | None = None,
    radius: float = RADIUS,
    least: float = 0.01,
    points: int = 40,
) -> tuple[Interval, ...]:
    """The keep fractions in [least, 1] at which the excess risk is above ``size``.

    Separable kept samples count with the excess risk of the minimiser on the ball's boundary.

    Args:
        problem: its keep fraction is not used.
        size: of the excess risk, > 0.
        n_features: see :func:`solve`.
        radius: of the ball.
        least: smallest keep fraction looked at, in (0, 1).
        points: of the first grid; between them the largest excesses are looked for, so that an
            interval that falls between two points is found where the excess has a peak there.

    Returns:
        Disjoint closed intervals, increasing; their ends are good to 1e-7 relative, and an end at
        ``least`` or 1 is where the search ended.

    Raises:
        InvalidArgumentError: an argument is out of range.
        UnsupportedProblemError: the limit does not cover the problem.
    """
    size = check_number("size", size, "(0, inf)")

    def excess(found: Solution) -> float:
        separate = np.isnan(found.excess_risk)
        return float(found.boundary_excess_risk if separate else found.excess_risk) - size

    return _positive(problem, excess, n_features, radius, least=least, points=points)


def cosine_below_zero(
    problem: Problem,
    *,
    n_features: int | None = None,
    radius: float = RADIUS,
    least: float = 0.01,
    points: int = 40,
) -> tuple[Interval, ...]:
    """The keep fractions in [least, 1] at which the fit points away from the teacher.

    Separable kept samples count with the direction of the minimiser on the ball's boundary.
    Arguments, result and errors are those of :func:`excess_risk_above`.
    """

    def away(found: Solution) -> float:
        separate = np.isnan(found.cosine)
        return -float(found.direction_cosine if separate else found.cosine)

    return _positive(problem, away, n_features, radius, least=least, points=points)


def _positive(
    problem: Problem,
    measure: Callable[[Solution], float],
    n_features: int | None,
    radius: float,
    *,
    least: float,
    points: int,
) -> tuple[Interval, ...]:
    """Where a measure of the solution is positive, as intervals of the keep fraction."""
    least = check_number("least", least, "(0, 1)")
    points = check_integer("points", points, 5)

    def value(log_r: float) -> float:
        changed = problem.replace(keep_fraction=float(np.exp(min(log_r, 0.0))))
        found = solve(changed, limit="abundant", n_features=n_features, radius=radius)
        if np.isnan(found.cosine) and np.isnan(found.direction_cosine):
            raise UnsupportedProblemError(found.message)
        return measure(found)

    logs = np.linspace(np.log(least), 0.0, points)
    values = np.array([value(x) for x in logs])
    logs, values = _with_peaks(value, logs, values)
    ends = [float(logs[0])] if values[0] > 0 else []
    for i in np.flatnonzero((values[1:] > 0) != (values[:-1] > 0)):
        ends.append(cast(float, brentq(value, logs[i], logs[i + 1], xtol=WIDTH)))
    if values[-1] > 0:
        ends.append(0.0)
    fractions = np.exp(ends)
    return tuple(zip(fractions[::2].tolist(), fractions[1::2].tolist(), strict=True))


def _with_peaks(
    value: Callable[[float], float], logs: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The grid with a point added at each local extremum that may hide a change of sign."""
    added = []
    for i in range(1, len(logs) - 1):
        side = 1.0 if values[i] > 0 else -1.0
        near = side * values[i - 1 : i + 2]
        if near.min() > 0 and near[1] <= near.min():  # a dip towards 0 between equal signs
            found: Any = minimize_scalar(
                lambda x, side=side: side * value(x),
                bounds=(logs[i - 1], logs[i + 1]),
                method="bounded",
                options={"xatol": 1e-4},
            )
            added.append((found.x, side * found.fun))
    if not added:
        return logs, values
    places, heights = np.array(added).T
    everything = np.concatenate([logs, places])
    order = np.argsort(everything)
    return everything[order], np.concatenate([values, heights])[order]

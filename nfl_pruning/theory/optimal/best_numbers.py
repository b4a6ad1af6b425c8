"""The best exploitation share, weight exponent and ridge of a protocol, by gradients of the limit.

A grid of the numbers is solved at once; from its best cells a quasi-Newton method in a box follows
the gradient that the implicit function theorem gives. The best of all cells, all end points, the
problem as given, the threshold rule and random pruning is returned, so it is never worse than
these, with a bound on what a first-order change within the box still promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from nfl_pruning.problem import Problem
from nfl_pruning.selections import ExactCalibration, SoftCalibration
from nfl_pruning.settings import with_own_settings
from nfl_pruning.theory.derivatives.limit_function import limit_function
from nfl_pruning.theory.integrators.conditioned.known import TAKES, unknown
from nfl_pruning.theory.numbers import GOALS
from nfl_pruning.theory.solution import Solution
from nfl_pruning.theory.solve import solve
from nfl_pruning.validation import (
    InvalidArgumentError,
    check_choice,
    check_integer,
    check_number,
)

Box = list[tuple[float, float]]
Goal = Callable[[np.ndarray], tuple[float, np.ndarray]]

# Box and grid of each number; the ridge goes by its logarithm. At exploit = 1 nothing is explored
# and no weight matters: that is the threshold rule, a case of its own.
GRIDS: dict[str, tuple[float, ...]] = {
    "exploit": (0.0, 0.25, 0.5, 0.75, 0.95),
    "exponent": (0.0, 0.5, 1.0),
    "ridge": (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
}
NEAREST = 1e-7  # to exploit = 0
REACH = 0.1  # of exploit and exponent, and a tenth of a factor e of the ridge
MOST_STEPS, SCALE_UP = 60, 100.0  # the optimiser stops on absolute changes


@dataclass(frozen=True)
class BestNumbers:
    """Optimised numbers and how they compare.

    Attributes:
        problem: with these numbers; ``solve`` and ``simulate`` take it.
        goal: what was minimised, test_error or test_loss.
        solution: the certified limit of ``problem``.
        numbers: the optimised numbers by name.
        grid: the goal's least value over the grid.
        stationarity: the most that a first-order change within the box promises, of a tenth in
            exploit and exponent and of a factor e^0.1 in the ridge; 0 at a stationary point. NaN
            where a rule without such numbers is best: the problem as given, the threshold rule
            (exploit 1) or random pruning (exploit 0).
    """

    problem: Problem
    goal: str
    solution: Solution
    numbers: dict[str, float]
    grid: float
    stationarity: float

    @property
    def value(self) -> float:
        """The goal at the optimised numbers; NaN where it has no limit."""
        found = getattr(self.solution, self.goal)
        return float(found)


@with_own_settings
def best_numbers(
    problem: Problem,
    *,
    over: Sequence[str] = ("exploit", "exponent", "ridge"),
    goal: str = "test_error",
    grid: Mapping[str, Sequence[float]] | None = None,
    starts: int = 3,
) -> BestNumbers:
    """The numbers of a calibrated protocol that minimise a goal at the problem's keep fraction.

    Args:
        problem: with an exact or soft protocol where ``exploit`` or ``exponent`` is sought (any
            that :func:`limit_function` takes for the ridge alone); its score and direction stay.
        over: which of exploit, exponent and ridge are optimised; the others stay as they are.
        goal: test_error or test_loss.
        grid: values of some of these numbers, whose ends bound the search; ``GRIDS`` otherwise.
        starts: how many of the grid's best cells are improved upon.

    Raises:
        InvalidArgumentError: an argument is out of range, the problem is not one that the compiled
            solver knows, or no cell of the grid has a limit.
    """
    check_choice("goal", goal, GOALS)
    check_integer("starts", starts, 1)
    names = _names(problem, over)
    axes = [_axis(name, (grid or {}).get(name, GRIDS[name])) for name in names]
    box = [(float(axis[0]), float(axis[-1])) for axis in axes]
    goal_at = _objective(problem, names, goal)
    points = np.array(list(product(*axes)))
    values = np.array([goal_at(point)[0] for point in points])
    if not np.isfinite(values).any():
        raise InvalidArgumentError("grid must hold a cell with a limit; none has one.")
    order = np.argsort(values)[:starts]
    ends = [_climb(goal_at, points[i], box) for i in order if np.isfinite(values[i])]
    best = min([points[order[0]], *ends], key=lambda point: goal_at(point)[0])
    numbers = _named(names, best)
    learned = _with(problem, numbers)
    promise = _promise(goal_at(best)[1], best, box)
    found = BestNumbers(learned, goal, solve(learned), numbers, float(values.min()), promise)
    others = _alternatives(problem, names, goal, grid=grid, starts=starts)
    return min([found, *others], key=lambda one: np.nan_to_num(one.value, nan=np.inf))


def _alternatives(
    problem: Problem,
    names: Sequence[str],
    goal: str,
    *,
    grid: Mapping[str, Sequence[float]] | None,
    starts: int,
) -> list[BestNumbers]:
    """What lies outside the box: the problem as it is, and all or nothing kept by score.

    At exploit 1 and 0 weights mean nothing, so these are rules of their own.
    """
    rules = {1.0: "threshold", 0.0: "random"} if "exploit" in names else {}
    cases = [(problem, {})]
    cases += [(problem.replace(selection=rule), {"exploit": x}) for x, rule in rules.items()]
    found = []
    for case, numbers in cases:
        if numbers and "ridge" in names:
            tuned = best_numbers(case, over=["ridge"], goal=goal, grid=grid, starts=starts)
            found.append(replace(tuned, numbers=numbers | tuned.numbers))
            continue
        solution = solve(case)
        value = getattr(solution, goal)
        given = _given(case, names) | numbers
        least = float("inf") if value is None else float(value)
        found.append(BestNumbers(case, goal, solution, given, least, float("nan")))
    return found


def _given(problem: Problem, names: Sequence[str]) -> dict[str, float]:
    """The numbers that a problem comes with, as far as it has them."""
    own = {
        "exploit": getattr(problem.selection, "exploit", None),
        "exponent": getattr(problem.selection, "exponent", None),
        "ridge": problem.student.ridge,
    }
    if isinstance(problem.selection, ExactCalibration):
        own["exponent"] = 1.0
    return {name: float(own[name]) for name in names if own[name] is not None}


def _promise(slope: np.ndarray, point: np.ndarray, box: Box) -> float:
    """What a first-order change of at most ``REACH`` within the box promises."""
    low, high = np.array(box).T
    room = np.where(slope > 0, point - low, high - point)
    return float(np.sum(np.abs(slope) * np.minimum(room, REACH)))


def _names(problem: Problem, over: Sequence[str]) -> list[str]:
    """The numbers to find, checked."""
    names = [check_choice("over", name, GRIDS) for name in over]
    if not names or len(set(names)) < len(names):
        raise InvalidArgumentError(f"over must name different numbers; got {list(over)}.")
    calibrated = isinstance(problem.selection, ExactCalibration | SoftCalibration)
    if {"exploit", "exponent"} & set(names) and not calibrated:
        raise InvalidArgumentError(
            "The best exploit and exponent exist for an exact or soft protocol; got protocol "
            f"{problem.selection.label!r}."
        )
    if without := unknown(problem):
        raise InvalidArgumentError(f"The best numbers are found for {TAKES}; got {without}.")
    return names


def _axis(name: str, values: Sequence[float]) -> np.ndarray:
    """One axis of the grid in the search's coordinate."""
    allowed = "(0, inf)" if name == "ridge" else "[0, 1]"
    axis = np.unique([check_number(f"grid of {name}", value, allowed) for value in values])
    if not len(axis):
        raise InvalidArgumentError(f"grid of {name} must not be empty; got {list(values)}.")
    return np.log(axis) if name == "ridge" else axis


def _named(names: Sequence[str], point: np.ndarray) -> dict[str, float]:
    return {
        name: float(np.exp(value) if name == "ridge" else value)
        for name, value in zip(names, point, strict=True)
    }


def _with(problem: Problem, numbers: Mapping[str, float]) -> Problem:
    """The problem at other numbers; a soft protocol of exponent 1 is an exact one."""
    if "ridge" in numbers:
        problem = problem.replace(ridge=numbers["ridge"])
    old = problem.selection
    if isinstance(old, ExactCalibration | SoftCalibration):
        exponent = numbers.get("exponent", getattr(old, "exponent", 1.0))
        exploit = numbers.get("exploit", old.exploit)
        problem = problem.replace(selection=SoftCalibration(exponent, exploit))
    return problem


def _objective(problem: Problem, names: Sequence[str], goal: str) -> Goal:
    """The goal and its gradient at a point; infinite where the limit is not certified."""
    function = limit_function(problem)

    def value(point: jax.Array) -> Any:
        numbers = {
            name: jnp.exp(point[i]) if name == "ridge" else point[i] for i, name in enumerate(names)
        }
        if "exploit" in numbers:  # at the end itself there is no slope
            numbers["exploit"] = numbers["exploit"] + NEAREST * (1 - numbers["exploit"])
        found = function(**numbers)
        good = (found.residual < 1e-9) & (found.error_estimate < 1e-6)
        return jnp.where(good, getattr(found, goal), jnp.nan)

    compiled = jax.jit(jax.value_and_grad(value))
    known: dict[bytes, tuple[float, np.ndarray]] = {}

    def both(point: np.ndarray) -> tuple[float, np.ndarray]:
        key = np.asarray(point, float).tobytes()
        if key not in known:
            with jax.enable_x64(True):
                found, slope = compiled(jnp.asarray(point, jnp.float64))
            good = bool(np.isfinite(found)) and bool(np.isfinite(np.asarray(slope)).all())
            known[key] = (
                (float(found), np.asarray(slope)) if good else (np.inf, np.zeros(len(point)))
            )
        return known[key]

    return both


def _climb(goal_at: Goal, start: np.ndarray, box: Box) -> np.ndarray:
    """A quasi-Newton path down from a point, within the box."""

    def scaled(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = goal_at(point)
        return SCALE_UP * min(value, 1e3), SCALE_UP * slope

    found = minimize(
        scaled, start, jac=True, method="L-BFGS-B", bounds=box,
        options={"maxiter": MOST_STEPS, "ftol": 1e-15, "gtol": 1e-8},
    )  # fmt: skip
    return np.asarray(found.x)

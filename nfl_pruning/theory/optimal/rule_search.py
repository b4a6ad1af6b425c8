"""Descent from the usual rules to the best one on bins, with its error under control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem
from nfl_pruning.theory.integrators.conditioned.mesh import Nodes
from nfl_pruning.theory.optimal.bins import Grid, Objective, Rule
from nfl_pruning.theory.solution import Solution
from nfl_pruning.theory.solve import solve

WEIGHT_RANGE = np.log(1e3)  # of a weight's logarithm, either way
WEIGHT_CHANGE = 0.1
MOST_STEPS, SCALE_UP = 200, 100.0  # the optimiser stops on absolute changes
LEVELS = (Nodes(64, 64), Nodes(112, 112, graded=True), Nodes(240, 240, graded=True))
AGREEMENT = 1e-7  # with a certified value


@dataclass(frozen=True)
class Ended:
    """Where a search ended.

    Attributes:
        rule: on the bins. problem: with it as selection. solution: its limit.
        stationarity: what a first-order change still promises; NaN where the certified value
            does not agree with the quadrature that the search has worked on.
    """

    rule: Rule
    problem: Problem
    solution: Solution
    stationarity: float


def value_of(solution: Solution, goal: str) -> float:
    """The goal of a solution; infinite where it is not certified."""
    return float(getattr(solution, goal)) if solution.status is Status.CERTIFIED else np.inf


def search(
    grid: Grid, goal: str, starts: list[Rule], known: list[tuple[Rule, float]], *, weights: bool
) -> Ended | None:
    """The best rule found on the bins; None where no quadrature agrees with what is known.

    Args:
        grid: the bins.
        goal: test_error or test_loss.
        starts: rules that are improved upon; they may be a little off the budget.
        known: rules exactly on the bins with certified values of the goal.
        weights: whether weights are optimised too.
    """
    ended = None
    for nodes in LEVELS:
        objective = grid.objective(goal, nodes)
        if not any(_agrees(objective.value(rule), value) for rule, value in known):
            continue
        rules = [_on_budget(grid, rule) for rule in starts] if ended is None else [ended.rule]
        found = [_better(grid, objective, rule, weights=False) for rule in rules]
        best = min([*rules, *found], key=objective.value)
        if weights:
            best = _better(grid, objective, best, weights=True)
        problem = grid.problem.replace(score="loss", keep="hardest", selection=grid.selection(best))
        solution = solve(problem)
        certain = _agrees(objective.value(best), value_of(solution, goal))
        promise = promised(grid, objective, best, weights=weights) if certain else np.nan
        ended = Ended(best, problem, solution, promise)
        if certain:
            break
    return ended


def _agrees(found: float, certified: float) -> bool:
    return bool(abs(found - certified) < AGREEMENT)


def _better(grid: Grid, objective: Objective, rule: Rule, *, weights: bool) -> Rule:
    """A rule within the budget by sequential quadratic programming.

    Args:
        grid: the bins.
        objective: what is minimised.
        rule: where to start; it is returned where nothing better is found.
        weights: whether the weights' logarithms move too, or the keep probabilities alone.
    """
    bins = len(rule.keep)

    def at(x: np.ndarray) -> Rule:
        return Rule(np.clip(x[:bins], 0.0, 1.0), np.exp(x[bins:]) if weights else rule.weight)

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, *slopes = objective.both(at(x))
        return SCALE_UP * value, SCALE_UP * np.concatenate(slopes)[: len(x)]

    free = bins if weights else 0
    price = np.concatenate([grid.mass, np.zeros(free)])
    budget = {
        "type": "eq",
        "fun": lambda x: price @ x - grid.problem.keep_fraction,
        "jac": lambda x: price,
    }
    found = minimize(
        function,
        np.concatenate([rule.keep, np.log(rule.weight[:free])]),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * bins + [(-WEIGHT_RANGE, WEIGHT_RANGE)] * free,
        constraints=budget,
        options={"maxiter": MOST_STEPS, "ftol": 1e-13 if weights else 1e-10},
    )
    return min((rule, _on_budget(grid, at(found.x))), key=objective.value)


def _on_budget(grid: Grid, rule: Rule) -> Rule:
    """The rule with what it keeps too much or too little put right."""
    keep, budget = rule.keep, grid.problem.keep_fraction
    for _ in range(50):
        excess = budget - float(grid.mass @ keep)
        room = (keep < 1) if excess > 0 else (keep > 0)
        if abs(excess) < 1e-15 or not room.any():
            break
        keep = np.clip(keep + np.where(room, excess / grid.mass[room].sum(), 0.0), 0.0, 1.0)
    return Rule(keep, rule.weight)


def promised(grid: Grid, objective: Objective, rule: Rule, *, weights: bool) -> float:
    """What a first-order change within the budget still promises (Frank and Wolfe's gap)."""
    _, by_keep, by_weight = objective.both(rule)
    price = by_keep / grid.mass
    left, best = grid.problem.keep_fraction, np.zeros_like(rule.keep)
    for i in np.argsort(price):
        best[i] = min(1.0, max(left, 0.0) / grid.mass[i])
        left -= best[i] * grid.mass[i]
    gap = float(by_keep @ (rule.keep - best))
    if weights:
        log_weight = np.log(rule.weight)
        room = WEIGHT_RANGE + np.where(by_weight > 0, log_weight, -log_weight)
        gap += float(np.abs(by_weight) @ np.clip(room, 0.0, WEIGHT_CHANGE))
    return gap

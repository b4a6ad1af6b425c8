"""The best that any score of the probe's margin can do, and the rule that does it.

A rule keeps a sample with a probability that depends on the folded margin y u of a fresh probe. It
is taken constant on bins; then the moments in the limit equations are linear in the keep
probabilities, and the implicit function theorem gives the derivative of any observable. The
optimiser is sequential quadratic programming, started from every hard rule, from random pruning
and from calibrated ones, whose thresholds are among the edges of the bins: it cannot end worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from scipy.optimize import minimize

from nfl_pruning.probes import InSampleProbe
from nfl_pruning.problem import Problem
from nfl_pruning.theory.bins import GOALS, Grid, Objective, Rule
from nfl_pruning.theory.proportional import Solution, solve
from nfl_pruning.validation import InvalidArgumentError, check_choice, check_integer

WEIGHT_RANGE = np.log(1e3)  # of a weight's logarithm, either way
WEIGHT_CHANGE = 0.1
MOST_STEPS, SCALE_UP = 200, 100.0  # the optimiser stops on absolute changes


@dataclass(frozen=True)
class OptimalRule:
    """An optimised rule and how it compares.

    Attributes:
        problem: with the rule as its selection; ``solve`` and ``simulate`` take it.
        goal: what was minimised, test_error or test_loss.
        solution: the certified limit of ``problem``.
        edges: of the bins in y u, shape (bins - 1,).
        keep: keep probability in each bin, shape (bins,). weights: of a kept sample.
        baselines: the goal's value for random pruning, the hard rules and calibrated ones.
        stationarity: the most that a first-order change of the rule within the budget, and of
            the weights by a tenth within 1/1000 to 1000, still promises on the goal's scale; 0 at
            a stationary point.
    """

    problem: Problem
    goal: str
    solution: Solution
    edges: np.ndarray
    keep: np.ndarray
    weights: np.ndarray
    baselines: dict[str, float]
    stationarity: float

    @property
    def value(self) -> float:
        """The goal at the optimised rule."""
        return float(getattr(self.solution, self.goal))


def optimal_rule(
    problem: Problem,
    *,
    goal: str = "test_error",
    weights: bool = True,
    bins: int = 40,
    starts: int = 3,
) -> OptimalRule:
    """The keep probability (and weight) of y u that minimises a goal at the problem's budget.

    Args:
        problem: its score, keep and selection do not matter; the keep fraction is the budget.
        goal: test_error or test_loss.
        weights: whether kept samples may be weighted; otherwise all weigh 1. Their common scale
            acts as a ridge, so the problem's ridge is tuned along with them.
        bins: equally probable bins, to which the usual rules' thresholds are added.
        starts: how many of the best usual rules are improved upon; more starts find more optima.

    Raises:
        InvalidArgumentError: the link is not symmetric, the probe has seen the samples, the ridge
            is 0, or an argument is out of range.
    """
    check_choice("goal", goal, GOALS)
    check_integer("bins", bins, 2)
    check_integer("starts", starts, 1)
    _refuse(problem)
    with jax.enable_x64(True):
        grid = Grid.of(problem, bins)
        objective = grid.objective(goal)
        usual = grid.usual_rules()
        baselines = {name: objective.value(rule) for name, rule in usual.items()}
        order = sorted(usual, key=lambda name: baselines[name])
        rules = [usual[name] for name in order[:starts]]
        found = [_better(grid, objective, rule, weights=False) for rule in rules]
        best = min([*rules, *found], key=objective.value)
        if weights:
            best = _better(grid, objective, best, weights=True)
        stationarity = _promise(grid, objective, best, weights=weights)
    learned = problem.replace(score="loss", keep="hardest", selection=grid.selection(best))
    return OptimalRule(
        learned, goal, solve(learned), grid.edges, best.keep, best.weight, baselines, stationarity
    )


def _refuse(problem: Problem) -> None:
    if not problem.teacher.link.symmetric:
        raise InvalidArgumentError(
            f"optimal_rule needs a symmetric link; got {problem.teacher.link.name!r}."
        )
    if isinstance(problem.probe, InSampleProbe):
        raise InvalidArgumentError(
            f"optimal_rule needs a fixed or pilot probe; got {problem.probe.label!r}."
        )
    if problem.student.ridge == 0 or not problem.student.loss.smooth:
        raise InvalidArgumentError(
            "optimal_rule needs a smooth loss and a ridge > 0; got loss "
            f"{problem.student.loss.name!r} and ridge {problem.student.ridge:g}."
        )


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
    """The rule with what the optimiser left of the constraint put right."""
    keep, budget = rule.keep, grid.problem.keep_fraction
    for _ in range(50):
        excess = budget - float(grid.mass @ keep)
        room = (keep < 1) if excess > 0 else (keep > 0)
        if abs(excess) < 1e-15 or not room.any():
            break
        keep = np.clip(keep + np.where(room, excess / grid.mass[room].sum(), 0.0), 0.0, 1.0)
    return Rule(keep, rule.weight)


def _promise(grid: Grid, objective: Objective, rule: Rule, *, weights: bool) -> float:
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

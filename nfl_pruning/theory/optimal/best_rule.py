"""The best that any score of the probe's margin can do, and the rule that does it.

A rule keeps a sample with a probability that depends on the folded margin y u of a fresh probe. It
is taken constant on bins; then the moments in the limit equations are linear in the keep
probabilities, and the implicit function theorem gives the derivative of any observable. The
optimiser is sequential quadratic programming from the best of the usual rules. It works on the
first quadrature that agrees with their certified values, and on a finer one where the certified
value of its end does not agree. What is returned is the least of all certified values, the usual
rules' among them: it cannot be worse than those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.probes import InSampleProbe
from nfl_pruning.problem import Problem
from nfl_pruning.settings import float64
from nfl_pruning.theory.numbers import GOALS
from nfl_pruning.theory.optimal.bins import Grid
from nfl_pruning.theory.optimal.rule_search import Ended, search, value_of
from nfl_pruning.theory.optimal.usual import on_bins, usual_problems
from nfl_pruning.theory.solution import Solution
from nfl_pruning.theory.sweep import solve_each
from nfl_pruning.validation import check_choice, check_integer, check_kind


@dataclass(frozen=True)
class OptimalRule:
    """An optimised rule and how it compares.

    Attributes:
        problem: with the rule as its selection; ``solve`` and ``simulate`` take it.
        goal: what was minimised, test_error or test_loss.
        solution: the certified limit of ``problem``.
        edges: of the bins in y u, shape (bins - 1,).
        keep: keep probability in each bin, shape (bins,). weights: of a kept sample. Where a usual
            rule was best, those in the middle of each bin.
        baselines: the goal's certified value for random pruning, hard rules, calibrated ones,
            windows and smooth powers, as far as it exists.
        stationarity: the most that a first-order change of the rule within the budget, and of
            the weights by a tenth within 1/1000 to 1000, still promises on the goal's scale; 0 at
            a stationary point. NaN where a usual rule was best, or no quadrature was fine enough
            to tell.
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


@float64
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
        weights: whether weights of kept samples are optimised; otherwise they stay those of the
            rule that the search starts from (1 but for calibrated ones). Their common scale acts
            as a ridge, so the problem's ridge is tuned along with them.
        bins: equally probable bins, to which the usual rules' thresholds are added.
        starts: how many of the best usual rules are improved upon; more starts find more optima.

    Raises:
        InvalidArgumentError: the link is not symmetric, the probe has seen the samples, the ridge
            is 0, an argument is out of range, or no usual rule has a certified limit.
    """
    check_kind("problem", problem, Problem)
    check_choice("goal", goal, GOALS)
    check_integer("bins", bins, 2)
    check_integer("starts", starts, 1)
    _refuse(problem)
    usual = usual_problems(problem)
    solved = dict(zip(usual, solve_each(usual.values()), strict=True))  # too few to compile for
    values = {name: value_of(solution, goal) for name, solution in solved.items()}
    baselines = {name: value for name, value in values.items() if np.isfinite(value)}
    if not baselines:
        raise InvalidArgumentError("optimal_rule needs a usual rule with a certified limit.")
    order = sorted(baselines, key=lambda name: baselines[name])
    grid = Grid.of(problem, bins)
    first = [grid.rule(usual[name]) for name in order[:starts]]
    exact = [name for name in order if on_bins(usual[name])][:starts]
    known = [(grid.rule(usual[name]), baselines[name]) for name in exact]
    ended = search(grid, goal, first, known, weights=weights)
    least = order[0]
    best = Ended(first[0], usual[least], solved[least], float("nan"))
    if ended is not None and value_of(ended.solution, goal) <= baselines[least]:
        best = ended
    return OptimalRule(
        best.problem, goal, best.solution, grid.edges, best.rule.keep, best.rule.weight,
        baselines, best.stationarity,
    )  # fmt: skip


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

"""The best that any score of the probe's margin can do, and the rule that does it.

A rule keeps a sample with a probability that depends on the folded margin y u of a fresh probe. It
is taken constant on bins; then the moments in the limit equations are linear in the keep
probabilities, and the implicit function theorem gives the derivative of any observable. The
optimiser is sequential quadratic programming, started from every hard rule, from random pruning
and from calibrated ones, whose thresholds are among the edges of the bins: it cannot end worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.probes import InSampleProbe
from nfl_pruning.problem import Problem
from nfl_pruning.selections import Piecewise, RankSelection, make_selection
from nfl_pruning.theory.fast.cell import Cell, Kind
from nfl_pruning.theory.fast.limit import digits
from nfl_pruning.theory.fast.mesh import Nodes
from nfl_pruning.theory.fast.solver import solve_cell
from nfl_pruning.theory.label_law import LabelLaw
from nfl_pruning.theory.ordering import SignedOrder
from nfl_pruning.theory.probe_limit import probe_limit
from nfl_pruning.theory.proportional import Solution, solve
from nfl_pruning.validation import InvalidArgumentError, check_choice, check_integer

GOALS = ("test_error", "test_loss")
NODES = Nodes(64, 64)
WEIGHT_RANGE = np.log(1e3)
WEIGHT_CHANGE = 0.1
MOST_STEPS, MOST_ROUNDS, SCALE_UP = 120, 8, 100.0  # the optimiser stops on absolute changes
RULES: dict[str, dict[str, Any]] = {
    "random": {"selection": "random"},
    "label-aware, hardest": {"score": "el2n", "keep": "hardest"},
    "label-aware, easiest": {"score": "el2n", "keep": "easiest"},
    "label-agnostic, hardest": {"score": "margin", "keep": "hardest"},
    "label-agnostic, easiest": {"score": "margin", "keep": "easiest"},
}
CALIBRATED = ("exact", "soft:0.5", "soft:0")
EXPLOITS = (0.25, 0.5, 0.75)


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
            the weights by a tenth, still promises on the goal's scale; 0 at a stationary point.
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
        grid = _Grid.of(problem, bins)
        objective = grid.objective(goal)
        usual = grid.usual_rules()
        baselines = {name: objective.value(rule) for name, rule in usual.items()}
        order = sorted(usual, key=lambda name: baselines[name])
        rules = [usual[name] for name in order[:starts]]
        found = [_better_keep(grid, objective, rule) for rule in rules]
        best = min([*rules, *found], key=objective.value)
        if weights:
            best = _alternate(grid, objective, best)
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


@dataclass(frozen=True)
class _Rule:
    """Keep probabilities and weights on the bins."""

    keep: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class _Grid:
    """A problem with its bins in y u; ``mass`` is the bins' probability, shape (bins,)."""

    problem: Problem
    alignment: float
    edges: np.ndarray
    mass: np.ndarray

    @classmethod
    def of(cls, problem: Problem, bins: int) -> _Grid:
        alignment = float(probe_limit(problem.replace(selection="threshold")).alignment)
        law = LabelLaw(problem.teacher, alignment)
        order = SignedOrder(law, 1)
        quantile = lambda share: -order.cut(share).high  # noqa: E731
        shares = problem.keep_fraction * np.array([1.0, *EXPLOITS])
        sizes = [ndtri(0.5 + 0.5 * part) for share in shares for part in (share, 1 - share)]
        places = [quantile(share) for share in np.arange(1, bins) / bins]
        places += [quantile(part) for share in shares for part in (share, 1 - share)]
        places += [sign * size for size in sizes for sign in (1, -1)]
        edges = np.unique(np.round([p for p in places if abs(p) < NORMAL_RANGE], 13))
        below = law.below(1, edges) + law.label_mass[1] - law.below(-1, -edges)
        return cls(problem, alignment, edges, np.diff([0.0, *below, 1.0]))

    @property
    def middles(self) -> np.ndarray:
        """A point inside each bin."""
        outer = np.concatenate([self.edges[:1] - 1, self.edges, self.edges[-1:] + 1])
        return 0.5 * (outer[1:] + outer[:-1])

    def usual_rules(self) -> dict[str, _Rule]:
        """Random pruning, the hard rules and calibrated ones, exactly on these bins."""
        budget, found = self.problem.keep_fraction, {}
        for name, choice in RULES.items():
            if name == "random":
                found[name] = _Rule(np.full(len(self.mass), budget), np.ones(len(self.mass)))
                continue
            protocols = [("threshold", 1.0)]
            protocols += [(text, share) for text in CALIBRATED for share in EXPLOITS]
            for text, exploit in protocols:
                selection = make_selection(text, exploit=exploit)
                assert isinstance(selection, RankSelection)
                label = name if text == "threshold" else f"{name}, {text} exploit {exploit:g}"
                found[label] = self._banded(choice, selection.strata(budget))
        return found

    def _banded(self, choice: dict[str, Any], strata: tuple) -> _Rule:
        sign = 1 if choice["keep"] == "hardest" else -1
        aware = choice["score"] == "el2n"
        hard = self.middles if aware else np.abs(self.middles)
        mass = self.mass
        order = np.argsort(sign * hard, kind="stable")
        before = np.empty_like(mass)
        before[order] = np.cumsum(mass[order]) - 0.5 * mass[order]
        if not aware:  # bins at -c and c come together: rank them by |u| itself
            share = 2 * ndtr(np.abs(self.middles)) - 1
            before = share if sign > 0 else 1 - share
        first = before < strata[0].share
        rest = strata[1]
        keep = np.where(first, 1.0, rest.keep_probability)
        return _Rule(keep, np.where(first | (keep == 0), 1.0, rest.weight))

    def objective(self, goal: str) -> _Objective:
        problem = self.problem
        link, loss = problem.teacher.link, problem.student.loss
        perfect = abs(self.alignment) == 1
        kind = Kind(link, loss, perfect, (1,))
        cell = Cell(
            jnp.asarray(problem.samples_per_feature, float),
            jnp.asarray(problem.student.ridge, float),
            jnp.asarray(self.alignment, float),
            jnp.asarray(problem.teacher.scale, float),
            jnp.asarray(self.edges)[None],
            jnp.zeros((1, len(self.mass))),
            jnp.ones((1, len(self.mass))),
        )
        return _Objective(kind, cell, GOALS.index(goal))

    def selection(self, rule: _Rule) -> Piecewise:
        """The rule as a selection: neighbouring bins that are alike are joined."""
        keep = np.clip(np.round(rule.keep, 9), 0.0, 1.0)
        weight = np.where(keep == 0, 1.0, rule.weight)
        new = np.flatnonzero((np.diff(keep) != 0) | (np.abs(np.diff(weight)) > 1e-12)) + 1
        parts = np.split(np.arange(len(keep)), new)
        shares = np.array([self.mass[part].sum() for part in parts])
        kept = np.array([keep[part[0]] for part in parts])
        loose = (kept > 0) & (kept < 1)
        excess = self.problem.keep_fraction - float(shares @ kept)  # what rounding has left
        if loose.any():
            kept[loose] += excess / shares[loose].sum()
        weights = [float(weight[part[0]]) for part in parts]
        shares = shares / shares.sum()
        return Piecewise(tuple(shares.tolist()), tuple(kept.tolist()), tuple(weights))


@partial(jax.jit, static_argnames=("kind", "goal"))
def _goal(kind: Kind, cell: Cell, goal: int, keep: Array, log_weight: Array) -> tuple:
    """The goal at a rule and its gradient in keep probability and log weight."""

    def value(keep: Array, log_weight: Array) -> Array:
        full = cell._replace(keep=keep[None], omega=jnp.exp(log_weight)[None])
        answer = solve_cell(kind, full, full, nodes=NODES, finer=NODES)
        numbers = digits(kind, full, answer.x, NODES)
        return jnp.where(answer.residual < 1e-9, numbers[2 + goal], jnp.nan)

    return jax.value_and_grad(value, argnums=(0, 1))(keep, log_weight)


@dataclass(frozen=True)
class _Objective:
    """The goal of a rule, with its gradient; infinite where no root was found."""

    kind: Kind
    cell: Cell
    goal: int

    def both(self, rule: _Rule) -> tuple[float, np.ndarray, np.ndarray]:
        value, slopes = _goal(
            self.kind, self.cell, self.goal, jnp.asarray(rule.keep), jnp.log(rule.weight)
        )
        if not np.isfinite(value):
            return np.inf, np.zeros_like(rule.keep), np.zeros_like(rule.keep)
        return float(value), np.asarray(slopes[0]), np.asarray(slopes[1])

    def value(self, rule: _Rule) -> float:
        return self.both(rule)[0]


def _better_keep(grid: _Grid, objective: _Objective, rule: _Rule) -> _Rule:
    """Keep probabilities by sequential quadratic programming within the budget."""

    def function(keep: np.ndarray) -> tuple[float, np.ndarray]:
        value, by_keep, _ = objective.both(_Rule(np.clip(keep, 0.0, 1.0), rule.weight))
        return SCALE_UP * value, SCALE_UP * by_keep

    budget = {
        "type": "eq",
        "fun": lambda keep: grid.mass @ keep - grid.problem.keep_fraction,
        "jac": lambda keep: grid.mass,
    }
    found = minimize(
        function,
        rule.keep,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(rule.keep),
        constraints=budget,
        options={"maxiter": MOST_STEPS, "ftol": 1e-10},
    )
    better = _on_budget(grid, _Rule(np.clip(found.x, 0.0, 1.0), rule.weight))
    return min((rule, better), key=objective.value)


def _better_weight(objective: _Objective, rule: _Rule) -> _Rule:
    """Weights by a quasi-Newton method in their logarithms."""

    def function(log_weight: np.ndarray) -> tuple[float, np.ndarray]:
        value, _, by_weight = objective.both(_Rule(rule.keep, np.exp(log_weight)))
        return SCALE_UP * value, SCALE_UP * by_weight

    found = minimize(
        function,
        np.log(rule.weight),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-WEIGHT_RANGE, WEIGHT_RANGE)] * len(rule.keep),
        options={"maxiter": MOST_STEPS, "ftol": 1e-14, "gtol": 1e-6},
    )
    return min((rule, _Rule(rule.keep, np.exp(found.x))), key=objective.value)


def _alternate(grid: _Grid, objective: _Objective, rule: _Rule) -> _Rule:
    """Weights and keep probabilities in turn: a point that is stationary in each is so in both."""
    value = objective.value(rule)
    for _ in range(MOST_ROUNDS):
        rule = _better_keep(grid, objective, _better_weight(objective, rule))
        value, before = objective.value(rule), value
        if before - value < 1e-8:
            break
    return _better_weight(objective, rule)


def _on_budget(grid: _Grid, rule: _Rule) -> _Rule:
    """The rule with what the optimiser left of the constraint put right."""
    keep, budget = rule.keep, grid.problem.keep_fraction
    for _ in range(50):
        excess = budget - float(grid.mass @ keep)
        room = (keep < 1) if excess > 0 else (keep > 0)
        if abs(excess) < 1e-15 or not room.any():
            break
        keep = np.clip(keep + np.where(room, excess / grid.mass[room].sum(), 0.0), 0.0, 1.0)
    return _Rule(keep, rule.weight)


def _promise(grid: _Grid, objective: _Objective, rule: _Rule, *, weights: bool) -> float:
    """What a first-order change within the budget still promises (Frank and Wolfe's gap)."""
    _, by_keep, by_weight = objective.both(rule)
    price = by_keep / grid.mass
    left, best = grid.problem.keep_fraction, np.zeros_like(rule.keep)
    for i in np.argsort(price):
        best[i] = min(1.0, max(left, 0.0) / grid.mass[i])
        left -= best[i] * grid.mass[i]
    gap = float(by_keep @ (rule.keep - best))
    if weights:
        gap += WEIGHT_CHANGE * float(np.abs(by_weight).sum())
    return gap

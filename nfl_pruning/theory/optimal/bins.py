"""Rules that are constant on bins of y u, and what an observable makes of them.

The moments in the limit equations are linear in the keep probabilities of the bins; the implicit
function theorem gives the derivative of any observable in keep probabilities and weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import ndtri

from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.problem import Problem
from nfl_pruning.selections import Piecewise
from nfl_pruning.theory.integrators.conditioned.cell import Cell, Kind
from nfl_pruning.theory.integrators.conditioned.limit import digits
from nfl_pruning.theory.integrators.conditioned.mesh import Nodes
from nfl_pruning.theory.integrators.conditioned.solver import solve_cell
from nfl_pruning.theory.numbers import GOALS
from nfl_pruning.theory.optimal.usual import EXPLOITS
from nfl_pruning.theory.probe_limit import probe_limit, selection_law
from nfl_pruning.theory.selection_law.label_law import LabelLaw
from nfl_pruning.theory.selection_law.ordering import SignedOrder

LEAST_MASS = 1e-10  # of a bin: what less than that does is lost in rounding


@dataclass(frozen=True)
class Rule:
    """Keep probabilities and weights on the bins."""

    keep: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Grid:
    """A problem with its bins in y u; ``mass`` is the bins' probability, shape (bins,)."""

    problem: Problem
    alignment: float
    edges: np.ndarray
    mass: np.ndarray

    @classmethod
    def of(cls, problem: Problem, bins: int) -> Grid:
        """Equally probable bins, cut further at the thresholds of hard and calibrated rules."""
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
        cuts, masses = [], [0.0]
        for edge, mass in zip(edges, below, strict=True):
            if masses[-1] + LEAST_MASS < mass < 1 - LEAST_MASS:
                cuts.append(edge)
                masses.append(mass)
        return cls(problem, alignment, np.array(cuts), np.diff([*masses, 1.0]))

    @property
    def middles(self) -> np.ndarray:
        """A point inside each bin."""
        outer = np.concatenate([self.edges[:1] - 1, self.edges, self.edges[-1:] + 1])
        return 0.5 * (outer[1:] + outer[:-1])

    def rule(self, problem: Problem) -> Rule:
        """A selection's keep probabilities and weights in the middle of each bin.

        Exact where the bins' edges hold all its thresholds, else a rule close to it.
        """
        keep, weight = (part[:, 0] for part in selection_law(problem).evaluate(self.middles))
        total = keep.sum(0)
        mean = (keep * weight).sum(0) / np.where(total > 0, total, 1.0)
        return Rule(total, np.where(total > 0, mean, 1.0))

    def objective(self, goal: str, nodes: Nodes) -> Objective:
        """What is minimised, as a function of a rule, on a quadrature."""
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
        return Objective(kind, cell, GOALS.index(goal), nodes)

    def selection(self, rule: Rule) -> Piecewise:
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


@partial(jax.jit, static_argnames=("kind", "goal", "nodes"))
def _goal(kind: Kind, cell: Cell, goal: int, nodes: Nodes, keep: Array, log_weight: Array) -> tuple:
    """The goal at a rule and its gradient in keep probability and log weight."""

    def value(keep: Array, log_weight: Array) -> Array:
        full = cell._replace(keep=keep[None], omega=jnp.exp(log_weight)[None])
        answer = solve_cell(kind, full, full, nodes=nodes, finer=nodes)
        numbers = digits(kind, cell.rho, cell.scale, answer.x)
        return jnp.where(answer.residual < 1e-9, numbers[2 + goal], jnp.nan)

    return jax.value_and_grad(value, argnums=(0, 1))(keep, log_weight)


@dataclass(frozen=True)
class Objective:
    """The goal of a rule, with its gradient; infinite where no root was found."""

    kind: Kind
    cell: Cell
    goal: int
    nodes: Nodes

    def both(self, rule: Rule) -> tuple[float, np.ndarray, np.ndarray]:
        """The goal, and its gradient in keep probability and log weight."""
        value, slopes = _goal(
            self.kind, self.cell, self.goal, self.nodes, jnp.asarray(rule.keep),
            jnp.log(rule.weight),
        )  # fmt: skip
        if not np.isfinite(value):
            return np.inf, np.zeros_like(rule.keep), np.zeros_like(rule.keep)
        return float(value), np.asarray(slopes[0]), np.asarray(slopes[1])

    def value(self, rule: Rule) -> float:
        """The goal alone."""
        return self.both(rule)[0]

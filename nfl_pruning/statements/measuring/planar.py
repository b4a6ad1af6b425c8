"""Abundant data by quadrature: the pruned population risk in the plane of teacher and probe.

What a score does is written down here a second time, as a set in the (u, y) plane (u the input
along the probe): label-aware rules cut y u, label-agnostic ones |u|. So agreement with samples that
the package scored and selected checks its scores, directions and thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from nfl_pruning.numerics.bracket import bracketed_root
from nfl_pruning.numerics.damped import convex_minimum
from nfl_pruning.numerics.quadrature import gauss_legendre
from nfl_pruning.problem import Problem
from nfl_pruning.settings import float64

REACH = 8.5
LABELS = np.array([1.0, -1.0])
_ACROSS = np.linspace(-REACH, REACH, 205)  # the trapezoidal rule is exact for smooth integrands


def _normal(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class Rule:
    """A threshold rule in words: whether it looks at labels, which end it keeps."""

    aware: bool
    hardest: bool

    def small(self, share: float) -> tuple[float, bool]:
        """(share of small y u or |u|, whether that part is the first in priority)."""
        return (share, True) if self.hardest else (1 - share, False)


def rule_of(problem: Problem) -> Rule:
    """The rule that the problem's score name stands for."""
    aware = {"el2n": True, "loss": True, "aum": True, "entropy": False, "margin": False}
    return Rule(aware[problem.score.name], problem.keep == "hardest")


class Plane:
    """Quadrature nodes in (u, across) for one teacher and probe, with panels ending on ``cuts``.

    Attributes:
        u, across: coordinates of the nodes, shape (nodes,).
        mass: normal weight times P(y | z), shape (2, nodes), first y = 1.
    """

    @float64
    def __init__(self, problem: Problem, cuts: tuple[float, ...] = (), panels: int = 48) -> None:
        rho = getattr(problem.probe, "alignment")  # noqa: B009
        steps = np.asarray(problem.teacher.link.steps.locations) / problem.teacher.scale
        sharp = [] if max(problem.teacher.link.steps.widths) > 0 else list(steps)
        if sharp and rho < 1:
            raise ValueError("a stepped link needs a probe along the teacher")
        grid = np.linspace(-REACH, REACH, panels + 1)
        edges = np.unique(np.concatenate([grid, np.clip([*cuts, *sharp], -REACH, REACH)]))
        x, w = gauss_legendre(10)
        half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
        u, weight = (middle + half * x).ravel(), (half * w).ravel()
        step = _ACROSS[1] - _ACROSS[0]
        self.u, self.across = np.repeat(u, len(_ACROSS)), np.tile(_ACROSS, len(u))
        normal = np.outer(weight * _normal(u), step * _normal(_ACROSS)).ravel()
        self.z = rho * self.u + np.sqrt(1 - rho**2) * self.across
        probability = np.asarray(problem.teacher.link(problem.teacher.scale * self.z), float)
        self.mass = normal * np.stack([probability, 1 - probability])

    def inside(self, rule: Rule, cut: float) -> np.ndarray:
        """Whether (u, y) comes before the cut in the priority order, shape (2, nodes)."""
        value = LABELS[:, None] * self.u if rule.aware else np.abs(self.u) + 0 * LABELS[:, None]
        return (value < cut) == rule.hardest

    def derivatives(
        self, theta: np.ndarray, weight: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Weighted logistic risk, gradient and Hessian in (u, across); weight (2, nodes)."""
        t = LABELS[:, None] * (theta[0] * self.u + theta[1] * self.across)
        miss, mass = 1 / (1 + np.exp(t)), self.mass * weight
        x = np.stack([self.u, self.across])
        risk = float(np.sum(mass * np.logaddexp(0, -t)))
        gradient = -x @ np.sum(LABELS[:, None] * mass * miss, 0)
        curvature = np.sum(mass * miss * (1 - miss), 0)
        return risk, gradient, (x * curvature) @ x.T

    def minimiser(self, weight: np.ndarray) -> np.ndarray:
        """The parameter (along, across the probe) of least weighted risk; raises if unbounded."""
        found = convex_minimum(
            lambda theta: self.derivatives(theta, weight)[1:], np.zeros(2), far=1e3
        )
        if found is None:
            raise ValueError("the weighted risk has no finite minimiser")
        return found

    def scores(self, theta: np.ndarray) -> np.ndarray:
        """Gradient of the loss at each node and label, shape (2 coordinates, 2 labels, nodes)."""
        t = LABELS[:, None] * (theta[0] * self.u + theta[1] * self.across)
        miss = 1 / (1 + np.exp(t))
        return -np.stack([self.u, self.across])[:, None] * (LABELS[:, None] * miss)


def cut_of(problem: Problem, rule: Rule, share: float) -> float:
    """The y u (or |u|) that has the first ``share`` of the priority order on its side."""
    small, _ = rule.small(share)
    if not rule.aware:
        return float(ndtri(0.5 + 0.5 * small))
    plane = Plane(problem)
    value = LABELS[:, None] * plane.u
    order = np.argsort(value, axis=None)
    below = np.cumsum(plane.mass.ravel()[order])
    start = float(value.ravel()[order][np.searchsorted(below, small * below[-1])])

    def excess(cut: float) -> float:
        fine = Plane(problem, (cut, -cut))
        kept = fine.mass[fine.inside(Rule(rule.aware, hardest=True), cut)]
        return float(kept.sum() / fine.mass.sum()) - small

    return bracketed_root(excess, start - 0.3, start + 0.3, xtol=1e-12)

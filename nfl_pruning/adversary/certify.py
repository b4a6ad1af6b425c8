"""The gap of a score on a law with the hard threshold, by quadrature with an error estimate.

Inputs are cut into slices of constant second coordinate. Within a slice the places where the
priority crosses the threshold are found by bracketing, and integration panels end there; so each
slice is exact to rounding, and over slices the integrand is continuous. The threshold itself is the
root of kept mass = keep fraction. Everything is computed with two numbers of slices; the difference
is the error estimate. Where a score crosses its threshold too often to resolve (a hash, say), that
is said instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfl_pruning.adversary.laws import LABELS, Law, panel_nodes, slices
from nfl_pruning.adversary.population import RADIUS, Nodes, law_nodes, minimiser, risk
from nfl_pruning.adversary.ranking import Rank, ranker
from nfl_pruning.numerics.bracket import bracketed_root
from nfl_pruning.scores.base import Score

SLICES = (97, 193)
MOST_CROSSINGS = 8  # a slice and label
GRID_NODES = 4  # a panel, when looking for crossings


@dataclass(frozen=True)
class Certificate:
    """What pruning by a score does on a law, in the limit of many samples.

    Attributes:
        law: the data law.
        gap: excess loss of the fit to kept samples over the best parameter.
        error: change of ``gap`` between the two quadratures.
        error_gap: excess 0-1 error, over the parameter of least *loss*.
        best, student: parameters (two coordinates, intercept).
        binding: whether the kept samples drive the student to the ball's boundary.
        resolved: whether the kept set was resolved; else the numbers mean nothing.
    """

    law: Law
    gap: float
    error: float
    error_gap: float
    best: np.ndarray
    student: np.ndarray
    binding: bool
    resolved: bool


class KeptSet:
    """Finds the kept part of a law for any threshold, with panels that end on its edges."""

    def __init__(self, law: Law, rank: Rank, n_slices: int) -> None:
        self.law, self.rank = law, rank
        self.x2, self.weight, self.edges = slices(law, n_slices)
        grid = np.unique(panel_nodes(self.edges[None], GRID_NODES)[0][0])
        self.grid = np.concatenate([[self.edges[0]], grid, [self.edges[-1]]])
        self.values = {y: self._rank(np.tile(self.grid, (n_slices, 1)), y) for y in LABELS}
        self.resolved = True

    def _rank(self, x1: np.ndarray, label: float) -> np.ndarray:
        x = np.stack([x1, np.broadcast_to(self.x2[:, None], x1.shape)], -1)
        return self.rank(x, np.full(x1.shape, label))

    def _crossings(self, label: float, level: float) -> np.ndarray:
        """Places where the priority crosses the level, (slices, MOST_CROSSINGS), padded at an end.

        Illinois steps: regula falsi that halves the value at a stale end, kept inside brackets.
        """
        above = self.values[label] > level
        change = above[:, 1:] != above[:, :-1]
        if change.sum(1).max() > MOST_CROSSINGS:
            self.resolved = False
        order = np.argsort(~change, axis=1, kind="stable")[:, :MOST_CROSSINGS]
        real = np.take_along_axis(change, order, 1)
        a, b = self.grid[order], self.grid[order + 1]
        f = [np.take_along_axis(self.values[label], order + k, 1) - level for k in (0, 1)]
        fa, fb = (np.where(real, part, 1.0) for part in f)
        for step in range(14):
            weight = np.clip(fa / np.where(fa == fb, 1.0, fa - fb), 0.02, 0.98)
            c = a + (0.5 if step % 5 == 4 else weight) * (b - a)
            fc = self._rank(c, label) - level
            left = (fc > 0) == (fa > 0)
            a, b = np.where(left, c, a), np.where(left, b, c)
            fa, fb = np.where(left, fc, 0.5 * fa), np.where(left, 0.5 * fb, fc)
        return np.where(real, 0.5 * (a + b), self.edges[-1])

    def nodes(self, low: float, high: float, fraction: float) -> Nodes:
        """The law at priorities above ``high``, and a fraction of it at those above ``low``."""
        xs, masses = [], []
        for number, label in enumerate(LABELS):
            cuts = [self._crossings(label, level) for level in {low, high}]
            edges = np.tile(self.edges, (len(self.x2), 1))
            x1, w1 = panel_nodes(np.sort(np.concatenate([edges, *cuts], axis=1), axis=1))
            priority = self._rank(x1, label)
            share = np.where(priority > high, 1.0, np.where(priority > low, fraction, 0.0))
            x = np.stack([x1, np.broadcast_to(self.x2[:, None], x1.shape)], -1).reshape(-1, 2)
            mass = np.zeros((2, len(x)))
            probability = self.law.probability(x)
            probability = probability if label > 0 else 1 - probability
            mass[number] = (
                (share * w1 * self.weight[:, None]).ravel() * self.law.density(x) * probability
            )
            keep = mass[number] > 1e-18
            xs.append(x[keep])
            masses.append(mass[:, keep])
        return Nodes(np.concatenate(xs), np.concatenate(masses, axis=1))

    def keep(self, fraction: float) -> Nodes:
        """The first ``fraction`` of the priority order; ties of positive mass are split."""
        x2, x1 = np.meshgrid(self.x2, self.grid, indexing="ij")
        x = np.stack([x1, x2], -1)
        step = np.gradient(self.grid)
        density = self.law.density(x) * step * self.weight[0]
        probability = self.law.probability(x)
        mass = np.concatenate(
            [(density * probability).ravel(), (density * (1 - probability)).ravel()]
        )
        values = np.concatenate([self.values[y].ravel() for y in LABELS])
        order = np.argsort(-values)
        kept = np.cumsum(mass[order]) / mass.sum()
        level = float(values[order][min(np.searchsorted(kept, fraction), len(order) - 1)])
        scale = 1e-9 * max(1.0, abs(level))
        above = self.nodes(level + scale, level + scale, 0.0).mass.sum()
        whole = self.nodes(level - scale, level - scale, 0.0).mass.sum()
        if whole - above > 1e-6:  # an atom of the score, not one of the grid
            share = float(np.clip((fraction - above) / (whole - above), 0, 1))
            return self.nodes(level - scale, level + scale, share)

        def excess(q: float) -> float:
            return self.nodes(q, q, 0.0).mass.sum() - fraction

        for slack in (0.02, 0.1, 1.0):
            low, high = (
                float(values[order][np.clip(np.searchsorted(kept, f), 0, len(order) - 1)])
                for f in (min(fraction + slack, 1.0), max(fraction - slack, 0.0))
            )
            if not self.resolved or excess(low) * excess(high) <= 0:
                break
        if self.resolved:
            try:
                level = bracketed_root(excess, low, high, xtol=1e-12, rtol=1e-12)
            except ValueError:
                self.resolved = False
        found = self.nodes(level, level, 0.0)
        self.resolved = self.resolved and abs(found.mass.sum() - fraction) < 1e-6
        return found


def certify(law: Law, score: Score, keep_fraction: float, keep: str = "hardest") -> Certificate:
    """The limiting gap of keeping the hardest (or easiest) share by a score on a law.

    Args:
        law: data law.
        score: any score that a law of the family can evaluate.
        keep_fraction: r, in (0, 1).
        keep: which end stays.
    """
    found = []
    best, _ = minimiser(law_nodes(law, SLICES[-1]))
    rank = ranker(score, law, best, keep)
    for n_slices in SLICES:
        kept = KeptSet(law, rank, n_slices)
        nodes = kept.keep(keep_fraction)
        student, binding = minimiser(nodes, RADIUS)
        everything = law_nodes(law, SLICES[-1])
        gap = risk(student, everything) - risk(best, everything)
        found.append((gap, student, binding, kept.resolved))
        if not kept.resolved:
            break
    gap, student, binding, resolved = found[-1]
    error = abs(gap - found[0][0]) + 1e-10
    error_gap = law.zero_one_error(student) - law.zero_one_error(best)
    return Certificate(law, gap, error, error_gap, best, student, binding, resolved)

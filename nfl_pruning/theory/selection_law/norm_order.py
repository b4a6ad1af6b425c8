"""Selection by a score that reads the input's norm (GraNd), at a fixed number of features.

With d features ||x||^2 = u^2 + p^2 + R^2, where R^2 is chi-squared with d - 2 degrees of freedom
and independent of plane and label. A score that rises with the norm exceeds a level exactly where
||x|| exceeds some s(u, y), so a sample's chance of lying above the level, given its place in the
plane, is a chi-squared tail: no approximation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import gammaincc

from nfl_pruning.losses import LOSSES
from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Context, Score, binary_logits
from nfl_pruning.selections import RankSelection
from nfl_pruning.theory.abundant.plane import PLANE_LEVELS, Plane, PlaneLaw, plane_nodes
from nfl_pruning.theory.selection_law.label_law import LABELS, LabelLaw
from nfl_pruning.theory.selection_law.ordering import (
    THEORY_NEEDS,
    Margin,
    UnsupportedProblemError,
    find_root,
)

LOG_NORMS = (-16.0, 8.0)  # of ||x|| / sqrt d; outside lies no mass
LEVEL_ERROR = 1e-10  # of the threshold that the score is compared with


@partial(jax.jit, static_argnames=("score", "positive"))
def _key(score: Score, positive: bool, margins: Array, norms: Array) -> Array:
    labels = jnp.full(margins.shape, int(positive))
    return score.rank_key(binary_logits(margins), labels, Context(input_norm=norms))


@partial(jax.jit, static_argnames=("score", "positive"))
def _crossing(score: Score, positive: bool, margins: Array, level: Array) -> Array:
    """The norm at which the score passes ``level``: exp of the ends of the range if it does not."""

    def halve(_, bracket):
        low, high = bracket
        middle = 0.5 * (low + high)
        above = _key(score, positive, margins, jnp.exp(middle)) > level
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    ends = tuple(jnp.full_like(margins, end) for end in LOG_NORMS)
    low, high = jax.lax.fori_loop(0, 60, halve, ends)
    return jnp.exp(0.5 * (low + high))


class NormOrder:
    """The priority order of a score that rises with the input's norm."""

    def __init__(self, score: Score, margin: Margin, n_features: int) -> None:
        self._score, self._margin, self.n_features = score, margin, n_features
        missing = sorted(score.needs - THEORY_NEEDS)
        if missing:
            raise UnsupportedProblemError(
                f"The score {score.name!r} needs {' and '.join(missing)}, which the limit of "
                "abundant data does not describe."
            )
        self.range = self._check()

    def _check(self) -> tuple[float, float]:
        """Least and largest score on a grid, on which it must be finite and rise with the norm."""
        u = np.linspace(-8.0, 8.0, 41)[:, None]
        norms = np.exp(np.linspace(-6.0, 2.0, 33))
        rows = np.broadcast_to(u, (41, 33)), np.broadcast_to(norms, (41, 33))
        grid = np.stack(
            [_key(self._score, y > 0, self._margin(y, rows[0]), rows[1]) for y in LABELS]
        )
        if not np.isfinite(grid).all() or (np.diff(grid, axis=-1) <= 0).any():
            raise UnsupportedProblemError(
                f"The score {self._score.name!r} does not rise with the input's norm everywhere; "
                "leave out n_features for the limit of many features, where norms are equal."
            )
        return float(grid.min()) - 50.0, float(grid.max()) + 50.0

    def least_square(self, label: int, u: np.ndarray, level: float) -> np.ndarray:
        """The ||x||^2 above which a sample's score exceeds ``level``, shape of u."""
        margins = jnp.asarray(self._margin(label, u))
        norm = np.asarray(_crossing(self._score, label > 0, margins, jnp.asarray(level)))
        return self.n_features * norm**2

    def layers(self, label: int, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where a selection at ``level`` changes in u.

        Returns:
            Centres and widths of the rise from 0 to 1, about 1 / sqrt d wide, and the places
            where the least norm equals |u|, beyond which the plane no longer matters.
        """
        u = np.linspace(-NORMAL_RANGE, NORMAL_RANGE, 2001)
        square = self.least_square(label, u, level)
        excess = np.log(square / self.n_features)
        at = np.flatnonzero(np.diff(np.sign(excess)))
        slope = np.abs(np.diff(excess)[at]) / (u[1] - u[0])
        centres = u[at] - excess[at] * (u[1] - u[0]) / np.diff(excess)[at]
        ends = np.flatnonzero(np.diff(np.sign(square - u**2)))
        low, high = u[ends], u[ends + 1]
        first = np.sign(square - u**2)[ends]
        for _ in range(45 if len(ends) else 0):
            middle = 0.5 * (low + high)
            same = np.sign(self.least_square(label, middle, level) - middle**2) == first
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return centres, 1 / (np.sqrt(0.5 * self.n_features) * slope), low

    def above(self, u: np.ndarray, p: np.ndarray, level: float, *, extra: int = 0) -> np.ndarray:
        """P(score > level | u, p, y), shape (2, k, m), for u (k, 1) and p (k, m).

        ``extra`` = 2 tilts the law by R^2: E[R^2 1{above}] / E[R^2] has two degrees more.
        """
        degrees = self.n_features - 2 + extra
        left = [self.least_square(y, u[:, 0], level)[:, None] - u**2 - p**2 for y in LABELS]
        return gammaincc(0.5 * degrees, 0.5 * np.maximum(np.stack(left), 0.0))


def norm_law(problem: Problem, alignment: float, margin: Margin, n_features: int) -> PlaneLaw:
    """The limiting selection by a score that reads the norm.

    Raises:
        UnsupportedProblemError: the score does not rise with the norm, or the protocol is not one
            of ranks.
    """
    if not isinstance(problem.selection, RankSelection):
        raise UnsupportedProblemError(
            f"Protocol {problem.selection.name!r} with a score of the norm is not covered."
        )
    order = NormOrder(problem.ranking_score, margin, n_features)
    strata = problem.selection.strata(problem.keep_fraction)
    jumps = LabelLaw(problem.teacher, alignment).jumps
    everything = PlaneLaw(
        problem,
        alignment,
        jumps,
        _pieces(jumps),
        lambda u, p: (np.ones((1, 2, 1, 1)), np.ones((1, 2, 1, 1))),
    )
    hardest = problem.keep == "hardest"
    shares = np.cumsum([stratum.share for stratum in strata])[:-1]
    levels = [_level(order, everything, s if hardest else 1 - s) for s in shares]
    breaks, layers = _graded(order, jumps, levels)
    keep = np.array([s.keep_probability for s in strata])[:, None, None, None]
    weight = np.array([s.weight for s in strata])[:, None, None, None]

    def kept(u: np.ndarray, p: np.ndarray, extra: int = 0) -> np.ndarray:
        tails = [order.above(u, p, level, extra=extra) for level in levels]
        within = tails if hardest else [1 - tail for tail in tails]
        ends = np.zeros((2, *p.shape)), np.ones((2, *p.shape))
        return keep * np.diff(np.stack([ends[0], *within, ends[1]]), axis=0)

    return PlaneLaw(
        problem,
        alignment,
        breaks,
        _pieces(breaks),
        lambda u, p: (kept(u, p), np.broadcast_to(weight, (len(strata), 2, 1, 1))),
        layers,
        lambda u: _p_breaks(order, u, levels),
        lambda u, p: kept(u, p, extra=2),
        fraction=sum(s.share * s.keep_probability for s in strata),
    )


def _pieces(jumps: np.ndarray) -> list[tuple[float, float]]:
    edges = np.concatenate([[-NORMAL_RANGE], jumps, [NORMAL_RANGE]])
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _graded(
    order: NormOrder, jumps: np.ndarray, levels: list[float]
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Breaks in u, and centres and widths of the layers, for selections at some levels."""
    at = [order.layers(y, level) for level in levels for y in LABELS if np.isfinite(level)]
    centres, widths, ends = zip(*at, (np.zeros(0),) * 3, strict=True)
    breaks = np.unique(np.concatenate([jumps, *ends]))
    return breaks, (np.concatenate(centres), np.concatenate(widths))


def _p_breaks(order: NormOrder, u: np.ndarray, levels: list[float]) -> np.ndarray:
    """Where |x|^2 within the plane alone reaches the least that some level asks for."""
    squares = [order.least_square(y, u, level) - u**2 for level in levels for y in LABELS]
    reach = np.sqrt(np.maximum(np.stack(squares, axis=1), 0.0))
    return np.concatenate([reach, -reach], axis=1)


def _level(order: NormOrder, everything: PlaneLaw, share: float) -> float:
    """The score that a given share of all samples exceeds, on meshes graded by the level itself."""
    if share < 1e-13:
        return np.inf
    if share > 1 - 1e-13:
        return -np.inf
    law, level = everything, np.inf
    for resolution in (*PLANE_LEVELS, *PLANE_LEVELS[-1:] * 4):
        mesh = plane_nodes(law, np.zeros(2), loss=LOSSES["squared"], level=resolution)
        total = mesh.mass.sum()

        def excess(level: float, mesh: Plane = mesh, total: float = total) -> float:
            return float(np.sum(mesh.mass * order.above(mesh.u, mesh.p, level)) / total - share)

        before, level = level, _near(excess, level, order.range)
        if abs(level - before) < LEVEL_ERROR:
            return level
        breaks, layers = _graded(order, everything.breaks, [level])
        law = replace(
            everything,
            breaks=breaks,
            intervals=_pieces(breaks),
            u_layers=layers,
            p_breaks=lambda u, level=level: _p_breaks(order, u, [level]),
        )
    raise UnsupportedProblemError("The threshold of the score was not found to 1e-10.")


def _near(excess: Callable[[float], float], guess: float, ends: tuple[float, float]) -> float:
    """The root of a decreasing function, looked for around a guess first."""
    if not np.isfinite(guess):
        return find_root(excess, ends)
    reach = 1e-8
    while reach < 1.0 and excess(guess - reach) * excess(guess + reach) > 0:
        reach *= 30
    low, high = max(guess - reach, ends[0]), min(guess + reach, ends[1])
    return find_root(excess, (low, high))

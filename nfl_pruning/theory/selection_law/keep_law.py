"""The limiting selection: keep probability and weight as functions of (u, y).

Rank selections give functions that are constant between break points in u; where samples tie at a
stratum's boundary, several (probability, weight) layers share a region. Propensity selections give
a smooth keep probability with weight 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.problem import Problem
from nfl_pruning.selections import PropensitySelection, RankSelection, Stratum
from nfl_pruning.theory.selection_law.kept_mass import kept_mass
from nfl_pruning.theory.selection_law.label_law import LABELS, LabelLaw
from nfl_pruning.theory.selection_law.ordering import (
    Cut,
    Margin,
    Order,
    order_of,
    refuse_mixture_parts,
    score_on_margins,
)
from nfl_pruning.theory.selection_law.propensity import Propensity

SMALLEST_FRACTION = 1e-12  # thresholds of smaller shares drown in rounding
MASS_TOLERANCE = 1e-9  # of the kept share, relative


@dataclass(frozen=True)
class KeepLaw:
    """Keep probability and weight in the (u, y) plane.

    Attributes:
        label_law: the law of (u, y).
        breaks: increasing places in u where either may jump or bend, shape (breaks,).
        evaluate: u of shape (k,), away from breaks -> (keep probability, weight), each of shape
            (layers, 2, k); the second axis is y = +1, -1. Layers add up.
        constant: whether both are constant between breaks.
        fraction: share of all samples that was asked for.
        layers: centres and widths in u of a keep probability that is not constant.
        floor: keep probabilities up to this count as none.
    """

    label_law: LabelLaw
    breaks: np.ndarray
    evaluate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    constant: bool
    fraction: float
    layers: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))
    floor: float = 0.0

    @cached_property
    def defect(self) -> float:
        """Relative difference of what is kept and what was asked for, found by other means."""
        return abs(kept_mass(self.label_law, self.evaluate, self.breaks) / self.fraction - 1)

    def checked(self) -> KeepLaw:
        """The law itself, where it keeps what was asked for.

        Raises:
            UnsupportedProblemError: it does not.
        """
        if flaw := mass_flaw("limiting selection", self.defect):
            raise UnsupportedProblemError(flaw)
        return self

    def mean(self, power: int = 1, moment: int = 0) -> float:
        """E[keep * weight^power * (y u)^moment]; power 0 gives the kept fraction."""
        if (power, moment) not in self._means:
            self._means[power, moment] = self._mean(power, moment)
        return self._means[power, moment]

    @cached_property
    def _means(self) -> dict[tuple[int, int], float]:
        """What :meth:`mean` was asked for before: every mesh of a solution asks again."""
        return {}

    def _mean(self, power: int, moment: int) -> float:
        total = 0.0
        for i, label in enumerate(LABELS):

            def integrand(u: np.ndarray, i: int = i, label: int = label) -> np.ndarray:
                keep, weight = (part[:, i] for part in self.evaluate(u.ravel()))
                value = np.sum(keep * weight**power, axis=0).reshape(u.shape)
                return value * (label * u) ** moment

            total += self.label_law.integral(label, self.breaks, integrand)
        return total

    @property
    def symmetric(self) -> bool:
        """Whether (u, y) -> (-u, -y) changes nothing about the selection."""
        edges = np.concatenate([[-NORMAL_RANGE], self.breaks, [NORMAL_RANGE]])
        probe = np.concatenate(
            [a + (b - a) * np.array([0.2113, 0.5, 0.877]) for a, b in pairwise(edges)]
        )
        if not np.allclose(self.breaks, -self.breaks[::-1], atol=1e-12):
            return False
        here, there = self.evaluate(probe), self.evaluate(-probe)
        return all(np.allclose(a, b[:, ::-1], rtol=1e-12) for a, b in zip(here, there, strict=True))


def mass_flaw(what: str, defect: float) -> str:
    """Why numbers are not certified, as a sentence; nothing if the kept mass is right."""
    if defect <= MASS_TOLERANCE:
        return ""
    return (
        f"The kept share of the {what} differs from the one asked for by a factor of 1 +- "
        f"{defect:.1e}, more than {MASS_TOLERANCE:g}."
    )


def keep_law(problem: Problem, *, alignment: float, margin: Margin) -> KeepLaw:
    """The limiting selection of a problem.

    Args:
        problem: its score, keep, selection and keep fraction are read.
        alignment: the probe's cosine to the teacher.
        margin: (label, u) -> the probe's margin that is scored.

    Raises:
        UnsupportedProblemError: the score or the selection is outside what the limit describes.
    """
    refuse_mixture_parts(problem)
    if problem.keep_fraction < SMALLEST_FRACTION:
        raise UnsupportedProblemError(
            f"Limits need a keep fraction of at least {SMALLEST_FRACTION:g}; "
            f"got {problem.keep_fraction:g}."
        )
    label_law = LabelLaw(problem.teacher, alignment)
    if isinstance(problem.selection, PropensitySelection):
        return _propensity_law(problem.selection, problem.keep_fraction, label_law, margin)
    if not isinstance(problem.selection, RankSelection):
        raise UnsupportedProblemError(f"Protocol {problem.selection.name!r} has no known limit.")
    strata = problem.selection.strata(problem.keep_fraction)
    if len(strata) == 1:
        return _uniform_law(label_law, strata[0])
    return _rank_law(label_law, order_of(problem, label_law, margin), strata)


def _uniform_law(label_law: LabelLaw, stratum: Stratum) -> KeepLaw:
    def evaluate(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (1, 2, len(u))
        return np.full(shape, stratum.keep_probability), np.full(shape, stratum.weight)

    return KeepLaw(label_law, label_law.jumps, evaluate, True, stratum.keep_probability)


def _rank_law(label_law: LabelLaw, order: Order, strata: tuple[Stratum, ...]) -> KeepLaw:
    shares = np.cumsum([stratum.share for stratum in strata])[:-1]
    edge = 1e-13  # a stratum of no mass has its boundary at infinity
    cuts = [
        Cut(np.inf, np.inf) if s < edge else Cut(-np.inf, -np.inf) if s > 1 - edge else order.cut(s)
        for s in shares
    ]
    levels = {level for cut in cuts for level in (cut.high, cut.low) if np.isfinite(level)}
    places = [order.crossings(y, level) for level in levels for y in LABELS]
    breaks = np.unique(np.concatenate([label_law.jumps, *places]))
    breaks = breaks[np.abs(breaks) < NORMAL_RANGE]

    def shares_inside(u: np.ndarray) -> np.ndarray:
        """Chance of lying in each stratum, shape (strata, 2, len(u)): 0 or 1 but for ties."""
        priority = np.stack([order.priority(y, u) for y in LABELS])
        within = [
            np.where(priority > c.high, 1.0, np.where(priority > c.low, c.fraction, 0.0))
            for c in cuts
        ]
        full = [np.zeros_like(priority), *within, np.ones_like(priority)]
        return np.diff(np.stack(full), axis=0)

    keep_values = np.array([s.keep_probability for s in strata])[:, None, None]
    weight_values = np.array([s.weight for s in strata])[:, None, None]
    ties = any(cut.fraction > 0 for cut in cuts)

    def evaluate(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = shares_inside(np.asarray(u, float))
        if ties:
            return inside * keep_values, np.broadcast_to(weight_values, inside.shape)
        return tuple(
            np.sum(inside * v, axis=0, keepdims=True) for v in (keep_values, weight_values)
        )

    fraction = sum(s.share * s.keep_probability for s in strata)
    return KeepLaw(label_law, breaks, evaluate, True, fraction)


def _propensity_law(
    selection: PropensitySelection, fraction: float, label_law: LabelLaw, margin: Margin
) -> KeepLaw:
    raw = score_on_margins(selection.base, margin)

    def log_propensity(label: int, u: np.ndarray) -> np.ndarray:
        return np.asarray(selection.log_propensity(raw(label, u)), float)

    rule = Propensity(label_law, log_propensity, fraction)

    def evaluate(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keep = rule.keep(np.asarray(u, float))[None]
        return keep, np.ones_like(keep)

    breaks = np.unique(np.concatenate([label_law.jumps, rule.breaks]))
    return KeepLaw(label_law, breaks, evaluate, False, fraction, rule.layers, rule.floor)

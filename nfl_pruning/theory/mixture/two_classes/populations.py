"""Two classes: who is in a mixture, and which of them a selection keeps.

A *population* is the samples of one component with one label. The probe's logit on it, in units of
the component's own standard deviation, is one number zeta, standard normal within a component;
where a teacher gives the labels they depend on it. A selection cuts all populations at common
thresholds, in zeta of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtr

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.links import Link, Steps
from nfl_pruning.numerics.quadrature import NORMAL_RANGE, gauss_legendre
from nfl_pruning.problem import Teacher
from nfl_pruning.selections import PropensitySelection, Stratum
from nfl_pruning.theory.selection_law.keep_law import MASS_TOLERANCE
from nfl_pruning.theory.selection_law.label_law import LabelLaw
from nfl_pruning.theory.selection_law.level_sets import Cut
from nfl_pruning.theory.selection_law.propensity import Propensity

Key = Callable[[int, np.ndarray], np.ndarray]
_X, _W = gauss_legendre(16)
_PANELS = np.linspace(-NORMAL_RANGE, NORMAL_RANGE, 39)
NEGLIGIBLE = 1e-13  # of all samples


@dataclass(frozen=True)
class Populations:
    """The joint law of population and zeta; what thresholds are found with.

    Attributes:
        component: of each population, shape (J,). sign: its label, -1 or +1, shape (J,).
        mass: p_c P(y | c), or p_c where the label depends on zeta; shape (J,).
        teachers: the law of (zeta, y) of each component where a teacher labels; None elsewhere.
        jumps: where a label's probability jumps, in zeta.
    """

    component: np.ndarray
    sign: np.ndarray
    mass: np.ndarray
    teachers: tuple[LabelLaw, ...] | None = None
    jumps: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def labels(self) -> tuple[int, ...]:
        """The populations' numbers, as what the level sets treat as labels."""
        return tuple(range(len(self.mass)))

    @property
    def total(self) -> float:
        """The mass of all."""
        return float(sum(self.between(j, -NORMAL_RANGE, NORMAL_RANGE) for j in self.labels))

    def density(self, j: int, zeta: np.ndarray) -> np.ndarray:
        """Density of zeta in population j; integrates to the population's mass."""
        if self.teachers is not None:
            return self.mass[j] * self._teacher(j).density(int(self.sign[j]), zeta)
        return self.mass[j] * np.exp(-0.5 * zeta**2) / np.sqrt(2 * np.pi)

    def between(self, j: int, low: Any, high: Any) -> np.ndarray:
        """Mass of population j with zeta in an interval, to full relative precision."""
        if self.teachers is not None:
            return self.mass[j] * self._teacher(j).between(int(self.sign[j]), low, high)
        low, high = np.asarray(low, float), np.asarray(high, float)
        right = low + high > 0  # where both tails are small, the near one is differenced
        return self.mass[j] * np.where(right, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))

    def integral(self, j: int, edges: np.ndarray, function: Callable) -> float:
        """Integral of a function of zeta over population j, panels ending at the edges."""
        if self.teachers is not None:
            value = self._teacher(j).integral(int(self.sign[j]), edges, function)
            return float(self.mass[j] * value)
        cuts = np.unique(np.concatenate([_PANELS, np.clip(edges, *_PANELS[[0, -1]])]))
        half, middle = 0.5 * np.diff(cuts), 0.5 * (cuts[1:] + cuts[:-1])
        zeta = middle[:, None] + half[:, None] * _X
        return float(np.sum(half[:, None] * _W * self.density(j, zeta) * function(zeta)))

    def of_class(self, sign: int) -> tuple[Populations, np.ndarray]:
        """The populations of one label, their mass scaled to 1, and their numbers."""
        rows = np.flatnonzero(self.sign == sign)
        part = Populations(self.component[rows], self.sign[rows], self.mass[rows], self.teachers)
        return (
            Populations(part.component, part.sign, part.mass / part.total, self.teachers),
            rows,
        )

    def _teacher(self, j: int) -> LabelLaw:
        assert self.teachers is not None
        return self.teachers[self.component[j]]


def teacher_law(teacher: Teacher, mean: float, deviation: float, cosine: float) -> LabelLaw:
    """The law of (zeta, y) of a component on which the teacher's margin is not centred.

    Args:
        teacher: gives the labels.
        mean: of <x, e_1> in the component.
        deviation: of it.
        cosine: correlation of <x, e_1> and zeta.
    """
    steps = teacher.link.steps
    moved = tuple(location - teacher.scale * mean for location in steps.locations)
    link = Link("moved", Steps(steps.base, moved, steps.widths, steps.jumps), scale_free=False)
    return LabelLaw(Teacher(link, teacher.scale * deviation), cosine)


@dataclass(frozen=True)
class KeptPart:
    """What of a population is kept, in parts that add up.

    Attributes:
        breaks: where keep probability or weight may jump, in zeta, increasing.
        evaluate: zeta of shape (k,) -> (keep probability, weight), each of shape (layers, k).
        constant: whether both are constant between breaks.
    """

    breaks: np.ndarray
    evaluate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    constant: bool = False


def uniform(stratum: Stratum) -> KeptPart:
    """Every sample kept with one probability."""

    def evaluate(zeta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (1, len(zeta))
        return np.full(shape, stratum.keep_probability), np.full(shape, stratum.weight)

    return KeptPart(np.zeros(0), evaluate, constant=True)


def by_rank(law: Populations, order: Any, strata: tuple[Stratum, ...]) -> list[KeptPart]:
    """What a rank selection keeps of each population.

    Args:
        law: whose masses sum to 1.
        order: with priority, crossings and cut, as :class:`GeneralOrder`.
        strata: bands, from first priority to last.
    """
    shares = np.cumsum([stratum.share for stratum in strata])[:-1]
    cuts = [_cut(order, share) for share in shares]
    levels = {level for cut in cuts for level in (cut.high, cut.low) if np.isfinite(level)}
    keep = np.array([stratum.keep_probability for stratum in strata])[:, None]
    weight = np.array([stratum.weight for stratum in strata])[:, None]
    tied = any(cut.fraction > 0 for cut in cuts)

    def part(j: int) -> KeptPart:
        def evaluate(zeta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            priority = order.priority(j, np.asarray(zeta, float))
            within = [
                np.where(priority > c.high, 1.0, np.where(priority > c.low, c.fraction, 0.0))
                for c in cuts
            ]
            full = np.stack([np.zeros_like(priority), *within, np.ones_like(priority)])
            inside = np.diff(full, axis=0)
            if tied:
                return inside * keep, np.broadcast_to(weight, inside.shape)
            return np.sum(inside * keep, 0)[None], np.sum(inside * weight, 0)[None]

        places = [order.crossings(j, level) for level in levels]
        breaks = np.unique(np.concatenate([law.jumps, *places]))
        inner = breaks[np.abs(breaks) < NORMAL_RANGE]
        return KeptPart(inner, evaluate, constant=True)

    return [part(j) for j in law.labels]


def _cut(order: Any, share: float) -> Cut:
    if share < NEGLIGIBLE:
        return Cut(np.inf, np.inf)
    return Cut(-np.inf, -np.inf) if share > 1 - NEGLIGIBLE else order.cut(share)


def by_propensity(
    law: Populations, key: Key, selection: PropensitySelection, keep_fraction: float
) -> list[KeptPart]:
    """What a propensity selection keeps of each population; see :func:`by_rank`."""

    def log_propensity(j: int, zeta: np.ndarray) -> np.ndarray:
        return np.asarray(selection.log_propensity(key(j, zeta)), float)

    values = np.array([log_propensity(j, np.linspace(-1, 1, 7)) for j in law.labels])
    if (np.ptp(values, axis=1) == 0).all():  # a rule that reads no probe: an oracle's
        return _by_group(law, values[:, 0], keep_fraction)
    rule = Propensity(law, log_propensity, keep_fraction)

    def part(j: int) -> KeptPart:
        def evaluate(zeta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            keep = rule.keep_of(j, np.asarray(zeta, float))[None]
            return keep, np.ones_like(keep)

        return KeptPart(np.unique(np.concatenate([law.jumps, rule.breaks])), evaluate)

    return [part(j) for j in law.labels]


def _by_group(law: Populations, logs: np.ndarray, keep_fraction: float) -> list[KeptPart]:
    """Keep probabilities min(1, c exp(log)), constant in each population, of the mean asked for."""
    masses = np.array([float(law.between(j, -NORMAL_RANGE, NORMAL_RANGE)) for j in law.labels])
    keep = group_probabilities(masses / masses.sum(), logs, keep_fraction)
    return [uniform(Stratum(1.0, probability)) for probability in keep]


def group_probabilities(masses: np.ndarray, logs: np.ndarray, keep_fraction: float) -> np.ndarray:
    """min(1, c exp(log)) with the mean asked for: groups are filled from the largest down.

    Args:
        masses: of the groups, sum 1, shape (J,).
        logs: of their propensities, -inf for none, shape (J,).
        keep_fraction: the mean.
    """
    reachable = masses[np.isfinite(logs)].sum()
    if keep_fraction > reachable * (1 + 1e-12):
        raise UnsupportedProblemError(
            f"The selection keeps at most {reachable:.6g} of all samples; got keep_fraction "
            f"{keep_fraction:g}."
        )
    size = np.exp(logs - logs.max())
    full, keep = np.zeros(len(masses), bool), np.zeros(len(masses))
    for _ in range(len(masses)):
        left = keep_fraction - masses[full].sum()
        rest = np.sum((masses * size)[~full])
        keep = np.where(full, 1.0, size * (left / rest if rest > 0 else 0.0))
        if (keep <= 1 + 1e-15).all():
            break
        full = full | (keep > 1)
    return np.minimum(keep, 1.0)


def check_mass(law: Populations, parts: list[KeptPart], keep_fraction: float) -> None:
    """Raises where a selection does not keep what was asked for, by panels of its own."""
    kept = 0.0
    for j, part in enumerate(parts):
        inner = np.sort(part.breaks)
        edges = np.unique(np.concatenate([inner, np.linspace(-9.4, 9.4, 67)]))

        def keep(zeta: np.ndarray, part: KeptPart = part) -> np.ndarray:
            return part.evaluate(zeta.ravel())[0].sum(0).reshape(zeta.shape)

        kept += law.integral(j, edges, keep)
    if abs(kept / keep_fraction - 1) > MASS_TOLERANCE:
        raise UnsupportedProblemError(
            f"The kept share of the limiting selection is {kept:.9g}, but {keep_fraction:g} was "
            "asked for."
        )

"""The limit for two classes: one logit, deterministic quadrature, Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.losses import Loss
from nfl_pruning.problem import Problem
from nfl_pruning.theory.mixture.closing import Fit, Given, State
from nfl_pruning.theory.mixture.newton import Kind, Root, Terms, follow
from nfl_pruning.theory.mixture.panels import (
    Cloud,
    Fineness,
    LabelTerms,
    line_nodes,
    nodes_of,
)
from nfl_pruning.theory.mixture.populations import KeptPart, Populations, teacher_law
from nfl_pruning.theory.mixture.space import Space, space_of

SIGNS = np.array([-1, 1])


@dataclass(frozen=True)
class Reads:
    """The rows that a fit reads, and the law of their logits z on each component.

    Attributes:
        given: rows and noise. mean: zbar, shape (C, P). covariance: Cov(z), shape (C, P, P).
        margin: (component, sign, zeta) -> the logit that is scored, increasing in zeta.
        inverse: (component, sign, logit) -> zeta.
        own: (component, sign, zeta) -> force f_1 of a sample in its own probe; None: not seen.
    """

    given: Given
    mean: np.ndarray
    covariance: np.ndarray
    margin: Callable[[int, int, np.ndarray], np.ndarray]
    inverse: Callable[[int, int, np.ndarray], np.ndarray]
    own: Callable[[int, int, np.ndarray], np.ndarray] | None = None

    @property
    def deviation(self) -> np.ndarray:
        """Of the first row's logit, shape (C,); 1 for a row of zeros."""
        deviation = np.sqrt(self.covariance[:, 0, 0])
        return np.where(deviation > 0, deviation, 1.0)


@dataclass(frozen=True)
class Stage:
    """One fit that is solved: what it is made of, and where the search ended.

    Attributes:
        kind, terms, root: of the search. state: law of its logits. fit: its parameter.
    """

    kind: Kind
    terms: Terms
    root: Root
    state: State
    fit: Fit


@dataclass(frozen=True)
class Setting:
    """A problem's parts that all stages share."""

    problem: Problem
    mixture: Mixture
    space: Space

    @property
    def taught(self) -> bool:
        """Whether a teacher gives the labels."""
        return self.mixture.labels is None

    def teacher_row(self) -> np.ndarray:
        """The teacher's margin as a row, shape (1, D); no row where components bring labels."""
        if not self.taught:
            return np.zeros((0, self.space.geometry.means.shape[1]))
        row = np.zeros((1, self.mixture.means.shape[1]))
        row[0, 0] = self.problem.teacher.scale
        return self.space.rows(row)


def setting_of(problem: Problem) -> Setting:
    """The setting of a problem whose inputs are a mixture."""
    mixture = problem.inputs
    assert isinstance(mixture, Mixture)
    return Setting(problem, mixture, space_of(mixture))


def rows_read(
    setting: Setting, row: np.ndarray, intercept: float, noise: Any, inverse: Any = None
) -> tuple[Given, np.ndarray, np.ndarray]:
    """What is read of a probe, with the mean and covariance of its logits on each component.

    Args:
        setting: the problem's.
        row: mean of the probe's margin, shape (1, D).
        intercept: of the probe.
        noise: of that row, operator or None.
        inverse: see :class:`Given`.
    """
    geometry = setting.space.geometry
    teacher = setting.teacher_row()
    both = np.concatenate([row, teacher])
    size = len(both)
    covariance = geometry.overlap(both, both)
    whole = np.zeros(operator_shape(geometry, size, size))
    if noise is not None:
        whole[corner(geometry, 1, 1)] = np.asarray(noise)
        covariance = covariance + geometry.trace(whole)
    mean = geometry.means @ both.T
    mean[:, 0] += intercept
    return Given(both, whole, inverse), mean, covariance


def operator_shape(geometry: Any, a: int, b: int) -> tuple[int, ...]:
    """Shape of an operator from b rows to a rows."""
    d = geometry.means.shape[1]
    return (d, a, b) if hasattr(geometry, "eigenvalues") else (a, d, b, d)


def corner(geometry: Any, a: int, b: int) -> tuple[slice, ...]:
    """Where the operator of the first rows lies in a larger one."""
    if hasattr(geometry, "eigenvalues"):
        return (slice(None), slice(a), slice(b))
    return (slice(a), slice(None), slice(b), slice(None))


def populations_of(setting: Setting, reads: Reads | None) -> Populations:
    """Who there is: each component with each label that it can have."""
    mixture = setting.mixture
    if setting.taught:
        component = np.repeat(np.arange(mixture.n_components), 2)
        sign = np.tile(SIGNS, mixture.n_components)
        laws = _teacher_laws(setting, reads)
        jumps = np.unique(np.concatenate([law.jumps for law in laws]))
        return Populations(component, sign, mixture.weights[component], laws, jumps)
    component, label = np.nonzero(mixture.label_law)
    mass = mixture.weights[component] * mixture.label_law[component, label]
    return Populations(component, SIGNS[label], mass)


def _teacher_laws(setting: Setting, reads: Reads | None) -> tuple[Any, ...]:
    """The law of (zeta, y) on each component; of the teacher's own margin where nothing is read."""
    row = setting.teacher_row()
    geometry, teacher = setting.space.geometry, setting.problem.teacher
    deviation = np.sqrt(geometry.overlap(row, row)[:, 0, 0]) / teacher.scale
    mean = (geometry.means @ row[0]) / teacher.scale
    cosine = np.ones(len(mean))
    if reads is not None:
        cosine = reads.covariance[:, 0, -1] / (reads.deviation * deviation * teacher.scale)
    return tuple(
        teacher_law(teacher, m, s, float(np.clip(c, -1, 1)))
        for m, s, c in zip(mean, deviation, cosine, strict=True)
    )


class Builder:
    """Makes the terms of a fit at any fineness and any spread of its logits."""

    def __init__(
        self,
        setting: Setting,
        reads: Reads,
        law: Populations,
        parts: list[KeptPart],
        *,
        loss: Loss,
        ridge: float,
        samples_per_feature: float,
        free: bool,
        taught: bool,
        sharp_of: Populations | None = None,
    ) -> None:
        self.setting, self.reads, self.law, self.parts = setting, reads, law, parts
        self.ridge, self.samples_per_feature = ridge, samples_per_feature
        self.kind = Kind(loss, taught, free, reads.own is not None)
        self._labels, self._sharp_of = self._label_terms(), sharp_of or law

    def terms(self, fineness: Fineness, spread: float, along: float, multiple: float) -> Terms:
        """The terms of the equations.

        Args:
            fineness: of the panels.
            spread: largest deviation of v given zeta.
            along: largest move of v, or of the probe's own logit, per unit of zeta.
            multiple: of the ridge.
        """
        finer = fineness._replace(factor=fineness.factor * max(1.0, along / 1.6))
        nodes = nodes_of(self.law, self.parts, finer, sharp=self.sharp())
        own = np.zeros_like(nodes["zeta"])
        if self.reads.own is not None:
            for j in range(len(own)):
                c, sign = int(self.law.component[j]), int(self.law.sign[j])
                own[j] = self.reads.own(c, sign, nodes["zeta"][j])
        cloud = Cloud(
            self.law.component, self.law.sign.astype(float),
            nodes["zeta"], nodes["mass"], nodes["weight"], own,
        )  # fmt: skip
        pseudo = np.linalg.pinv(self.reads.covariance, rcond=1e-12, hermitian=True)
        return Terms(
            self.setting.space.geometry, cloud, line_nodes(spread, fineness), self.reads.given,
            (self.reads.deviation, pseudo, self.setting.mixture.weights),
            self._labels, self.ridge * multiple, self.samples_per_feature,
        )  # fmt: skip

    def sharp(self) -> list[np.ndarray]:
        """Places in zeta of each population where a teacher's link varies quickly."""
        teachers = self._sharp_of.teachers
        if teachers is None:
            return [np.zeros(0)] * len(self.parts)
        return [teachers[c]._edges for c in self.law.component]

    def _label_terms(self) -> LabelTerms:
        setting = self.setting
        n = setting.mixture.n_components
        if not self.kind.taught:
            return LabelTerms(tuple(np.zeros(1) for _ in range(4)), *(np.zeros(n),) * 3)
        covariance, steps = self.reads.covariance, setting.problem.teacher.link.steps
        arrays = (np.asarray(steps.base, float), *(np.asarray(s, float) for s in steps[1:]))
        return LabelTerms(
            arrays,
            self.reads.mean[:, -1],
            np.sqrt(covariance[:, -1, -1]),
            covariance[:, 0, -1] / self.reads.deviation,
        )


def solve_stage(builder: Builder, fineness: Fineness, start: np.ndarray | None = None) -> Stage:
    """A fit solved at one fineness; panels are made to the spread of what was found."""
    kind, spread, along = builder.kind, 4.0, _least_along(builder)
    for _ in range(4):

        def walk(multiple: float, spread: float = spread, along: float = along) -> Terms:
            return builder.terms(fineness, spread, along, multiple)

        root, terms = follow(walk, kind, start)
        if not root.converged:
            break
        wider, farther = _extent(root.last.state, builder)
        if wider <= 1.05 * spread and farther <= 1.05 * along:
            break
        spread, along, start = max(spread, wider), max(along, farther), root.x
    return Stage(kind, terms, root, root.last.state, root.last.fit)


def _least_along(builder: Builder) -> float:
    return float(builder.reads.deviation.max()) if builder.reads.own is not None else 1.0


def _extent(state: State, builder: Builder) -> tuple[float, float]:
    """Largest deviation of v given zeta, and largest move of v per unit of zeta."""
    on_zeta = np.asarray(state.cross[:, 0, 0]) / builder.reads.deviation
    variance = np.asarray(state.covariance[:, 0, 0])
    spread = np.sqrt(np.maximum(variance - on_zeta**2, 0))
    return float(spread.max()), max(float(np.abs(on_zeta).max()), _least_along(builder))

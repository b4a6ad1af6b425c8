"""Two classes: the parts that all fits of a problem share, and who there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.problem import Problem
from nfl_pruning.theory.mixture.closing import Fit, Given, noise_of
from nfl_pruning.theory.mixture.space import space_of
from nfl_pruning.theory.mixture.stage import Reads, Setting
from nfl_pruning.theory.mixture.two_classes.fold_moments import FoldLaw
from nfl_pruning.theory.mixture.two_classes.populations import Populations, teacher_law

SIGNS = np.array([-1, 1])


@dataclass(frozen=True)
class MarginReads(Reads):
    """Rows of which the first is the probe's margin.

    Attributes:
        margin: (component, sign, zeta) -> the logit that is scored, increasing in zeta.
        inverse: (component, sign, logit) -> zeta.
        own: (component, sign, zeta) -> force f_1 of a sample in its own probe; None: not seen.
        folds: of cross-fitted probes, whose mean is the row that is given; None of others.
    """

    margin: Callable[[int, int, np.ndarray], np.ndarray]
    inverse: Callable[[int, int, np.ndarray], np.ndarray]
    own: Callable[[int, int, np.ndarray], np.ndarray] | None = None
    folds: FoldLaw | None = None

    @property
    def deviation(self) -> np.ndarray:
        """Of the first row's logit, shape (C,); 1 for a row of zeros."""
        deviation = np.sqrt(self.covariance[:, 0, 0])
        return np.where(deviation > 0, deviation, 1.0)


@dataclass(frozen=True)
class PairSetting(Setting):
    """The parts of a problem of two classes."""

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


def setting_of(problem: Problem) -> PairSetting:
    """The setting of a problem whose inputs are a mixture."""
    mixture = problem.inputs
    assert isinstance(mixture, Mixture)
    return PairSetting(problem, mixture, space_of(mixture))


def rows_read(
    setting: PairSetting, row: np.ndarray, intercept: float, noise: Any, inverse: Any = None
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


def own_noise(setting: PairSetting, fit: Fit) -> np.ndarray:
    """Covariance of a fit's noise, operator from one row to one."""
    return np.asarray(noise_of(setting.space.geometry, fit.inverse, fit.square))


def operator_shape(geometry: Any, a: int, b: int) -> tuple[int, ...]:
    """Shape of an operator from b rows to a rows."""
    d = geometry.means.shape[1]
    return (d, a, b) if hasattr(geometry, "eigenvalues") else (a, d, b, d)


def corner(geometry: Any, a: int, b: int) -> tuple[slice, ...]:
    """Where the operator of the first rows lies in a larger one."""
    if hasattr(geometry, "eigenvalues"):
        return (slice(None), slice(a), slice(b))
    return (slice(a), slice(None), slice(b), slice(None))


def populations_of(setting: PairSetting, reads: MarginReads | None) -> Populations:
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


def _teacher_laws(setting: PairSetting, reads: MarginReads | None) -> tuple[Any, ...]:
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

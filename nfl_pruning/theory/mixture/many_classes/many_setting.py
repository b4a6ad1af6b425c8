"""Three classes and more: a problem's parts, and what its selection reads of the probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.theory.mixture.closing import Given
from nfl_pruning.theory.mixture.many_classes.points import Points
from nfl_pruning.theory.mixture.many_classes.prox import Outputs, contrast_basis
from nfl_pruning.theory.mixture.many_classes.rounds import Terms
from nfl_pruning.theory.mixture.space import check_size, space_of
from nfl_pruning.theory.mixture.stage import Reads, Setting


@dataclass(frozen=True)
class ManySetting(Setting):
    """The parts of a problem of three classes or more."""

    outputs: Outputs


@dataclass(frozen=True)
class LogitReads(Reads):
    """Rows whose outputs are the probe's logits in a basis.

    Attributes:
        basis: logits are z @ basis, shape (P, K).
        step: kappa of a probe that was fitted on the samples, shape (C, P, P); None of another.
        folds: of cross-fitted probes, whose mean is the row that is given; None of others.
    """

    basis: np.ndarray
    step: np.ndarray | None = None
    folds: Any = None


def setting_of(problem: Problem) -> ManySetting:
    """The setting of a problem whose inputs are a mixture of three classes or more."""
    mixture = problem.inputs
    assert isinstance(mixture, Mixture)
    squared = problem.student.loss.many == "one against all"
    outputs = Outputs.of(mixture.n_classes, squared=squared)
    space = space_of(mixture)
    check_size(space, len(outputs.basis))
    return ManySetting(problem, mixture, space, outputs)


def no_reads(setting: ManySetting) -> LogitReads:
    """Nothing is read: a row of zeros."""
    geometry = setting.space.geometry
    n, d = geometry.means.shape
    given = Given(np.zeros((1, d)))
    return LogitReads(given, np.zeros((n, 1)), np.zeros((n, 1, 1)), np.zeros((1, 1)))


def fixed_reads(setting: ManySetting, probe: WeightsProbe) -> LogitReads:
    """The rows of fixed weights; without their common shift where they have none."""
    geometry, k = setting.space.geometry, setting.mixture.n_classes
    weights = np.asarray(probe.weights, float)
    intercepts = np.broadcast_to(np.asarray(probe.intercepts, float), (k,))
    d = setting.mixture.means.shape[1]
    rows = setting.space.rows(np.pad(weights, ((0, 0), (0, d - weights.shape[1]))))
    basis = np.eye(k)
    shift = np.abs(rows.sum(0)).max() / max(np.abs(rows).max(), 1e-300)
    if shift < 1e-12 and abs(intercepts.sum()) < 1e-12 * max(np.abs(intercepts).max(), 1e-300):
        basis = contrast_basis(k)
        rows, intercepts = basis @ rows, basis @ intercepts
    covariance = geometry.overlap(rows, rows)
    return LogitReads(Given(rows), geometry.means @ rows.T + intercepts, covariance, basis)


def terms_of(
    setting: ManySetting,
    reads: LogitReads,
    points: Points,
    ridge: float,
    samples_per_feature: float,
) -> Terms:
    """The terms of a fit to given points."""
    pseudo = np.linalg.pinv(reads.covariance, rcond=1e-10, hermitian=True)
    return Terms(setting.space.geometry, points, reads.given, pseudo, ridge, samples_per_feature)


def refit_terms(setting: ManySetting, reads: LogitReads, points: Points) -> Terms:
    """The terms of the fit to the kept samples."""
    problem = setting.problem
    return terms_of(setting, reads, points, problem.student.ridge, problem.samples_per_feature)

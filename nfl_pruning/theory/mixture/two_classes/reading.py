"""What a two-class selection reads of its probe, and the probe's own fit where it was fitted."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np
from scipy.special import expit

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.losses import LOSSES
from nfl_pruning.numerics.programs import elementwise
from nfl_pruning.probes import CrossFitProbe, InSampleProbe, PilotProbe, WeightsProbe
from nfl_pruning.theory.mixture.selecting import only_stratum, samples_of
from nfl_pruning.theory.mixture.two_classes.crossfit import fold_reads
from nfl_pruning.theory.mixture.two_classes.pair_setting import (
    MarginReads,
    PairSetting,
    own_noise,
    rows_read,
)
from nfl_pruning.theory.mixture.two_classes.panels import Fineness
from nfl_pruning.theory.mixture.two_classes.refit import unpruned_builder
from nfl_pruning.theory.mixture.two_classes.stages import PairStage, solve_stage


def probe_reads(
    setting: PairSetting, fineness: Fineness, known: dict[Any, PairStage]
) -> tuple[MarginReads | None, PairStage | None]:
    """What the selection reads of the probe, and the probe's own fit where it was fitted.

    Args:
        setting: the problem's.
        fineness: of panels.
        known: probes' fits by what they are, also of neighbouring problems; found ones are added.
    """
    problem, probe = setting.problem, setting.problem.probe
    if only_stratum(problem) is not None:
        return None, None
    if isinstance(probe, WeightsProbe):
        row, intercept = margin_row(probe, setting)
        return reading_of(setting, row, intercept, None), None
    if not isinstance(probe, PilotProbe | InSampleProbe | CrossFitProbe):
        raise UnsupportedProblemError(
            f"The limit of a mixture is not known for the probe {probe.label!r}; it takes fixed "
            "weights, pilot, in-sample and cross-fitted probes."
        )
    if isinstance(probe, CrossFitProbe) and setting.taught:
        raise UnsupportedProblemError(
            "The limit of cross-fitted probes takes labels that components bring, not a teacher's."
        )
    spf = samples_of(problem)
    what = (probe.ridge, spf, problem.teacher, problem.student.intercept)
    if (*what, fineness) not in known:
        builder = unpruned_builder(setting, ridge=probe.ridge, samples_per_feature=spf)
        near = known.get((*what, "last"))
        stage = solve_stage(builder, fineness, None if near is None else near.root)
        known[(*what, fineness)] = known[(*what, "last")] = stage
    stage = known[(*what, fineness)]
    if not stage.root.converged:
        return None, stage
    fit = stage.fit
    row, b = np.asarray(fit.rows), float(fit.intercept[0])
    if isinstance(probe, CrossFitProbe):
        return fold_reads(setting, stage, probe.folds, spf, fineness), stage
    if isinstance(probe, InSampleProbe):
        return in_sample_reads(setting, stage), stage
    return reading_of(setting, row, b, own_noise(setting, fit)), stage


def margin_row(probe: Any, setting: PairSetting) -> tuple[np.ndarray, float]:
    """A fixed probe's margin as a row (1, D) and an intercept."""
    weights = np.atleast_2d(np.asarray(probe.weights, float))
    intercepts = np.atleast_1d(np.asarray(probe.intercepts, float))
    if len(weights) == 2:
        weights = weights[1:] - weights[:1]
        intercepts = intercepts[1:] - intercepts[:1] if len(intercepts) == 2 else intercepts
    d = setting.mixture.means.shape[1]
    if weights.shape[1] > d and not setting.mixture.any_size:
        raise UnsupportedProblemError(
            f"The probe has {weights.shape[1]} features and the mixture {d}."
        )
    return setting.space.rows(np.pad(weights, ((0, 0), (0, d - weights.shape[1])))), float(
        intercepts[0]
    )


def reading_of(setting: PairSetting, row: np.ndarray, intercept: float, noise: Any) -> MarginReads:
    """What is read of a probe that has not seen the samples."""
    given, means, covariance = rows_read(setting, row, intercept, noise)
    mean, deviation = means[:, 0], np.sqrt(covariance[:, 0, 0])
    deviation = np.where(deviation > 0, deviation, 1.0)

    def margin(c: int, sign: int, zeta: np.ndarray) -> np.ndarray:
        return mean[c] + deviation[c] * zeta

    def inverse(c: int, sign: int, h: np.ndarray) -> np.ndarray:
        return (h - mean[c]) / deviation[c]

    return MarginReads(given, means, covariance, margin, inverse)


def in_sample_reads(setting: PairSetting, stage: PairStage) -> MarginReads:
    """What is read of a probe that was fitted on the samples: v_1, and its proximal point."""
    fit, operator = stage.fit, np.asarray(stage.fit.inverse)
    if setting.taught:  # zero on the teacher's row
        operator = np.concatenate([operator, np.zeros_like(operator)], axis=2)
    row, intercept = np.asarray(fit.rows), float(fit.intercept[0])
    given, means, covariance = rows_read(setting, row, intercept, own_noise(setting, fit), operator)
    mean, deviation = means[:, 0], np.sqrt(covariance[:, 0, 0])
    step = np.asarray(stage.state.step)[:, 0, 0]
    loss = LOSSES["logistic"]

    def residual(c: int, sign: int, zeta: np.ndarray) -> np.ndarray:
        v = sign * (mean[c] + deviation[c] * np.asarray(zeta, float))
        with jax.enable_x64(True):
            return sign * elementwise(lambda t: _prox_residual(loss, t, step[c]), v)

    def margin(c: int, sign: int, zeta: np.ndarray) -> np.ndarray:
        return mean[c] + deviation[c] * np.asarray(zeta, float) - residual(c, sign, zeta)

    def inverse(c: int, sign: int, h: np.ndarray) -> np.ndarray:
        return (h - sign * step[c] * expit(-sign * h) - mean[c]) / deviation[c]

    def own(c: int, sign: int, zeta: np.ndarray) -> np.ndarray:
        return residual(c, sign, zeta) / step[c]

    return MarginReads(given, means, covariance, margin, inverse, own)


@partial(jax.jit, static_argnames="loss")
def _prox_residual(loss: Any, t: Any, step: Any) -> Any:
    return loss.prox_residual(t, step + 0 * t)

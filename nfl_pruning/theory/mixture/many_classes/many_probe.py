"""Three classes and more: the probe's rows, and the fit of a probe that is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.probes import CrossFitProbe, InSampleProbe, PilotProbe, WeightsProbe
from nfl_pruning.theory.mixture.closing import Given, noise_of
from nfl_pruning.theory.mixture.many_classes.kept_points import everyone
from nfl_pruning.theory.mixture.many_classes.many_folds import FoldLaw, fold_law
from nfl_pruning.theory.mixture.many_classes.many_setting import (
    LogitReads,
    ManySetting,
    fixed_reads,
    no_reads,
    terms_of,
)
from nfl_pruning.theory.mixture.many_classes.prox import Outputs
from nfl_pruning.theory.mixture.many_classes.search import solve_stages
from nfl_pruning.theory.mixture.many_classes.stepping import ManyStage
from nfl_pruning.theory.mixture.selecting import only_stratum, samples_of


def probe_reads(
    setting: ManySetting,
    n_points: int,
    seeds: Sequence[np.random.SeedSequence],
    near: ManyStage | None,
    tolerance: float,
) -> tuple[list[LogitReads], ManyStage | None]:
    """What the selection reads of the probe, from each scramble of points.

    Args:
        setting: of the problem.
        n_points: a component and label.
        seeds: of the scrambles.
        near: the probe's fit of a neighbouring problem.
        tolerance: that a fit's rounds end at.

    Returns:
        The reads, and the probe's own fit where it was fitted: nothing is read of one that was not
        solved for.
    """
    problem, probe = setting.problem, setting.problem.probe
    if only_stratum(problem) is not None:
        return [no_reads(setting)] * len(seeds), None
    if isinstance(probe, WeightsProbe):
        return [fixed_reads(setting, probe)] * len(seeds), None
    if not isinstance(probe, PilotProbe | InSampleProbe | CrossFitProbe):
        raise UnsupportedProblemError(
            f"The limit of a mixture is not known for the probe {probe.label!r}; it takes fixed "
            "weights, pilot, in-sample and cross-fitted probes."
        )
    spf = samples_of(problem)
    softmax = replace(setting, outputs=Outputs.of(setting.mixture.n_classes, squared=False))
    terms = [
        terms_of(softmax, no_reads(softmax), everyone(softmax, n_points, seed), probe.ridge, spf)
        for seed in seeds
    ]
    stages, stage, _ = solve_stages(softmax, terms, near, tolerance, exact=True)
    if not stages[-1].converged:
        return [], stages[-1]
    basis = softmax.outputs.matrix
    reads = [
        _fitted_reads(setting, probe, one, basis, n_points, seed)
        for one, seed in zip(stages, seeds, strict=True)
    ]
    return reads, stage


def _fitted_reads(
    setting: ManySetting,
    probe: PilotProbe | InSampleProbe | CrossFitProbe,
    stage: ManyStage,
    basis: np.ndarray,
    n_points: int,
    seed: np.random.SeedSequence,
) -> LogitReads:
    """What is read of a probe that was fitted."""
    fit, geometry, spf = stage.fit, setting.space.geometry, samples_of(setting.problem)
    rows = np.asarray(fit.rows)
    inverse, square = jax.tree.map(np.asarray, (fit.inverse, fit.square))
    mean = geometry.means @ rows.T + np.asarray(fit.intercept)
    covariance, step = np.array(stage.state.covariance), np.asarray(stage.state.step)
    law = None
    if isinstance(probe, CrossFitProbe):
        one = FoldLaw(probe.folds, mean, covariance, 0 * covariance, step)
        law, square = fold_law(setting, fit, one, spf, n_points, seed.spawn(1)[0])
    noise = jax.tree.map(np.asarray, noise_of(geometry, inverse, square))
    if isinstance(probe, PilotProbe):
        return LogitReads(Given(rows, noise), mean, covariance, basis)
    given = Given(rows, noise, inverse)
    if law is None:
        return LogitReads(given, mean, covariance, basis, step)
    return LogitReads(given, mean, law.of_mean, basis, folds=law)

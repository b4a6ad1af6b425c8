"""Three classes and more: the probe's rows, and the fit of a probe that is fitted."""

from __future__ import annotations

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
from nfl_pruning.theory.mixture.many_classes.search import ManyStage, solve_stage
from nfl_pruning.theory.mixture.selecting import only_stratum, samples_of


def probe_reads(
    setting: ManySetting,
    n_points: int,
    seed: np.random.SeedSequence,
    near: ManyStage | None,
    tolerance: float,
) -> tuple[LogitReads | None, ManyStage | None]:
    """What the selection reads of the probe, and the probe's own fit where it was fitted."""
    problem, probe = setting.problem, setting.problem.probe
    if only_stratum(problem) is not None:
        return no_reads(setting), None
    if isinstance(probe, WeightsProbe):
        return fixed_reads(setting, probe), None
    if not isinstance(probe, PilotProbe | InSampleProbe | CrossFitProbe):
        raise UnsupportedProblemError(
            f"The limit of a mixture is not known for the probe {probe.label!r}; it takes fixed "
            "weights, pilot, in-sample and cross-fitted probes."
        )
    spf = samples_of(problem)
    softmax = replace(setting, outputs=Outputs.of(setting.mixture.n_classes, squared=False))
    points = everyone(softmax, n_points, seed)
    terms = terms_of(softmax, no_reads(softmax), points, probe.ridge, spf)
    stage = solve_stage(softmax, terms, near, tolerance, exact=True)
    if not stage.converged:
        return None, stage
    fit, basis = stage.fit, softmax.outputs.matrix
    geometry, rows = setting.space.geometry, np.asarray(fit.rows)
    inverse, square = jax.tree.map(np.asarray, (fit.inverse, fit.square))
    mean = geometry.means @ rows.T + np.asarray(fit.intercept)
    covariance, step = np.array(stage.state.covariance), np.asarray(stage.state.step)
    law = None
    if isinstance(probe, CrossFitProbe):
        one = FoldLaw(probe.folds, mean, covariance, 0 * covariance, step)
        law, square = fold_law(setting, fit, one, spf, n_points, seed.spawn(1)[0])
    noise = jax.tree.map(np.asarray, noise_of(geometry, inverse, square))
    if isinstance(probe, PilotProbe):
        return LogitReads(Given(rows, noise), mean, covariance, basis), stage
    given = Given(rows, noise, inverse)
    if law is None:
        return LogitReads(given, mean, covariance, basis, step), stage
    return LogitReads(given, mean, law.of_mean, basis, folds=law), stage

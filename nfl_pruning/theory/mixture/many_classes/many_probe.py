"""Three classes and more: the probe's rows, and the fit of a probe that is fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.probes import InSampleProbe, PilotProbe, WeightsProbe
from nfl_pruning.theory.mixture.closing import Given
from nfl_pruning.theory.mixture.many_classes.kept_points import everyone
from nfl_pruning.theory.mixture.many_classes.many_setting import (
    Reads,
    Setting,
    fixed_reads,
    no_reads,
    terms_of,
)
from nfl_pruning.theory.mixture.many_classes.prox import Outputs
from nfl_pruning.theory.mixture.many_classes.search import Stage, solve_stage
from nfl_pruning.theory.mixture.two_classes.refit import only_stratum


def probe_reads(
    setting: Setting,
    n_points: int,
    seed: np.random.SeedSequence,
    near: Stage | None,
    tolerance: float,
) -> tuple[Reads | None, Stage | None]:
    """What the selection reads of the probe, and the probe's own fit where it was fitted."""
    problem, probe = setting.problem, setting.problem.probe
    if only_stratum(problem) is not None:
        return no_reads(setting), None
    if isinstance(probe, WeightsProbe):
        return fixed_reads(setting, probe), None
    if not isinstance(probe, PilotProbe | InSampleProbe):
        raise UnsupportedProblemError(
            f"The limit of a mixture is not known for the probe {probe.label!r}; it takes fixed "
            "weights, pilot and in-sample probes."
        )
    inside = isinstance(probe, InSampleProbe)
    spf = problem.samples_per_feature if inside else probe.samples_per_feature
    softmax = replace(setting, outputs=Outputs.of(setting.mixture.n_classes, squared=False))
    points = everyone(softmax, n_points, seed)
    terms = terms_of(softmax, no_reads(softmax), points, probe.ridge, spf)
    stage = solve_stage(softmax, terms, near, tolerance, exact=True)
    if not stage.converged:
        return None, stage
    geometry = setting.space.geometry
    rows, fit = np.asarray(stage.fit.rows), stage.fit
    covariance = np.array(stage.state.covariance)
    inverse = np.asarray(fit.inverse) if inside else None
    given = Given(rows, np.asarray(fit.noise), inverse)
    mean = geometry.means @ rows.T + np.asarray(fit.intercept)
    step = np.asarray(stage.state.step) if inside else None
    return Reads(given, mean, covariance, softmax.outputs.matrix, step), stage

"""What a probe tends to: alignment, the margins that it scores, its fit on the samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import numpy as np

from nfl_pruning.inputs import Isotropic
from nfl_pruning.losses import LOSSES
from nfl_pruning.probes import FixedProbe, InSampleProbe, PilotProbe
from nfl_pruning.problem import Problem, Student, Teacher
from nfl_pruning.selections import Random
from nfl_pruning.theory.integrators.panels.certify import certified_root
from nfl_pruning.theory.integrators.panels.newton import System
from nfl_pruning.theory.probe_fit import ProbeFit
from nfl_pruning.theory.selection_law.keep_law import KeepLaw, keep_law
from nfl_pruning.theory.selection_law.ordering import (
    Margin,
    UnsupportedProblemError,
    refuse_mixture_parts,
)


@dataclass(frozen=True)
class ProbeLimit:
    """A probe in the limit.

    Attributes:
        alignment: cosine to the teacher.
        margin: (label, u) -> the margin that is scored, u its standardised fresh margin.
        fit: its own, if it has seen the samples that it scores.
        error: error estimate of the fit behind it; 0 for a fixed probe.
    """

    alignment: float
    margin: Margin
    fit: ProbeFit | None = None
    error: float = 0.0


def _linear(norm: float) -> Callable[[int, np.ndarray], np.ndarray]:
    return lambda label, u: norm * np.asarray(u, float)


def probe_limit(problem: Problem) -> ProbeLimit:
    """The limit of a problem's probe (call inside a float64 scope).

    Raises:
        UnsupportedProblemError: the fit behind it was not found, or inputs are not isotropic.
    """
    refuse_mixture_parts(problem)
    if not isinstance(problem.inputs, Isotropic):
        raise UnsupportedProblemError(
            f"This is for standard normal inputs; got {problem.inputs.label!r}."
        )
    probe = problem.probe
    if isinstance(probe, FixedProbe):
        return ProbeLimit(probe.alignment, _linear(problem.probe_norm))
    if isinstance(problem.selection, Random):  # the probe does not matter
        return ProbeLimit(1.0, _linear(1.0))
    if isinstance(probe, PilotProbe):
        fit, error = _fit(problem.teacher, probe.samples_per_feature, probe.ridge)
        return ProbeLimit(fit.alignment, _linear(fit.sigma), None, error)
    assert isinstance(probe, InSampleProbe)
    fit, error = _fit(problem.teacher, problem.samples_per_feature, probe.ridge)
    return ProbeLimit(fit.alignment, fit.training_margin, fit, error)


def selection_law(problem: Problem) -> KeepLaw:
    """Keep probability and weight over (u, y) in the limit, for any probe.

    Raises:
        UnsupportedProblemError: the score or the selection is outside what the limit describes.
    """
    with jax.enable_x64(True):
        probe = probe_limit(problem)
        return keep_law(problem, alignment=probe.alignment, margin=probe.margin)


@lru_cache(maxsize=256)
def _fit(teacher: Teacher, samples_per_feature: float, ridge: float) -> tuple[ProbeFit, float]:
    """Unpruned ridge-logistic regression: its limit and error estimate."""
    unpruned = Problem(
        samples_per_feature=samples_per_feature,
        selection=Random(),
        teacher=teacher,
        probe=FixedProbe(1.0),
        student=Student(LOSSES["logistic"], ridge),
    )
    law = keep_law(unpruned, alignment=1.0, margin=_linear(1.0))
    system = System(unpruned, law, unpruned.student.loss, ridge)
    root, _, error, _ = certified_root(system)
    if not root.converged:
        raise UnsupportedProblemError("The limit of the probe's own fit was not found.")
    state = root.state
    return ProbeFit(float(state.along), float(state.noise), float(state.step)), error

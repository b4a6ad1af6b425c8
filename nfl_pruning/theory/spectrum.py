"""The limit for inputs of any covariance: many samples and many features that matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from nfl_pruning.inputs import Spectrum
from nfl_pruning.losses import Loss
from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem, Teacher
from nfl_pruning.theory.closing import effective_curvature, response
from nfl_pruning.theory.integrators.panels.certify import certified_root
from nfl_pruning.theory.integrators.panels.equations import response_of
from nfl_pruning.theory.integrators.panels.mesh import LEVELS
from nfl_pruning.theory.integrators.panels.newton import System
from nfl_pruning.theory.observables import best_norm, observables
from nfl_pruning.theory.proportional import (
    named_state,
    no_fit_sentence,
    ridge_free_threshold,
)
from nfl_pruning.theory.selection_law.keep_law import keep_law
from nfl_pruning.theory.selection_law.ordering import UnsupportedProblemError
from nfl_pruning.theory.solution import Solution, verdict
from nfl_pruning.theory.spectral_probe import probe_of
from nfl_pruning.theory.state import State

RIDGE_NEEDED = "A spectrum needs ridge > 0 here: {}."


def spectral_limit(problem: Problem) -> Solution:
    """The limit for inputs of a covariance (call in a float64 scope).

    The equations are those of a sample with n = samples_per_feature * n_features samples and are
    exact as the effective number of features grows (Loureiro et al. 2021, arXiv 2102.08127, for
    unpruned fits); with a few dominating eigenvalues they are an approximation.

    Any score of logits, labels and input norm (all norms are taken as equal), any probe and
    selection; smooth losses and the hinge. A fit that exists without a ridge does not depend on the
    covariance, a change of coordinates; where it would (no fit exists, or the probe has seen the
    samples) a ridge > 0 is needed. A fixed probe's ``alignment`` is the correlation of its margin
    with the teacher's; it is at most sqrt(1 - outside) in size, and is that of the spectrum's probe
    where it has one.

    Raises:
        UnsupportedProblemError: the problem is not covered.
    """
    spectrum = problem.inputs
    assert isinstance(spectrum, Spectrum)
    if problem.student.ridge == 0 and not problem.student.loss.hard:
        system, probe_error = _whitened(problem, spectrum)
        if problem.samples_per_feature <= system.threshold:
            if problem.student.loss.attained:
                raise UnsupportedProblemError(RIDGE_NEEDED.format("samples can be interpolated"))
            message = no_fit_sentence(system)
            return Solution(problem, Status.SEPARABLE, message)
    else:
        system, probe_error = spectrum_system(problem)
    root, digits, error, flaw = certified_root(system)
    if digits is None or not (system.spectral is None or genuine(system, root.x)):
        what = f"stopped at residual {root.residual:.1e}" if digits is None else "led astray"
        message = f"{Status.NO_SOLUTION.sentence} Newton and continuation {what}."
        return Solution(problem, Status.NO_SOLUTION, message)
    error += probe_error
    status, sentence = verdict(error, flaw)
    loss = problem.student.loss
    risks = observables(problem.teacher, loss, cosine=digits.cosine, norm=digits.norm)
    values: dict[str, Any] = {name: float(value) for name, value in risks.items()}
    values["excess_risk"] = values["test_loss"] - least_risk(problem.teacher, loss, spectrum)
    return Solution(
        problem,
        status,
        sentence,
        cosine=digits.cosine,
        norm=digits.norm,
        **values,
        residual=root.residual,
        error_estimate=error,
        state=named_state(root.x) | {"probe_alignment": system.law.label_law.alignment},
    )


def _whitened(problem: Problem, spectrum: Spectrum) -> tuple[System, float]:
    """The ridge-free fit's equations, with its threshold, and the error of the probe's fit.

    In the inputs Sigma^(-1/2) x a fit without a ridge is the same function, so these equations are
    those of isotropic inputs, with the margins of the probe that the covariance made.

    Raises:
        UnsupportedProblemError: a part of the teacher lies outside the features, or the probe's
            noise on the samples is not isotropic in the whitened inputs.
    """
    probe = probe_of(problem, spectrum)
    if spectrum.outside > 0:
        raise UnsupportedProblemError(RIDGE_NEEDED.format("the teacher is not all in the features"))
    if probe.fit is not None:
        raise UnsupportedProblemError(RIDGE_NEEDED.format("the probe has seen the samples"))
    law = keep_law(problem, alignment=probe.alignment, margin=probe.margin)
    system = System(problem, law, problem.student.loss, 0.0)
    return replace(system, threshold=ridge_free_threshold(system)), probe.error


def genuine(system: System, x: np.ndarray) -> bool:
    """Whether a root's response is the E[df / dv] that it stands for.

    For a probe that saw the samples the equations also hold, in a limit of vanishing kappa, where
    the student is a multiple of the probe; the response is then without bound, E[df / dv] is not.
    """
    s, step, terms = system.closing.s, State.unpack(x).step, system.terms()
    stated = response(jnp.asarray(step), terms.delta * len(s), terms.ridge, s)
    point, labels = jnp.asarray(x), system.label_terms
    rows = system.rows(x, LEVELS[1])
    found = sum(float(response_of(point, labels, block, system.loss)) for block in rows)
    return bool(abs(found - stated) < 0.01 * effective_curvature(stated, terms.ridge, s))


def least_risk(teacher: Teacher, loss: Loss, spectrum: Spectrum) -> float:
    """The least population risk of a margin that the features can make."""
    cosine = np.sqrt(1 - spectrum.outside)
    best = float(best_norm(teacher, loss, jnp.asarray(cosine)))
    side = -cosine if best < 0 else cosine
    if not np.isfinite(best):
        return 0.0
    return float(observables(teacher, loss, cosine=side, norm=abs(best))["test_loss"])


def spectrum_system(problem: Problem) -> tuple[System, float]:
    """The equations of a problem, and the error of its probe's fit (call in a float64 scope).

    Raises:
        UnsupportedProblemError: the problem is not covered, or the probe's fit was not found.
    """
    spectrum, loss, ridge = problem.inputs, problem.student.loss, problem.student.ridge
    assert isinstance(spectrum, Spectrum)
    if ridge == 0 or loss.hard:
        raise UnsupportedProblemError(RIDGE_NEEDED.format("it closes the equations"))
    probe = probe_of(problem, spectrum)
    law = keep_law(problem, alignment=probe.alignment, margin=probe.margin)
    system = System(problem, law, loss, ridge, probe.fit, spectral=probe.closing)
    return system, probe.error

"""What a probe tends to where inputs have a covariance, and how it lies in the eigenbasis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jax.numpy as jnp
import numpy as np

from nfl_pruning.inputs import Spectrum
from nfl_pruning.losses import LOSSES
from nfl_pruning.probes import FixedProbe, InSampleProbe, PilotProbe
from nfl_pruning.problem import Problem, Teacher
from nfl_pruning.selections import Random, RankSelection
from nfl_pruning.theory.closing import Closing, FreshClosing, StackedClosing, response
from nfl_pruning.theory.integrators.panels.certify import certified_root
from nfl_pruning.theory.integrators.panels.newton import System
from nfl_pruning.theory.probe_fit import ProbeFit
from nfl_pruning.theory.selection_law.keep_law import keep_law
from nfl_pruning.theory.selection_law.ordering import (
    Margin,
    UnsupportedProblemError,
    refuse_mixture_parts,
)

PERFECT = 1e-12


@dataclass(frozen=True)
class SpectralProbe:
    """A probe in the limit: alignment, scored margin, closing of the equations, its fit, error."""

    alignment: float
    margin: Margin
    closing: Closing
    fit: ProbeFit | None = None
    error: float = 0.0


def probe_of(problem: Problem, spectrum: Spectrum) -> SpectralProbe:
    """The limit of a problem's probe, and how it and the teacher lie in the eigenbasis."""
    refuse_mixture_parts(problem)
    probe, teacher = problem.probe, spectrum.teacher
    if isinstance(problem.selection, Random) or keeps_all(problem):  # the probe does not matter
        return SpectralProbe(1.0, _times(1.0), teacher_alone(spectrum))
    if isinstance(probe, FixedProbe):
        return _fixed(problem, probe, spectrum)
    in_sample = isinstance(probe, InSampleProbe)
    assert in_sample or isinstance(probe, PilotProbe)
    size = problem.samples_per_feature if in_sample else probe.samples_per_feature
    fit = _fit(problem.teacher, spectrum, size, probe.ridge)
    alignment, sigma = fit.fit.alignment, fit.fit.sigma
    if in_sample:
        r_1 = 1 / (probe.ridge + fit.alpha * spectrum.eigenvalues)
        closing = StackedClosing(spectrum.eigenvalues, teacher**2, fit.fit, r_1, fit.b, fit.square)
        return SpectralProbe(alignment, fit.fit.training_margin, closing, fit.fit, fit.error)
    s, n = spectrum.eigenvalues, size * spectrum.n_features
    r = 1 / (probe.ridge + fit.alpha * s)
    mean = -r * s * teacher * fit.b
    noise = s * r**2 * fit.square / n
    closing = in_plane(
        alignment, (teacher**2, teacher * mean / sigma, (mean**2 + noise) / sigma**2)
    )
    return SpectralProbe(alignment, _times(sigma), _with(spectrum, closing), None, fit.error)


def keeps_all(problem: Problem) -> bool:
    """Whether every sample stays, with weight 1, whatever the score."""
    return isinstance(problem.selection, RankSelection) and problem.keep_fraction == 1


def _times(norm: float) -> Margin:
    return lambda label, u: norm * np.asarray(u, float)


def teacher_alone(spectrum: Spectrum) -> FreshClosing:
    """FreshClosing where u is the teacher's own margin."""
    nothing = np.zeros(spectrum.n_features)
    return _with(spectrum, (spectrum.teacher**2, nothing, nothing))


def _with(spectrum: Spectrum, parts: tuple[np.ndarray, ...]) -> FreshClosing:
    return FreshClosing(spectrum.eigenvalues, *parts)


def in_plane(alignment: float, energies: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """From (t^2, t p, p^2) per feature to those of (u, u_perp), u = p and t = rho u + perp u_perp.

    Args:
        alignment: correlation rho of the two margins.
        energies: mean squares and products of the coefficients, for margins of variance 1.
    """
    tt, tp, pp = energies
    perp = np.sqrt(max(1 - alignment**2, 0.0))
    if perp < PERFECT:
        return pp, np.zeros_like(pp), np.zeros_like(pp)
    across = (tt - 2 * alignment * tp + alignment**2 * pp) / perp**2
    return pp, (tp - alignment * pp) / perp, across


def _fixed(problem: Problem, probe: FixedProbe, spectrum: Spectrum) -> SpectralProbe:
    s, t, alignment = spectrum.eigenvalues, spectrum.teacher, probe.alignment
    if spectrum.probe is not None:
        alignment = float(np.clip(np.sum(s * t * spectrum.probe), -1.0, 1.0))
        energies = (t**2, t * spectrum.probe, spectrum.probe**2)
    else:
        inside = 1 - spectrum.outside
        if alignment**2 > inside + 1e-12:
            raise UnsupportedProblemError(
                "A probe made of the features reaches at most the alignment "
                f"{np.sqrt(inside):.6g}; got {alignment:g}."
            )
        along = alignment / inside
        error = (1 - alignment**2 / inside) / (s * spectrum.n_features)
        energies = (t**2, along * t**2, along**2 * t**2 + error)
    closing = in_plane(alignment, energies)
    return SpectralProbe(alignment, _times(problem.probe_norm), _with(spectrum, closing))


@dataclass(frozen=True)
class _Fit:
    """An unpruned logistic fit: its margins, and alpha, b and E[f^2] of the closing equations."""

    fit: ProbeFit
    alpha: float
    b: float
    square: float
    error: float


@lru_cache(maxsize=64)
def _fit(teacher: Teacher, spectrum: Spectrum, size: float, ridge: float) -> _Fit:
    """Unpruned ridge-logistic regression on size * n_features samples."""
    unpruned = Problem(
        samples_per_feature=size, selection=Random(), teacher=teacher, probe=FixedProbe(1.0)
    )
    law = keep_law(unpruned, alignment=1.0, margin=_times(1.0))
    closing = teacher_alone(spectrum)
    system = System(unpruned, law, LOSSES["logistic"], ridge, spectral=closing)
    root, _, error, _ = certified_root(system)
    if not root.converged:
        raise UnsupportedProblemError("The limit of the probe's own fit was not found.")
    a, tau, kappa = (float(v) for v in (root.state.along, root.state.noise, root.state.step))
    n, s, tt = size * spectrum.n_features, spectrum.eigenvalues, spectrum.teacher**2
    alpha = float(response(jnp.asarray(kappa), jnp.asarray(n), jnp.asarray(ridge), closing.s))
    r = 1 / (ridge + alpha * s)
    b = -a / np.sum(s**2 * tt * r)
    noise = a**2 + tau**2 - b**2 * np.sum(s**3 * r**2 * tt)
    square = n * noise / np.sum(s**2 * r**2)
    return _Fit(ProbeFit(a, tau, kappa), alpha, float(b), float(square), error)

"""Trials for inputs of any covariance: drawn, pruned and fitted densely in float64.

The sizes at which a spectrum is checked are a few hundred features. Newton's method of
``fits.logits`` is preconditioned by a whole Hessian: eigenvalues may be as far apart as they like.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import Spectrum
from nfl_pruning.links import Link
from nfl_pruning.losses import LOSSES, Loss
from nfl_pruning.montecarlo.estimates.simulation import FAILURES, Simulation, Trials
from nfl_pruning.montecarlo.fits.logits import LogitLoss, minimise
from nfl_pruning.montecarlo.fits.outcome import CONVERGED, UNCONVERGED
from nfl_pruning.montecarlo.plan import refuse_mixture_parts
from nfl_pruning.probes import FixedProbe, InSampleProbe, PilotProbe
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Context, Score, binary_logits
from nfl_pruning.selections import PropensitySelection, RankSelection
from nfl_pruning.selections.finite import (
    Counts,
    band_weights,
    propensity_weights,
    realised_counts,
)
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_integer, check_seed

TOLERANCE = 1e-11  # of the gradient's norm, relative to that at 0


class Shapes(NamedTuple):
    """What is fixed when a trial is compiled."""

    n_samples: int
    pilot_samples: int
    link: Link
    score: Score
    counts: tuple[Counts, ...] | None
    selection: PropensitySelection | None
    keep: str
    loss: Loss
    probe: str


class Numbers(NamedTuple):
    """What may change without compiling again; float64 arrays.

    Attributes:
        s, teacher, probe: the spectrum; the probe's vector is read for fixed probes only.
        outside: share of the teacher's variance outside the features.
        scale, probe_norm, keep_fraction, ridge, probe_ridge: the problem's.
    """

    s: Array
    teacher: Array
    probe: Array
    outside: Array
    scale: Array
    probe_norm: Array
    keep_fraction: Array
    ridge: Array
    probe_ridge: Array


@with_own_settings
def simulate_spectrum(
    problem: Problem,
    *,
    n_trials: int,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Simulation:
    """Draw, prune and fit training sets whose inputs have a covariance.

    Args:
        problem: its inputs a spectrum, its loss smooth and its ridge positive. Without a probe of
            the spectrum's own, a fixed probe's noise is drawn anew in every trial.
        n_trials: number of training sets, >= 1; trial i depends on (seed, i) and the problem alone.
        seed: whole number >= 0 and < 2^63.
        progress: called with (trials done, trials in all).

    Returns:
        A :class:`Simulation` whose cosine and norm are the correlation of student's and teacher's
        margin and the standard deviation of the student's.

    Raises:
        InvalidArgumentError: an argument is out of range, or the problem is not covered.
    """
    n_trials = check_integer("n_trials", n_trials, 1)
    spectrum = problem.inputs
    assert isinstance(spectrum, Spectrum)
    shapes, probe_ridge = _shapes(problem, spectrum)
    with jax.enable_x64(True):
        root = jax.random.key(check_seed(seed, bits=63))
        rows = []
        for trial in range(n_trials):
            key_data, key_probe = jax.random.split(jax.random.fold_in(root, trial))
            probe = _probe_vector(key_probe, problem, spectrum)
            values = (
                spectrum.eigenvalues, spectrum.teacher, probe, spectrum.outside,
                problem.teacher.scale, _probe_norm(problem), problem.keep_fraction,
                problem.student.ridge, probe_ridge,
            )  # fmt: skip
            numbers = Numbers(*(jnp.asarray(value, jnp.float64) for value in values))
            rows.append([np.asarray(part) for part in _trial(key_data, numbers, shapes)])
            if progress:
                progress(trial + 1, n_trials)
    cosine, norm, kept, gradient, steps, code = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    bad = code != CONVERGED
    known = {
        "cosine": np.where(bad, np.nan, cosine),
        "norm": np.where(bad, np.nan, norm),
        "kept": kept.astype(float),
        "gradient_norm": gradient,
        "steps": steps.astype(float),
        "passes": steps.astype(float),
    }
    failures = {int(i): FAILURES[int(code[i])] for i in np.flatnonzero(bad)}
    trials = Trials(problem, known, derive=spectrum.outside == 0)
    return Simulation(problem, spectrum.n_features, n_trials, seed, trials, failures)


def _probe_norm(problem: Problem) -> float:
    return problem.probe_norm if isinstance(problem.probe, FixedProbe) else 1.0


def _shapes(problem: Problem, spectrum: Spectrum) -> tuple[Shapes, float]:
    """Shapes and functions of a trial, and the ridge of a fitted probe (1 where there is none)."""
    refuse_mixture_parts(problem)
    if problem.student.ridge == 0 or not problem.student.loss.smooth:
        raise InvalidArgumentError(
            "a spectrum is simulated for smooth losses and ridge > 0; got loss "
            f"{problem.student.loss.name!r} and ridge {problem.student.ridge:g}."
        )
    needs = problem.ranking_score.needs
    if needs:
        raise InvalidArgumentError(
            f"score {problem.ranking_score.name!r} needs {' and '.join(sorted(needs))}, which "
            "trials of a spectrum do not supply; use a score of logits and labels."
        )
    n = max(int(np.floor(problem.samples_per_feature * spectrum.n_features + 0.5)), 1)
    counts = selection = None
    if isinstance(problem.selection, RankSelection):
        counts = realised_counts(problem.selection.strata(problem.keep_fraction), n)
    elif isinstance(problem.selection, PropensitySelection):
        selection = problem.selection
    else:
        raise InvalidArgumentError(
            f"protocol {problem.selection.name!r} has no rule for finite samples."
        )
    probe, pilot, ridge = problem.probe, 1, 1.0
    kind = "fixed" if isinstance(probe, FixedProbe) else "in-sample"
    if isinstance(probe, PilotProbe):
        kind = "pilot"
        pilot = max(int(np.floor(probe.samples_per_feature * spectrum.n_features + 0.5)), 1)
    if isinstance(probe, (PilotProbe, InSampleProbe)):
        ridge = probe.ridge
    shapes = Shapes(
        n, pilot, problem.teacher.link, problem.ranking_score, counts, selection, problem.keep,
        problem.student.loss, kind,
    )  # fmt: skip
    return shapes, ridge


def _probe_vector(key: Array, problem: Problem, spectrum: Spectrum) -> np.ndarray:
    """Coefficients of a fixed probe, for a margin of variance 1."""
    if spectrum.probe is not None or not isinstance(problem.probe, FixedProbe):
        return spectrum.teacher if spectrum.probe is None else spectrum.probe
    s, t, rho = spectrum.eigenvalues, spectrum.teacher, problem.probe.alignment
    inside = 1 - spectrum.outside
    noise = np.asarray(jax.random.normal(key, t.shape, jnp.float64)) / np.sqrt(s)
    error = noise - t * np.sum(s * t * noise) / inside  # made orthogonal to the teacher
    error = error / np.sqrt(np.sum(s * error**2))
    if rho**2 > inside + 1e-12:
        raise InvalidArgumentError(
            f"a probe made of the features reaches at most the alignment {np.sqrt(inside):.6g}; "
            f"got {rho:g}."
        )
    return rho / inside * t + np.sqrt(max(1 - rho**2 / inside, 0.0)) * error


def _draw(key: Array, numbers: Numbers, link: Link, n: int) -> tuple[Array, Array]:
    """Rows, shape (n, features), and labels -1 or 1, shape (n,)."""
    key_rows, key_outside, key_labels = jax.random.split(key, 3)
    rows = jax.random.normal(key_rows, (n, len(numbers.s)), jnp.float64) * jnp.sqrt(numbers.s)
    rest = jax.random.normal(key_outside, (n,), jnp.float64)
    z = rows @ numbers.teacher + jnp.sqrt(numbers.outside) * rest
    chance = link(numbers.scale * z)
    positive = jax.random.uniform(key_labels, (n,), jnp.float64) < chance
    return rows, jnp.where(positive, 1.0, -1.0)


@partial(jax.jit, static_argnames="shapes")
def _trial(key: Array, numbers: Numbers, shapes: Shapes) -> tuple[Array, ...]:
    """Cosine, norm, kept samples, relative gradient norm, Newton steps and code of one trial."""
    key_data, key_pilot, key_select = jax.random.split(key, 3)
    rows, labels = _draw(key_data, numbers, shapes.link, shapes.n_samples)
    everything = jnp.full(labels.shape, 1 / shapes.n_samples)
    probe, bad_probe = numbers.probe * numbers.probe_norm, jnp.array(False)
    if shapes.probe != "fixed":
        sample = rows, labels, everything
        if shapes.probe == "pilot":
            n = shapes.pilot_samples
            sample = *_draw(key_pilot, numbers, shapes.link, n), jnp.full((n,), 1 / n)
        fitted = _fit(*sample, numbers.probe_ridge, LOSSES["logistic"])
        probe, bad_probe = fitted[0], fitted[1] > TOLERANCE
    key_score = shapes.score.rank_key(
        binary_logits(rows @ probe), (labels > 0).astype(jnp.int32), Context()
    )
    if shapes.counts is not None:
        weights = band_weights(key_select, key_score, shapes.counts, shapes.keep)[0]
    else:
        assert shapes.selection is not None
        log_propensity = shapes.selection.log_propensity(key_score)
        weights = propensity_weights(key_select, log_propensity, numbers.keep_fraction)[0]
    theta, gradient, steps = _fit(
        rows, labels, weights / shapes.n_samples, numbers.ridge, shapes.loss
    )
    norm = jnp.sqrt(jnp.sum(numbers.s * theta**2))
    cosine = jnp.sum(numbers.s * numbers.teacher * theta) / norm
    code = jnp.where(bad_probe | (gradient > TOLERANCE), UNCONVERGED, CONVERGED)
    return cosine, norm, jnp.sum(weights > 0), gradient, steps, code


def _fit(
    rows: Array, labels: Array, weights: Array, ridge: Array, loss: Loss
) -> tuple[Array, Array, Array]:
    """Minimiser, its gradient's norm relative to that at 0, and the number of steps."""
    first = (weights * labels * loss.derivative(jnp.zeros_like(labels))) @ rows
    size = jnp.linalg.norm(first)
    what = LogitLoss(loss, 1, intercept=False)
    theta, gradient, steps, _ = minimise(
        rows, labels, weights, ridge, 0.1 * TOLERANCE * size, what=what
    )
    return theta[0], gradient / size, steps

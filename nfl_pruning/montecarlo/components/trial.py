"""One trial of a mixture: draw, fit the probe, score, select and fit, in double precision."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import Mixture
from nfl_pruning.inputs.mixture_draw import bucket
from nfl_pruning.losses import LOSSES
from nfl_pruning.montecarlo.components.selecting import Samples, score_samples, weigh
from nfl_pruning.montecarlo.fits.logits import LogitFit, check_loss, fit_logits
from nfl_pruning.montecarlo.fits.outcome import CONVERGED, GRADIENT_TOLERANCE
from nfl_pruning.probes import CrossFitProbe, FixedProbe, InSampleProbe, PilotProbe, WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import SCORES
from nfl_pruning.selections import PropensitySelection, RankSelection, ValueSelection
from nfl_pruning.selections.finite import realised_counts
from nfl_pruning.validation import check_integer, check_seed

SUPPLIED = frozenset({"input_norm", "component", "label_is_right"})


class Keys(NamedTuple):
    """One key a purpose, all from (seed, trial) alone, so that rival rules share their data."""

    data: Array
    labels: Array
    select: Array
    probe: Array
    folds: Array


class Job(NamedTuple):
    """A problem at a finite size.

    Attributes:
        problem: what to simulate.
        mixture: its inputs.
        n_features, n_samples, pilot_samples: sizes; no pilot has 0.
        tolerance: gradient norm at which fits end.
    """

    problem: Problem
    mixture: Mixture
    n_features: int
    n_samples: int
    pilot_samples: int
    tolerance: float


class Pruned(NamedTuple):
    """The samples of a trial with their weights, 0 where dropped, (n,); and the probe's code."""

    samples: Samples
    weights: np.ndarray
    probe_code: int


def make_job(problem: Problem, n_features: int | None, tolerance: float) -> Job:
    """Check a problem and its sizes.

    Raises:
        InvalidArgumentError: it has no trials of this kind, or nothing would be kept.
    """
    mixture = problem.inputs
    assert isinstance(mixture, Mixture)
    if mixture.any_size and n_features is None:
        raise InvalidArgumentError(
            "n_features must be given for a mixture with scalar covariances, which stands for any "
            "number; got None."
        )
    d = mixture.check_features(n_features)
    check_loss(problem.student.loss, mixture.n_classes)
    if problem.student.ridge == 0:
        raise InvalidArgumentError("inputs of components are fitted with a ridge > 0; got 0.")
    _check_score(problem, mixture)
    n = _rounded(problem.samples_per_feature * d)
    if problem.keep_fraction * n < 0.5:
        raise InvalidArgumentError(
            f"keep_fraction {problem.keep_fraction:g} of {n} samples keeps fewer than one sample."
        )
    if isinstance(problem.selection, RankSelection):
        realised_counts(problem.selection.strata(problem.keep_fraction), n)
    elif isinstance(problem.selection, ValueSelection):
        problem.selection.check_size(problem.keep_fraction, n)
    elif not isinstance(problem.selection, PropensitySelection):
        raise InvalidArgumentError(
            f"protocol {problem.selection.name!r} has no rule for trials of a mixture."
        )
    pilot = 0
    if isinstance(problem.probe, PilotProbe):
        pilot = max(_rounded(problem.probe.samples_per_feature * d), 1)
    return Job(problem, mixture, d, n, pilot, tolerance)


def _rounded(value: float) -> int:
    return int(np.floor(value + 0.5))


def _check_score(problem: Problem, mixture: Mixture) -> None:
    score, probe = problem.ranking_score, problem.probe
    missing = sorted(score.needs - SUPPLIED)
    if missing:
        raise InvalidArgumentError(
            f"score {score.name!r} needs {' and '.join(missing)}, which trials of a mixture do not "
            "supply; use one of logits, labels, input norm and component."
        )
    if mixture.labels is None and "label_is_right" in score.needs:
        raise InvalidArgumentError(
            "a verifier needs labels that come from the components; these come from a teacher."
        )
    if isinstance(probe, FixedProbe) and reads_probe(problem):
        raise InvalidArgumentError(
            "a mixture's probe is given by its weights (WeightsProbe) or fitted: pilot, in-sample "
            f"or cross-fit; got {probe.label!r}."
        )
    if isinstance(probe, WeightsProbe):
        if probe.n_classes != mixture.n_classes:
            raise InvalidArgumentError(
                f"the probe must have the mixture's {mixture.n_classes} classes; "
                f"got {probe.n_classes}."
            )
        if probe.n_features > mixture.n_features and not mixture.any_size:
            raise InvalidArgumentError(
                f"the probe must have at most the mixture's {mixture.n_features} features; "
                f"got {probe.n_features}."
            )


def reads_probe(problem: Problem) -> bool:
    """Whether the selection needs logits: one that asks an oracle may do without a probe."""
    score = problem.ranking_score
    oracle = score.needs & {"component", "label_is_right"}
    return score is not SCORES["random"] and not (oracle and isinstance(problem.probe, FixedProbe))


def root_key(seed: int) -> Array:
    """The key that all trials' keys are folded from."""
    with jax.enable_x64(True):
        return jax.random.key(check_seed(seed, bits=63), impl="threefry2x32")


def mixture_training_set(
    problem: Problem, n_features: int | None, *, trial: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers, rows, class codes and weights of the samples that one trial fits."""
    job = make_job(problem, n_features, GRADIENT_TOLERANCE)
    trial = check_integer("trial", trial, 0)
    pruned = prune_trial(job, jax.random.fold_in(root_key(seed), trial))
    rows = np.flatnonzero(pruned.weights)
    return rows, pruned.samples.x[rows], pruned.samples.y[rows], pruned.weights[rows]


def prune_trial(job: Job, key: Array) -> Pruned:
    """The samples of one trial, and the weights that the rule gives them."""
    keys = Keys(*jax.random.split(key, len(Keys._fields)))
    samples = _draw(job, keys.data, keys.labels, job.n_samples)
    logits, code = np.zeros((job.n_samples, job.mixture.n_classes)), CONVERGED
    if reads_probe(job.problem):
        logits, code = _probe_logits(job.problem.probe, job, keys, samples)
    rank_key = values = np.zeros(job.n_samples)
    if job.problem.ranking_score is not SCORES["random"]:
        rank_key, values = score_samples(job.problem, samples, logits)
    weights = weigh(job.problem, keys.select, samples.y, rank_key=rank_key, values=values)
    return Pruned(samples, weights, code)


def _draw(job: Job, key: Array, key_labels: Array, count: int) -> Samples:
    x, component, y = job.mixture.draw(key, count, job.n_features)
    if y is None:
        teacher = job.problem.teacher
        with jax.enable_x64(True):
            chance = np.asarray(teacher.link(jnp.asarray(teacher.scale * x[:, 0])))
            lots = jax.random.uniform(key_labels, (bucket(count),), jnp.float64)
        y = (np.asarray(lots)[:count] < chance).astype(int)
    return Samples(x, component, y)


def fit_model(
    job: Job, samples: Samples, weights: np.ndarray, *, ridge: float, probe: bool = False
) -> LogitFit:
    """A fit of the student, or of a probe: the same with the logistic loss."""
    student = job.problem.student
    return fit_logits(
        samples.x,
        samples.y,
        weights,
        ridge=ridge,
        loss=LOSSES["logistic"] if probe else student.loss,
        n_classes=job.mixture.n_classes,
        intercept=student.intercept,
        tolerance=job.tolerance,
    )


@singledispatch
def _probe_logits(probe: Any, job: Job, keys: Keys, samples: Samples) -> tuple[np.ndarray, int]:
    """Logits (n, K) of every sample, and the code of the probe's fit."""
    raise InvalidArgumentError(f"trials of a mixture have no probe of the form {probe.label!r}.")


@_probe_logits.register
def _(probe: WeightsProbe, job: Job, keys: Keys, samples: Samples) -> tuple[np.ndarray, int]:
    weights, width = probe.matrix, probe.n_features
    if width > job.n_features:
        raise InvalidArgumentError(
            f"n_features must be at least the probe's {width}; got {job.n_features}."
        )
    return samples.x[:, :width] @ weights.T + probe.offsets, CONVERGED


@_probe_logits.register
def _(probe: PilotProbe, job: Job, keys: Keys, samples: Samples) -> tuple[np.ndarray, int]:
    key_data, key_labels = jax.random.split(keys.probe)
    pilot = _draw(job, key_data, key_labels, job.pilot_samples)
    return _scored(job, pilot, samples.x, probe.ridge)


@_probe_logits.register
def _(probe: InSampleProbe, job: Job, keys: Keys, samples: Samples) -> tuple[np.ndarray, int]:
    return _scored(job, samples, samples.x, probe.ridge)


@_probe_logits.register
def _(probe: CrossFitProbe, job: Job, keys: Keys, samples: Samples) -> tuple[np.ndarray, int]:
    if probe.folds > job.n_samples:
        raise InvalidArgumentError(
            f"cross-fit folds must be at most the {job.n_samples} samples; got {probe.folds}."
        )
    order = np.argsort(np.asarray(jax.random.bits(keys.folds, (bucket(job.n_samples),)))
                       [: job.n_samples], kind="stable")  # fmt: skip
    logits, code = np.empty((job.n_samples, job.mixture.n_classes)), CONVERGED
    for fold in range(probe.folds):
        inside = order[fold :: probe.folds]
        others = np.delete(np.arange(job.n_samples), inside)
        seen = Samples(*(part[others] for part in samples))
        logits[inside], one = _scored(job, seen, samples.x[inside], probe.ridge)
        code = code or one
    return logits, code


def _scored(job: Job, seen: Samples, x: np.ndarray, ridge: float) -> tuple[np.ndarray, int]:
    """Logits at rows x of a probe that is fitted to other samples, or to the same."""
    n = len(seen.y)
    fit = fit_model(job, seen, np.full(n, 1 / n), ridge=ridge, probe=True)
    outputs = fit.logits(x)
    if outputs.shape[1] == 1:  # one margin: the logit of the second class
        outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
    return outputs, fit.code

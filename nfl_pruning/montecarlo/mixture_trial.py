"""One trial of a mixture: draw, fit the probe, score, select and fit, in double precision."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.inputs import Mixture
from nfl_pruning.inputs.mixture_draw import bucket
from nfl_pruning.losses import LOSSES
from nfl_pruning.montecarlo.logits import LogitFit, check_loss, fit_logits
from nfl_pruning.montecarlo.outcome import CONVERGED, GRADIENT_TOLERANCE
from nfl_pruning.probes import CrossFitProbe, FixedProbe, InSampleProbe, PilotProbe, WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import SCORES
from nfl_pruning.scores.evaluate import evaluate
from nfl_pruning.selections import PropensitySelection, RankSelection
from nfl_pruning.selections.balanced import class_quotas
from nfl_pruning.selections.finite import Counts, propensity_weights, rank_weights, realised_counts
from nfl_pruning.validation import InvalidArgumentError, check_integer, check_seed

SUPPLIED = frozenset({"input_norm", "component", "label_is_right"})


class Keys(NamedTuple):
    """One key a purpose, all from (seed, trial) alone, so that rival rules share their data."""

    data: Array
    labels: Array
    select: Array
    probe: Array
    folds: Array


class Samples(NamedTuple):
    """Rows (n, d), components (n,) and class codes (n,)."""

    x: np.ndarray
    component: np.ndarray
    y: np.ndarray


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
    rank_key = np.zeros(job.n_samples)
    if job.problem.ranking_score is not SCORES["random"]:
        rank_key = _rank(job, samples, logits)
    return Pruned(samples, _select(job, keys.select, rank_key, samples.y), code)


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


def _rank(job: Job, samples: Samples, logits: np.ndarray) -> np.ndarray:
    """The score's rank key, computed at one of few sizes; shape (n,)."""
    score, n = job.problem.ranking_score, len(logits)
    entries: dict[str, np.ndarray] = {"component": samples.component}
    if "input_norm" in score.needs:
        square = np.einsum("ij,ij->i", samples.x, samples.x)
        entries["input_norm"] = np.sqrt(square / job.n_features)
    if "label_is_right" in score.needs:
        entries["label_is_right"] = job.mixture.likeliest[samples.component] == samples.y
    rest = bucket(n) - n
    padded = {name: np.pad(value, (0, rest), mode="edge") for name, value in entries.items()}
    rows = np.pad(logits, ((0, rest), (0, 0)), mode="edge")
    rank_key = evaluate(score, rows, np.pad(samples.y, (0, rest)), padded)[0][:n]
    if not np.isfinite(rank_key).all():
        raise InvalidArgumentError(f"score {score.name!r} is not finite for some samples.")
    return rank_key


def _select(job: Job, key: Array, rank_key: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights of the selection, 0 for dropped samples, shape (n,)."""
    problem = job.problem
    selection, keep, r = problem.selection, problem.keep, problem.keep_fraction
    if isinstance(selection, PropensitySelection):
        return _by_propensity(selection, key, rank_key, r)
    assert isinstance(selection, RankSelection)
    if problem.balance == "none":
        counts = realised_counts(selection.strata(r), len(y))
        return _by_rank(key, rank_key, counts, keep)
    classes, sizes = np.unique(y, return_counts=True)
    weights = np.zeros(len(y))
    quotas = class_quotas(sizes, r, problem.balance)
    for code, size, quota in zip(classes.tolist(), sizes.tolist(), quotas.tolist(), strict=True):
        if quota:
            rows = np.flatnonzero(y == code)
            counts = realised_counts(selection.strata(quota / size), size)
            weights[rows] = _by_rank(jax.random.fold_in(key, code), rank_key[rows], counts, keep)
    return weights


def _by_rank(key: Array, rank_key: np.ndarray, counts: tuple[Counts, ...], keep: str) -> np.ndarray:
    """Weights of a rank selection; rows of padding come last, in a stratum that is dropped."""
    n, size = len(rank_key), bucket(len(rank_key))
    end = rank_key.min() if keep == "hardest" else rank_key.max()
    beyond = end + (1 + abs(end)) * (-1 if keep == "hardest" else 1)
    padded = np.full(size, beyond)
    padded[:n] = rank_key
    strata = (*counts, Counts(size - n, 0, 0.0))
    with jax.enable_x64(True):
        return np.asarray(rank_weights(key, jnp.asarray(padded), strata, keep)[0])[:n]


def _by_propensity(
    selection: PropensitySelection, key: Array, rank_key: np.ndarray, keep_fraction: float
) -> np.ndarray:
    """Weights of a propensity selection; rows of padding have no chance."""
    n, size = len(rank_key), bucket(len(rank_key))
    with jax.enable_x64(True):
        chance = np.asarray(selection.log_propensity(jnp.asarray(rank_key)), np.float64)
        padded = jnp.asarray(np.pad(chance, (0, size - n), constant_values=-np.inf))
        return np.asarray(propensity_weights(key, padded, keep_fraction * n / size)[0])[:n]

"""Simulate a problem: trials in batches, results that do not depend on how they are batched."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.montecarlo.estimate import Simulation
from nfl_pruning.montecarlo.sampling import make_parameters, make_plan
from nfl_pruning.montecarlo.trials import FAILURES, draw_trial, run_batch
from nfl_pruning.problem import Problem
from nfl_pruning.theory.observables import observables
from nfl_pruning.validation import check_integer

Progress = Callable[[int, int], object]


def simulate(
    problem: Problem,
    *,
    n_features: int,
    n_trials: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> Simulation:
    """Draw, prune and fit ``n_trials`` independent training sets of a problem.

    Args:
        problem: what to simulate, at n = floor(samples_per_feature * n_features + 1/2) samples.
        n_features: dimension d of the inputs, >= 2.
        n_trials: number of training sets, >= 1. Trial i depends on (seed, i) and the problem
            alone: problems that share link, signal and sizes see the same samples at one seed.
        seed: whole number >= 0.
        progress: called with (trials done, trials in all) after every batch.

    Raises:
        InvalidArgumentError: an argument is out of range, fewer than one sample would be kept, or
            the score needs what simulated samples do not have.
    """
    n_features = check_integer("n_features", n_features, 2)
    n_trials = check_integer("n_trials", n_trials, 1)
    seed = check_integer("seed", seed, 0)
    plan = make_plan(problem, n_features)
    size = min(n_trials, 8)
    parts = []
    with jax.enable_x64(True):
        root = jax.random.key(seed, impl="threefry2x32")
        parameters = make_parameters(problem)
        for start in range(0, n_trials, size):
            trials = np.minimum(np.arange(start, start + size), n_trials - 1)
            batch = run_batch(
                root, jnp.asarray(trials), parameters, plan=plan, loss=problem.student.loss
            )
            parts.append({name: np.asarray(value) for name, value in batch._asdict().items()})
            if progress:
                progress(min(start + size, n_trials), n_trials)
    whole = {name: np.concatenate([p[name] for p in parts])[:n_trials] for name in parts[0]}
    return summarise(problem, whole, n_features=n_features, seed=seed)


class TrainingSet(NamedTuple):
    """The kept samples of one trial, as explicit arrays.

    Attributes:
        rows: their numbers among the n samples, increasing, shape (kept,).
        x: inputs, shape (kept, d), in the basis whose first vector is the teacher's direction and
            whose second is the probe's part orthogonal to it. float64 copies of float32 numbers.
        y: labels, -1 or 1, shape (kept,).
        weights: shape (kept,), positive.
    """

    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray


def training_set(problem: Problem, *, n_features: int, trial: int, seed: int = 0) -> TrainingSet:
    """The very samples that trial number ``trial`` of :func:`simulate` fits."""
    plan = make_plan(problem, check_integer("n_features", n_features, 2))
    trial, seed = check_integer("trial", trial, 0), check_integer("seed", seed, 0)
    with jax.enable_x64(True):
        root = jax.random.key(seed, impl="threefry2x32")
        kept, data = jax.jit(draw_trial, static_argnames="plan")(
            root, jnp.asarray(trial), make_parameters(problem), plan=plan
        )
    y, weights = (np.asarray(part).reshape(-1)[: plan.capacity] for part in data[1:])
    x = np.asarray(data.rows, np.float64).reshape(-1, n_features)[: plan.capacity]
    there = weights > 0
    return TrainingSet(np.asarray(kept.rows)[there], x[there], y[there], weights[there])


def summarise(
    problem: Problem, outcome: dict[str, np.ndarray], *, n_features: int, seed: int
) -> Simulation:
    """Turn fitted directions into observables, with failed trials named and set to NaN."""
    codes = outcome["code"]
    failed = codes != 0
    norm = np.where(failed, np.nan, outcome["norm"])
    along = np.where(failed, np.nan, outcome["along"])
    cosine = np.divide(along, norm, out=np.zeros_like(norm), where=norm != 0)
    trials = {"cosine": cosine, "norm": norm}
    trials |= _observables(problem, cosine, norm)
    for name in ("kept", "gradient_norm", "steps", "passes"):
        trials[name] = outcome[name].astype(float)
    failures = {int(i): FAILURES[int(codes[i])] for i in np.flatnonzero(failed)}
    return Simulation(problem, n_features, len(codes), seed, trials, failures)


def _observables(problem: Problem, cosine: np.ndarray, norm: np.ndarray) -> dict[str, np.ndarray]:
    """Population values, padded to a power of two so that few shapes are ever compiled."""
    count = len(cosine)
    padding = (0, max(32, 1 << (count - 1).bit_length()) - count)
    cosine, norm = (np.pad(part, padding, constant_values=np.nan) for part in (cosine, norm))
    values = observables(problem.teacher, problem.student.loss, cosine=cosine, norm=norm)
    return {name: np.asarray(value)[:count] for name, value in values.items()}

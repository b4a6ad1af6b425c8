"""Scores and selections of a mixture's samples, computed at few sizes so that few are compiled."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import Mixture
from nfl_pruning.inputs.mixture_draw import bucket
from nfl_pruning.problem import Problem
from nfl_pruning.scores.evaluate import evaluate
from nfl_pruning.selections import PropensitySelection, RankSelection, ValueSelection
from nfl_pruning.selections.balanced import class_quotas
from nfl_pruning.selections.finite import Counts, propensity_weights, rank_weights, realised_counts


class Samples(NamedTuple):
    """Rows (n, d), components (n,) and class codes (n,)."""

    x: np.ndarray
    component: np.ndarray
    y: np.ndarray


def score_samples(
    problem: Problem, samples: Samples, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The score's rank key and its values, computed at one of few sizes; shape (n,) each."""
    score, n = problem.ranking_score, len(logits)
    entries: dict[str, np.ndarray] = {"component": samples.component}
    if "input_norm" in score.needs:
        square = np.einsum("ij,ij->i", samples.x, samples.x)
        entries["input_norm"] = np.sqrt(square / samples.x.shape[1])
    if "label_is_right" in score.needs:
        assert isinstance(problem.inputs, Mixture)
        entries["label_is_right"] = problem.inputs.likeliest[samples.component] == samples.y
    rest = bucket(n) - n
    padded = {name: np.pad(value, (0, rest), mode="edge") for name, value in entries.items()}
    rows = np.pad(logits, ((0, rest), (0, 0)), mode="edge")
    both = evaluate(score, rows, np.pad(samples.y, (0, rest)), padded)
    rank_key, values = (part[:n] for part in both)
    if not np.isfinite(rank_key).all():
        raise InvalidArgumentError(f"score {score.name!r} is not finite for some samples.")
    return rank_key, values


def weigh(
    problem: Problem, key: Array, y: np.ndarray, *, rank_key: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Weights of the selection, 0 for dropped samples, shape (n,).

    Args:
        problem: whose selection, keep and balance are read.
        key: PRNG key; with quotas class c uses ``fold_in(key, c)``.
        y: class codes, shape (n,).
        rank_key: of the ranking score, shape (n,).
        values: the score in the units of the literature, shape (n,).
    """
    selection, keep, r = problem.selection, problem.keep, problem.keep_fraction
    if isinstance(selection, ValueSelection):
        return selection.choose(key, values, r)[0]
    if isinstance(selection, PropensitySelection):
        return _by_propensity(selection, key, rank_key, r)
    assert isinstance(selection, RankSelection)
    if problem.balance == "none":
        counts = realised_counts(selection.strata(r), len(y))
        return _by_rank(key, rank_key, counts, keep)
    classes, sizes = np.unique(y, return_counts=True)
    weights = np.zeros(len(y))
    quotas = class_quotas(sizes, r, problem.balance, classes)
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

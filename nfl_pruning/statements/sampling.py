"""Training sets in few dimensions: drawn, scored and pruned by the package, fitted in bulk.

Inputs are standard normal in d dimensions, the teacher is the first axis, and a fixed probe lies
in the plane of the first two. Many data sets are drawn at once; axes are (repeat, sample, feature).
Batches have one size, so that few programs are compiled.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.links import Link
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Context, Score, binary_logits
from nfl_pruning.selections import RankSelection
from nfl_pruning.selections.finite import Counts, band_weights, realised_counts

BATCH = 40  # data sets a compiled call; numbers of repeats are multiples of it
STEPS = 40  # of Newton, at most
CHUNK = 40_000  # numbers that a link takes at once


class Keys(NamedTuple):
    """One key a purpose."""

    inputs: Array
    labels: Array
    select: Array


def split_keys(key: Array) -> Keys:
    """Keys of a collection of data sets."""
    return Keys(*jax.random.split(key, 3))


class DataSets(NamedTuple):
    """Data sets before pruning: x of shape (repeats, n, d), y = -1 or 1 of shape (repeats, n)."""

    x: np.ndarray
    y: np.ndarray
    keys: Array  # for the selection, one a repeat


def draw(key: Array, problem: Problem, sizes: tuple[int, int, int]) -> DataSets:
    """Data sets of the problem's teacher, sizes = (repeats, n, d)."""
    repeats, n, d = sizes
    keys = split_keys(key)
    words = np.asarray(jax.random.key_data(keys.inputs)).tolist()
    x = np.random.default_rng(words).standard_normal((repeats, n, d))
    chance = _chances(problem.teacher.link, problem.teacher.scale * x[..., 0])
    y = np.where(_uniforms(jax.random.split(keys.labels, repeats), n) < chance, 1.0, -1.0)
    return DataSets(x, y, jax.random.split(keys.select, repeats))


def _chances(link: Link, t: np.ndarray) -> np.ndarray:
    """P(y = 1) at teacher margins of any shape, in pieces of one size for one compiled program."""
    flat = np.pad(t.ravel(), (0, -t.size % CHUNK)).reshape(-1, CHUNK)
    with jax.enable_x64(True):
        found = [np.asarray(_chance(link, jnp.asarray(part))) for part in flat]
    return np.concatenate(found)[: t.size].reshape(t.shape)


@partial(jax.jit, static_argnums=0)
def _chance(link: Link, t: Array) -> Array:
    return link(t)


def _uniforms(keys: Array, n: int) -> np.ndarray:
    parts = [_uniform(keys[i : i + BATCH], n) for i in range(0, len(keys), BATCH)]
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


@partial(jax.jit, static_argnums=1)
def _uniform(keys: Array, n: int) -> Array:
    return jax.vmap(lambda key: jax.random.uniform(key, (n,), jnp.float32))(keys)


def fixed_margins(problem: Problem, x: np.ndarray) -> np.ndarray:
    """Margins of the problem's fixed probe, shape (repeats, n)."""
    rho = getattr(problem.probe, "alignment")  # noqa: B009
    return problem.probe_norm * (rho * x[..., 0] + np.sqrt(1 - rho**2) * x[..., 1])


def prune(problem: Problem, data: DataSets, margins: np.ndarray) -> np.ndarray:
    """Weights of the problem's selection from given margins, 0 if dropped, (repeats, n)."""
    assert isinstance(problem.selection, RankSelection)
    d = data.x.shape[2]
    needed = bool(problem.ranking_score.needs)
    norm = np.sqrt((data.x**2).sum(-1) / d) if needed else np.ones_like(margins)
    found = []
    with jax.enable_x64(True):
        for start in range(0, len(margins), BATCH):
            arrays = (a[start : start + BATCH] for a in (margins, data.y, norm))
            arrays = (jnp.asarray(a, float) for a in arrays)
            found.append(np.asarray(_rank_keys(problem.ranking_score, *arrays)))
    ranks = np.concatenate(found)
    return choose(problem.selection, problem.keep_fraction, problem.keep, data.keys, ranks)


def choose(
    selection: RankSelection, keep_fraction: float, keep: str, keys: Array, ranks: np.ndarray
) -> np.ndarray:
    """Weights of a selection from rank keys, 0 if dropped, (repeats, n)."""
    counts, found = realised_counts(selection.strata(keep_fraction), ranks.shape[1]), []
    with jax.enable_x64(True):
        for start in range(0, len(ranks), BATCH):
            part = slice(start, start + BATCH)
            found.append(np.asarray(_choose(keep, counts, keys[part], jnp.asarray(ranks[part]))))
    return np.concatenate(found)


@partial(jax.jit, static_argnums=0)
def _rank_keys(score: Score, margins: Array, labels: Array, norm: Array) -> Array:
    """The package's score of a batch of data sets."""
    positive = (labels > 0).astype(jnp.int32)
    return score.rank_key(binary_logits(margins), positive, Context(input_norm=norm))


@partial(jax.jit, static_argnums=0)
def _choose(keep: str, counts: tuple[Counts, ...], keys: Array, ranks: Array) -> Array:
    """The package's selection on a batch of data sets, one program for all scores and counts."""
    return jax.lax.map(lambda row: band_weights(row[0], row[1], counts, keep)[0], (keys, ranks))


def fit(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    """Weighted ridge-free logistic regressions by damped Newton steps, shape (repeats, d).

    A step is shortened while its decrement is large, which is safe for this loss; so every start
    leads to the one minimiser, and a near one (the limit, say) saves steps.
    """
    parts = range(0, len(x), BATCH)
    rows = [_fit(x[i : i + BATCH], y[i : i + BATCH], weights[i : i + BATCH], start) for i in parts]
    return np.concatenate(rows)


def _fit(x: np.ndarray, y: np.ndarray, weights: np.ndarray, start: np.ndarray | None) -> np.ndarray:
    most = int((weights > 0).sum(1).max())
    if most < weights.shape[1]:
        order = np.argpartition(weights <= 0, most - 1, axis=1)[:, :most]
        x = np.take_along_axis(x, order[..., None], 1)
        y, weights = (np.take_along_axis(part, order, 1) for part in (y, weights))
    weights = weights / weights.sum(1, keepdims=True)
    signed = x * y[..., None]
    across = np.ascontiguousarray(np.swapaxes(signed, 1, 2))
    theta = np.tile(np.zeros(x.shape[-1]) if start is None else start, (len(x), 1))
    for _ in range(STEPS):
        miss = 1 / (1 + np.exp(np.clip((signed @ theta[..., None])[..., 0], -700, 700)))
        pull = weights * miss
        slope = (across @ pull[..., None])[..., 0]
        bend = (across * (pull * (1 - miss))[:, None]) @ signed
        move = np.linalg.solve(bend, slope[..., None])[..., 0]
        decrement = np.sqrt(np.maximum(np.sum(move * slope, -1, keepdims=True), 0))
        theta += move / (1 + np.where(decrement < 0.05, 0, 2 * decrement))
        if np.abs(move).max() < 1e-9:
            break
    return theta


def excess_loss(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Excess logistic loss of parameters (repeats, d) under a logistic link, shape (repeats,).

    The trapezoidal rule on a plane grid, whose error is exponentially small for these integrands.
    """
    z, p = np.linspace(-8, 8, 65), np.linspace(-7, 7, 41)
    weight = np.outer(np.exp(-0.5 * z**2), np.exp(-0.5 * p**2))
    weight /= weight.sum()
    signal = problem.teacher.signal
    up = weight / (1 + np.exp(-signal * z))[:, None]

    def loss(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        margin = along[:, None, None] * z[:, None] + across[:, None, None] * p
        # y = 1: log(1 + e^-m); y = -1 adds m
        return np.sum(weight * np.logaddexp(0, -margin) + (weight - up) * margin, axis=(1, 2))

    along, across = theta[:, 0], np.linalg.norm(theta[:, 1:], axis=1)
    best = loss(np.array([signal]), np.array([0.0]))[0]
    parts = range(0, len(theta), BATCH)
    return np.concatenate([loss(along[i : i + BATCH], across[i : i + BATCH]) for i in parts]) - best

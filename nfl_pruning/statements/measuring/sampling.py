"""Training sets in few dimensions: drawn, scored and pruned by the package.

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
from nfl_pruning.settings import float64

BATCH = 40  # data sets a compiled call; numbers of repeats are multiples of it
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
    probability = _chances(problem.teacher.link, problem.teacher.scale * x[..., 0])
    y = np.where(_uniforms(jax.random.split(keys.labels, repeats), n) < probability, 1.0, -1.0)
    return DataSets(x, y, jax.random.split(keys.select, repeats))


@float64
def _chances(link: Link, t: np.ndarray) -> np.ndarray:
    """P(y = 1) at teacher margins of any shape, in pieces of one size for one compiled program."""
    flat = np.pad(t.ravel(), (0, -t.size % CHUNK)).reshape(-1, CHUNK)
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


@float64
def prune(problem: Problem, data: DataSets, margins: np.ndarray) -> np.ndarray:
    """Weights of the problem's selection from given margins, 0 if dropped, (repeats, n)."""
    assert isinstance(problem.selection, RankSelection)
    d = data.x.shape[2]
    needed = bool(problem.ranking_score.needs)
    norm = np.sqrt((data.x**2).sum(-1) / d) if needed else np.ones_like(margins)
    found = []
    for start in range(0, len(margins), BATCH):
        arrays = (a[start : start + BATCH] for a in (margins, data.y, norm))
        arrays = (jnp.asarray(a, float) for a in arrays)
        found.append(np.asarray(_rank_keys(problem.ranking_score, *arrays)))
    ranks = np.concatenate(found)
    return choose(problem.selection, problem.keep_fraction, problem.keep, data.keys, ranks)


@float64
def choose(
    selection: RankSelection, keep_fraction: float, keep: str, keys: Array, ranks: np.ndarray
) -> np.ndarray:
    """Weights of a selection from rank keys, 0 if dropped, (repeats, n)."""
    counts, found = realised_counts(selection.strata(keep_fraction), ranks.shape[1]), []
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

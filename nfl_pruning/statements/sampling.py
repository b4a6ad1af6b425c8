"""Training sets in few dimensions: drawn, scored and pruned by the package, fitted in bulk.

Inputs are standard normal in d dimensions, the teacher is the first axis, and a fixed probe lies
in the plane of the first two. Many data sets are drawn at once; axes are (repeat, sample, feature).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Context, binary_logits
from nfl_pruning.selections import RankSelection
from nfl_pruning.selections.finite import band_weights, realised_counts


class Keys(NamedTuple):
    """One key a purpose."""

    inputs: Array
    labels: Array
    select: Array


def split_keys(key: Array) -> Keys:
    """Keys of one data set."""
    return Keys(*jax.random.split(key, 3))


class DataSets(NamedTuple):
    """Data sets before pruning: x of shape (repeats, n, d), y = -1 or 1 of shape (repeats, n)."""

    x: np.ndarray
    y: np.ndarray
    keys: Array  # for the selection, one a repeat


def draw(key: Array, problem: Problem, sizes: tuple[int, int, int]) -> DataSets:
    """Data sets of the problem's teacher, sizes = (repeats, n, d)."""
    repeats, n, d = sizes

    def one(key: Array) -> tuple[Array, Array, Array]:
        keys = split_keys(key)
        x = jax.random.normal(keys.inputs, (n, d), jnp.float32)
        chance = problem.teacher.link(problem.teacher.scale * x[:, 0])
        positive = jax.random.uniform(keys.labels, (n,), jnp.float32) < chance
        return x, jnp.where(positive, 1.0, -1.0), keys.select

    x, y, select = jax.lax.map(one, jax.random.split(key, repeats))
    return DataSets(np.asarray(x, np.float64), np.asarray(y, np.float64), select)


def fixed_margins(problem: Problem, x: np.ndarray) -> np.ndarray:
    """Margins of the problem's fixed probe, shape (repeats, n)."""
    rho = getattr(problem.probe, "alignment")  # noqa: B009
    return problem.probe_norm * (rho * x[..., 0] + np.sqrt(1 - rho**2) * x[..., 1])


def prune(problem: Problem, data: DataSets, margins: np.ndarray) -> np.ndarray:
    """Weights of the problem's selection from given margins, 0 for dropped samples, (repeats, n)."""
    assert isinstance(problem.selection, RankSelection)
    n, d = data.x.shape[1:]
    counts = realised_counts(problem.selection.strata(problem.keep_fraction), n)
    if not problem.ranking_score.needs:
        norm = np.ones_like(margins)
    else:
        norm = np.sqrt((data.x**2).sum(-1) / d)
    with jax.enable_x64(True):
        arrays = tuple(jnp.asarray(a, jnp.float64) for a in (margins, data.y, norm))
        found = _choose(problem.ranking_score, problem.keep, counts, data.keys, arrays)
        return np.asarray(found)


@partial(jax.jit, static_argnums=(0, 1))
def _choose(score, keep, counts, keys, arrays):
    """The package's selection on many data sets; counts are data, so shapes alone compile."""

    def one(row):
        key, margin, label, norm = row
        positive = (label > 0).astype(jnp.int32)
        rank = score.rank_key(binary_logits(margin), positive, Context(input_norm=norm))
        return band_weights(key, rank, counts, keep)[0]

    return jax.lax.map(one, (keys, *arrays))


def fit(x: np.ndarray, y: np.ndarray, weights: np.ndarray, steps: int = 25) -> np.ndarray:
    """Weighted ridge-free logistic regressions by damped Newton steps, shape (repeats, d).

    The step is shortened by 1 / (1 + decrement), which is safe for this loss and ends quadratic.
    """
    most = int((weights > 0).sum(1).max())
    order = np.argsort(weights <= 0, axis=1, kind="stable")[:, :most]
    x = np.take_along_axis(x, order[..., None], 1)
    y, weights = (np.take_along_axis(part, order, 1) for part in (y, weights))
    signed = x * y[..., None]
    weights = weights / weights.sum(1, keepdims=True)
    theta = np.zeros((len(x), x.shape[-1]))
    for _ in range(steps):
        miss = 1 / (1 + np.exp(np.einsum("rnd,rd->rn", signed, theta)))
        slope = np.einsum("rnd,rn->rd", signed, weights * miss)
        bend = np.einsum("rnd,rn,rne->rde", x, weights * miss * (1 - miss), x, optimize=True)
        move = np.linalg.solve(bend, slope[..., None])[..., 0]
        decrement = np.sqrt(np.maximum(np.sum(move * slope, -1, keepdims=True), 0))
        theta += move / (1 + np.where(decrement < 0.05, 0, 2 * decrement))
        if np.abs(move).max() < 1e-10:
            break
    return theta

"""Scores of samples at hand, in float64 whatever the model's precision, as one compiled program."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from nfl_pruning.scores.base import Context, Score
from nfl_pruning.settings import with_own_settings


@partial(jax.jit, static_argnames="score")
def _evaluate(
    score: Score, logits: Array, labels: Array, entries: dict[str, Array]
) -> tuple[Array, Array]:
    rank_key = score.rank_key(logits, labels, Context(**entries))
    return rank_key, score.publish(rank_key)


@with_own_settings
def evaluate(
    score: Score, logits: ArrayLike, labels: ArrayLike, entries: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Rank keys, and scores in the units of the literature, float64, shape (n,) each.

    Args:
        score: what to compute.
        logits: shape (n, classes).
        labels: class codes, shape (n,).
        entries: what the score's context holds, by name.

    Raises:
        InvalidArgumentError: the context lacks something that the score needs, or what is given
            does not fit (see :meth:`Score.rank_key`).
    """
    known = {name: entries[name] for name in score.needs if name in entries}
    if len(known) == len(score.needs):  # else the score says what it lacks
        logits, labels = score.check(logits, labels, Context(**known))
    with jax.enable_x64(True):
        wanted = {
            name: jnp.asarray(value, float)
            for name, value in entries.items()
            if name in score.needs
        }
        found = _evaluate(score, jnp.asarray(logits, float), jnp.asarray(labels), wanted)
    rank_key, values = (np.asarray(part, dtype=np.float64) for part in found)
    return rank_key, values

"""A score evaluated on a law of the family: what its context holds, and what it ranks.

The probe is the best parameter of the model under the law. Where a score asks for more than logits:

* ``inputs`` and ``features`` are the two coordinates, ``input_norm`` is the norm of (x, 1) over the
  square root of 3, and the gradients are those of the linear model;
* ``prototypes`` are the two k-means centres of the law (Lloyd's algorithm on its density);
* ``trajectory`` is the straight path of training from 0 to the probe in ten steps: AUM then ranks
  like the margin, and forgetting, which counts changes of mind, tells never-learned samples from
  the others and nothing else; samples that tie are kept at random.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.adversary.laws import Law
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.scores.base import Context, Score, binary_logits

CHUNK = 8192
TIMES = 10


def rank_key(score: Score, x: Array, labels: Array, theta: Array, centres: Array) -> Array:
    """The score's rank key of inputs (n, 2) with labels 0 or 1 under a probe (3,)."""
    margin = x @ theta[:2] + theta[2]
    logits = binary_logits(margin)
    norm = jnp.sqrt(jnp.sum(x**2, -1) + 1)
    times = jnp.arange(1, TIMES + 1) / TIMES
    slope = jnp.broadcast_to(jnp.linalg.norm(theta[:2]), logits.shape)
    error = jax.nn.sigmoid(jnp.where(labels > 0, -margin, margin)) * 2**0.5
    context = Context(
        input_norm=norm / 3**0.5,
        inputs=x,
        features=x,
        gradient_norm=error * norm,
        trajectory=logits[..., None, :] * times[:, None],
        gap_gradient=slope,
        prototypes=centres,
    )
    return score.rank_key(logits, labels, context)


@partial(jax.jit, static_argnums=0)
def _compiled(score: Score, x: Array, labels: Array, theta: Array, centres: Array) -> Array:
    return rank_key(score, x, labels, theta, centres)


def traceable(score: Score) -> bool:
    """Whether the score can be compiled (and so differentiated)."""
    try:
        _dataflow(score)
    except Exception:  # whatever a user's function raises on abstract values
        return False
    return True


def check_score(score: Score) -> None:
    """Try a score on a few samples.

    Raises:
        InvalidArgumentError: it fails, or does not return one finite number a sample.
    """
    x = jnp.asarray(np.random.default_rng(0).standard_normal((8, 2)))
    labels = jnp.asarray([0, 1] * 4)
    try:
        found = np.asarray(rank_key(score, x, labels, jnp.ones(3), jnp.eye(2)), float)
    except Exception as reason:  # whatever a user's function raises
        text = (str(reason) or type(reason).__name__).splitlines()[0]
        raise InvalidArgumentError(f"score {score.name!r} fails on 8 samples: {text}") from None
    if found.shape not in ((), (8,)) or not np.isfinite(found).all():
        what = "not finite" if found.shape in ((), (8,)) else f"of shape {found.shape}"
        raise InvalidArgumentError(
            f"score {score.name!r} must return one finite number a sample, shape (8,) for 8 "
            f"samples; what it returned is {what}."
        )


def _dataflow(score: Score) -> Any:
    shapes = (jnp.zeros((5, 2)), jnp.zeros(5, jnp.int32), jnp.ones(3), jnp.zeros((2, 2)))
    return jax.make_jaxpr(partial(rank_key, score))(*shapes).jaxpr


def provably_constant(score: Score) -> bool:
    """Whether no input of the score reaches its value, by the data flow of its traced program.

    Then all samples tie under every law, ties are broken at random, and the algorithm *is* random
    pruning. A score that is constant in some other way is not recognised.
    """
    if not traceable(score):
        return False
    program = _dataflow(score)
    reached = {id(variable) for variable in program.invars}
    for equation in program.eqns:
        if any(id(variable) in reached for variable in equation.invars):
            reached.update(id(variable) for variable in equation.outvars)
    return not any(id(variable) in reached for variable in program.outvars)


Rank = Callable[[np.ndarray, np.ndarray], np.ndarray]


def ranker(score: Score, law: Law, theta: np.ndarray, keep: str) -> Rank:
    """The priority (x, label +-1) -> numbers, larger is kept first, in float64."""
    centres = cluster_centres(law)
    sign = 1.0 if keep == "hardest" else -1.0
    compiled = traceable(score)

    def rank(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        flat, labels = x.reshape(-1, 2), (y.ravel() > 0).astype(np.int32)
        found = np.empty(len(flat))
        with jax.enable_x64(True):
            fixed = (jnp.asarray(theta), jnp.asarray(centres))
            for start in range(0, len(flat), CHUNK):
                part = slice(start, start + CHUNK)
                count = len(flat[part])
                rows = np.zeros((CHUNK, 2))
                rows[:count] = flat[part]
                ones = np.zeros(CHUNK, np.int32)
                ones[:count] = labels[part]
                call = _compiled if compiled else rank_key
                values = call(score, jnp.asarray(rows), jnp.asarray(ones), *fixed)
                found[part] = np.asarray(values, np.float64)[:count]
        return sign * found.reshape(y.shape)

    return rank


def cluster_centres(law: Law) -> np.ndarray:
    """The two k-means centres of a law: Lloyd's algorithm on a grid, from the clusters' centres."""
    axis = np.linspace(-7, 7, 141)
    x = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    mass = law.density(x)
    centres = np.stack([centre for _, centre, _ in law.clusters])
    if np.allclose(centres[0], centres[1]):
        centres = centres + np.array([[0.1, 0.0], [-0.1, 0.0]])
    for _ in range(200):
        near = np.argmin(((x[:, None] - centres) ** 2).sum(-1), 1)
        new = np.stack([np.average(x[near == k], axis=0, weights=mass[near == k]) for k in (0, 1)])
        if np.abs(new - centres).max() < 1e-10:
            break
        centres = new
    return centres

"""One trial from key to numbers, and a compiled batch of them."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from nfl_pruning.losses import Loss
from nfl_pruning.montecarlo.fitting import Blocks, fit
from nfl_pruning.montecarlo.sampling import (
    Kept,
    Parameters,
    Plan,
    draw_kept,
    draw_rows,
    trial_keys,
)

OVERFLOW = 3
FAILURES = {
    1: "separable",
    2: "not-converged",
    3: "more-kept-than-planned",
}
BLOCK_BYTES = 2**18  # a block of rows that stays in the second-level cache of a core


class Outcome(NamedTuple):
    """Numbers of one trial; arrays have a leading axis for a batch.

    Attributes:
        along, across: the student's coordinates in the plane of teacher and probe.
        norm: Euclidean norm of the student.
        kept: number of samples kept.
        code: 0 for a fit, else a key of ``FAILURES``.
        gradient_norm: Euclidean norm of the objective's gradient at the student.
        steps, passes: Newton steps and passes over the rows.
    """

    along: Array
    across: Array
    norm: Array
    kept: Array
    code: Array
    gradient_norm: Array
    steps: Array
    passes: Array


def block_rows(capacity: int, width: int) -> int:
    """Rows in a block; blocks are as even as they can be, to waste little padding."""
    most = max(8, BLOCK_BYTES // (4 * width))
    blocks = -(-capacity // most)
    return -(-capacity // blocks)


def draw_blocks(key: Array, kept: Kept, width: int) -> Blocks:
    """Draw the kept rows block by block; weights do not carry the 1/n yet."""
    capacity = kept.rows.shape[0]
    size = block_rows(capacity, width)
    blocks = -(-capacity // size)

    def fold(values: Array) -> Array:
        padding = [(0, blocks * size - capacity)] + [(0, 0)] * (values.ndim - 1)
        return jnp.pad(values, padding).reshape(blocks, size, *values.shape[1:])

    parts = jax.tree.map(fold, (kept.rows, kept.plane, kept.radius))
    rows = lax.map(lambda part: draw_rows(key, *part, width=width), parts)
    return Blocks(rows, fold(kept.labels), fold(kept.weights))


def draw_trial(
    root: Array, trial: Array, parameters: Parameters, *, plan: Plan
) -> tuple[Kept, Blocks]:
    """The pruned training set of one trial."""
    keys = trial_keys(root, trial)
    kept = draw_kept(keys, plan, parameters)
    return kept, draw_blocks(keys.rest, kept, plan.n_features)


def run_trial(
    root: Array, trial: Array, parameters: Parameters, *, plan: Plan, loss: Loss
) -> Outcome:
    """Draw, prune, fit and measure one trial (inside a float64 scope)."""
    kept, data = draw_trial(root, trial, parameters, plan=plan)
    data = data._replace(weights=data.weights / plan.n_samples)
    found = fit(data, loss, parameters.ridge)
    code = jnp.where(kept.kept > plan.capacity, OVERFLOW, found.code)
    theta = found.theta
    return Outcome(
        theta[0], theta[1], jnp.linalg.norm(theta), kept.kept, code,
        found.gradient_norm, found.steps, found.passes,
    )  # fmt: skip


@partial(jax.jit, static_argnames=("plan", "loss"))
def run_batch(
    root: Array, trials: Array, parameters: Parameters, *, plan: Plan, loss: Loss
) -> Outcome:
    """Trials one after the other in one compiled loop; fields have shape (trials,)."""
    return lax.map(lambda trial: run_trial(root, trial, parameters, plan=plan, loss=loss), trials)

"""One trial from key to numbers, and a compiled batch of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from nfl_pruning.losses import LOSSES, Loss
from nfl_pruning.montecarlo.fits.fitting import fit
from nfl_pruning.montecarlo.fits.outcome import (
    CONVERGED,
    GRADIENT_TOLERANCE,
    NOT_SEPARABLE,
    SEPARABLE,
    UNCONVERGED,
    Fit,
)
from nfl_pruning.montecarlo.fits.passes import Samples
from nfl_pruning.montecarlo.plan import Parameters, Plan
from nfl_pruning.montecarlo.sampling import (
    Kept,
    TrialKeys,
    choose,
    draw_all,
    draw_columns,
    draw_rows,
    keep_rows,
    probe_margin,
    trial_keys,
)

OVERFLOW, NO_PROBE = 3, 4
FAILURES = {
    SEPARABLE: "separable",
    UNCONVERGED: "not-converged",
    NOT_SEPARABLE: "not-separable",
    OVERFLOW: "more-kept-than-planned",
    NO_PROBE: "probe-not-fitted",
}
PROBE_LOSS = LOSSES["logistic"]  # probes are logistic regressions
BLOCK_BYTES = 2**18  # a block of rows that stays in the second-level cache of a core
NARROW = 144  # rows of fewer features are drawn column by column


@dataclass(frozen=True)
class Layout:
    """How a trial is computed; the numbers that come out do not depend on it.

    Attributes:
        store: keep the rows in memory, rather than draw them again for each pass.
        shards: number of devices that share the rows of one trial, along the axis ``"rows"``.
        tolerance: gradient norm at which a fit ends.
    """

    store: bool = True
    shards: int = 1
    tolerance: float = GRADIENT_TOLERANCE


class Outcome(NamedTuple):
    """Numbers of one trial; arrays have a leading axis for a batch.

    Attributes:
        along, across: the student's coordinates in the plane of teacher and probe.
        norm: Euclidean norm of the student.
        kept: number of samples kept.
        code: 0 for a fit, else a key of ``FAILURES``.
        gradient_norm: Euclidean norm of the objective's gradient at the student.
        steps, passes: Newton steps and passes over the rows.
        noise, label_noise, cross_noise, curvature: control variates, in the order of
            ``ROW_CONTROLS`` (``controls.py``).
    """

    along: Array
    across: Array
    norm: Array
    kept: Array
    code: Array
    gradient_norm: Array
    steps: Array
    passes: Array
    noise: Array
    label_noise: Array
    cross_noise: Array
    curvature: Array


Table = dict[str, np.ndarray]  # the fields of Outcome on the host, by name


def empty_table(n_trials: int) -> Table:
    """Zeros of the right types."""
    whole = {"kept", "code", "steps", "passes"}
    return {f: np.zeros(n_trials, int if f in whole else float) for f in Outcome._fields}


def block_shape(plan: Plan, layout: Layout) -> tuple[int, int]:
    """Number of blocks (a multiple of the shards) and rows in each, with little padding.

    A device has at least two: a loop over one block is unrolled, and its rows are then drawn twice.
    """
    most = max(8, BLOCK_BYTES // (4 * plan.n_features))
    share = -(-plan.capacity // layout.shards)
    blocks = max(2, -(-share // most))
    return blocks * layout.shards, -(-share // blocks)


def _fold(kept: Kept, plan: Plan, layout: Layout) -> Kept:
    """Kept rows in blocks, padded with rows of weight 0; of this device's share only."""
    blocks, size = block_shape(plan, layout)
    mine = blocks // layout.shards

    def fold(values: Array) -> Array:
        padding = [(0, blocks * size - plan.capacity)] + [(0, 0)] * (values.ndim - 1)
        folded = jnp.pad(values, padding).reshape(blocks, size, *values.shape[1:])
        if layout.shards == 1:
            return folded
        return lax.dynamic_slice_in_dim(folded, lax.axis_index("rows") * mine, mine)

    return jax.tree.map(fold, kept._replace(kept=None))._replace(kept=kept.kept)


def _samples(key: Array, kept: Kept, plan: Plan, layout: Layout) -> Samples:
    """Draw the rows of kept samples (in blocks), or arrange that each pass draws them."""
    stacked = kept._replace(kept=jnp.zeros(kept.rows.shape[0]))

    def draw(part: Kept) -> Array:
        return draw_rows(key, part, plan)

    if layout.store and plan.n_features < NARROW:
        columns = lax.map(lambda part: draw_columns(key, part, plan), stacked)
        block = jnp.swapaxes(columns, 1, 2).__getitem__
    elif layout.store:
        block = lax.map(draw, stacked).__getitem__
    else:
        block = lambda number: draw(jax.tree.map(lambda x: x[number], stacked))  # noqa: E731
    return Samples(
        block,
        plan.n_features,
        kept.plane.astype(jnp.float32),
        kept.labels,
        kept.weights / plan.n_samples,
        "rows" if layout.shards > 1 else None,
    )


def _fit_pilot(key: Array, parameters: Parameters, plan: Plan, layout: Layout) -> Fit:
    """A probe fitted to samples of its own."""
    keys = trial_keys(key)
    drawn = draw_all(keys, plan, parameters)
    kept = keep_rows(drawn, jnp.ones(plan.n_samples), plan.n_samples)
    samples = _samples(keys.rest, _fold(kept, plan, layout), plan, layout)
    return fit(samples, PROBE_LOSS, parameters.probe_ridge, tolerance=layout.tolerance)


def _draw_in_sample(
    keys: TrialKeys, parameters: Parameters, plan: Plan, layout: Layout
) -> tuple[Kept, Samples, Array]:
    """Fit the probe to all samples, then weigh the same rows by its margins: no second copy."""
    drawn = draw_all(keys, plan, parameters)
    n = plan.n_samples
    everything = _fold(keep_rows(drawn, jnp.ones(n), n), plan, layout)
    samples = _samples(keys.rest, everything, plan, layout)
    probe = fit(samples, PROBE_LOSS, parameters.probe_ridge, tolerance=layout.tolerance)
    margins = probe.margins
    if samples.axis is not None:
        margins = lax.all_gather(margins, samples.axis, tiled=True)
    weights = choose(keys.select, drawn, margins.reshape(-1)[:n], plan=plan, parameters=parameters)
    kept = _fold(keep_rows(drawn, weights, n), plan, layout)
    return kept, samples._replace(weights=kept.weights / n), probe.code


def choose_rows(
    keys: TrialKeys, parameters: Parameters, alignment: Array, norm: Array, *, plan: Plan
) -> Kept:
    """The rows that a probe in the plane keeps."""
    drawn = draw_all(keys, plan, parameters)
    margin = probe_margin(drawn, alignment, norm)
    weights = choose(keys.select, drawn, margin, plan=plan, parameters=parameters)
    return keep_rows(drawn, weights, plan.capacity)


def draw_trial(
    key: Array, parameters: Parameters, *, plan: Plan, layout: Layout
) -> tuple[Kept, Samples, Array]:
    """The pruned training set of one trial.

    Returns:
        Kept rows in blocks, the samples to fit, and the code of the probe's fit.
    """
    keys = trial_keys(key)
    if plan.in_sample:
        return _draw_in_sample(keys, parameters, plan, layout)
    alignment, norm, code = parameters.alignment, parameters.probe_norm, jnp.asarray(CONVERGED)
    if plan.pilot is not None:
        pilot = _fit_pilot(keys.probe, parameters, plan.pilot, layout)
        norm, code = jnp.linalg.norm(pilot.theta), pilot.code
        alignment = pilot.theta[0] / norm
    kept = _fold(choose_rows(keys, parameters, alignment, norm, plan=plan), plan, layout)
    return kept, _samples(keys.rest, kept, plan, layout), code


@partial(jax.jit, static_argnames=("plan", "layout"))
def explicit_trial(
    root: Array, trial: Array, parameters: Parameters, *, plan: Plan, layout: Layout
) -> tuple[Array, Array, Array, Array]:
    """Row numbers, rows, labels and weights of one trial, flat and with padding."""
    key = jax.random.fold_in(root, trial)
    kept, samples, _ = draw_trial(key, parameters, plan=plan, layout=layout)
    rows = lax.map(samples.block, jnp.arange(kept.rows.shape[0]))
    parts = (kept.rows, kept.labels, kept.weights)
    numbers, labels, weights = (part.reshape(-1) for part in parts)
    return numbers, rows.reshape(-1, plan.n_features), labels, weights


def chosen_by_fixed_probe(
    root: Array, trial: Array, parameters: Parameters, *, plan: Plan
) -> tuple[Kept, Array]:
    """What a trial keeps, weights w_i / n, and the key that its other coordinates come from."""
    keys = trial_keys(jax.random.fold_in(root, trial))
    kept = choose_rows(keys, parameters, parameters.alignment, parameters.probe_norm, plan=plan)
    return kept._replace(weights=kept.weights / plan.n_samples), keys.rest


def run_trial(
    root: Array, trial: Array, parameters: Parameters, *, plan: Plan, loss: Loss, layout: Layout
) -> Outcome:
    """Draw, prune, fit and measure one trial (inside a float64 scope)."""
    key = jax.random.fold_in(root, trial)
    kept, samples, probe_code = draw_trial(key, parameters, plan=plan, layout=layout)
    found = fit(samples, loss, parameters.ridge, tolerance=layout.tolerance)
    outcome = _measure(found, kept.kept, plan)
    return outcome._replace(code=jnp.where(probe_code == CONVERGED, outcome.code, NO_PROBE))


def fit_chosen(
    key: Array, kept: Kept, ridge: Array, *, plan: Plan, loss: Loss, layout: Layout
) -> Outcome:
    """Draw the rows of kept samples from the trial's ``rest`` key, fit and measure."""
    samples = _samples(key, _fold(kept, plan, layout), plan, layout)
    return _measure(fit(samples, loss, ridge, tolerance=layout.tolerance), kept.kept, plan)


def _measure(found: Fit, kept: Array, plan: Plan) -> Outcome:
    theta = found.theta
    return Outcome(
        theta[0], theta[1], jnp.linalg.norm(theta), kept,
        jnp.where(kept > plan.capacity, OVERFLOW, found.code),
        found.gradient_norm, found.steps, found.passes, *found.controls,
    )  # fmt: skip


def collect(one: Callable[[Array], Any], first: Array, count: Array, size: int) -> Any:
    """Stack one(first), ..., one(first + count - 1), in that order, in arrays of ``size`` rows."""
    empty = jax.tree.map(
        lambda shape: jnp.zeros((size, *shape.shape), shape.dtype), jax.eval_shape(one, first)
    )

    def put(i: Array, stacked: Any) -> Any:
        return jax.tree.map(lambda whole, new: whole.at[i].set(new), stacked, one(first + i))

    return lax.fori_loop(0, count, put, empty)


def run_range(
    root: Array,
    first: Array,
    count: Array,
    parameters: Parameters,
    *,
    size: int,
    plan: Plan,
    loss: Loss,
    layout: Layout,
) -> Outcome:
    """Trials first, ..., first + count - 1, one after the other, in arrays of shape (size,).

    ``count`` <= ``size`` is data, so one compiled program serves every batch.
    """
    trial = partial(run_trial, root, parameters=parameters, plan=plan, loss=loss, layout=layout)
    return collect(trial, first, count, size)


run_batch = jax.jit(run_range, static_argnames=("size", "plan", "loss", "layout"))

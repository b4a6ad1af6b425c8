"""A more precise mean from the same trials, by regression on control variates."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.losses import Loss
from nfl_pruning.montecarlo.engine import make_job
from nfl_pruning.montecarlo.estimates.controls import ROW_CONTROLS
from nfl_pruning.montecarlo.estimates.simulation import Simulation
from nfl_pruning.montecarlo.fits.newton import plane_start, second_derivative
from nfl_pruning.montecarlo.fits.passes import Samples
from nfl_pruning.montecarlo.plan import Parameters, Plan
from nfl_pruning.montecarlo.runner import Job
from nfl_pruning.montecarlo.trials import chosen_by_fixed_probe, collect
from nfl_pruning.probes import FixedProbe
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_integer

BATCH = 256
TRIALS_PER_CONTROL = 4  # fewer leave the regression's coefficients to chance


@with_own_settings
def controlled(
    simulation: Simulation, name: str, *, draws: int | None = None
) -> tuple[float, float]:
    """Mean of an observable and its standard error, with what the plane explains taken out.

    The trials' values are regressed on the row controls of ``controls.py``, whose means are known,
    and on sums over the kept samples' coordinates in the plane of teacher and probe, whose means
    are estimated from further selections. Those draw two coordinates a sample and no rows, so they
    cost a small part of a trial, the less the more features there are. The estimate's own bias
    from fitting coefficients is of order 1 / trials of a standard error.

    Args:
        simulation: trials under a fixed probe and a smooth loss.
        name: of an observable.
        draws: further selections; 10 for each trial by default.

    Returns:
        Mean and standard error; NaN where a trial has no fit.

    Raises:
        InvalidArgumentError: the probe is fitted, the loss has corners, or trials are too few.
    """
    problem = simulation.problem
    if not isinstance(problem.probe, FixedProbe) or not problem.student.loss.smooth:
        raise InvalidArgumentError(
            "control variates need a fixed probe and a smooth loss; got probe "
            f"{problem.probe.label} and {problem.student.loss.name} loss."
        )
    values, count = simulation.values(name), simulation.n_trials
    draws = 10 * count if draws is None else check_integer("draws", draws, 0)
    job = make_job(problem, n_features=simulation.n_features, seed=simulation.seed)
    plane = plane_statistics(job, count + draws)
    controls, means = plane[:count], plane.mean(axis=0)
    if problem.inputs.has_limit and not problem.ranking_score.needs:
        rows = np.stack([simulation.trials[key] for key in ROW_CONTROLS], axis=1)
        controls = np.concatenate([controls, rows], axis=1)
        means = np.concatenate([means, np.zeros(len(ROW_CONTROLS))])
    if count < TRIALS_PER_CONTROL * controls.shape[1]:
        raise InvalidArgumentError(
            f"control variates need at least {TRIALS_PER_CONTROL * controls.shape[1]} trials; "
            f"got {count}."
        )
    if not np.isfinite(values).all():
        return np.nan, np.nan
    return _regress(values, controls, means, plane)


def _regress(
    values: np.ndarray, controls: np.ndarray, means: np.ndarray, plane: np.ndarray
) -> tuple[float, float]:
    """The regression's value at the controls' means, and its standard error.

    Args:
        values: shape (trials,).
        controls: shape (trials, controls); the first ones are the plane's.
        means: of the controls, shape (controls,).
        plane: the plane's controls of all selections, shape (selections, plane's controls).
    """
    count, spread = len(values), controls.std(axis=0)
    scale = np.where(spread > 1e-12 * np.abs(controls).max(axis=0), spread, np.inf)
    x = (controls - controls.mean(axis=0)) / scale
    at = (means - controls.mean(axis=0)) / scale
    inverse = np.linalg.pinv(x.T @ x, rcond=1e-10, hermitian=True)
    slopes = inverse @ x.T @ (values - values.mean())
    residual = values - values.mean() - x @ slopes
    free = count - 1 - np.linalg.matrix_rank(x, tol=1e-5 * np.sqrt(count))
    within = residual @ residual / free * (1 / count + at @ inverse @ at)
    among = plane @ (slopes / scale)[: plane.shape[1]]
    between = among.var(ddof=1) / len(plane)
    return float(values.mean() + at @ slopes), float(np.sqrt(within + between))


def plane_statistics(job: Job, n_trials: int) -> np.ndarray:
    """What the selections of trials 0, ..., n_trials - 1 say without rows, shape (n_trials, 11)."""
    parts = []
    with jax.enable_x64(True):
        root, parameters = job.arrays()
        for first in range(0, n_trials, BATCH):
            count = min(BATCH, n_trials - first)
            found = _plane_batch(
                root, jnp.asarray(first), jnp.asarray(count), parameters,
                plan=job.plan, loss=job.loss,
            )  # fmt: skip
            parts.append(np.asarray(found)[:count])
    return np.concatenate(parts)


@partial(jax.jit, static_argnames=("plan", "loss"))
def _plane_batch(
    root: Array, first: Array, count: Array, parameters: Parameters, *, plan: Plan, loss: Loss
) -> Array:
    def one(trial: Array) -> Array:
        kept, _ = chosen_by_fixed_probe(root, trial, parameters, plan=plan)
        plane, labels, weights = kept.plane, kept.labels, kept.weights
        samples = Samples(
            lambda _: plane[None], 2, plane[None].astype(jnp.float32), labels[None], weights[None]
        )
        best = plane_start(samples, loss, parameters.ridge)
        t = labels * (plane @ best)
        pull = weights * labels * loss.derivative(t)
        curvature = weights * second_derivative(loss, t)
        hessian = jnp.einsum("k,ki,kj->ij", curvature, plane, plane)
        signed = weights * labels
        sums = [signed.sum(), (pull**2).sum(), curvature.sum(), weights.sum()]
        upper = hessian[jnp.triu_indices(2)]
        return jnp.concatenate([best, signed @ plane, upper, jnp.stack(sums)])

    return collect(one, first, count, BATCH)

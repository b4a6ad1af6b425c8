"""Trials for inputs in components: K classes, softmax or margin, population values of each fit."""

from __future__ import annotations

import jax
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import Mixture
from nfl_pruning.inputs.mixture_draw import bucket
from nfl_pruning.montecarlo.components.trial import (
    Job,
    Pruned,
    fit_model,
    make_job,
    prune_trial,
    root_key,
)
from nfl_pruning.montecarlo.estimates.decisions import check_until, looks
from nfl_pruning.montecarlo.estimates.simulation import Simulation
from nfl_pruning.montecarlo.fits.logits import NO_MINIMUM, LogitFit
from nfl_pruning.montecarlo.fits.outcome import CONVERGED
from nfl_pruning.montecarlo.request import Request
from nfl_pruning.montecarlo.resources import COMPILER_BYTES, RESULT_BYTES, parse_memory
from nfl_pruning.montecarlo.resume import TrialRecords
from nfl_pruning.montecarlo.trials import FAILURES, NO_PROBE, Table
from nfl_pruning.probes import InSampleProbe
from nfl_pruning.problem import Problem
from nfl_pruning.theory.mixture.worth import Outputs, outputs_of, worth

REASONS = FAILURES | {NO_MINIMUM: "class-without-samples"}
COUNTED = ("kept", "gradient_norm", "steps", "passes", "code")


def mixture_observables(mixture: Mixture) -> tuple[str, ...]:
    """Names of what is known of each trial; see :func:`simulate_mixture`."""
    c, k = range(mixture.n_components), range(mixture.n_classes)
    logits = k if mixture.n_classes > 2 else (None,)

    def of(name: str, *places: int | None) -> str:
        return "_".join([name, *(str(place) for place in places if place is not None)])

    return (
        "test_error",
        "test_loss",
        "worst_class_error",
        "calibration_slope",
        "calibration_error",
        "norm",
        *(of("class_error", i) for i in k),
        *(of("kept_class", i) for i in k),
        *(of("kept_component", i) for i in c),
        *(of("intercept", i) for i in logits),
        *(of("mean", i, j) for i in c for j in logits),
        *(of("variance", i, j) for i in c for j in logits),
    )


def simulate_mixture(problem: Problem, request: Request) -> Simulation:
    """Draw, prune and fit training sets whose inputs come in components (see ``simulate``).

    Returns:
        A :class:`Simulation` whose trials have population values of the fitted model: test_error,
        test_loss, worst_class_error, calibration_slope, calibration_error and class_error_K; of
        the selection kept_class_K and kept_component_C, the share of each class and component
        that was kept; of the model its norm, intercept(_K), and the moments of its outputs given
        each component, mean_C(_K) and variance_C(_K), without K for one margin.

    Raises:
        InvalidArgumentError: an argument is out of range, or the problem has no trials.
    """
    job = make_job(problem, request.n_features, request.tolerance)
    if request.split == "rows":
        raise InvalidArgumentError("split must be auto or trials for components; got 'rows'.")
    _check_memory(job, request)
    until = check_until(request.until, mixture_observables(job.mixture))
    root = root_key(request.seed)
    names = (*mixture_observables(job.mixture), *COUNTED)

    def empty(count: int) -> Table:
        return {name: np.zeros(count) for name in names}

    described = request.describe(problem, job.n_features, names)
    keeper, table = TrialRecords(request.records, described, empty), empty(0)
    found = None
    for stop in looks(request.n_trials, until):
        new = _run(job, root, keeper, span=(len(table["code"]), stop), request=request)
        table = {name: np.concatenate([old, new[name]]) for name, old in table.items()}
        found = _simulation(job, table, request.seed)
        if until and found.standard_error(until[0]) <= until[1]:
            break
    assert found is not None  # there is at least one look
    return found


def _run(
    job: Job, root: Array, keeper: TrialRecords, *, span: tuple[int, int], request: Request
) -> Table:
    """The trials span[0], ..., span[1] - 1, from records where they exist."""
    first, stop = span
    table, have = keeper.load(first, stop)
    try:
        for trial in range(first, stop):
            if not have[trial - first]:
                row = run_trial(job, jax.random.fold_in(root, trial))
                for name, value in row.items():
                    table[name][trial - first] = value
                keeper.save(trial, {name: np.array([value]) for name, value in row.items()})
            if request.progress:
                request.progress(trial + 1, request.n_trials)
    finally:
        keeper.flush()
    return table


def run_trial(job: Job, key: Array) -> dict[str, float]:
    """Every number of one trial, by name."""
    pruned = prune_trial(job, key)
    found = fit_model(
        job, pruned.samples, pruned.weights / job.n_samples, ridge=job.problem.student.ridge
    )
    code = found.code if pruned.probe_code == CONVERGED else NO_PROBE
    row = dict.fromkeys(mixture_observables(job.mixture), np.nan)
    row |= _kept(job, pruned)
    row |= {
        "kept": float(np.count_nonzero(pruned.weights)),
        "gradient_norm": found.gradient_norm,
        "steps": float(found.steps),
        "passes": float(found.passes),
        "code": float(code),
    }
    return row | (_values(job, found) if code == CONVERGED else {})


def _kept(job: Job, pruned: Pruned) -> dict[str, float]:
    """Share kept of each class and component; NaN where it has no sample."""
    stays = pruned.weights > 0
    shares = {}
    for name, codes, count in (
        ("kept_class", pruned.samples.y, job.mixture.n_classes),
        ("kept_component", pruned.samples.component, job.mixture.n_components),
    ):
        all_of, some = (np.bincount(codes[rows], minlength=count) for rows in (stays | True, stays))
        share = some / np.where(all_of, all_of, np.nan)
        shares |= {f"{name}_{i}": float(value) for i, value in enumerate(share)}
    return shares


def _values(job: Job, found: LogitFit) -> dict[str, float]:
    """Population values of the fitted model."""
    mixture = job.mixture
    value = worth(job.problem, mixture, found.weights, found.intercepts)
    outputs = outputs_of(mixture, found.weights, found.intercepts)
    row = {
        "test_error": value.test_error,
        "test_loss": value.test_loss,
        "worst_class_error": float(np.max(value.class_error)),
        "calibration_slope": value.calibration_slope,
        "calibration_error": value.calibration_error,
        "norm": float(np.linalg.norm(found.weights)),
    }
    row |= {f"class_error_{k}": float(e) for k, e in enumerate(value.class_error)}
    return row | _moments(outputs, found.intercepts)


def _moments(outputs: Outputs, intercepts: np.ndarray) -> dict[str, float]:
    variances = np.diagonal(outputs.covariances, axis1=1, axis2=2)
    row = {}
    for j, intercept in enumerate(intercepts):
        end = "" if len(intercepts) == 1 else f"_{j}"
        row[f"intercept{end}"] = float(intercept)
        for c in range(len(outputs.means)):
            row[f"mean_{c}{end}"] = float(outputs.means[c, j])
            row[f"variance_{c}{end}"] = float(variances[c, j])
    return row


def _simulation(job: Job, table: Table, seed: int) -> Simulation:
    codes = table["code"].astype(int)
    failures = {int(i): REASONS[int(codes[i])] for i in np.flatnonzero(codes)}
    known = {name: values for name, values in table.items() if name != "code"}
    return Simulation(
        job.problem, job.n_features, len(codes), seed, known, failures,
        observables=mixture_observables(job.mixture),
    )  # fmt: skip


def trial_bytes(job: Job) -> int:
    """Memory that one trial takes at most: rows, what they are drawn from, and those of the fit."""
    columns = job.n_features + 1
    drawn = 2 * 8 * job.n_features * (bucket(job.n_samples) + job.n_samples)
    pilot = 3 * 8 * columns * bucket(max(job.pilot_samples, 1))
    everything = isinstance(job.problem.probe, InSampleProbe) or job.problem.keep_fraction > 0.9
    fitted = job.n_samples if everything else int(job.n_samples * job.problem.keep_fraction) + 1
    if hasattr(job.problem.probe, "folds"):
        fitted = job.n_samples
    return drawn + max(pilot, 3 * 8 * columns * bucket(fitted)) + 4 * 8 * columns**2


def _check_memory(job: Job, request: Request) -> None:
    if request.memory is None:
        return
    needed = trial_bytes(job) + COMPILER_BYTES + RESULT_BYTES * request.n_trials
    if needed > parse_memory(request.memory):
        raise InvalidArgumentError(
            f"memory must be at least {needed / 2**20:.0f} MiB for {job.n_samples} samples and "
            f"{job.n_features} features; got {request.memory!r}."
        )

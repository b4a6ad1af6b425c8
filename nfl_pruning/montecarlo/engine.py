"""Simulate a problem: trials on all cores or devices, resumable, within a memory budget."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import Inputs, Mixture, Spectrum
from nfl_pruning.montecarlo.components.simulate import simulate_mixture
from nfl_pruning.montecarlo.components.trial import mixture_training_set
from nfl_pruning.montecarlo.estimates.decisions import Until, check_until, looks
from nfl_pruning.montecarlo.estimates.simulation import Simulation, make_simulation
from nfl_pruning.montecarlo.fits.outcome import GRADIENT_TOLERANCE
from nfl_pruning.montecarlo.plan import make_numbers, make_plan
from nfl_pruning.montecarlo.request import Progress, Request
from nfl_pruning.montecarlo.resources import RunPlan, plan_run
from nfl_pruning.montecarlo.resume import TrialRecords
from nfl_pruning.montecarlo.runner import (
    Job,
    gather_hosts,
    run_trials,
    shared_by_hosts,
    trials_of_host,
)
from nfl_pruning.montecarlo.spectral import simulate_spectrum
from nfl_pruning.montecarlo.trials import Layout, Outcome, Table, empty_table, explicit_trial
from nfl_pruning.numerics.programs import warn_of_many_programs
from nfl_pruning.problem import Problem
from nfl_pruning.records import RecordStore
from nfl_pruning.settings import with_own_settings
from nfl_pruning.theory.one_component import as_one_component, needs_component
from nfl_pruning.validation import check_integer, check_kind, check_number, check_seed


@with_own_settings
def simulate(
    problem: Problem,
    *,
    n_trials: int,
    n_features: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    memory: str | int | None = None,
    split: str = "auto",
    records: RecordStore | None = None,
    until: Until | None = None,
    tolerance: float = GRADIENT_TOLERANCE,
) -> Simulation:
    """Draw, prune and fit ``n_trials`` independent training sets of a problem.

    The numbers depend on the problem, ``n_features`` and ``seed`` alone; everything else
    says how they are computed, and moves them by less than 1e-8 at the default tolerance.

    Args:
        problem: what to simulate, at n = floor(samples_per_feature * n_features + 1/2) samples.
            Where its inputs have no limit, observables beyond cosine and norm are not known exactly
            and not given. A spectrum is simulated for smooth losses, a ridge > 0 and scores of
            logits and labels, densely and in double precision, without memory budget, devices,
            records or early stop. A mixture is simulated for smooth losses, a ridge > 0 and any
            score of logits, labels, input norm and component (see ``simulate_mixture``).
        n_features: dimension d of the inputs, >= 2; a spectrum's own where the inputs are one, a
            mixture's own unless its covariances are scalar.
        n_trials: number of training sets, >= 1. Trial i depends on (seed, i) and the problem
            alone: problems that share link, signal and sizes see the same samples at one seed.
        seed: whole number >= 0 and < 2^63.
        progress: called with (trials done, trials in all) after every batch of this host.
        memory: budget for resident memory above that after importing, such as ``"4GiB"``.
        split: whether several devices take different ``"trials"``, or share the ``"rows"`` of each.
        records: where finished trials are kept, so that a run that was killed continues.
        until: (observable, standard error): stop before ``n_trials`` once the mean is that precise.
        tolerance: Euclidean gradient norm at which a fit ends.

    Raises:
        InvalidArgumentError: an argument is out of range, fewer than one sample would be kept, the
            score needs what simulated samples do not have, the memory budget is too small, or the
            loss is the hinge without a ridge.
    """
    check_kind("problem", problem, Problem)
    if records is not None:
        check_kind("records", records, RecordStore)
    n_trials = check_integer("n_trials", n_trials, 1)
    check_number("tolerance", tolerance, "(0, 1]")
    warn_of_many_programs()
    request = Request(
        n_trials, n_features, seed, progress, memory, split, records, until, tolerance
    )
    return _simulate(problem.inputs, problem, request)


@singledispatch
def _simulate(inputs: Inputs, problem: Problem, request: Request) -> Simulation:
    """Trials for a law of the inputs: this one for unit covariance; others register their own."""
    if needs_component(problem):
        found = simulate_mixture(as_one_component(problem), request)
        return replace(found, problem=problem)
    until = check_until(request.until)
    n_features = check_integer("n_features", request.n_features, 2)
    job = make_job(problem, n_features=n_features, seed=request.seed)
    devices = len(jax.devices() if request.split == "rows" else jax.local_devices())
    run = plan_run(
        job.plan, memory=request.memory, split=request.split, tolerance=request.tolerance,
        devices=devices, n_trials=request.n_trials, smooth=job.loss.smooth,
    )  # fmt: skip
    keeper = TrialRecords(
        request.records, request.describe(problem, n_features, Outcome._fields), empty_table
    )
    table, tally = empty_table(0), _Tally(request.progress, 0, request.n_trials)
    found = None
    for stop in looks(request.n_trials, until):
        new = _run(job, run, keeper, (len(table["code"]), stop), tally)
        table = {name: np.concatenate([old, new[name]]) for name, old in table.items()}
        found = make_simulation(problem, table, n_features=n_features, seed=request.seed)
        if until and found.standard_error(until[0]) <= until[1]:
            break
    assert found is not None  # there is at least one look
    return found


@_simulate.register
def _(inputs: Spectrum, problem: Problem, request: Request) -> Simulation:
    for name in ("memory", "records", "until"):
        if getattr(request, name) is not None:
            raise InvalidArgumentError(
                f"{name} is not for the inputs {inputs.label}; leave it out."
            )
    if request.n_features not in (None, inputs.n_features):
        raise InvalidArgumentError(
            f"n_features must be the spectrum's {inputs.n_features}, or left out; "
            f"got {request.n_features}."
        )
    return simulate_spectrum(
        problem, n_trials=request.n_trials, seed=request.seed, progress=request.progress
    )


@_simulate.register
def _(inputs: Mixture, problem: Problem, request: Request) -> Simulation:
    return simulate_mixture(problem, request)


def estimate_cost(
    problem: Problem,
    *,
    n_features: int,
    n_trials: int = 0,
    memory: str | int | None = None,
    split: str = "auto",
) -> RunPlan:
    """What :func:`simulate` will do with these arguments, and its expected memory and time."""
    n_trials = check_integer("n_trials", n_trials, 0)
    job = make_job(problem, n_features=n_features, seed=0)
    devices = len(jax.devices() if split == "rows" else jax.local_devices())
    return plan_run(
        job.plan, memory=memory, split=split, tolerance=GRADIENT_TOLERANCE, devices=devices,
        n_trials=n_trials, smooth=job.loss.smooth,
    )  # fmt: skip


def make_job(problem: Problem, *, n_features: int, seed: int) -> Job:
    """Check the arguments that fix a trial's numbers."""
    n_features = check_integer("n_features", n_features, 2)
    seed = check_seed(seed, bits=63)
    student = problem.student
    if student.loss.fitting is None:
        raise InvalidArgumentError(
            "a simulated loss must have a derivative, or be the hinge or the hard margin, which "
            f"quadratic programs fit; {student.loss.name!r} has corners and names no such way."
        )
    if student.ridge == 0 and not student.loss.smooth and not student.loss.hard:
        raise InvalidArgumentError(
            f"ridge must be > 0 for a simulated fit with {student.loss.name} loss, which has many "
            "minimisers without one; got 0."
        )
    plan = make_plan(problem, n_features)
    return Job(plan, problem.student.loss, make_numbers(problem), seed)


class _Tally:
    """Counts finished trials and reports them."""

    def __init__(self, progress: Progress | None, done: int, of: int) -> None:
        self.progress, self.done, self.of = progress, done, of

    def add(self, count: int) -> None:
        self.done += count
        if self.progress and count:
            self.progress(self.done, self.of)


def _run(
    job: Job, run: RunPlan, keeper: TrialRecords, span: tuple[int, int], tally: _Tally
) -> Table:
    """The trials span[0], ..., span[1] - 1, from records where they exist."""
    first, stop = span
    owned = trials_of_host(np.arange(first, stop), run)
    table, have = keeper.load(first, stop)
    have = shared_by_hosts(have, run) & owned
    table = {name: np.where(owned, values, 0) for name, values in table.items()}
    tally.add(int(have.sum()))
    try:
        for start, part in run_trials(job, run, first + np.flatnonzero(owned & ~have)):
            count = len(part["code"])
            for name, values in part.items():
                table[name][start - first : start - first + count] = values
            keeper.save(start, part)
            tally.add(count)
    finally:
        keeper.flush()
    return gather_hosts(table, run)


class TrainingSet(NamedTuple):
    """The kept samples of one trial, as explicit arrays.

    Attributes:
        rows: their numbers among the n samples, increasing, shape (kept,).
        x: inputs, shape (kept, d), in the basis whose first vector is the teacher's direction and
            whose second is the probe's part orthogonal to it. float64 copies of float32 numbers.
        y: labels, -1 or 1, shape (kept,); class codes where the inputs are a mixture, whose rows
            are in its own coordinates.
        weights: shape (kept,), positive.
    """

    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray


def training_set(
    problem: Problem,
    *,
    n_features: int | None = None,
    trial: int,
    seed: int = 0,
) -> TrainingSet:
    """The very samples that trial number ``trial`` of :func:`simulate` fits."""
    if isinstance(problem.inputs, Mixture):
        return TrainingSet(*mixture_training_set(problem, n_features, trial=trial, seed=seed))
    n_features = check_integer("n_features", n_features, 2)
    job = make_job(problem, n_features=n_features, seed=seed)
    trial = check_integer("trial", trial, 0)
    with jax.enable_x64(True):
        root, parameters = job.arrays()
        found = explicit_trial(root, jnp.asarray(trial), parameters, plan=job.plan, layout=Layout())
    rows, x, y, weights = (np.asarray(part)[: job.plan.capacity] for part in found)
    there = weights > 0
    return TrainingSet(rows[there], x[there].astype(np.float64), y[there], weights[there])

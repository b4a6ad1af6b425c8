"""Run ranges of trials on what is there: CPU threads, several devices, several hosts.

A trial's numbers depend on (seed, trial) alone, so any division of labour gives the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, PartitionSpec

from nfl_pruning.losses import Loss
from nfl_pruning.montecarlo.plan import Parameters, Plan
from nfl_pruning.montecarlo.resources import RunPlan
from nfl_pruning.montecarlo.stages import run_staged
from nfl_pruning.montecarlo.trials import Layout, Outcome, Table, run_range
from nfl_pruning.settings import own_settings

Range = tuple[int, int]  # first trial and count


@dataclass(frozen=True)
class Job:
    """Everything that fixes a trial's numbers, given its number."""

    plan: Plan
    loss: Loss
    numbers: tuple[float, ...]
    seed: int

    def arrays(self) -> tuple[Array, Parameters]:
        """Root key and the problem's numbers (call inside a float64 scope)."""
        root = jax.random.key(self.seed, impl="threefry2x32")
        return root, Parameters(*(jnp.asarray(value, jnp.float64) for value in self.numbers))


def run_trials(job: Job, run: RunPlan, trials: np.ndarray) -> Iterator[tuple[int, Table]]:
    """Compute the given trials (increasing numbers).

    Yields:
        The first number of a run of consecutive trials, and their table; in any order.
    """
    if not len(trials):
        return iter(())
    rows, devices = run.layout.shards > 1, len(jax.local_devices())
    lanes = 1 if rows else max(devices, run.workers)
    most = min(run.batch, -(-len(trials) // lanes))
    gaps = np.flatnonzero(np.diff(trials) != 1) + 1
    pieces = [
        (int(part[start]), min(most, len(part) - start))
        for part in np.split(trials, gaps)
        for start in range(0, len(part), most)
    ]
    on = _on_rows if rows else _on_devices if devices > 1 else _on_threads
    return on(job, run, pieces)


def _table(outcome: Outcome, count: int) -> Table:
    return {name: np.asarray(value)[:count] for name, value in outcome._asdict().items()}


def _on_threads(job: Job, run: RunPlan, pieces: list[Range]) -> Iterator[tuple[int, Table]]:
    """One compiled program, called from as many threads as there are trials at a time.

    XLA runs the small products of one trial on one core, so cores are filled with trials.
    """

    def work(piece: Range) -> tuple[int, Table]:
        with jax.enable_x64(True), own_settings():  # these scopes belong to the thread
            root, parameters = job.arrays()
            outcome = run_staged(
                root, jnp.asarray(piece[0]), jnp.asarray(piece[1]), parameters,
                size=run.batch, plan=job.plan, loss=job.loss, layout=run.layout,
            )  # fmt: skip
            return piece[0], _table(outcome, piece[1])

    pool = ThreadPoolExecutor(run.workers)
    try:
        for done in as_completed([pool.submit(work, piece) for piece in pieces]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@cache
def _mesh_program(plan: Plan, loss: Loss, layout: Layout, size: int) -> tuple[Callable, int]:
    """The compiled program over a mesh, and the number of devices."""
    rows = layout.shards > 1
    devices = jax.devices() if rows else jax.local_devices()
    mesh = Mesh(np.array(devices), ("rows" if rows else "trials",))
    everywhere, apart = PartitionSpec(), PartitionSpec("trials")

    def work(root: Array, first: Array, count: Array, parameters: Parameters) -> Outcome:
        return run_range(
            root, first[0], count[0], parameters,
            size=size, plan=plan, loss=loss, layout=layout,
        )  # fmt: skip

    ranges, outcome = (everywhere, everywhere) if rows else (apart, apart)
    program = jax.shard_map(
        work,
        mesh=mesh,
        in_specs=(everywhere, ranges, ranges, everywhere),
        out_specs=outcome,
        check_vma=False,  # what comes out of the fit is the same on every device by construction
    )
    return jax.jit(program), len(devices)


def _on_devices(job: Job, run: RunPlan, pieces: list[Range]) -> Iterator[tuple[int, Table]]:
    """One piece on each local device at a time, through a mesh."""
    program, devices = _mesh_program(job.plan, job.loss, run.layout, run.batch)
    for start in range(0, len(pieces), devices):
        group = pieces[start : start + devices]
        idle = [(0, 0)] * (devices - len(group))
        firsts, counts = (np.array(column) for column in zip(*group, *idle, strict=True))
        with jax.enable_x64(True):
            root, parameters = job.arrays()
            whole = program(root, firsts, counts, parameters)
        host = {name: np.asarray(value) for name, value in whole._asdict().items()}
        for i, (first, count) in enumerate(group):
            part = slice(i * run.batch, i * run.batch + count)
            yield first, {name: value[part] for name, value in host.items()}


def _on_rows(job: Job, run: RunPlan, pieces: list[Range]) -> Iterator[tuple[int, Table]]:
    """The rows of each trial spread over all devices of all hosts, one trial after the other."""
    program, _ = _mesh_program(job.plan, job.loss, run.layout, run.batch)
    for first, count in pieces:
        with jax.enable_x64(True):
            root, parameters = job.arrays()
            whole = program(root, np.array([first]), np.array([count]), parameters)
            yield first, _table(whole, count)


def trials_of_host(trials: np.ndarray, run: RunPlan) -> np.ndarray:
    """Mask of the trials that this host computes: all where hosts share rows, else every P-th."""
    if run.layout.shards > 1:
        return np.ones(len(trials), bool)
    return trials // run.batch % jax.process_count() == jax.process_index()


def shared_by_hosts(have: np.ndarray, run: RunPlan) -> np.ndarray:
    """Mask of the trials that count as finished: where hosts share rows, those that all have.

    Hosts that share rows work on one trial together, so they must agree which are missing.
    """
    if jax.process_count() == 1 or run.layout.shards == 1:
        return have
    return np.all(multihost_utils.process_allgather(have), axis=0)


def gather_hosts(table: Table, run: RunPlan) -> Table:
    """Fill in what other hosts computed; entries that are not a host's own must be 0 there."""
    if jax.process_count() == 1 or run.layout.shards > 1:
        return table
    with jax.enable_x64(True):
        return {
            name: np.asarray(multihost_utils.process_allgather(values)).sum(axis=0)
            for name, values in sorted(table.items())
        }

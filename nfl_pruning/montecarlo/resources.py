"""What a run may use: memory, workers, devices; and what it will need, before it starts."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

import jax

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.montecarlo.plan import Plan
from nfl_pruning.montecarlo.trials import Layout, block_shape
from nfl_pruning.validation import check_choice

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
COMPILER_BYTES = 400 * 2**20  # what compiling one problem and the runtime add to a process
SAMPLE_BYTES = 200  # coordinates, scores, selection and their temporaries, a sample
RESULT_BYTES = 1000  # a finished trial: its row of the table, copies and derived values
KEPT_BYTES = 160  # margins, curvatures and search directions of the fit, a kept sample
BATCH_ELEMENTS = 4_000_000  # numbers drawn in a batch: long against its launch, short for progress
MATRICES = 6  # of the size of features x features: a Gram matrix, its factor, their temporaries
GRAMS, GRAM_SECONDS = 15, 0.15e-9  # of an interior-point fit; per element and feature
DRAW_SECONDS, PASS_SECONDS, PASSES = 5e-9, 0.4e-9, 60  # per element on one core of 2024


@dataclass(frozen=True)
class RunPlan:
    """How a run is laid out, and what it is expected to cost.

    Attributes:
        layout: how one trial is computed.
        workers: trials at a time in this process.
        batch: trials in one call of the compiled program.
        trial_bytes: memory of one trial at a time.
        total_bytes: expected peak of resident memory above that after importing, for the number
            of trials that was planned for.
        seconds: expected time of a trial on one CPU core, to a factor of 3.
    """

    layout: Layout
    workers: int
    batch: int
    trial_bytes: int
    total_bytes: int
    seconds: float

    def describe(self, n_trials: int) -> str:
        """One line for people, before a long run."""
        rows = "stored" if self.layout.store else "drawn again for each pass"
        return (
            f"{n_trials} trials, {self.workers} at a time, rows {rows}: about "
            f"{self.total_bytes / 2**20:.0f} MiB and {self.seconds * n_trials / self.workers:.0f} s"
        )


def parse_memory(text: str | int | float) -> int:
    """Bytes from a number or from text such as ``4GiB`` or ``500 MB``."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", str(text))
    try:
        size = float(match[1]) * UNITS[match[2].upper()] if match else 0
    except (KeyError, ValueError):
        size = 0
    if not 0 < size < float("inf"):
        raise InvalidArgumentError(
            f"memory must be a positive size such as 4GiB or 500MB; got {text!r}."
        )
    return int(size)


def cpu_workers() -> int:
    """CPU cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def trial_bytes(plan: Plan, layout: Layout, *, smooth: bool = True) -> int:
    """Memory that one trial takes on one device; fits to losses with corners factorise matrices."""
    if plan.pilot is not None:  # the pilot's rows are gone before the others come
        after = trial_bytes(replace(plan, pilot=None), layout, smooth=smooth)
        return max(trial_bytes(plan.pilot, layout), after)
    blocks, size = block_shape(plan, layout)
    rows = blocks * size * plan.n_features * 4 // layout.shards if layout.store else 0
    working = 4 * size * plan.n_features * 8 + 60 * plan.n_features * 8
    if not smooth:
        working += MATRICES * (plan.n_features + 1) ** 2 * 8
    return rows + working + SAMPLE_BYTES * plan.n_samples + KEPT_BYTES * blocks * size


def plan_run(
    plan: Plan,
    *,
    memory: str | int | None,
    split: str,
    tolerance: float,
    devices: int,
    n_trials: int = 0,
    smooth: bool = True,
) -> RunPlan:
    """Choose a layout and a number of workers that keep the memory budget.

    Args:
        plan: the problem's shapes.
        memory: budget for resident memory above that after importing (a size or its text), or
            None for no budget. Rows that do not fit are drawn again for each pass.
        split: ``"trials"`` (devices take different trials), ``"rows"`` (devices share the rows of
            each trial) or ``"auto"``.
        tolerance: gradient norm of the fits.
        devices: number of local devices, 1 for a CPU without virtual devices.
        n_trials: whose results are held at the end.
        smooth: whether the loss has no corners.

    Raises:
        InvalidArgumentError: not even one trial at a time fits.
    """
    check_choice("split", split, ("auto", "trials", "rows"))
    shards = devices if split == "rows" else 1
    most = 1 if split == "rows" else (devices if devices > 1 else _default_workers())
    always = COMPILER_BYTES + RESULT_BYTES * n_trials
    budget = None if memory is None else parse_memory(memory) - always
    for store in (True, False):
        layout = Layout(store, shards, tolerance)
        one = trial_bytes(plan, layout, smooth=smooth)
        workers = most if budget is None else min(most, budget // one)
        if devices > 1 and split != "rows" and workers < most:
            workers = 0  # every device of a mesh takes its trial
        if workers >= 1:
            break
    else:
        counted = "1 trial" if n_trials < 2 else f"{n_trials} trials"
        raise InvalidArgumentError(
            f"memory must be at least {(one + always) / 2**20:.0f} MiB for {counted} of "
            f"{plan.n_samples} samples and {plan.n_features} features; got {memory!r}."
        )
    elements = plan.capacity * plan.n_features
    batch = max(1, min(64, BATCH_ELEMENTS // elements))
    cost = DRAW_SECONDS + PASS_SECONDS * PASSES if store else DRAW_SECONDS * PASSES
    if not smooth:
        cost += GRAMS * GRAM_SECONDS * plan.n_features
    total = always + workers * one * (devices if split == "rows" else 1)
    return RunPlan(layout, int(workers), int(batch), one, int(total), elements * cost)


def _default_workers() -> int:
    """Trials at a time on one device: a CPU runs as many as it has cores, others one."""
    return cpu_workers() if jax.default_backend() == "cpu" else 1

"""What the simulation scripts share: a setting, and records of theory and of trials."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np

from nfl_pruning import Problem, Student, Teacher, make_selection, simulate, solve
from nfl_pruning.numerics.programs import release_programs
from nfl_pruning.probes import FixedProbe
from nfl_pruning.records import RecordStore
from nfl_pruning.scores import SCORES

Progress = Callable[[int, int], Any]

SIGNAL, ALIGNMENT, RIDGE = 2.0, 0.8, 0.01

OBSERVABLES = ("cosine", "test_error", "excess_risk", "norm")


@dataclass(frozen=True)
class Job:
    """One record to be: what names it, and how it is computed."""

    config: dict[str, Any]
    compute: Callable[[], dict[str, Any]]


def problem_of(rule: dict[str, Any], keep_fraction: float, samples_per_feature: float) -> Problem:
    """The problem of a rule, such as an entry of ``RULES``, in the setting of these figures."""
    return Problem(
        samples_per_feature=samples_per_feature,
        keep_fraction=keep_fraction,
        score=SCORES[rule.get("score", "el2n")],
        keep=rule.get("keep", "hardest"),
        selection=make_selection(
            rule.get("selection", "threshold"), exploit=rule.get("exploit", 0.5)
        ),
        teacher=Teacher(signal=SIGNAL),
        probe=FixedProbe(ALIGNMENT),
        student=Student(ridge=RIDGE),
    )


def theory_job(problem: Problem, **labels: Any) -> Job:
    """The exact limit of a problem."""

    def compute() -> dict[str, Any]:
        solution = solve(problem)
        found = {name: getattr(solution, name) for name in OBSERVABLES}
        return found | {"status": solution.status, "error_estimate": solution.error_estimate}

    return Job({"kind": "theory", **labels, "problem": problem.describe()}, compute)


def trials_job(problem: Problem, sizes: dict[str, Any], **labels: Any) -> Job:
    """Mean and standard error of each observable over trials."""

    def compute() -> dict[str, Any]:
        found = simulate(problem, **sizes)
        return {
            name: {"mean": found.mean(name), "standard_error": found.standard_error(name)}
            for name in OBSERVABLES
        } | {"failed": found.failed}

    return Job({"kind": "trials", **labels, **sizes, "problem": problem.describe()}, compute)


def run_jobs(
    jobs: Sequence[Job], store: RecordStore, progress: Progress, *, workers: int | None = None
) -> None:
    """Compute the records that are missing, and forget stale ones.

    Records of data sets that no job names stay: they are of data that this machine does not have.

    Args:
        jobs: what to compute.
        store: where.
        progress: called with (jobs done, jobs).
        workers: jobs at a time; as many as there are cores if None.
    """
    data = {job.config.get("data") for job in jobs}
    store.forget_others(
        [job.config for job in jobs],
        spare=lambda config: "data" in config and config["data"] not in data,
    )
    missing = [job for job in jobs if store.get(job.config) is None]
    done = len(jobs) - len(missing)
    progress(done, len(jobs))
    with ThreadPoolExecutor(workers or max(1, min(os.cpu_count() or 1, 8))) as pool:
        running = [
            pool.submit(lambda job=job: store.put(job.config, job.compute())) for job in missing
        ]
        try:
            for finished in as_completed(running):
                finished.result()
                release_programs()
                done += 1
                progress(done, len(jobs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def keep_grid(least: float, count: int) -> list[float]:
    """Keep fractions from ``least`` to 1, evenly spaced in the logarithm."""
    return [round(float(r), 6) for r in np.geomspace(least, 1, count)]

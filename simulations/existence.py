"""Existence: samples per feature at which kept samples stop being separable, by rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linprog

from _cells import Job, Progress, keep_grid, problem_of, run_jobs
from nfl_pruning import Problem, existence_threshold
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.montecarlo import training_set
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES

NAME = "existence"

SIGNALS = (1.0, 4.0)
CASES = RULES | {"exact": RULES["aware-hardest"] | {"selection": "exact", "exploit": 0.5}}
START = 5.0  # samples per feature of the problems' descriptions; the threshold does not read it
MOST = 60.0  # samples per feature beyond which no trial is run

PRESETS = {
    "quick": {
        "curve": keep_grid(0.05, 21),
        "points": [0.3, 0.8],
        "trials": {"n_features": 40, "n_trials": 8, "seed": 0},
    },
    "paper": {
        "curve": keep_grid(0.02, 50),
        "points": keep_grid(0.05, 8),
        "trials": {"n_features": 100, "n_trials": 100, "seed": 0},
    },
}


def problem(case: str, signal: float, keep_fraction: float) -> Problem:
    """A rule at a signal, without a ridge."""
    return problem_of(CASES[case], keep_fraction, START).replace(signal=signal, ridge=0.0)


def separable(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether some parameter has margins of at least 1 on all rows, by a linear program."""
    program = linprog(
        np.zeros(x.shape[1]), A_ub=-y[:, None] * x, b_ub=-np.ones(len(y)), bounds=(None, None)
    )
    return program.status == 0


def last_separable(problem: Problem, sizes: dict[str, Any], trial: int) -> float | None:
    """Samples per feature up to which the kept ones among the first samples are separable.

    One data set, read from its start: whatever is kept stays, so separability ends once. The rank
    of its last kept sample before that is found by bisection, each step a linear program.

    Returns:
        None where all samples that were drawn are separable.
    """
    d = sizes["n_features"]
    data = training_set(problem, n_features=d, trial=trial, seed=sizes["seed"])
    low, high = 1, len(data.y)
    if separable(data.x, data.y):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if separable(data.x[:middle], data.y[:middle]):
            low = middle
        else:
            high = middle
    return (int(data.rows[high - 1]) + 1) / d


def simulated(problem: Problem, sizes: dict[str, Any]) -> dict[str, Any]:
    """Mean and standard error of the simulated threshold over trials, and how many had none.

    Twice the predicted number of samples is drawn: a trial that is separable still is named, and
    leaves no mean.
    """
    drawn = problem.replace(samples_per_feature=2 * existence_threshold(problem))
    found = [last_separable(drawn, sizes, trial) for trial in range(sizes["n_trials"])]
    ends = [end for end in found if end is not None]
    failed = len(found) - len(ends)
    if failed:
        return {"mean": None, "standard_error": None, "failed": failed}
    error = float(np.std(ends, ddof=1) / np.sqrt(len(ends)))
    return {"mean": float(np.mean(ends)), "standard_error": error, "failed": 0}


def jobs(preset: str) -> list[Job]:
    """One record a point of a curve and one a simulated point."""
    sizes, found = PRESETS[preset], []
    for signal in SIGNALS:
        for case in CASES:
            for r in sizes["curve"]:
                found.append(_theory_job(case, problem(case, signal, r)))
            for r in sizes["points"]:
                if existence_threshold(problem(case, signal, r)) < MOST:
                    found.append(_trials_job(case, problem(case, signal, r), sizes["trials"]))
    return found


def _theory_job(case: str, problem: Problem) -> Job:
    config = {"kind": "theory", "rule": case, "problem": problem.describe()}
    return Job(config, lambda: {"threshold": existence_threshold(problem)})


def _trials_job(case: str, problem: Problem, sizes: dict[str, Any]) -> Job:
    config = {"kind": "trials", "rule": case, **sizes, "problem": problem.describe()}
    return Job(config, lambda: {"threshold": simulated(problem, sizes)})


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    run_jobs(jobs(preset), store, progress)


if __name__ == "__main__":
    run_alone(__file__, run)

"""Universality: which laws of inputs obey the theory of Gaussian ones, and which do not."""

from __future__ import annotations

from typing import Any

import numpy as np

from _cells import Job, Progress, problem_of, run_jobs
from nfl_pruning import Problem, simulate, solve
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES

NAME = "universality"

LAWS = ("gaussian", "mixture:0.9:across", "mixture:0.9:teacher", "heavy-tails:5")
CASES = ("random", "aware-easiest", "agnostic-hardest")
OBSERVABLES = ("cosine", "norm")  # what is known of a fit whatever the law of the inputs
KEEP_FRACTION, SAMPLES_PER_FEATURE = 0.3, 5.0

PRESETS = {
    "quick": {
        "curve": np.geomspace(0.5, 5, 7),
        "points": [0.5, 1.5, 5.0],
        "trials": {"n_features": 200, "n_trials": 100, "seed": 0},
    },
    "paper": {
        "curve": np.geomspace(0.5, 5, 25),
        "points": [0.5, 0.9, 1.5, 2.8, 5.0],
        "trials": {"n_features": 800, "n_trials": 200, "seed": 0},
    },
}


def problem(case: str, signal: float) -> Problem:
    """A rule at a signal."""
    found = problem_of(RULES[case], KEEP_FRACTION, SAMPLES_PER_FEATURE)
    return found.replace(signal=round(float(signal), 6))


def theory_job(case: str, signal: float) -> Job:
    """The limit, for Gaussian inputs."""
    what = problem(case, signal)

    def compute() -> dict[str, Any]:
        solution = solve(what)
        return {name: getattr(solution, name) for name in OBSERVABLES} | {"status": solution.status}

    return Job({"kind": "theory", "rule": case, "problem": what.describe()}, compute)


def trials_job(case: str, signal: float, law: str, sizes: dict[str, Any]) -> Job:
    """Trials with inputs of a law, and how far their mean is from the Gaussian limit."""
    what = problem(case, signal)

    def compute() -> dict[str, Any]:
        found = simulate(what.replace(inputs=law), **sizes)
        means = {
            name: {"mean": found.mean(name), "standard_error": found.standard_error(name)}
            for name in OBSERVABLES
        }
        return means | {"failed": found.failed}

    config = {"kind": "trials", "rule": case, "law": law, **sizes, "problem": what.describe()}
    return Job(config, compute)


def jobs(preset: str) -> list[Job]:
    """One record a point."""
    sizes = PRESETS[preset]
    found = [theory_job(case, signal) for case in CASES for signal in sizes["curve"]]
    for law in LAWS:
        for case in CASES:
            found += [trials_job(case, s, law, sizes["trials"]) for s in sizes["points"]]
    return found


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    run_jobs(jobs(preset), store, progress)


if __name__ == "__main__":
    run_alone(__file__, run)

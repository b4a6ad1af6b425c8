"""Optimal rule: the best that any score of the probe's margin can do, and what it keeps."""

from __future__ import annotations

from typing import Any

from _cells import Job, Progress, keep_grid, problem_of, run_jobs, theory_job
from nfl_pruning.cli.scripts import run_alone
from nfl_pruning.montecarlo import simulate
from nfl_pruning.problem import Problem
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES
from nfl_pruning.theory.optimal.best_rule import optimal_rule

NAME = "optimal_rule"

AMOUNTS = {"little": 3.0, "plentiful": 40.0}
GOAL = "test_error"

PRESETS = {
    "quick": {
        "curve": keep_grid(0.05, 13),
        "optimal": [0.1, 0.3],
        "bins": 20,
        "trials": {"n_features": 200, "n_trials": 32},
    },
    "paper": {
        "curve": keep_grid(0.02, 40),
        "optimal": keep_grid(0.03, 10)[:-1],
        "bins": 60,
        "trials": {"n_features": 800, "n_trials": 100},
    },
}


def jobs(preset: str) -> list[Job]:
    """One record a point of the usual rules' curves and one an optimised rule."""
    sizes, found = PRESETS[preset], []
    for amount, samples_per_feature in AMOUNTS.items():
        for rule, choice in RULES.items():
            for r in sizes["curve"]:
                problem = problem_of(choice, r, samples_per_feature)
                found.append(theory_job(problem, rule=rule, amount=amount))
        for r in sizes["optimal"]:
            problem = problem_of(RULES["random"], r, samples_per_feature)
            found.append(_optimal_job(problem, sizes, amount))
    return found


def _optimal_job(problem: Problem, sizes: dict[str, Any], amount: str) -> Job:
    """An optimised rule: its bins, its certified value and that of simulated fits."""
    trials = sizes["trials"] | {"seed": 0}
    config = {"kind": "optimal", "amount": amount, "bins": sizes["bins"], **trials}

    def compute() -> dict[str, Any]:
        best = optimal_rule(problem, goal=GOAL, weights=False, bins=sizes["bins"])
        found = simulate(best.problem, **trials)
        return {
            "test_error": best.value,
            "status": best.solution.status,
            "stationarity": best.stationarity,
            "baselines": best.baselines,
            "edges": best.edges.tolist(),
            "keep": best.keep.tolist(),
            "simulated": {
                "mean": found.mean(GOAL),
                "standard_error": found.standard_error(GOAL),
            },
        }

    return Job(config | {"goal": GOAL, "problem": problem.describe()}, compute)


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    run_jobs(jobs(preset), store, progress)


if __name__ == "__main__":
    run_alone(__file__, run)

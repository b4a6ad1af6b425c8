"""No Free Lunch: random and the four hard rules at little and at plentiful data."""

from __future__ import annotations

from _cells import Job, Progress, keep_grid, problem_of, run_jobs, theory_job, trials_job
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES

NAME = "no_free_lunch"

AMOUNTS = {"little": 3.0, "plentiful": 40.0}

PRESETS = {
    "quick": {
        "curve": keep_grid(0.05, 25),
        "points": [0.1, 0.4, 1.0],
        "little": {"n_features": 300, "n_trials": 32},
        "plentiful": {"n_features": 100, "n_trials": 32},
    },
    "paper": {
        "curve": keep_grid(0.02, 60),
        "points": keep_grid(0.05, 9),
        "little": {"n_features": 1000, "n_trials": 100},
        "plentiful": {"n_features": 400, "n_trials": 100},
    },
}


def jobs(preset: str) -> list[Job]:
    """One record a point of a curve and one a simulated point."""
    sizes, found = PRESETS[preset], []
    for amount, samples_per_feature in AMOUNTS.items():
        for rule, choice in RULES.items():
            labels = {"rule": rule, "amount": amount}
            for r in sizes["curve"]:
                found.append(theory_job(problem_of(choice, r, samples_per_feature), **labels))
            for r in sizes["points"]:
                if r < 1 or rule == "random":  # keeping all, every rule is the same
                    problem = problem_of(choice, r, samples_per_feature)
                    found.append(trials_job(problem, sizes[amount] | {"seed": 0}, **labels))
    return found


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    run_jobs(jobs(preset), store, progress)


if __name__ == "__main__":
    run_alone(__file__, run)

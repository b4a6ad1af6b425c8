"""Calibration: where exact and soft calibration rescue a hard rule, and what they cost."""

from __future__ import annotations

from _cells import Job, Progress, keep_grid, problem_of, run_jobs, theory_job, trials_job
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES

NAME = "calibration"

EXPLOIT, EXPONENT = 0.5, 0.5
PROTOCOLS = {
    "threshold": {},
    "exact": {"selection": "exact", "exploit": EXPLOIT},
    "soft": {"selection": f"soft:{EXPONENT}", "exploit": EXPLOIT},
}

CASES = {
    "aware-hardest, plentiful": ("aware-hardest", 40.0),
    "agnostic-hardest, plentiful": ("agnostic-hardest", 40.0),
    "aware-hardest, little": ("aware-hardest", 3.0),
    "aware-easiest, little": ("aware-easiest", 3.0),
}

PRESETS = {
    "quick": {
        "curve": keep_grid(0.05, 21),
        "points": [0.1, 0.4],
        3.0: {"n_features": 300, "n_trials": 32},
        40.0: {"n_features": 100, "n_trials": 32},
    },
    "paper": {
        "curve": keep_grid(0.02, 60),
        "points": keep_grid(0.05, 9)[:-1],
        3.0: {"n_features": 1000, "n_trials": 100},
        40.0: {"n_features": 400, "n_trials": 100},
    },
}


def jobs(preset: str) -> list[Job]:
    """One record a point of a curve and one a simulated point; random is the base line."""
    sizes, found = PRESETS[preset], []
    for case, (rule, samples_per_feature) in CASES.items():
        choices = {name: RULES[rule] | more for name, more in PROTOCOLS.items()}
        for protocol, choice in (choices | {"random": RULES["random"]}).items():
            labels = {"case": case, "protocol": protocol}
            for r in sizes["curve"]:
                found.append(theory_job(problem_of(choice, r, samples_per_feature), **labels))
            for r in sizes["points"] if protocol in ("exact", "soft") else ():
                problem = problem_of(choice, r, samples_per_feature)
                found.append(
                    trials_job(problem, sizes[samples_per_feature] | {"seed": 0}, **labels)
                )
    return found


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    run_jobs(jobs(preset), store, progress)


if __name__ == "__main__":
    run_alone(__file__, run)

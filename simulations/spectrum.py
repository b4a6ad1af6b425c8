"""Scaling laws: the exponent of the learning curve by rule and keep fraction, power-law inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from _cells import Job, Progress, run_jobs
from nfl_pruning import (
    Problem,
    Spectrum,
    Student,
    Teacher,
    make_selection,
    power_law,
    simulate,
    solve,
)
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.probes import PilotProbe
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES
from nfl_pruning.scores import SCORES

NAME = "spectrum"

EXPONENT, TEACHER_EXPONENT, SIGNAL, PENALTY = 1.5, 1.8, 5.0, 0.1
PILOT = 500  # fresh samples that the probe is fitted to
CHOICES: dict[str, dict[str, Any]] = RULES | {
    "exact": {"score": "margin", "keep": "hardest", "selection": "exact"},
    "full": {"selection": "random"},
}
KEPT = 0.3  # in the learning curves
SIMULATED = ("random", "agnostic-hardest")

PRESETS = {
    "quick": {
        "n_features": 300,
        "samples": np.geomspace(50, 5000, 8),
        "kept": [0.05, 0.15, 0.3, 0.7],
        "window": [500, 1000],
        "points": [400],
        "n_trials": 12,
    },
    "paper": {
        "n_features": 1000,
        "samples": np.geomspace(50, 20000, 20),
        "kept": np.geomspace(0.02, 0.9, 14),
        "window": [1000, 2000],
        "points": [100, 300, 1000, 3000],
        "n_trials": 32,
    },
}


def problem_of(rule: str, keep_fraction: float, samples_per_feature: float, n: float) -> Problem:
    """The problem of a rule with n samples: the penalty of the sum of losses does not grow."""
    choice = CHOICES[rule]
    return Problem(
        samples_per_feature=samples_per_feature,
        keep_fraction=1.0 if rule == "full" else keep_fraction,
        score=SCORES[choice.get("score", "el2n")],
        keep=choice.get("keep", "hardest"),
        selection=make_selection(choice.get("selection", "threshold")),
        teacher=Teacher(signal=SIGNAL),
        probe=PilotProbe(PILOT * samples_per_feature / n, PENALTY / PILOT),
        student=Student(ridge=PENALTY / n),
    )


def _job(kind: str, spectrum: Spectrum, case: dict[str, Any], n_trials: int = 0) -> Job:
    """One point of a curve: the limit, or the mean of trials."""
    rule, kept, n = case["rule"], case["kept"], case["samples"]
    problem = problem_of(rule, kept, n / spectrum.n_features, n)
    here = problem.replace(inputs=spectrum)

    def limit() -> dict[str, Any]:
        found = solve(here)
        return {
            "excess_risk": found.excess_risk,
            "test_error": found.test_error,
            "status": found.status,
            "error_estimate": found.error_estimate,
        }

    def trials() -> dict[str, Any]:
        found = simulate(here, n_trials=n_trials)
        name = "excess_risk"
        mean, error = found.mean(name), found.standard_error(name)
        return {name: {"mean": mean, "standard_error": error}, "failed": found.failed}

    config = {"kind": kind, **case, **spectrum.describe(), "problem": problem.describe()}
    if kind == "theory":
        return Job(config, limit)
    return Job(config | {"n_trials": n_trials, "seed": 0}, trials)


def jobs(preset: str) -> list[Job]:
    """One record a point."""
    sizes = PRESETS[preset]
    spectrum = power_law(EXPONENT, TEACHER_EXPONENT, sizes["n_features"])
    found = []
    for rule in CHOICES:
        for n in np.round(sizes["samples"]):
            case = {"part": "curve", "rule": rule, "kept": KEPT, "samples": float(n)}
            found.append(_job("theory", spectrum, case))
        for kept in sizes["kept"] if rule != "full" else [1.0]:
            for n in sizes["window"]:
                case = {"part": "window", "rule": rule, "kept": float(kept), "samples": float(n)}
                found.append(_job("theory", spectrum, case))
    for rule in SIMULATED:
        for n in sizes["points"]:
            case = {"part": "curve", "rule": rule, "kept": KEPT, "samples": float(n)}
            found.append(_job("trials", spectrum, case, sizes["n_trials"]))
    return found


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    run_jobs(jobs(preset), store, progress)


if __name__ == "__main__":
    run_alone(__file__, run)

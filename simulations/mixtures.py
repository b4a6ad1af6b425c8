"""Many classes: where six scores part, hardest, easiest and calibrated; and a verifier's map."""

from __future__ import annotations

from typing import Any

import numpy as np

from _cells import Job, Progress, run_jobs
from nfl_pruning import Problem, simulate, solve
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.inputs import Mixture
from nfl_pruning.inputs.mixture import simplex_corners
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.records import RecordStore

NAME = "mixtures"

SCORES = ("el2n", "grand", "loss", "margin", "entropy", "least-confidence")
RULES = {
    "random": {"selection": "random"},
    "hardest": {"keep": "hardest"},
    "easiest": {"keep": "easiest"},
    "calibrated": {"keep": "hardest", "selection": "exact", "exploit": 0.5},
}
OBSERVABLES = ("test_error", "worst_class_error")
SAMPLES_PER_FEATURE, RIDGE, DISTANCE = 8.0, 0.01, 2.2
LABEL_NOISE, VERIFIED_RIDGE = 0.35, 0.1
VERIFIERS = (0.0, 0.25, 0.5)  # error rates that are simulated

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "n_classes": 3,
        "curve": [0.3, 0.6],
        "points": [0.3],
        "trials": {"n_features": 60, "n_trials": 6, "seed": 0},
        "verifier": {"keep_fraction": 6, "error": 5, "points": [0.2, 0.6]},
        "verified": {"n_features": 80, "n_trials": 8, "seed": 0},
    },
    "paper": {
        "n_classes": 10,
        "curve": [0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8],
        "points": [0.15, 0.3, 0.5],
        "trials": {"n_features": 200, "n_trials": 16, "seed": 0},
        "verifier": {"keep_fraction": 30, "error": 26, "points": [0.1, 0.2, 0.4, 0.6]},
        "verified": {"n_features": 400, "n_trials": 40, "seed": 0},
    },
}


def problem_of(n_classes: int, rule: str, score: str, keep_fraction: float) -> Problem:
    """Classes at the corners of a simplex, whose spread and size fall from the first to the last.

    The probe's directions are at a cosine of 0.8 to the classes'. Classes of unequal variance have
    inputs of unequal norm, by which GraNd differs from EL2N.
    """
    step = np.arange(n_classes) / (n_classes - 1)
    shares = 1.5 - step
    corners = simplex_corners(n_classes)
    inputs = Mixture(
        shares / shares.sum(),
        DISTANCE * np.hstack([corners, 0 * corners]),
        1.2 - 0.7 * step,
        np.arange(n_classes),
    )
    probe = WeightsProbe(1.5 * np.hstack([0.8 * corners, 0.6 * corners]))
    return Problem(
        samples_per_feature=SAMPLES_PER_FEATURE,
        keep_fraction=keep_fraction,
        score=score,
        inputs=inputs,
        probe=probe,
        ridge=RIDGE,
        intercept=True,
        **RULES[rule],
    )


def verified(error: float, keep_fraction: float) -> Problem:
    """Two classes with wrong labels, and a verifier that is wrong with a probability.

    It takes a right label for wrong, and a wrong one for right, with the same probability: at 1/2
    it knows nothing. The probe is not read.
    """
    inputs = Mixture.simplex(2, 1.0, label_noise=LABEL_NOISE)
    rule = "random" if error == 0.5 else f"verifier:{1 - error:.6g}:{error:.6g}"
    return Problem(
        samples_per_feature=SAMPLES_PER_FEATURE,
        keep_fraction=keep_fraction,
        selection=rule,
        inputs=inputs,
        probe=WeightsProbe(inputs.means[1]),
        ridge=VERIFIED_RIDGE,
    )


def theory(problem: Problem) -> dict[str, Any]:
    """The limit's observables; None where it has none."""
    found = solve(problem)
    known = found.to_dict() | found.observables
    values = {name: known.get(name) for name in OBSERVABLES}
    return values | {"status": found.status, "error_estimate": found.error_estimate}


def trials(problem: Problem, sizes: dict[str, Any]) -> dict[str, Any]:
    """Mean and standard error of each observable over trials.

    The worst class is the one of the largest mean error: the mean of every trial's own worst class
    would be far above the limit, as a maximum of ten numbers that fluctuate is.
    """
    found = simulate(problem, **sizes)
    rows = {name: found.mean(name) for name in found.trials if name.startswith("class_error_")}
    own = ("test_error", max(rows, key=lambda name: rows[name]))
    return {
        name: {"mean": found.mean(one), "standard_error": found.standard_error(one)}
        for name, one in zip(OBSERVABLES, own, strict=True)
    } | {"failed": found.failed}


def jobs(preset: str) -> list[Job]:
    """One record a point of a curve, one a simulated point, one a verifier's error on the map."""
    sizes, found = PRESETS[preset], []
    for rule in RULES:
        for score in SCORES[:1] if rule == "random" else SCORES:
            labels = {"panel": "scores", "rule": rule, "score": score}
            for r in sizes["curve"]:
                found.append(_theory(problem_of(sizes["n_classes"], rule, score, r), labels))
            for r in sizes["points"]:
                problem = problem_of(sizes["n_classes"], rule, score, r)
                found.append(_trials(problem, sizes["trials"], labels))
    grid = sizes["verifier"]
    errors = {*np.round(np.linspace(0, 0.5, grid["error"]), 6).tolist(), *VERIFIERS}
    for error in sorted(errors):
        labels = {"panel": "verifier", "verifier_error": error}
        for r in np.round(np.geomspace(0.05, 1, grid["keep_fraction"]), 6).tolist():
            found.append(_theory(verified(error, r), labels))
    for error in VERIFIERS:
        labels = {"panel": "verifier", "verifier_error": error}
        for r in grid["points"]:
            found.append(_trials(verified(error, r), sizes["verified"], labels))
    return found


def _theory(problem: Problem, labels: dict[str, Any]) -> Job:
    config = {"kind": "theory", **labels, "problem": problem.describe()}
    return Job(config, lambda: theory(problem))


def _trials(problem: Problem, sizes: dict[str, int], labels: dict[str, Any]) -> Job:
    config = {"kind": "trials", **labels, **sizes, "problem": problem.describe()}
    return Job(config, lambda: trials(problem, sizes))


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing, one at a time: each uses all cores."""
    run_jobs(jobs(preset), store, progress, workers=1)


if __name__ == "__main__":
    run_alone(__file__, run)

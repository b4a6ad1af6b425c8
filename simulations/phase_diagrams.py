"""Phase diagrams: where each hard rule beats random pruning, and where it is worse than chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from _cells import ALIGNMENT, RIDGE, Job, Progress, problem_of, run_jobs
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES
from nfl_pruning.theory.sweep import sweep

NAME = "phase_diagrams"

SAMPLES_PER_FEATURE = 6.0

PRESETS = {
    "quick": {"keep_fraction": 16, "alignment": 14, "samples_per_feature": 12, "ridge": 5},
    "paper": {"keep_fraction": 60, "alignment": 50, "samples_per_feature": 50, "ridge": 25},
}
PANELS = (
    "alignment",
    "alignment, tuned",
    "samples_per_feature",
    "samples_per_feature, tuned",
)


def axes_of(panel: str, sizes: dict[str, int]) -> dict[str, list[float]]:
    """The grid of a panel; a tuned one has the ridge as its last axis."""
    kept = np.geomspace(0.03, 0.97, sizes["keep_fraction"])
    grid = {"keep_fraction": kept}
    if panel.startswith("alignment"):
        grid["alignment"] = np.linspace(-0.3, 0.98, sizes["alignment"])
    else:
        grid["samples_per_feature"] = np.geomspace(1, 100, sizes["samples_per_feature"])
    if panel.endswith("tuned"):
        grid["ridge"] = np.geomspace(1e-3, 1, sizes["ridge"])
    return {name: [round(float(v), 8) for v in values] for name, values in grid.items()}


def jobs(preset: str) -> list[Job]:
    """One record a panel: test errors of all rules on its grid."""
    found = []
    for panel in PANELS:
        axes = axes_of(panel, PRESETS[preset])
        config = {"kind": "map", "panel": panel, "axes": axes}
        config |= {"problems": {rule: _problem(rule).describe() for rule in RULES}}

        def compute(axes: dict[str, list[float]] = axes) -> dict[str, Any]:
            grid: dict[str, Any] = dict(axes)
            found = sweep({rule: _problem(rule) for rule in RULES}, **grid)
            values = found["test_error"]
            missing = int(values.isnull().sum())
            if "ridge" in axes:
                values = values.min("ridge")
            return {"test_error": values.values.tolist(), "without a number": missing}

        found.append(Job(config, compute))
    return found


def _problem(rule: str):
    problem = problem_of(RULES[rule], 0.3, SAMPLES_PER_FEATURE)
    assert problem.student.ridge == RIDGE and problem.probe.label == f"fixed:{ALIGNMENT:g}"
    return problem


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    run_jobs(jobs(preset), store, progress)


if __name__ == "__main__":
    run_alone(__file__, run)

"""Scaling: how time and memory of a simulation grow with samples, features and trials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax

from _cells import Progress, problem_of
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.montecarlo import estimate_cost, simulate
from nfl_pruning.problem import Problem
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES

NAME = "scaling"

RULE = "aware-easiest"
START = {"n_samples": 2000, "n_features": 200, "n_trials": 16}

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "kept": [0.3],
        "n_samples": [500, 2000, 8000],
        "n_features": [50, 200, 800],
        "n_trials": [4, 16, 64, 256],
    },
    "paper": {
        "kept": [1.0, 0.3, 0.1],
        "n_samples": [500, 1000, 2000, 4000, 8000, 16000, 32000, 64000],
        "n_features": [25, 50, 100, 200, 400, 800, 1600, 3200],
        "n_trials": [4, 16, 64, 256, 1024, 4096],
    },
}

Point = dict[str, Any]


def problem_at(point: Point) -> Problem:
    """The problem of a point."""
    return problem_of(RULES[RULE], point["kept"], point["n_samples"] / point["n_features"])


def points(preset: str) -> list[Point]:
    """What is measured, with the least memory first; ``along`` names what varies."""
    sizes, found = PRESETS[preset], []
    for kept in sizes["kept"]:
        for along in START:
            for value in sizes[along]:
                found.append({"along": along, "kept": kept, **START, along: value})
    return sorted(found, key=lambda point: (expected(point)["bytes"], point["n_trials"]))


def expected(point: Point) -> dict[str, float]:
    """Seconds and bytes that the engine plans for a point."""
    plan = estimate_cost(problem_at(point), n_features=point["n_features"])
    seconds = plan.seconds * point["n_trials"] / min(plan.workers, point["n_trials"])
    return {"seconds": seconds, "bytes": plan.total_bytes}


def measure(point: Point) -> dict[str, Any]:
    """Seconds of a run whose programs are compiled, and the peak of this process's memory."""
    problem, d = problem_at(point), point["n_features"]
    jax.clear_caches()  # programs of former points would count
    simulate(problem, n_features=d, n_trials=1)
    start = time.perf_counter()
    simulate(problem, n_features=d, n_trials=point["n_trials"], seed=1)
    return {"seconds": time.perf_counter() - start, "expected": expected(point)}


def resident(entry: str) -> int | None:
    """Bytes of resident memory of this process, now (VmRSS) or at most (VmHWM); Linux only."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(x.split()[1]) for x in lines if x.startswith(entry)), None)


def config_of(point: Point) -> dict[str, Any]:
    """What names the record of a point."""
    return {"kind": "cost", **point, "cores": os.cpu_count(), "rule": RULE}


def child() -> None:
    """Measure the points on standard input, one JSON line each; the least memory comes first."""
    before = resident("VmRSS")
    for line in sys.stdin:
        found = measure(json.loads(line))
        peak = resident("VmHWM")
        found["bytes"] = None if peak is None or before is None else peak - before
        print(json.dumps(found), flush=True)


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Measure what is missing, in a process of its own: a peak is that of the process's life."""
    todo = points(preset)
    store.forget_others([config_of(point) for point in todo])
    missing = [point for point in todo if store.get(config_of(point)) is None]
    progress(len(todo) - len(missing), len(todo))
    if not missing:
        return
    with subprocess.Popen(
        [sys.executable, __file__, "--child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for number, point in enumerate(missing):
            process.stdin.write(json.dumps(point) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise RuntimeError(f"the process that measures ended at {point}")
            store.put(config_of(point), json.loads(answer))
            progress(len(todo) - len(missing) + number + 1, len(todo))


if __name__ == "__main__":
    if "--child" in sys.argv:
        child()
    else:
        run_alone(__file__, run)

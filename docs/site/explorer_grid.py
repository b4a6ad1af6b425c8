"""The explorer's numbers: certified grids of limits, and how far interpolation in them is off.

``python docs/site/explorer_grid.py`` writes ``docs/explorer/grid.js``. Signal, the probe's cosine,
ridge and the exploited share take a few values each; keep fraction and samples per feature lie on
Chebyshev points of their logarithms, between which the page interpolates by the barycentric
formula. Limits at random points between them measure the error, which is stored and shown.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning import Problem, make_selection, sweep
from nfl_pruning.records import software
from nfl_pruning.theory.sweep import solve_many

OUT = Path(__file__).parents[1] / "explorer" / "grid.js"
SLIDERS = {
    "signal": [1.0, 2.0, 3.0],
    "alignment": [0.3, 0.6, 0.8, 0.9],
    "ridge": [0.01, 0.03, 0.1],
    "exploit": [0.25, 0.5, 0.75],
}
RANGES = {"keep_fraction": (0.1, 1.0), "samples_per_feature": (1.0, 20.0)}
NODES = {"keep_fraction": 25, "samples_per_feature": 11}
OBSERVED = ("cosine", "test_error")
STEPS = 30_000  # numbers are stored in steps of 1 / STEPS
POLICIES = {
    "hardest": ("hardest", "threshold", ("signal", "alignment", "ridge")),
    "easiest": ("easiest", "threshold", ("signal", "alignment", "ridge")),
    "random": ("hardest", "random", ("signal", "ridge")),
    "calibrated": ("hardest", "exact", ("signal", "alignment", "ridge", "exploit")),
}


def chebyshev(count: int) -> np.ndarray:
    """Points from 0 to 1, dense at both ends, shape (count,)."""
    return (1 - np.cos(np.pi * np.arange(count) / (count - 1))) / 2


def place(name: str, t: np.ndarray) -> np.ndarray:
    """Values of an axis at positions from 0 to 1 on its logarithm."""
    low, high = np.log(RANGES[name])
    return np.exp(low + t * (high - low))


def weights(t: np.ndarray, count: int) -> np.ndarray:
    """Barycentric interpolation from the Chebyshev points, shape (len(t), count)."""
    signs = (-1.0) ** np.arange(count)
    signs[[0, -1]] /= 2
    gaps = t[:, None] - chebyshev(count)
    near = np.abs(gaps) < 1e-12
    terms = signs / np.where(near, 1, gaps)
    return np.where(near.any(axis=1)[:, None], near, terms / terms.sum(axis=1, keepdims=True))


def problem(policy: str) -> Problem:
    """What the page's command solves, at some numbers."""
    keep, selection, _ = POLICIES[policy]
    start = Problem(samples_per_feature=6, keep_fraction=0.5, keep=keep, probe="fixed:0.8")
    return start.replace(signal=2, ridge=0.01, selection=make_selection(selection))


def grid(policy: str) -> dict[str, np.ndarray]:
    """Observables at all nodes, axes: the policy's sliders, keep fraction, samples per feature."""
    axes: dict[str, Any] = {name: SLIDERS[name] for name in POLICIES[policy][2]}
    axes |= {name: place(name, chebyshev(NODES[name])) for name in RANGES}
    found = sweep(problem(policy), **axes)
    if set(np.unique(found["status"])) != {"certified"}:
        raise SystemExit(f"{policy}: some limits are not certified; narrow the ranges.")
    return {name: found[name].to_numpy() for name in OBSERVED}


def off(policy: str, values: dict[str, np.ndarray], count: int) -> dict[str, float]:
    """Largest interpolation error at random points, by observable."""
    rng = np.random.default_rng(0)
    names = POLICIES[policy][2]
    which = [rng.integers(len(SLIDERS[name]), size=count) for name in names]
    t = {name: rng.random(count) for name in RANGES}
    problems = [
        moved(
            problem(policy),
            {name: SLIDERS[name][int(row[i])] for name, row in zip(names, which, strict=True)}
            | {name: float(place(name, t[name][i])) for name in RANGES},
        )
        for i in range(count)
    ]
    true, found = solve_many(problems), {}
    across = [weights(t[name], NODES[name]) for name in RANGES]
    for name in OBSERVED:
        stored = np.round(values[name] * STEPS) / STEPS
        guess = np.einsum("pi,pj,pij->p", *across, stored[tuple(which)])
        found[name] = float(np.abs(guess - true[name]).max())
    return found


def moved(start: Problem, numbers: dict[str, float]) -> Problem:
    """The problem with other numbers."""
    numbers = dict(numbers)
    if "exploit" in numbers:
        start = start.replace(selection=make_selection("exact", exploit=numbers.pop("exploit")))
    if "alignment" in numbers:
        start = start.replace(probe=f"fixed:{numbers.pop('alignment')}")
    return start.replace(**numbers)


def main(count: int = 200) -> None:
    """Compute, measure, and write."""
    policies, errors = {}, {}
    for policy, (_, _, names) in POLICIES.items():
        values = grid(policy)
        errors[policy] = off(policy, values, count)
        print(policy, errors[policy], flush=True)
        policies[policy] = {"axes": names} | {
            name: np.round(values[name] * STEPS).astype(int).ravel().tolist() for name in OBSERVED
        }
    stated = {
        "sliders": SLIDERS,
        "ranges": RANGES,
        "nodes": NODES,
        "steps": STEPS,
        "policies": policies,
        "errors": errors,
        "points": count,
        "software": {name: software()[name] for name in ("nfl-pruning", "jax", "numpy")},
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("const GRID = " + json.dumps(stated, separators=(",", ":")) + ";\n")
    print(f"{OUT.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""Distribution shift: the law of the kept samples' signed teacher margin against the data's."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from _cells import ALIGNMENT, RULES, SIGNAL, Job, Progress, problem_of, run_jobs
from nfl_pruning import Context, select
from nfl_pruning.cli.scripts import run_alone
from nfl_pruning.problem import Problem
from nfl_pruning.records import RecordStore
from nfl_pruning.scores import binary_logits
from nfl_pruning.theory.keep_law import keep_law

NAME = "distribution_shift"

KEEP_FRACTION = 0.3
CALIBRATED = RULES["aware-hardest"] | {"selection": "exact", "exploit": 0.5}
LAWS: dict[str, dict[str, Any]] = RULES | {"exact": CALIBRATED}
GRID = np.linspace(-3.2, 3.6, 137)
EDGES = np.linspace(-3.2, 3.6, 35)

PRESETS = {"quick": {"n": 4000, "repeats": 25}, "paper": {"n": 20000, "repeats": 100}}


def density(problem: Problem) -> dict[str, Any]:
    """Densities of t = y z for all samples, for kept ones, and for kept ones with their weights.

    Given t, the probe's y u is normal with mean alignment * t and variance 1 - alignment^2, and the
    keep probability is constant between breaks, so the chance of being kept is a sum of normal
    probabilities: no quadrature is left.
    """
    law = keep_law(problem)
    edges = np.concatenate([[-np.inf], law.breaks, [np.inf]])
    inner = np.concatenate([[-9.0], law.breaks, [9.0]])
    middles = 0.5 * (inner[1:] + inner[:-1])
    keep, weight = law.evaluate(middles)
    spread = np.sqrt(1 - ALIGNMENT**2)
    link = problem.teacher.link
    normal = np.exp(-0.5 * GRID**2) / np.sqrt(2 * np.pi)
    found = {name: np.zeros_like(GRID) for name in ("all", "kept", "weighted")}
    for i, label in enumerate((1, -1)):  # the law's label axis is y = +1, -1
        z = label * GRID
        chance = np.asarray(link(SIGNAL * z)) if label == 1 else 1 - np.asarray(link(SIGNAL * z))
        inside = np.diff(ndtr((edges[None] - ALIGNMENT * z[:, None]) / spread), axis=1)
        found["all"] += normal * chance
        found["kept"] += normal * chance * (inside @ keep[:, i].sum(0))
        found["weighted"] += normal * chance * (inside @ (keep * weight)[:, i].sum(0))
    found["kept"] /= law.mean(0)
    found["weighted"] /= law.mean(1)
    return {"t": GRID} | found


def histogram(problem: Problem, n: int, repeats: int) -> dict[str, Any]:
    """The same densities in bins, from samples that the library selects; mean and its error."""
    root = jax.random.key(0)
    heights = {"kept": [], "weighted": []}
    for i in range(repeats):
        key_z, key_probe, key_label, key_select = jax.random.split(jax.random.fold_in(root, i), 4)
        z = jax.random.normal(key_z, (n,), jnp.float32)
        noise = jax.random.normal(key_probe, (n,), jnp.float32)
        u = ALIGNMENT * z + np.sqrt(1 - ALIGNMENT**2) * noise
        positive = jax.random.uniform(key_label, (n,)) < problem.teacher.link(SIGNAL * z)
        rank = problem.ranking_score.rank_key(
            binary_logits(problem.probe_norm * u), positive.astype(int), Context()
        )
        chosen = select(
            key_select, rank, KEEP_FRACTION, keep=problem.keep, selection=problem.selection
        )
        t = np.asarray(jnp.where(positive, z, -z))[chosen.indices]
        weights = chosen.weights[chosen.indices]
        for name, used in (("kept", None), ("weighted", weights)):
            mass = np.histogram(t, EDGES, weights=used)[0]
            total = len(t) if used is None else used.sum()
            heights[name].append(mass / total / np.diff(EDGES))
    found: dict[str, Any] = {"t": 0.5 * (EDGES[1:] + EDGES[:-1])}
    for name, values in heights.items():
        found[name] = np.mean(values, 0)
        found[f"{name}_error"] = np.std(values, 0, ddof=1) / np.sqrt(repeats)
    return found


def jobs(preset: str) -> list[Job]:
    """Theory and simulation for every rule."""
    found, sizes = [], PRESETS[preset]
    for law, choice in LAWS.items():
        problem = problem_of(choice, KEEP_FRACTION, 5.0)  # nothing is fitted: any size will do
        shared = {"law": law, "problem": problem.describe()}
        found.append(Job({"kind": "theory"} | shared, lambda p=problem: density(p)))
        found.append(
            Job({"kind": "trials"} | shared | sizes, lambda p=problem: histogram(p, **sizes))
        )
    return found


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    run_jobs(jobs(preset), store, progress)


if __name__ == "__main__":
    run_alone(__file__, run)

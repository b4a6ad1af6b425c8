"""Distribution shift: the law of the kept samples' signed teacher margin against the data's."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import bisect
from scipy.special import ndtr, ndtri

from _cells import ALIGNMENT, SIGNAL, Job, Progress, problem_of, run_jobs
from nfl_pruning import LINKS, Context, select
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.problem import Problem
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES
from nfl_pruning.scores import binary_logits
from nfl_pruning.selections import RankSelection

NAME = "distribution_shift"

KEEP_FRACTION = 0.3
CALIBRATED = RULES["aware-hardest"] | {"selection": "exact", "exploit": 0.5}
LAWS: dict[str, dict[str, Any]] = RULES | {"exact": CALIBRATED}
GRID = np.linspace(-3.2, 3.6, 137)
EDGES = np.linspace(-3.2, 3.6, 35)

PRESETS = {"quick": {"n": 4000, "repeats": 25}, "paper": {"n": 20000, "repeats": 100}}


FINE = np.linspace(-9, 9, 3601)  # the trapezoidal rule on it is exact to rounding: all is smooth


def data_density(t: np.ndarray) -> np.ndarray:
    """Density of t = y z for all samples: either z = t and y = 1, or z = -t and y = -1."""
    link = LINKS["logistic"]
    probability = np.asarray(link(SIGNAL * t)) + 1 - np.asarray(link(-SIGNAL * t))
    return probability * np.exp(-0.5 * t**2) / np.sqrt(2 * np.pi)


def first_share(problem: Problem, share: float, t: np.ndarray) -> np.ndarray:
    """Chance that a sample with y z = t is in the first ``share`` of the priority order.

    Given t, the probe's y u is normal with mean alignment * t and variance 1 - alignment^2. A
    label-aware score is hard where y u is small, a label-agnostic one where |u| is.
    """
    if not 0 < share < 1:
        return np.full_like(t, share)
    hardest = problem.keep == "hardest"
    small = share if hardest else 1 - share

    def below(edge: float, at: np.ndarray) -> np.ndarray:
        return ndtr((edge - ALIGNMENT * at) / np.sqrt(1 - ALIGNMENT**2))

    if problem.score.label_aware:
        weight = data_density(FINE) * (FINE[1] - FINE[0])
        edge: Any = bisect(lambda q: float(weight @ below(q, FINE)) - small, -8, 8)
        inside = below(edge, t)
    else:
        edge = ndtri((1 + small) / 2)
        inside = below(edge, t) - below(-edge, t)
    return inside if hardest else 1 - inside


def density(problem: Problem) -> dict[str, Any]:
    """Densities of t = y z for all samples, for kept ones, and for kept ones with their weights."""
    kept, weighted = np.zeros_like(GRID), np.zeros_like(GRID)
    before, share, total = np.zeros_like(GRID), 0.0, 0.0
    selection = problem.selection
    assert isinstance(selection, RankSelection)
    for stratum in selection.strata(KEEP_FRACTION):
        share += stratum.share
        within = first_share(problem, share, GRID)
        probability = stratum.keep_probability * (within - before)
        kept += probability
        weighted += probability * stratum.weight
        total += stratum.share * stratum.keep_probability * stratum.weight
        before = within
    everything = data_density(GRID)
    return {
        "t": GRID,
        "all": everything,
        "kept": everything * kept / KEEP_FRACTION,
        "weighted": everything * weighted / total,
    }


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

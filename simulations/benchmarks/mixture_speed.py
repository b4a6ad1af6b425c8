"""Speed of the limits of mixtures: cells of a sweep, single cells, and plain numpy beside them.

Two classes with scalar and with full covariances (d = 100, four components), certified to 1e-8;
three classes with 15 components and ten with ten, full covariances, and ten at 768 features, one
covariance for all or a diagonal and ten factors for each, to a standard error of the test error of
at most 1e-3 (four fifths of the tolerance). The reference solves one two-class cell by a tensor
rule in both logits with scipy's root finder, from a start 1 % beside the root; it stands in
tests/mixture_reference.py. Compilation is reported apart.
Run it alone::

    python simulations/benchmarks/mixture_speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jax
import numpy as np

from nfl_pruning import Problem, solve, sweep
from nfl_pruning.experiments.scripts import load
from nfl_pruning.inputs import LowRank, Mixture
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.records import provenance, to_json
from nfl_pruning.theory.mixture.two_classes.pair import Warm, solve_two_classes

REFERENCE = Path(__file__).parents[2] / "tests" / "mixture_reference.py"
RIDGE, KEPT = 0.05, 0.3
TOLERANCE = 1.25e-3


def full_covariances(rng: np.random.Generator, count: int, d: int) -> np.ndarray:
    """Spectra over a decade or two, in bases of their own."""
    found = []
    for _ in range(count):
        basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
        found.append((basis * np.exp(0.7 * rng.normal(size=d))) @ basis.T)
    return np.array(found)


def two_classes(form: str, d: int = 100) -> Problem:
    """Four components, el2n hardest, a free intercept."""
    rng = np.random.default_rng(1)
    means, labels = 2 * rng.normal(size=(4, d)) / np.sqrt(d), np.arange(4) % 2
    means[:, 0] += 2 * labels - 1
    covariances = np.linspace(0.5, 1.1, 4) if form == "scalar" else full_covariances(rng, 4, d)
    row = 0.6 * rng.normal(size=d) / np.sqrt(d)
    row[0] += 1
    return Problem(
        samples_per_feature=6,
        keep_fraction=KEPT,
        score="el2n",
        inputs=Mixture(np.full(4, 0.25), means, covariances, labels),
        probe=WeightsProbe(row, 0.0),
        ridge=RIDGE,
        intercept=True,
    )


def few_factors(rng: np.random.Generator, count: int, d: int, rank: int) -> LowRank:
    """A diagonal and factors for each, whose variances, 36 to 2, stand out of it."""
    diagonal = 0.5 * np.exp(0.5 * rng.normal(size=(count, d)))
    sizes = np.geomspace(6, 1.5, rank)
    return LowRank(diagonal, sizes * rng.normal(size=(count, d, rank)) / np.sqrt(d))


def many_classes(
    n_classes: int, each: int, d: int, *, shared: bool = False, rank: int = 0
) -> Problem:
    """Means of length 3, the probe at a cosine of 0.8 to the classes' directions."""
    rng = np.random.default_rng(2)
    corners = rng.normal(size=(n_classes, d))
    corners /= np.linalg.norm(corners, axis=1)[:, None]
    count = n_classes * each
    labels = np.arange(count) % n_classes
    means = 3 * corners[labels] + (1.8 * rng.normal(size=(count, d)) / np.sqrt(d)) * (each > 1)
    rows = 1.2 * (0.8 * corners + 0.6 * rng.normal(size=(n_classes, d)) / np.sqrt(d))
    if rank:
        covariances: Any = few_factors(rng, count, d, rank)
    else:
        covariances = full_covariances(rng, 1 if shared else count, d)
        covariances = np.broadcast_to(covariances, (count, d, d))
    return Problem(
        samples_per_feature=40,
        keep_fraction=KEPT,
        score="el2n",
        inputs=Mixture(np.full(count, 1 / count), means, covariances, labels),
        probe=WeightsProbe(rows - rows.mean(axis=0)),
        ridge=0.01,
        intercept=True,
    )


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    begin = time.perf_counter()
    found = run()
    return time.perf_counter() - begin, found


def of_sweep(problem: Problem, side: int, **given: Any) -> dict[str, Any]:
    """Cells a second over keep fraction and ridge, after one sweep that compiles."""
    grid: dict[str, Any] = {
        "keep_fraction": np.linspace(0.2, 0.8, side),
        "ridge": problem.student.ridge * np.geomspace(0.5, 2, side),
    }
    first, _ = timed(lambda: sweep(problem, **grid, **given))
    seconds, found = timed(lambda: sweep(problem, **grid, **given))
    return {
        "cells": found.status.size,
        "cells a second": found.status.size / seconds,
        "first sweep, seconds": first,
        "without a certificate": int((found.status != "certified").sum()),
    }


def of_cell(problem: Problem, repeats: int, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Seconds of one cell alone, the median after one that compiles."""
    first, _ = timed(lambda: solve(problem, tolerance=tolerance))
    runs = [timed(lambda: solve(problem, tolerance=tolerance)) for _ in range(repeats)]
    return {
        "seconds": float(np.median([seconds for seconds, _ in runs])),
        "first call, seconds": first,
        "status": runs[-1][1].status,
        "error estimate": runs[-1][1].error_estimate,
    }


def reference(problem: Problem) -> dict[str, Any]:
    """Seconds of the plain cell, and how far apart the two test errors are."""
    plain, warm, mixture = load(REFERENCE), Warm(), problem.inputs
    assert isinstance(mixture, Mixture) and isinstance(problem.probe, WeightsProbe)
    with jax.enable_x64(True):
        ours = solve_two_classes(problem, warm)
    assert warm.fit is not None
    state = warm.fit.last.state
    law = [np.asarray(part).reshape(4) for part in (*state[:3], state.step)]
    start = (1.01 * law[0], law[1], law[2], 1.01 * law[3], float(state.intercept[0]) + 0.01)
    covariances = [mixture.covariances.covariance(c, mixture.n_features) for c in range(4)]
    pair = plain.Pair(
        mixture.weights, mixture.means, np.array(covariances), 2 * (np.arange(4) % 2) - 1,
        np.asarray(problem.probe.weights).ravel(), 0.0, problem.samples_per_feature,
        problem.student.ridge, True, True, problem.keep_fraction, 1.0,
    )  # fmt: skip
    seconds, (again, _, residual) = timed(lambda: plain.solve_pair(pair, start))
    apart = abs(plain.wrong_share(pair, again) - ours.values["test_error"])
    return {"seconds": seconds, "residual": residual, "apart": apart}


@click.command(help=__doc__)
@click.option("--side", default=10, show_default=True, help="Values of each axis of a sweep.")
@click.option("--repeats", default=3, show_default=True, help="Single cells.")
def main(side: int, repeats: int) -> None:
    """Time everything, one after another."""
    full, ten = two_classes("full"), many_classes(10, 1, 128)
    found = {
        "two classes, scalar": of_sweep(two_classes("scalar"), side),
        "two classes, full": of_sweep(full, side),
        "two classes, full, alone": of_cell(full, repeats),
        "plain numpy, two classes, full": reference(full),
        "three classes, 15 components, d = 100": of_cell(many_classes(3, 5, 100), repeats),
        "ten classes, 10 components, d = 128": of_cell(ten, repeats),
        "ten classes in a sweep": of_sweep(ten, 3, tolerance=TOLERANCE),
        "ten classes, a shared covariance, d = 768": of_cell(
            many_classes(10, 1, 768, shared=True), repeats
        ),
        "ten classes, ten factors each, d = 768": of_cell(many_classes(10, 1, 768, rank=10), 1),
        "provenance": provenance(),
    }
    click.echo(to_json(found, indent=2))


if __name__ == "__main__":
    main()

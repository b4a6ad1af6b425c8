"""Speed of the Monte Carlo engine next to scikit-learn, side by side in one run.

Both sides sample, prune and fit with two trials at a time on two cores: this package with two
threads, the peer with two processes of one BLAS thread each. They take turns in short slices, so
that whatever else the machine does meets both, and the ratio is the median over turns. Compile
time is reported apart. Run it alone::

    python simulations/benchmarks/montecarlo.py --turns 5 --out benchmark.json
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning import Problem, Student, Teacher, simulate
from nfl_pruning.kernels.normals import normal_rows
from nfl_pruning.montecarlo import estimate_cost
from nfl_pruning.probes import FixedProbe
from nfl_pruning.records import provenance, to_json

SIGNAL, ALIGNMENT, RIDGE, SAMPLES_PER_FEATURE = 2.0, 0.8, 0.01, 10
KEEP_FRACTIONS = (1.0, 0.3, 0.1)
WORKERS = 2


class Peer:
    """Two processes that wait for requests."""

    def __init__(self) -> None:
        script = Path(__file__).parent / "reference_numpy.py"
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(WORKERS)
        ]  # fmt: skip

    def __call__(self, request: dict[str, Any], n_trials: int) -> tuple[float, list]:
        """Seconds for ``n_trials`` trials shared by the processes, and what they found."""
        start = time.perf_counter()
        for number, process in enumerate(self.processes):
            seeds = list(range(number, n_trials, WORKERS))
            assert process.stdin is not None
            process.stdin.write(json.dumps(request | {"seeds": seeds}) + "\n")
            process.stdin.flush()
        answers = [json.loads(p.stdout.readline()) for p in self.processes if p.stdout]
        return time.perf_counter() - start, [pair for answer in answers for pair in answer["found"]]

    def close(self) -> None:
        """End both processes."""
        for process in self.processes:
            if process.stdin is not None:
                process.stdin.close()
            process.wait()


def problem_at(keep_fraction: float) -> Problem:
    """Keep the hardest by a label-aware score of a probe at cosine 0.8."""
    return Problem(
        samples_per_feature=SAMPLES_PER_FEATURE,
        keep_fraction=keep_fraction,
        teacher=Teacher(signal=SIGNAL),
        probe=FixedProbe(ALIGNMENT),
        student=Student(ridge=RIDGE),
    )


def compare(
    peer: Peer, n_features: int, keep_fraction: float, *, tolerance: float, turns: int
) -> dict[str, Any]:
    """Times of both sides on one cell of the table."""
    problem, d = problem_at(keep_fraction), n_features
    request = {
        "n": SAMPLES_PER_FEATURE * d, "d": d, "signal": SIGNAL, "ridge": RIDGE,
        "alignment": ALIGNMENT, "keep_fraction": keep_fraction, "tolerance": tolerance,
    }  # fmt: skip

    def ours(n_trials: int, seed: int) -> tuple[float, Any]:
        start = time.perf_counter()
        found = simulate(problem, n_features=d, n_trials=n_trials, seed=seed, tolerance=tolerance)
        return time.perf_counter() - start, found

    compile_seconds = ours(WORKERS, 0)[0]
    theirs_once = peer(request, WORKERS)[0]
    ours_once = max(ours(WORKERS, 0)[0], 1e-3)
    n_theirs = WORKERS * max(1, min(64, round(1.0 / theirs_once)))
    n_ours = WORKERS * max(1, min(256, round(1.0 / ours_once)))
    rows, theirs, found = [], [], ours(WORKERS, 0)[1]
    for turn in range(turns):
        theirs_seconds, theirs = peer(request, n_theirs)
        ours_seconds, found = ours(n_ours, turn + 1)
        rows.append((theirs_seconds / n_theirs, ours_seconds / n_ours))
    per_trial = np.array(rows)
    ratios = per_trial[:, 0] / per_trial[:, 1]
    return {
        "n_samples": SAMPLES_PER_FEATURE * d,
        "n_features": d,
        "keep_fraction": keep_fraction,
        "tolerance": tolerance,
        "peer_seconds": float(np.median(per_trial[:, 0])),
        "our_seconds": float(np.median(per_trial[:, 1])),
        "ratio": float(np.median(ratios)),
        "ratio_range": [float(ratios.min()), float(ratios.max())],
        "peer_gradient": max(pair[1] for pair in theirs),
        "our_gradient": float(found.trials["gradient_norm"].max()),
        "passes": float(found.trials["passes"].mean()),
        "first_call_seconds": compile_seconds,
        "trial_bytes": estimate_cost(problem, n_features=d).trial_bytes,
        "cosine_difference": float(np.mean([p[0] for p in theirs]) - found.mean("cosine")),
    }


def _rate(work: Any, amount: float, repeats: int = 5) -> float:
    """Amount a second, best of some repeats, on both cores at once."""

    def once(_: int) -> None:
        jax.block_until_ready(work())

    once(0)
    best = np.inf
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in range(repeats):
            start = time.perf_counter()
            list(pool.map(once, range(WORKERS)))
            best = min(best, time.perf_counter() - start)
    return WORKERS * amount / best


def ceilings() -> dict[str, float]:
    """What this machine can do with both cores: normals, memory reads, multiplications a second."""
    rows, width = 512, 1000
    key, numbers = jax.random.key(0), jnp.arange(rows)
    square = jnp.ones((1000, 1000), jnp.float32)
    tall, vector = jnp.ones((20000, width), jnp.float32), jnp.ones(width, jnp.float32)
    draw = jax.jit(lambda: normal_rows(key, numbers, width))
    jax_draw = jax.jit(lambda: jax.random.normal(key, (rows, width), jnp.float32))
    generator = np.random.default_rng(0)
    product, pass_over = jax.jit(jnp.matmul), jax.jit(jnp.matmul)
    return {
        "our_normals": _rate(draw, rows * width),
        "jax_normals_float32": _rate(jax_draw, rows * width),
        "numpy_normals_float64": _rate(
            lambda: generator.standard_normal((rows, width)), rows * width
        ),
        "matmul_float32_flops": _rate(lambda: product(square, square), 2e9),
        "read_bytes": _rate(lambda: pass_over(tall, vector), tall.size * 4),
    }


def fractions(cell: dict[str, Any], best: dict[str, float]) -> dict[str, float]:
    """Shares of the machine's ceilings that a trial's time amounts to.

    ``floor``: drawing and reading the kept rows at the ceilings; ``normals``: drawing alone, at
    the best rate of any generator here; ``matmul``: the arithmetic of all passes at the rate of
    products of large matrices, which passes over rows cannot reach: they multiply by a vector.
    """
    elements = cell["n_samples"] * cell["keep_fraction"] * cell["n_features"]
    cached = elements * 4 < 2**20
    reading = 0.0 if cached else cell["passes"] * elements * 4 / best["read_bytes"]
    fastest = max(rate for name, rate in best.items() if "normals" in name)
    shares = {
        "floor": elements / best["our_normals"] + reading,
        "normals": elements / fastest,
        "matmul": 4 * elements * cell["passes"] / best["matmul_float32_flops"],
    }
    return {name: seconds / cell["our_seconds"] for name, seconds in shares.items()}


@click.command(help=__doc__)
@click.option("--features", default="200,400,1000,2000", show_default=True)
@click.option("--turns", default=5, show_default=True, help="Turns of both sides a cell.")
@click.option("--tolerance", default=1e-8, show_default=True, help="Gradient norm of both sides.")
@click.option("--out", type=click.Path(dir_okay=False), help="Write the table here as JSON.")
def main(features: str, turns: int, tolerance: float, out: str | None) -> None:
    """Print the table of times and ratios."""
    best = ceilings()
    click.echo(
        "ceilings a second, both cores: " + ", ".join(f"{k} {v:.3g}" for k, v in best.items())
    )
    peer, cells = Peer(), []
    click.echo(
        "     n     d  keep   peer ms   ours ms  ratio (range)     floor normals matmul  "
        "peer |g| our |g| passes"
    )
    try:
        for d in (int(part) for part in features.split(",")):
            for keep_fraction in KEEP_FRACTIONS:
                cell = compare(peer, d, keep_fraction, tolerance=tolerance, turns=turns)
                share = cell["fractions"] = fractions(cell, best)
                cells.append(cell)
                low, high = cell["ratio_range"]
                click.echo(
                    f"{cell['n_samples']:6d} {d:5d} {keep_fraction:5.1f} "
                    f"{1e3 * cell['peer_seconds']:9.2f} {1e3 * cell['our_seconds']:9.2f} "
                    f"{cell['ratio']:6.2f} ({low:.2f}-{high:.2f}) {share['floor']:6.0%} "
                    f"{share['normals']:7.0%} {share['matmul']:6.0%} "
                    f"{cell['peer_gradient']:.1e} {cell['our_gradient']:.1e} {cell['passes']:.0f}"
                )
    finally:
        peer.close()
    if out:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        table = {"cells": cells, "ceilings": best, "load": load, "provenance": provenance()}
        Path(out).write_text(to_json(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

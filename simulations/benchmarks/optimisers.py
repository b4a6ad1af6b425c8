"""Which optimiser fits a pruned sample fastest: one core, rows given, gradients at 1e-11.

Newton's method with conjugate gradients is the package's. The others are dense and in float64:
Newton with a Cholesky factor of the Hessian (d x d), the same in the dual where fewer samples are
kept than there are features (kept x kept, its Gram matrix computed once), and scipy's L-BFGS to
1e-8. Run::

    OPENBLAS_NUM_THREADS=1 taskset -c 0 python simulations/benchmarks/optimisers.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import expit

from nfl_pruning.losses import LOSSES
from nfl_pruning.montecarlo.fits.fitting import fit
from nfl_pruning.montecarlo.fits.passes import Samples
from nfl_pruning.montecarlo.trials import BLOCK_BYTES

SIZES = ((60, 200, 400), (200, 400, 1000), (600, 200, 2000), (1200, 400, 4000), (1000, 2000, 10000))
RIDGES = (1e-2, 1e-4, 1e-6, 1e-8)
TOLERANCE, ROUGH = 1e-11, 1e-8
MOST_STEPS = 60


def objective(m: np.ndarray, n: int) -> float:
    """Mean logistic loss of margins y <x, theta>, n counted before pruning."""
    return float(np.logaddexp(0, -m).sum() / n)


def cholesky(x: np.ndarray, y: np.ndarray, n: int, ridge: float) -> int:
    """Newton steps with a dense Hessian, halved until the objective falls; returns their number."""
    theta = np.zeros(x.shape[1])

    def value(at: np.ndarray) -> float:
        return float(objective(y * (x @ at), n) + ridge / 2 * at @ at)

    for step in range(MOST_STEPS):
        p = expit(-y * (x @ theta))
        gradient = -x.T @ (y * p) / n + ridge * theta
        if np.linalg.norm(gradient) <= TOLERANCE:
            return step
        hessian = (x.T * (p * (1 - p) / n)) @ x + ridge * np.eye(x.shape[1])
        theta = _halved(value, theta, cho_solve(cho_factor(hessian), gradient))
    return MOST_STEPS


def dual(x: np.ndarray, y: np.ndarray, n: int, ridge: float) -> int:
    """The same in coordinates a, theta = x^T a: matrices are kept x kept."""
    kernel, a = x @ x.T, np.zeros(len(y))

    def value(at: np.ndarray) -> float:
        return float(objective(y * (kernel @ at), n) + ridge / 2 * at @ (kernel @ at))

    for step in range(MOST_STEPS):
        p = expit(-y * (kernel @ a))
        rest = ridge * a - y * p / n
        if np.sqrt(max(rest @ (kernel @ rest), 0)) <= TOLERANCE:
            return step
        half = np.sqrt(p * (1 - p) / n)
        inner = half[:, None] * kernel * half + ridge * np.eye(len(y))
        solved = half * cho_solve(cho_factor(inner), half * (kernel @ rest))
        a = _halved(value, a, (rest - solved) / ridge)
    return MOST_STEPS


def _halved(value: Callable[[np.ndarray], float], at: np.ndarray, step: np.ndarray) -> np.ndarray:
    start, size = value(at), 1.0
    while size > 1e-6 and value(at - size * step) > start + 1e-12:
        size /= 2
    return at - size * step


def lbfgs(x: np.ndarray, y: np.ndarray, n: int, ridge: float) -> int:
    """L-BFGS of scipy; returns its iterations."""

    def both(theta: np.ndarray) -> tuple[float, np.ndarray]:
        m = y * (x @ theta)
        gradient = -x.T @ (y * expit(-m)) / n + ridge * theta
        return float(objective(m, n) + ridge / 2 * theta @ theta), gradient

    options = {"maxiter": 5000, "maxfun": 9999, "gtol": ROUGH / x.shape[1] ** 0.5, "ftol": 1e-18}
    found = minimize(both, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options=options)
    return int(found.nit)


@partial(jax.jit, static_argnames="blocks")
def newton_cg(x: Any, y: Any, weights: Any, ridge: Any, blocks: int) -> Any:
    """The package's fit."""
    count, d = x.shape
    size = -(-count // blocks)
    padding = blocks * size - count
    rows = jnp.pad(x, ((0, padding), (0, 0))).reshape(blocks, size, d)
    y, weights = (jnp.pad(v, (0, padding)).reshape(blocks, size) for v in (y, weights))
    samples = Samples(rows.__getitem__, d, rows[..., :2], y, weights)
    return fit(samples, LOSSES["logistic"], ridge, tolerance=TOLERANCE)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, the better of two, and the result."""
    times, found = [], None
    for _ in range(2):
        start = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times), found


@click.command(help=__doc__)
def main() -> None:
    """Print the table."""
    click.echo("  kept     d  ridge   newton-cg (passes)   cholesky       dual     l-bfgs   ms")
    for kept, d, n in SIZES:
        rng = np.random.default_rng(0)
        rows = rng.standard_normal((kept, d)).astype(np.float32)
        y = np.where(rng.random(kept) < expit(2 * rows[:, 0]), 1.0, -1.0)
        wide = rows.astype(float)
        for ridge in RIDGES:
            with jax.enable_x64(True):
                arrays = [jnp.asarray(v) for v in (rows, y, np.full(kept, 1 / n), ridge)]
                blocks = max(2, -(-kept * d * 4 // BLOCK_BYTES))
                work = partial(newton_cg, *arrays, blocks=blocks)
                ours, found = timed(lambda work=work: jax.block_until_ready(work()))
            passes = int(found.passes) if int(found.code) == 0 else -1
            others = [cholesky, *([dual] if kept < d else []), lbfgs]
            took = {f: timed(partial(f, wide, y, n, ridge))[0] for f in others}
            cells = [f"{took[f]:10.2f}" if f in took else " " * 10 for f in (cholesky, dual, lbfgs)]
            click.echo(
                f"{kept:6d} {d:5d} {ridge:6.0e} {ours:11.2f} {f'({passes})':8s} {' '.join(cells)}"
            )


if __name__ == "__main__":
    main()

"""Speed of the compiled solver next to what a user would write, side by side in one run.

Cells of a phase diagram (keep fraction by alignment) are solved to 1e-8 with an error estimate.
The peers solve the same equations on the same machine: ``root`` is numpy, vectorised over a tensor
grid that reaches the same accuracy, with ``scipy.optimize.root``; ``loops`` is a damped fixed-point
iteration with scipy's ``dblquad`` and a scalar root finder for the proximal map, of which a part
of one iteration is timed. Compile time is reported apart. Run it alone::

    python simulations/benchmarks/theory.py --cells 10000
"""

from __future__ import annotations

import time
from typing import Any

import click
import jax
import numpy as np
from scipy.integrate import dblquad
from scipy.optimize import brentq, root
from scipy.special import expit, ndtr, ndtri

from nfl_pruning import Problem, make_selection
from nfl_pruning.records import provenance, to_json
from nfl_pruning.theory.sweep import sweep

SIGNAL, RIDGE, SAMPLES_PER_FEATURE = 2.0, 0.01, 6.0
BASE = Problem(samples_per_feature=SAMPLES_PER_FEATURE).replace(
    probe="fixed:0.8", score="margin", signal=SIGNAL, ridge=RIDGE
)
CASES = {
    "threshold": BASE,
    "calibrated": BASE.replace(selection=make_selection("exact", exploit=0.5)),
    "in-sample": BASE.replace(probe="in-sample:0.01"),
}
LOOP_ITERATIONS = 60  # what damped iteration takes to 1e-8 from a cold start


def cells_a_second(name: str, cells: int) -> dict[str, Any]:
    """Compile, then time a whole grid."""
    side = max(2, round(cells**0.5))
    other = "signal" if name == "in-sample" else "alignment"
    values = np.linspace(0.5, 4, side) if other == "signal" else np.linspace(-0.5, 0.95, side)
    begin = time.perf_counter()
    first: dict[str, Any] = {other: values[:1]}
    sweep(CASES[name], keep_fraction=[0.3], **first)
    compiled = time.perf_counter() - begin
    grid: dict[str, Any] = {"keep_fraction": np.linspace(0.05, 0.98, side), other: values}
    sweep(CASES[name], **grid)  # whatever finer tiers it needs are compiled too
    begin = time.perf_counter()
    found = sweep(CASES[name], **grid)
    seconds = time.perf_counter() - begin
    return {
        "cells": found.status.size,
        "cells a second": found.status.size / seconds,
        "first call, seconds": compiled,
        "largest error estimate": float(found["error_estimate"].max()),
        "without a certificate": int((found["error_estimate"] > 1e-8).sum()),
    }


def _pull(v: np.ndarray, step: float) -> np.ndarray:
    """Return v - h for the logistic loss at y = 1, by Newton's method inside its bracket."""
    h = np.clip(np.zeros_like(v), v, v + step)
    for _ in range(30):
        p = expit(-h)
        h = np.clip(h - (h - v - step * p) / (1 + step * p * (1 - p)), v, v + step)
    return -step * expit(-h)


def peer_root(alignment: float, keep_fraction: float) -> tuple[float, float]:
    """Seconds and cosine: numpy on a tensor grid in (u, u_perp, G), keep |u| small, and scipy."""
    begin = time.perf_counter()
    rho, perp, size = alignment, (1 - alignment**2) ** 0.5, ndtri(0.5 + 0.5 * keep_fraction)
    x, w = np.polynomial.legendre.leggauss(24)
    u, u_weight = size * x, size * w * np.exp(-0.5 * (size * x) ** 2) / np.sqrt(2 * np.pi)
    step = 16 / 56
    grid = (np.arange(56) + 0.5) * step - 8
    weight = step * np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi)
    u, p, g = np.meshgrid(u, grid, grid, indexing="ij")
    mass = u_weight[:, None, None] * weight[:, None] * weight
    mass = 2 * mass * expit(SIGNAL * (rho * u + perp * p))  # both labels, folded

    def equations(unknowns: np.ndarray) -> np.ndarray:
        a_u, a_p, tau, kappa = *unknowns[:2], *np.exp(unknowns[2:])
        d = mass * _pull(a_u * u + a_p * p + tau * g, kappa)
        square = np.sum(mass * (d / np.maximum(mass, 1e-300)) ** 2)
        return np.array(
            [
                np.sum(u * d) / kappa + RIDGE * a_u,
                np.sum(p * d) / kappa + RIDGE * a_p,
                SAMPLES_PER_FEATURE * np.sum(g * d) / tau - 1 + SAMPLES_PER_FEATURE * RIDGE * kappa,
                SAMPLES_PER_FEATURE * square / tau**2 - 1,
            ]
        )

    found = root(equations, [0.3, 0.8, 0.5, 1.5], tol=1e-11)
    a_u, a_p, tau = *found.x[:2], np.exp(found.x[2])
    cosine = (rho * a_u + perp * a_p) / (a_u**2 + a_p**2 + tau**2) ** 0.5
    return time.perf_counter() - begin, float(cosine)


def peer_loops(alignment: float, keep_fraction: float) -> float:
    """Seconds a solution: one of four integrals of one damped iteration, times their number."""
    rho, perp, size = alignment, (1 - alignment**2) ** 0.5, ndtri(0.5 + 0.5 * keep_fraction)
    a_u, s, kappa = 0.3, 2.0, 5.0

    def integrand(xi: float, u: float) -> float:
        v = a_u * u + s * xi
        h: Any = brentq(lambda h: h - v - kappa * expit(-h), v - 1e-9, v + kappa + 1e-9)
        probability = ndtr(SIGNAL * 0.6 * (rho * u + perp * xi))
        return 2 * probability * u * (v - h) * np.exp(-0.5 * (u * u + xi * xi)) / (2 * np.pi)

    begin = time.perf_counter()
    dblquad(integrand, -size, size, -8, 8, epsabs=1e-9, epsrel=1e-9)
    return 4 * LOOP_ITERATIONS * (time.perf_counter() - begin)


@click.command(help=__doc__)
@click.option("--cells", default=10000, show_default=True, help="Cells of a phase diagram.")
@click.option("--peers", default=3, show_default=True, help="Cells that the peers solve.")
def main(cells: int, peers: int) -> None:
    """Print the rates and the ratios to the peers."""
    rates = {name: cells_a_second(name, cells) for name in CASES}
    points = np.linspace(0.2, 0.9, peers)
    times = [peer_root(float(rho), 0.3) for rho in points]
    easiest = sweep(CASES["threshold"], keep_fraction=[0.3], alignment=points)["cosine"].values[0]
    mine = 1 / rates["threshold"]["cells a second"]
    loops = peer_loops(0.8, 0.3)
    result = {
        "rates": rates,
        "root": {
            "seconds a cell": float(np.mean([seconds for seconds, _ in times])),
            "largest difference of the cosine": float(
                np.max(np.abs(easiest - [cosine for _, cosine in times]))
            ),
            "ratio": float(np.mean([seconds for seconds, _ in times]) / mine),
        },
        "loops": {"seconds a cell": loops, "ratio": loops / mine},
        "devices": [device.device_kind for device in jax.devices()],
        "provenance": provenance(),
    }
    click.echo(to_json(result, indent=2))


if __name__ == "__main__":
    main()

"""The proportional limit by plain means: quadrature, proximal points and the probe's own fit.

This file and the other ``reference_*.py`` are numpy and scipy with wide tensor grids. They share
nothing with the package's solvers but the description of a problem: their own label law,
thresholds, proximal points, equations (in matrix form) and quadrature, and scipy's root finder.
"""

# scipy's stubs are looser than its results.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.optimize import root
from scipy.special import expit

from nfl_pruning import FixedProbe, Problem

REACH = 8.3


def density(x: np.ndarray) -> np.ndarray:
    """Of the standard normal law."""
    return np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


def gauss(edges: np.ndarray, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes on panels and normal weights."""
    t, w = np.polynomial.legendre.leggauss(count)
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    x = (middle + half * t).ravel()
    return x, (half * w).ravel() * density(x)


def evenly(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Trapezoidal nodes and normal weights."""
    x = (np.arange(count) + 0.5) * (2 * REACH / count) - REACH
    return x, 2 * REACH / count * density(x)


def pull(loss: str, v: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Loss derivative at the proximal point t = v - step * loss'(t), labels folded."""
    if loss == "squared":
        return (v - 1) / (1 + step)
    if loss == "hinge":  # t is v, or 1, or v + step
        return -np.clip((1 - v) / step, 0.0, 1.0)
    if loss == "max-margin":  # t is v or 1
        return -np.maximum(1 - v, 0.0) / step
    low, high = v, v + step
    t = np.clip(0.0, low, high)
    for _ in range(60):
        p = expit(-t)
        new = np.clip(t - (t - v - step * p) / (1 + step * p * (1 - p)), low, high)
        done = np.max(np.abs(new - t) / (1 + np.abs(t))) < 1e-13
        t = new
        if done:
            break
    return -expit(-t)


class Probe(NamedTuple):
    """Cosine to the teacher, and (a, tau) whose length is the norm.

    A fitted one has them along the teacher and across it; kappa, and whether it saw the data.
    """

    rho: float
    a: float = 1.0
    tau: float = 0.0
    kappa: float = 0.0
    own: bool = False

    @property
    def sigma(self) -> float:
        return float(np.hypot(self.a, self.tau))


def fitted_probe(signal: float, delta: float, ridge: float, *, own: bool) -> Probe:
    """Logistic fit to all samples: unknowns (a, log tau, log kappa)."""
    z, z_weight = gauss(np.linspace(-REACH, REACH, 100))
    g, g_weight = evenly(400)
    mass = 2 * expit(signal * z)[:, None] * z_weight[:, None] * g_weight

    def equations(x: np.ndarray, ridge: float) -> list[float]:
        a, tau, kappa = x[0], np.exp(x[1]), np.exp(x[2])
        f = pull("logistic", a * z[:, None] + tau * g, np.asarray(kappa))
        return [
            ridge * a + np.sum(mass * f * z[:, None]),
            delta * np.sum(mass * f * g) * kappa / tau - (1 - delta * ridge * kappa),
            delta * kappa**2 * np.sum(mass * f**2) / tau**2 - 1,
        ]

    def found(start: list[float] | np.ndarray, ridge: float) -> np.ndarray | None:
        answer = root(equations, start, args=(ridge,), tol=1e-13)
        return answer.x if np.max(np.abs(answer.fun)) < 1e-9 else None

    starts = ([0.5, 0.0, 0.0], [2.0, -1.0, -1.0], [0.1, -2.0, -2.0], [3.0, 0.5, 2.0])
    x = next((x for x in (found(start, ridge) for start in starts) if x is not None), None)
    if x is None:  # follow the root from a large ridge down
        x = np.array([0.05, -2.0, -np.log(10 * delta)])
        for step in np.geomspace(10.0, ridge, 60):
            near = found(x, float(step))
            if near is None:
                raise ArithmeticError("the probe's own fit was not found")
            x = near
    a, tau, kappa = float(x[0]), *np.exp(x[1:])
    return Probe(a / float(np.hypot(a, tau)), a, float(tau), float(kappa), own)


def smoothed(signal: float, noise: float, largest: float):
    """E expit(signal (m + noise eta)) and its slope in m, as a spline of degree 7."""
    eta, weight = evenly(900)
    width = 0.05 * np.hypot(1 / max(signal, 1.0), noise)
    m = np.arange(-largest - 5 * width, largest + 6 * width, width)
    values = np.concatenate(
        [expit(signal * (part[:, None] + noise * eta)) @ weight for part in np.array_split(m, 64)]
    )
    spline = make_interp_spline(m, values, k=7)
    return spline, spline.derivative()


def probe_of(problem: Problem) -> Probe:
    """The probe, fitted where it has to be."""
    label = problem.probe.label.split(":")
    if isinstance(problem.probe, FixedProbe):
        return Probe(problem.probe.alignment, problem.probe_norm)
    if problem.selection.label == "random":  # any direction will do
        return Probe(0.5)
    own = label[0] == "in-sample"
    samples = problem.samples_per_feature if own else float(label[1])
    return fitted_probe(problem.teacher.scale, samples, float(label[-1]), own=own)

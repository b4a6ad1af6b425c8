"""The proportional limit by plain means: numpy, scipy, wide tensor grids.

Shares nothing with the package's solvers but the description of a problem: its own label law,
thresholds, proximal points, equations (in matrix form) and quadrature, and scipy's root finder.
"""

# scipy's stubs are looser than its results.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportReturnType=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.integrate import quad
from scipy.interpolate import make_interp_spline
from scipy.optimize import brentq, root
from scipy.special import expit, ndtr

from nfl_pruning import Problem

REACH = 8.3
NODES = {"rough": (36, 320), "fine": (90, 900)}  # panels in u; nodes in xi


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
    """Cosine to the teacher; for a fitted one also (a, tau, kappa), and whether it saw the data."""

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


@dataclass
class Rule:
    """Cuts in u, and keep probability and weight between them."""

    cuts: np.ndarray
    keep: np.ndarray
    omega: np.ndarray


def rule_of(problem: Problem, probe: Probe) -> Rule:
    """Thresholds from scipy's scalar integrals and root finder."""
    r, protocol = problem.keep_fraction, problem.selection.label
    exploit = {"threshold": 1.0, "random": 0.0}.get(
        protocol, getattr(problem.selection, "exploit", 1.0)
    )
    power = {"exact": 1.0, "soft:0.5": 0.5}.get(protocol, 0.0)
    if exploit == 0:
        return Rule(np.zeros(1), np.full(2, r), np.ones(2))
    share = exploit * r
    explored = (1 - exploit) * r / (1 - share)
    weight = explored**-power if explored > 0 else 1.0
    z, z_weight = gauss(np.linspace(-REACH, REACH, 700))
    chance = 2 * expit(problem.teacher.scale * z) * z_weight
    perp = np.sqrt(1 - probe.rho**2)

    def below(t: float) -> float:
        return float(np.sum(chance * ndtr((t - probe.rho * z) / perp)))

    first = share if problem.keep == "hardest" else 1 - share
    inner = problem.keep == "hardest"
    if problem.score.name == "el2n":
        cuts = [brentq(lambda t: below(t) - first, -REACH, REACH, xtol=1e-15)]
        chosen = [inner, not inner]
    else:
        kappa = probe.kappa if probe.own else 0.0

        def ends(c: float) -> list[float]:
            return [(h - kappa * expit(-h)) / probe.sigma for h in (-c, c)]

        def inside(c: float) -> float:
            low, high = ends(c)
            return below(high) - below(low) - first

        cuts = ends(brentq(inside, 0, REACH * probe.sigma + kappa, xtol=1e-15))
        chosen = [not inner, inner, not inner]
    first_band = np.array(chosen)
    return Rule(
        np.clip(cuts, -REACH, REACH),
        np.where(first_band, 1.0, explored),
        np.where(first_band, 1.0, weight),
    )


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


@dataclass
class Grid:
    """Nodes in (u, xi) with the mass of kept samples, and what belongs to every row."""

    u: np.ndarray
    xi: np.ndarray
    mass: np.ndarray
    omega: np.ndarray
    f_1: np.ndarray


def grid_of(probe: Probe, rule: Rule, level: str) -> Grid:
    """A tensor grid whose panels end on the cuts."""
    panels, count = NODES[level]
    u, weight = gauss(np.unique([*np.linspace(-REACH, REACH, panels + 1), *rule.cuts]))
    stratum = np.searchsorted(rule.cuts, u)
    kept = rule.keep[stratum] > 0
    u, weight, stratum = u[kept], (weight * rule.keep[stratum])[kept], stratum[kept]
    xi, xi_weight = evenly(count)
    f_1 = pull("logistic", probe.sigma * u, np.asarray(probe.kappa)) if probe.own else 0 * u
    mass = 2 * weight[:, None] * xi_weight
    return Grid(u[:, None], xi, mass, rule.omega[stratum][:, None], f_1[:, None])


class Means(NamedTuple):
    """Expectations over kept samples of f_2 times u, z, the student's margin v, f_2 and f_1."""

    u: float
    z: float
    v: float
    square: float
    shared: float


def means(problem: Problem, probe: Probe, grid: Grid, x: np.ndarray) -> Means:
    """Sums over the grid; the teacher's noise given (u, xi) is in the smoothed link."""
    a_u, a_p, tau, kappa = x[0], x[1], np.exp(x[2]), np.exp(x[3])
    chi, s, perp = (x[4] if probe.own else 0.0), np.hypot(a_p, tau), np.sqrt(1 - probe.rho**2)
    mean = probe.rho * grid.u + perp * a_p / s * grid.xi
    noise = perp * tau / s
    link, slope = smoothed(problem.teacher.scale, noise, float(np.max(np.abs(mean))))
    v = a_u * grid.u + s * grid.xi
    f = pull(problem.student.loss.name, v + chi * grid.f_1, kappa * grid.omega) * grid.omega
    weighted = grid.mass * link(mean) * f
    total = lambda part: float(np.sum(weighted * part))  # noqa: E731
    eta_f = float(np.sum(grid.mass * f * slope(mean))) * noise
    u_f = total(grid.u)
    p_f = (a_p * total(grid.xi) + tau * eta_f) / s
    return Means(u_f, probe.rho * u_f + perp * p_f, total(v), total(f), total(grid.f_1))


def fresh_equations(problem: Problem, probe: Probe, grid: Grid, x: np.ndarray) -> np.ndarray:
    """For a probe that has not seen the samples."""
    delta, ridge = problem.samples_per_feature, problem.student.ridge
    a_u, a_p, tau, kappa = x[0], x[1], np.exp(x[2]), np.exp(x[3])
    found = means(problem, probe, grid, x)
    p_f = (found.z - probe.rho * found.u) / np.sqrt(1 - probe.rho**2)
    g_f = (found.v - a_u * found.u - a_p * p_f) / tau
    return np.array(
        [
            found.u + ridge * a_u,
            p_f + ridge * a_p,
            delta * kappa * g_f / tau - (1 - delta * ridge * kappa),
            delta * kappa**2 * found.square / tau**2 - 1,
        ]
    )


def shared_equations(problem: Problem, probe: Probe, grid: Grid, x: np.ndarray) -> np.ndarray:
    """For a probe fitted on the same samples, in matrices (see docs/theory.md)."""
    delta, ridge = problem.samples_per_feature, problem.student.ridge
    a_u, a_p, tau, kappa, chi = x[0], x[1], np.exp(x[2]), np.exp(x[3]), x[4]
    found = means(problem, probe, grid, x)
    a_2 = probe.rho * a_u + np.sqrt(1 - probe.rho**2) * a_p
    t_12 = probe.sigma * a_u - probe.a * a_2
    t_22 = a_u**2 + a_p**2 + tau**2 - a_2**2
    cov = np.array([[probe.tau**2, t_12], [t_12, t_22]])
    shared = delta * found.shared
    q = np.array([[(probe.tau / probe.kappa) ** 2, shared], [shared, delta * found.square]])
    k = np.array([[probe.kappa, 0.0], [-chi, kappa]])
    response = np.linalg.inv(k)[1] - np.array([0.0, delta * ridge])
    g_f = np.array([probe.sigma * found.u - probe.a * found.z, found.v - a_2 * found.z])
    sizes = np.sqrt(np.diag(cov))
    first, second = (delta * g_f - cov @ response) * kappa / (sizes * np.sqrt(t_22))
    again = (k @ q @ k.T - cov)[1] / (sizes * np.sqrt(t_22))
    return np.array([ridge * a_2 + found.z, first, second, *again])


def student(
    problem: Problem, probe: Probe, grid: Grid, start: np.ndarray
) -> tuple[np.ndarray, float]:
    """Unknowns (a_u, a_p, log tau, log kappa[, chi]) by scipy's hybrid method; the residual."""
    equations = shared_equations if probe.own else fresh_equations
    found = root(lambda x: equations(problem, probe, grid, x), start, tol=1e-13)
    return found.x, float(np.max(np.abs(found.fun)))


def observed(problem: Problem, probe: Probe, x: np.ndarray) -> tuple[float, float, float]:
    """Cosine, norm and test error."""
    a_u, a_p, tau = x[0], x[1], np.exp(x[2])
    length = float(np.sqrt(a_u**2 + a_p**2 + tau**2))
    cosine = float(probe.rho * a_u + np.sqrt(1 - probe.rho**2) * a_p) / length
    lean = cosine / np.sqrt(max(1 - cosine**2, 1e-300))
    scale = problem.teacher.scale

    def wrong(z: float) -> float:
        return float(2 * expit(scale * z) * ndtr(-lean * z) * density(np.asarray(z)))

    marks = [0.0, *(sign * w for sign in (-1, 1) for w in (1 / max(scale, 1), 1 / (1 + abs(lean))))]
    error = quad(wrong, -9, 9, points=sorted(marks), epsabs=1e-13, epsrel=1e-12, limit=400)[0]
    return cosine, length, error


def probe_of(problem: Problem) -> Probe:
    """The probe, fitted where it has to be."""
    label = problem.probe.label.split(":")
    if problem.selection.label == "random" or label[0] == "fixed":
        return Probe(float(label[1]) if label[0] == "fixed" else 0.5)
    own = label[0] == "in-sample"
    samples = problem.samples_per_feature if own else float(label[1])
    return fitted_probe(problem.teacher.scale, samples, float(label[-1]), own=own)

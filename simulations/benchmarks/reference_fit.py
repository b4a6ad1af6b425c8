"""The student's fit by plain means: tensor grids, equations in matrix form, scipy's root finder."""

# scipy's stubs are looser than its results.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from reference_probe import REACH, Probe, density, evenly, gauss, pull, smoothed
from reference_rules import Rule
from scipy.integrate import quad
from scipy.optimize import root
from scipy.special import expit, ndtr

from nfl_pruning import Problem

NODES = {"rough": (36, 320), "middle": (60, 560), "fine": (90, 900)}  # panels in u; nodes in xi
CORNER_PANELS = {
    "rough": 1.2,
    "middle": 0.9,
    "fine": 0.6,
}  # how far a corner in xi may move within one in u
NODES_A_PANEL = 12


@dataclass(frozen=True)
class Task:
    """What is fitted: the loss, its ridge, and the law of the samples."""

    loss: str
    ridge: float
    delta: float
    scale: float

    @classmethod
    def of(cls, problem: Problem, *, constrained: bool) -> Task:
        """The problem's own; or the hard margin, with the ridge at which kappa is nu."""
        delta, scale = problem.samples_per_feature, problem.teacher.scale
        if constrained:
            return cls("max-margin", 1 / delta, delta, scale)
        return cls(problem.student.loss.name, problem.student.ridge, delta, scale)

    @property
    def unit(self) -> float:
        """Makes the first equations of order one."""
        return self.delta if self.loss == "max-margin" else 1.0

    def corners(self, step: np.ndarray) -> list[np.ndarray]:
        """Margins at which the proximal map has a corner, for every step."""
        one = np.ones_like(step)
        return {"hinge": [one, 1 - step], "max-margin": [one]}.get(self.loss, [])


@dataclass(frozen=True)
class Grid:
    """Nodes in u with the mass of kept samples, and what belongs to every row of nodes in xi."""

    level: str
    u: np.ndarray
    mass: np.ndarray
    omega: np.ndarray
    f_1: np.ndarray

    def across(self, task: Task, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Nodes in xi and normal weights; where the loss has corners, panels end on them."""
        count = NODES[self.level][1]
        corners = task.corners(np.exp(x[3]) * self.omega)
        if not corners:
            return evenly(count)
        chi = x[4] if len(x) == 5 else 0.0
        places = (np.hstack(corners) - chi * self.f_1 - x[0] * self.u) / np.hypot(
            x[1], np.exp(x[2])
        )
        even = np.linspace(-REACH, REACH, count // NODES_A_PANEL + 1)
        edges = np.hstack([np.tile(even, (len(places), 1)), np.clip(places, -REACH, REACH)])
        edges.sort(axis=1)
        t, w = np.polynomial.legendre.leggauss(NODES_A_PANEL)
        half, middle = 0.5 * np.diff(edges)[..., None], 0.5 * (edges[:, 1:] + edges[:, :-1])
        shape = (len(places), -1)
        xi = (middle[..., None] + half * t).reshape(shape)
        return xi, (half * w).reshape(shape) * density(xi)


def grid_of(task: Task, probe: Probe, rule: Rule, level: str, x: np.ndarray) -> Grid:
    """A grid whose panels end on the cuts and follow the corners that x has."""

    def pull_1(u: np.ndarray) -> np.ndarray:
        return pull("logistic", probe.sigma * u, np.asarray(probe.kappa)) if probe.own else 0 * u

    even = np.linspace(-REACH, REACH, NODES[level][0] + 1)
    moved = []
    place = np.linspace(-REACH, REACH, 100001)
    chi = x[4] if len(x) == 5 else 0.0
    for corner in np.unique(np.ravel(task.corners(np.exp(x[3]) * np.unique(rule.omega)))):
        xi = (corner - chi * pull_1(place) - x[0] * place) / np.hypot(x[1], np.exp(x[2]))
        passed = np.cumsum(np.abs(np.diff(xi)) * (np.abs(xi[1:]) < 1.1 * REACH))
        steps = np.arange(0, passed[-1], CORNER_PANELS[level])
        moved.extend(place[1 + np.searchsorted(passed, steps)])
    u, weight = gauss(np.unique([*even, *moved, *rule.cuts]), NODES_A_PANEL)
    mass = 2 * weight * rule.keep(u)
    kept = mass > 0
    u, mass = u[kept], mass[kept]
    omega = rule.omega[np.searchsorted(rule.cuts, u)]
    return Grid(level, u[:, None], mass[:, None], omega[:, None], pull_1(u)[:, None])


class Means(NamedTuple):
    """Expectations over kept samples of f_2 times u, z, the student's margin v, f_2 and f_1."""

    u: float
    z: float
    v: float
    square: float
    shared: float


def means(task: Task, probe: Probe, grid: Grid, x: np.ndarray) -> Means:
    """Sums over the grid; the teacher's noise given (u, xi) is in the smoothed link."""
    a_u, a_p, tau, kappa = x[0], x[1], np.exp(x[2]), np.exp(x[3])
    chi, s, perp = (x[4] if probe.own else 0.0), np.hypot(a_p, tau), np.sqrt(1 - probe.rho**2)
    xi, xi_weight = grid.across(task, x)
    mean = probe.rho * grid.u + perp * a_p / s * xi
    noise = perp * tau / s
    link, slope = smoothed(task.scale, noise, float(np.max(np.abs(mean))))
    v = a_u * grid.u + s * xi
    f = pull(task.loss, v + chi * grid.f_1, kappa * grid.omega) * grid.omega
    mass = grid.mass * xi_weight
    weighted = mass * link(mean) * f
    total = lambda part: float(np.sum(weighted * part))  # noqa: E731
    eta_f = float(np.sum(mass * f * slope(mean))) * noise
    u_f = total(grid.u)
    p_f = (a_p * total(xi) + tau * eta_f) / s
    return Means(u_f, probe.rho * u_f + perp * p_f, total(v), total(f), total(grid.f_1))


def fresh_equations(task: Task, probe: Probe, grid: Grid, x: np.ndarray) -> np.ndarray:
    """For a probe that has not seen the samples."""
    delta, ridge = task.delta, task.ridge
    a_u, a_p, tau, kappa = x[0], x[1], np.exp(x[2]), np.exp(x[3])
    found = means(task, probe, grid, x)
    p_f = (found.z - probe.rho * found.u) / np.sqrt(1 - probe.rho**2)
    g_f = (found.v - a_u * found.u - a_p * p_f) / tau
    return np.array(
        [
            task.unit * (found.u + ridge * a_u),
            task.unit * (p_f + ridge * a_p),
            delta * kappa * g_f / tau - (1 - delta * ridge * kappa),
            delta * kappa**2 * found.square / tau**2 - 1,
        ]
    )


def shared_equations(task: Task, probe: Probe, grid: Grid, x: np.ndarray) -> np.ndarray:
    """For a probe fitted on the same samples, in matrices (see docs/equations.md)."""
    delta, ridge = task.delta, task.ridge
    a_u, a_p, tau, kappa, chi = x[0], x[1], np.exp(x[2]), np.exp(x[3]), x[4]
    found = means(task, probe, grid, x)
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
    return np.array([task.unit * (ridge * a_2 + found.z), first, second, *again])


def start_of(problem: Problem, probe: Probe, claimed: dict[str, Any], away: float) -> np.ndarray:
    """The claimed unknowns, moved; a random rule's are turned to the direction chosen here."""
    a_u, a_p, tau = claimed["a_u"], claimed["a_p"], claimed["tau"]
    if problem.selection.name == "random":
        along = claimed["cosine"] * claimed["norm"]
        a_u, a_p = along * probe.rho, along * np.sqrt(1 - probe.rho**2)
        tau = np.sqrt(claimed["norm"] ** 2 - along**2)
    step = claimed["kappa"] if claimed["nu"] is None else claimed["nu"]
    x = np.array([a_u, a_p, *np.log([tau, step]), *([claimed["chi"]] if probe.own else [])])
    size = np.abs(x)
    if not problem.student.loss.smooth:  # the equations bend where margins move by their noise
        size = np.minimum(size, np.hypot(a_p, tau))
        size[2:4] = 1.0
    return x + away * size * np.array([1, -1, 1, -1, 1])[: len(x)]


def student(task: Task, probe: Probe, grid: Grid, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Unknowns (a_u, a_p, log tau, log kappa[, chi]) by scipy's hybrid method; the residual."""
    equations = shared_equations if probe.own else fresh_equations
    with np.errstate(all="ignore"):  # a wild step of the root finder is seen in the residual
        found = root(lambda x: equations(task, probe, grid, x), start, tol=1e-13)
    if not np.isfinite(found.fun).all():
        raise ArithmeticError("the root finder left the range of numbers")
    return found.x, float(np.max(np.abs(found.fun)))


def observed(task: Task, probe: Probe, x: np.ndarray) -> tuple[float, float, float]:
    """Cosine, norm and test error."""
    a_u, a_p, tau = x[0], x[1], np.exp(x[2])
    length = float(np.sqrt(a_u**2 + a_p**2 + tau**2))
    cosine = float(probe.rho * a_u + np.sqrt(1 - probe.rho**2) * a_p) / length
    lean = cosine / np.sqrt(max(1 - cosine**2, 1e-300))
    scale = task.scale

    def wrong(z: float) -> float:
        return float(2 * expit(scale * z) * ndtr(-lean * z) * density(np.asarray(z)))

    marks = [0.0, *(sign * w for sign in (-1, 1) for w in (1 / max(scale, 1), 1 / (1 + abs(lean))))]
    error = quad(wrong, -9, 9, points=sorted(marks), epsabs=1e-13, epsrel=1e-12, limit=400)[0]
    return cosine, length, error

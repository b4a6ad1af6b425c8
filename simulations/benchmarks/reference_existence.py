"""Whether kept samples are separable, by plain means; docs/equations.md has the criterion."""

# scipy's stubs are looser than its results.

from __future__ import annotations

import numpy as np
from reference_probe import REACH, Probe, density, gauss, pull
from reference_rules import Rule
from scipy.optimize import minimize, root
from scipy.special import expit, ndtr

from nfl_pruning import Problem

PANELS = 60


def needed(problem: Problem, probe: Probe, rule: Rule) -> float:
    """V: the kept samples are separable where 1 / V is at least the samples per feature."""
    even = np.linspace(-REACH, REACH, PANELS + 1)
    u, weight = gauss(np.unique([*even, *rule.cuts]))
    keep = rule.keep(u)
    u, weight = u[keep > 0], (weight * keep)[keep > 0]
    across, across_weight = gauss(even)
    z = probe.rho * u[:, None] + np.sqrt(1 - probe.rho**2) * across
    mass = 2 * weight[:, None] * across_weight * expit(problem.teacher.scale * z)
    rows = [u[:, None], across]
    cost = np.zeros(2)
    if probe.own:
        f_1 = pull("logistic", probe.sigma * u, np.asarray(probe.kappa))
        h_1 = probe.sigma * u - probe.kappa * f_1
        rows = [z, h_1[:, None] / probe.sigma, f_1[:, None]]
        square = probe.tau**2 / (problem.samples_per_feature * probe.kappa**2)
        cost = np.array([0.0, 0.0, square])
    features = np.stack([np.broadcast_to(row, z.shape).ravel() for row in rows])
    return saddle(features, mass.ravel(), cost, max(1.0, problem.teacher.scale))


def saddle(features: np.ndarray, mass: np.ndarray, cost: np.ndarray, unit: float) -> float:
    """Least, or where there is a cost stationary, value of E[Psi(t . features)] - cost t^2."""

    def value(t: np.ndarray) -> float:
        m = unit * t @ features
        return float(mass @ ((1 + m**2) * ndtr(m) + m * density(m)) - cost @ t**2 * unit**2)

    def slope(t: np.ndarray) -> np.ndarray:
        m = unit * t @ features
        return unit * (features @ (2 * mass * (m * ndtr(m) + density(m))) - 2 * cost * t * unit)

    start = np.zeros(len(features))
    if not cost.any():
        return float(minimize(value, start, jac=slope, method="BFGS", options={"gtol": 1e-11}).fun)
    found = root(slope, start, tol=1e-13)
    if np.max(np.abs(found.fun)) > 1e-9:
        raise ArithmeticError("the saddle point was not found")
    return value(found.x)

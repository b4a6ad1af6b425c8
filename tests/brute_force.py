"""The proportional limit by plain means: a tensor grid in (u, u_perp, G), scipy's root finder.

Shares nothing with the package but its description of a problem: other variables (the label's
probability is the link at the teacher margin itself, nothing is smoothed or integrated by parts),
other rules for nodes, its own proximal points, its own keep law.
"""

# scipy's stubs are looser than its results.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.optimize
from scipy.integrate import quad
from scipy.optimize import root
from scipy.special import expit, ndtri
from scipy.stats import norm

brentq: Any = scipy.optimize.brentq  # its stub knows neither a float's tolerance nor its result
REACH = 7.0  # the normal law beyond holds 3e-12
KeepLaw = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def panels(edges: np.ndarray, n_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    x, w = np.polynomial.legendre.leggauss(n_nodes)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    return (middle + half * x).ravel(), (half * w).ravel()


def split(cuts: list[float], width: float) -> np.ndarray:
    """Edges on [-REACH, REACH] that end on the cuts and are at most ``width`` apart."""
    ends = np.unique([-REACH, REACH, *(c for c in cuts if abs(c) < REACH)])
    parts = [np.linspace(a, b, int(np.ceil((b - a) / width)) + 1) for a, b in pairwise(ends)]
    return np.unique(np.concatenate(parts))


def logistic_pull(v: np.ndarray, step: np.ndarray) -> np.ndarray:
    """v - h with h = v + step * expit(-h), by bisection, then Newton; for y = 1."""
    low, high = v.copy(), v + step
    for _ in range(6):
        middle = 0.5 * (low + high)
        up = middle - v - step * expit(-middle) < 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    h = 0.5 * (low + high)
    for _ in range(6):
        p = expit(-h)
        h = np.clip(h - (h - v - step * p) / (1 + step * p * (1 - p)), v, v + step)
    p = expit(-h)
    assert np.abs(h - v - step * p).max() < 1e-11 * (1 + step.max())
    return -step * p


def squared_pull(v: np.ndarray, step: np.ndarray) -> np.ndarray:
    return (v - 1) * step / (1 + step)


@dataclass
class BruteForce:
    """A problem in numbers and functions.

    Attributes:
        link: P(y = 1) of the teacher margin. jumps: places in the margin where it jumps.
        keep: (u, label) -> (keep probability, weight). cuts: places in u where either jumps.
    """

    link: Callable[[np.ndarray], np.ndarray]
    keep: KeepLaw
    cuts: list[float]
    signal: float
    delta: float
    ridge: float
    rho: float
    pull: Callable[[np.ndarray, np.ndarray], np.ndarray] = logistic_pull
    jumps: list[float] = field(default_factory=list)
    width: float = 1.75
    nodes: int = 12

    def grid(self) -> tuple[np.ndarray, ...]:
        """u and u_perp, P(y = 1), and weights; each flat."""
        u, weight = panels(split(self.cuts, self.width), self.nodes)
        perp = np.sqrt(1 - self.rho**2)
        columns = []
        for a, w in zip(u, weight * norm.pdf(u), strict=True):
            cuts = [(jump / self.signal - self.rho * a) / perp for jump in self.jumps]
            across, v = panels(split(cuts, self.width), self.nodes)
            mass = w * v * norm.pdf(across)
            z = self.rho * a + perp * across
            columns.append(np.stack([np.full_like(across, a), across, z, mass]))
        u, across, z, mass = np.concatenate(columns, axis=1)
        heavy = mass > 1e-16
        u, across, z, mass = u[heavy], across[heavy], z[heavy], mass[heavy]
        return u, across, self.link(self.signal * z), mass

    def solve(self, start: tuple[float, float, float, float]) -> np.ndarray:
        """(a_u, a_p, tau, kappa), found from a start that need not be near."""
        u, across, positive, mass = self.grid()
        g, g_weight = panels(split([], self.width), self.nodes)
        g_weight = g_weight * norm.pdf(g)
        laws = []
        for y in (1, -1):
            keep, omega = self.keep(u, y)
            chance = keep * mass * (positive if y == 1 else 1 - positive)
            stay = chance > 1e-16
            laws.append((y, u[stay], across[stay], chance[stay], omega[stay]))

        def equations(x: np.ndarray) -> np.ndarray:
            a_u, a_p, (tau, kappa) = x[0], x[1], np.exp(x[2:])
            total = np.zeros(4)
            for y, along, side, chance, omega in laws:
                v = (a_u * along + a_p * side)[:, None] + tau * g
                step = np.broadcast_to(kappa * omega[:, None], v.shape)
                d = y * self.pull(y * v, step)
                once, with_g = d @ g_weight, d @ (g_weight * g)
                square = (d * d) @ g_weight
                total += [
                    np.sum(chance * along * once),
                    np.sum(chance * side * once),
                    np.sum(chance * with_g),
                    np.sum(chance * square),
                ]
            return np.array(
                [
                    total[0] / kappa + self.ridge * a_u,
                    total[1] / kappa + self.ridge * a_p,
                    self.delta * total[2] / tau - 1 + self.delta * self.ridge * kappa,
                    self.delta * total[3] / tau**2 - 1,
                ]
            )

        x = np.array([*start[:2], *np.log(start[2:])])
        found = root(equations, x, method="hybr", options={"xtol": 1e-11, "eps": 1e-7})
        assert np.abs(equations(found.x)).max() < 1e-9, found.message
        return np.array([*found.x[:2], *np.exp(found.x[2:])])

    def cosine_and_norm(self, state: np.ndarray) -> tuple[float, float]:
        a_u, a_p, tau, _ = state
        size = float(np.sqrt(a_u**2 + a_p**2 + tau**2))
        return (self.rho * a_u + np.sqrt(1 - self.rho**2) * a_p) / size, size


def label_chance(problem: BruteForce, u: float) -> float:
    """P(y = 1 | u), by adaptive quadrature."""
    perp = np.sqrt(1 - problem.rho**2)
    cuts = [(j / problem.signal - problem.rho * u) / perp for j in problem.jumps]
    inside = [c for c in cuts if abs(c) < REACH] or None

    def integrand(g: float) -> float:
        link = float(problem.link(problem.signal * (problem.rho * u + perp * g)))
        return link * float(norm.pdf(g))

    return quad(integrand, -REACH, REACH, points=inside, epsabs=1e-12, limit=200)[0]


def label_aware_quantile(problem: BruteForce, share: float) -> float:
    """The t with P(y u < t) = share, from nested adaptive quadrature on a fine table."""
    u, _ = panels(split([], 0.25), 8)
    right = np.array([label_chance(problem, a) for a in u])

    def below(t: float) -> float:
        x, w = panels(np.linspace(-REACH, t, 60), 8)
        inside = np.interp(x, u, right)  # the table only starts the search
        return float(np.sum(w * norm.pdf(x) * (inside + 1 - np.interp(-x, u, right))))

    rough = brentq(lambda t: below(t) - share, -6, 6)

    def exact(t: float) -> float:
        x, w = panels(np.linspace(-REACH, t, 30), 8)
        chance = np.array([label_chance(problem, a) + 1 - label_chance(problem, -a) for a in x])
        return float(np.sum(w * norm.pdf(x) * chance))

    return float(brentq(lambda t: exact(t) - share, rough - 1e-2, rough + 1e-2, xtol=1e-13))


def agnostic_quantile(share: float) -> float:
    """The t with P(|u| < t) = share."""
    return float(ndtri(0.5 + share / 2))

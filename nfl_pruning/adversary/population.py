"""Population risks on a law by quadrature, and their minimisers over a ball."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit

from nfl_pruning.adversary.laws import LABELS, Law, panel_nodes, slices
from nfl_pruning.numerics.damped import convex_minimum

WALK = 3.0  # of the logarithm of a multiplier
RADIUS = 20.0  # of the ball that parameters lie in, as the theorems have it


class Nodes(NamedTuple):
    """Quadrature nodes: x of shape (nodes, 2), mass of shape (2, nodes), first y = 1."""

    x: np.ndarray
    mass: np.ndarray

    @property
    def design(self) -> np.ndarray:
        """(x, 1), shape (nodes, 3)."""
        return np.concatenate([self.x, np.ones((len(self.x), 1))], axis=1)


def law_nodes(law: Law, n_slices: int) -> Nodes:
    """Nodes for smooth integrands; panels end on the steps of the label's probability."""
    x2, weight, edges = slices(law, n_slices)
    x1, w1 = panel_nodes(edges[None])
    x = np.stack(np.broadcast_arrays(x1, x2[:, None]), -1).reshape(-1, 2)
    mass = (weight[:, None] * w1).ravel() * law.density(x)
    probability = law.probability(x)
    keep = mass > 1e-18
    return Nodes(x[keep], (mass * np.stack([probability, 1 - probability]))[:, keep])


def risk(theta: np.ndarray, nodes: Nodes) -> float:
    """Mean logistic loss under the nodes' mass (not normalised)."""
    margin = nodes.design @ theta
    return float(np.sum(nodes.mass * np.logaddexp(0, -LABELS[:, None] * margin)))


def _newton(nodes: Nodes, ridge: float, start: np.ndarray, far: float) -> np.ndarray | None:
    """Minimiser of risk + ridge / 2 |theta|^2, or None where its path leaves a ball."""
    design, (up, down) = nodes.design, nodes.mass

    def derivatives(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        margin = design @ theta
        p, q = expit(margin), expit(-margin)
        gradient = design.T @ (down * p - up * q) + ridge * theta
        return gradient, (design.T * ((up + down) * p * q)) @ design + ridge * np.eye(3)

    mass = max(float(nodes.mass.sum()), 1e-300)
    return convex_minimum(derivatives, start, far=far, within=1e-11, mass=mass, whole_below=0.1)


def minimiser(nodes: Nodes, radius: float = RADIUS) -> tuple[np.ndarray, bool]:
    """The parameter of least risk with norm at most ``radius``, and whether the ball binds."""
    mass = nodes.mass.sum()
    theta = _newton(nodes, 0.0, np.zeros(3), 5 * radius)
    if theta is not None and np.linalg.norm(theta) <= radius:
        return theta, False
    # The norm grows as the multiplier falls: walk down from a large one, each fit starting from
    # the last, until the norm passes the radius; then bisect within that one step.
    theta, high = np.zeros(3), float(np.log(1e2 * mass))
    inside, low = True, high
    while inside and low > np.log(1e-200 * mass):
        low = high - WALK
        found = _newton(nodes, float(np.exp(low)), theta, 2 * radius)
        inside = found is not None and bool(np.linalg.norm(found) <= radius)
        if inside and found is not None:
            theta, high = found, low
    for _ in range(24):
        middle = 0.5 * (low + high)
        found = _newton(nodes, float(np.exp(middle)), theta, 2 * radius)
        if found is None or np.linalg.norm(found) > radius:
            low = middle
        else:
            high, theta = middle, found
    return theta * min(1.0, radius / np.linalg.norm(theta)), True

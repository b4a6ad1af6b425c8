"""When a ridge-free logistic fit to the kept samples exists (Candes and Sur 2020, with pruning).

The kept samples are linearly separable, so that no finite fit exists, exactly when
``1 / delta >= min_t E[pi (t_u y u + t_p y u_perp - Z)_+^2]`` with Z standard normal and pi the keep
probability. Weights do not matter as long as they are positive.
"""

from __future__ import annotations

import jax
import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr

from nfl_pruning.numerics.quadrature import NORMAL_RANGE, gauss_legendre, normal_density
from nfl_pruning.problem import Problem
from nfl_pruning.theory.keep_law import KeepLaw
from nfl_pruning.theory.label_law import LABELS
from nfl_pruning.theory.mesh import kept_intervals, link_layers, u_panels


def _plane_nodes(problem: Problem, law: KeepLaw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes of (y u, y u_perp) and their weights, keep probability included; each of shape (k,)."""
    layers, rho = link_layers(problem), law.label_law.alignment
    perp = np.sqrt(max(1 - rho**2, 0.0))
    widths = np.clip(np.append(layers.widths, 0.5), 1e-3, 1e3)
    centres = np.append(layers.places, 0.0)
    panels = u_panels(kept_intervals(law, 2), (np.clip(centres, -30, 30), widths), 30)
    x, w = gauss_legendre(10)
    half, middle = 0.5 * np.diff(panels, axis=1), panels.mean(axis=1, keepdims=True)
    u, u_weight = (middle + half * x).ravel(), (half * w).ravel()
    edges = np.broadcast_to(np.linspace(-NORMAL_RANGE, NORMAL_RANGE, 25), (len(u), 25))
    reach = np.concatenate([-(2.0 ** np.arange(-4, 2)), [0.0], 2.0 ** np.arange(-4, 2)])
    offsets = (np.where(layers.widths > 0, layers.widths, 1.0)[:, None] * reach).ravel()
    rises = np.repeat(layers.places, len(reach))[None] - rho * u[:, None]
    cuts = rises / max(perp, 1e-9) + offsets
    edges = np.sort(
        np.concatenate([edges, np.clip(cuts, -NORMAL_RANGE, NORMAL_RANGE)], axis=1), axis=1
    )
    half, middle = 0.5 * np.diff(edges, axis=1), 0.5 * (edges[:, 1:] + edges[:, :-1])
    across = (middle[..., None] + half[..., None] * x).reshape(len(u), -1)
    weight = (half[..., None] * w).reshape(len(u), -1) * normal_density(across)
    weight = weight * (u_weight * normal_density(u))[:, None]
    margin = problem.teacher.scale * (rho * u[:, None] + perp * across)
    with jax.enable_x64(True):
        positive = np.asarray(problem.teacher.link(margin))
    keep = law.evaluate(u)[0].sum(axis=0)
    parts = []
    for i, y in enumerate(LABELS):
        mass = weight * keep[i][:, None] * (positive if y == 1 else 1 - positive)
        parts.append(np.stack([np.broadcast_to(y * u[:, None], mass.shape), y * across, mass]))
    along, side, mass = np.concatenate([part.reshape(3, -1) for part in parts], axis=1)
    real = mass > 1e-30
    return along[real], side[real], mass[real]


def separability_threshold(problem: Problem, law: KeepLaw) -> float:
    """Samples per feature (before pruning) above which a ridge-free fit exists.

    The law is ``selection_law(problem)``; the problem's own samples per feature are not used.

    Infinite where the kept samples are separable however many there are: noiseless labels, or a
    label-aware rule whose threshold lies on the wrong side of 0.
    """
    along, side, mass = _plane_nodes(problem, law)

    def objective(t: np.ndarray) -> tuple[float, np.ndarray]:
        margin = t[0] * along + t[1] * side
        low, density = ndtr(margin), normal_density(margin)
        value = np.sum(mass * ((1 + margin**2) * low + margin * density))
        slope = 2 * mass * (margin * low + density)
        return float(value), np.array([np.sum(slope * along), np.sum(slope * side)])

    def curvature(t: np.ndarray) -> np.ndarray:
        bend = 2 * mass * ndtr(t[0] * along + t[1] * side)
        cross = np.sum(bend * along * side)
        return np.array([[np.sum(bend * along**2), cross], [cross, np.sum(bend * side**2)]])

    best = minimize(
        objective,
        np.zeros(2),
        jac=True,
        hess=curvature,
        method="trust-exact",
        options={"gtol": 1e-12, "maxiter": 200, "max_trust_radius": 1e6},
    )
    if best.fun < 1e-9 or np.abs(best.x).max() > 1e4:
        return np.inf
    return 1 / float(best.fun)

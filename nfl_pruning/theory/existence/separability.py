"""When a ridge-free logistic fit to the kept samples exists (Candes and Sur 2020, with pruning).

The kept samples are linearly separable, so that no finite fit exists, exactly when

    1 / delta >= V = min over t   E[pi Psi(t_u y u + t_p y u_perp)],    Psi(m) = E[(m - Z)_+^2],

with Z standard normal and pi the keep probability. Weights do not matter as long as they are
positive.

A probe that was fitted on the same samples has left its mark on them. Given the teacher's margins
z_i, the probe's training margins h_i and its loss derivatives f_i, the rest of the design is
Gaussian but for one constraint, the probe's own stationarity: the f-weighted sum of the rows has no
part outside the plane of teacher and probe. So the vectors q that must lie in the cone of the
correctly signed margins are orthogonal to f, and with the multiplier c of that constraint

    V = max over c  min over t   E[pi Psi(t_1 y z + t_2 y h + c y f)] - c^2 E[f^2],

by the same comparison of a random subspace with a cone. It is convex in t and concave in c. Here V
depends on delta through the probe, and 1 / V is the number of samples per feature that a fit needs
under the selection which the probe makes at the given delta.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from scipy.special import ndtr

from nfl_pruning.numerics.quadrature import NORMAL_RANGE, gauss_legendre, normal_density
from nfl_pruning.problem import Problem
from nfl_pruning.theory.integrators.panels.mesh import kept_intervals, link_layers, u_panels
from nfl_pruning.theory.probe_fit import ProbeFit
from nfl_pruning.theory.selection_law.keep_law import MASS_TOLERANCE, KeepLaw, mass_flaw
from nfl_pruning.theory.selection_law.label_law import LABELS
from nfl_pruning.theory.selection_law.ordering import UnsupportedProblemError

PANELS = (30, 60, 120)  # in u, until the mass is right
MOST_STEPS = 100
SEPARATED = 1e-9  # a smaller V is 0: the minimum is approached at infinity


class _Nodes(NamedTuple):
    """Nodes of a kept sample's law, each of shape (k,).

    Attributes:
        along, side: y u and y u_perp. pull: y f, the probe's loss derivative (0 for a fresh probe).
        mass: weights, keep probability included.
    """

    along: np.ndarray
    side: np.ndarray
    pull: np.ndarray
    mass: np.ndarray


def _checked_nodes(problem: Problem, law: KeepLaw, fit: ProbeFit | None) -> _Nodes:
    """Nodes that keep what the selection was asked for, on as many panels as that takes.

    Raises:
        UnsupportedProblemError: no number of panels does, or the selection itself does not.
    """
    law.checked()
    defect = np.inf
    for panels in PANELS:
        nodes = _plane_nodes(problem, law, fit, panels)
        defect = abs(float(nodes.mass.sum()) / law.fraction - 1)
        if defect <= MASS_TOLERANCE:
            return nodes
    raise UnsupportedProblemError(mass_flaw("quadrature", defect))


def _plane_nodes(problem: Problem, law: KeepLaw, fit: ProbeFit | None, panels: int) -> _Nodes:
    layers, rho = link_layers(problem), law.label_law.alignment
    perp = np.sqrt(max(1 - rho**2, 0.0))
    widths = np.clip(np.append(layers.widths, 0.5), 1e-8, 1e3)
    centres = np.append(layers.places, 0.0)
    if fit is not None:  # the probe's proximal map bends over a full step
        centres = np.append(centres, np.array([1.0, -1.0]) * fit.step / fit.sigma)
        widths = np.append(widths, np.full(2, (1 + np.log1p(fit.step)) / fit.sigma))
    centres, widths = np.append(centres, law.layers[0]), np.append(widths, law.layers[1])
    pieces = u_panels(kept_intervals(law, 2), (np.clip(centres, -30, 30), widths), panels)
    x, w = gauss_legendre(10)
    half, middle = 0.5 * np.diff(pieces, axis=1), pieces.mean(axis=1, keepdims=True)
    u, u_weight = (middle + half * x).ravel(), (half * w).ravel()
    edges = np.broadcast_to(np.linspace(-NORMAL_RANGE, NORMAL_RANGE, 25), (len(u), 25))
    # separability may hang on the few samples of the far tail: panels reach 32 widths
    steps = 2.0 ** np.arange(-4, 6)
    reach = np.concatenate([-steps, [0.0], steps])
    spread = np.where(layers.widths > 0, layers.widths, 1.0) / max(perp, 1e-3)
    offsets = (spread[:, None] * reach).ravel()
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
        pulls = {y: fit.derivative(y, u) if fit else np.zeros_like(u) for y in LABELS}
    keep = law.evaluate(u)[0].sum(axis=0)
    parts = []
    for i, y in enumerate(LABELS):
        mass = weight * keep[i][:, None] * (positive if y == 1 else 1 - positive)
        columns = (y * u[:, None], y * across, pulls[y][:, None], mass)
        parts.append(np.stack(np.broadcast_arrays(*columns)))
    nodes = _Nodes(*np.concatenate([part.reshape(4, -1) for part in parts], axis=1))
    real = nodes.mass > 1e-30
    return _Nodes(*(part[real] for part in nodes))


def separability_threshold(problem: Problem, law: KeepLaw, *, fit: ProbeFit | None = None) -> float:
    """Samples per feature (before pruning) above which a ridge-free fit exists, for this law.

    The law is ``selection_law(problem)``. For a fresh probe the problem's own samples per feature
    are not used; ``fit``, the fit of a probe that saw the samples, belongs to them, and the
    answer says on which side of existence they are.

    Infinite where the kept samples are separable however many there are: noiseless labels, or a
    label-aware rule whose threshold lies on the wrong side of 0.

    Raises:
        UnsupportedProblemError: the kept mass is not right to 1e-9.
    """
    nodes = _checked_nodes(problem, law, fit)
    size = max(1.0, problem.teacher.scale)  # the place of the saddle grows with it
    rho, (u, across, f, mass) = law.label_law.alignment, nodes
    perp = np.sqrt(max(1 - rho**2, 0.0))
    z = rho * u + perp * across  # steep links bend the function of t in this direction alone
    if fit is None:
        features = np.stack([z, rho * across - perp * u])
        value, place = _saddle(features, mass, np.zeros(2), size)
    else:
        h = fit.sigma * u - fit.step * f
        f_squared = fit.noise**2 / (problem.samples_per_feature * fit.step**2)
        cost = np.array([0.0, 0.0, f_squared])
        value, place = _saddle(np.stack([z, h / fit.sigma, f]), mass, cost, size)
    if value < SEPARATED or np.abs(place).max() > 1e4 * size:
        return np.inf
    return 1 / value


def _saddle(
    features: np.ndarray, mass: np.ndarray, cost: np.ndarray, unit: float
) -> tuple[float, np.ndarray]:
    """The saddle value and place of sum(mass Psi(t . features)) - sum(cost t^2).

    ``unit`` is what t is measured by: far beyond it the search is given up.
    Convex in the entries of t without a cost, concave in those with one. Newton's direction lowers
    the gradient's norm for any such function, so the line search looks at that.
    """

    def gradient(t: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        margin = t @ features
        low, density = ndtr(margin), normal_density(margin)
        value = np.sum(mass * ((1 + margin**2) * low + margin * density)) - cost @ t**2
        slope = features @ (2 * mass * (margin * low + density)) - 2 * cost * t
        bend = (features * (2 * mass * low)) @ features.T - 2 * np.diag(cost)
        return float(value), slope, bend

    t = np.zeros(len(features))
    value, slope, bend = gradient(t)
    for _ in range(MOST_STEPS):
        scale = np.sqrt(np.maximum(np.abs(np.diag(bend)), 1e-300))
        size = np.linalg.norm(slope / scale)
        if size**2 < 1e-24 * abs(value):  # about what a step still changes
            break
        step = (
            np.linalg.lstsq(bend / np.outer(scale, scale), -slope / scale, rcond=1e-14)[0] / scale
        )
        step *= min(1.0, 1e3 * unit / max(np.linalg.norm(step), 1e-300))
        for factor in 0.5 ** np.arange(30):
            there = gradient(t + factor * step)
            if np.linalg.norm(there[1] / scale) < (1 - 1e-4 * factor) * size:
                break
        else:
            break  # rounding level
        t, (value, slope, bend) = t + factor * step, there
        if np.abs(t).max() > 1e5 * unit:
            break
    return value, t

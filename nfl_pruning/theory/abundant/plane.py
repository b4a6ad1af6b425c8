"""Expectations over (u, p, y) at a fixed parameter in the plane of probe and teacher.

With the probe's direction first, a sample has coordinates u and p in the plane, z = rho u +
sqrt(1 - rho^2) p along the teacher, and the parameter theta = (theta_u, theta_p) gives it the
margin v = theta_u u + theta_p p. Nodes are composite Gauss-Legendre: panels end on the jumps of
selection and link and on the kinks of the loss, and shrink towards the lines where link and loss
bend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.links import Link
from nfl_pruning.losses import Loss
from nfl_pruning.numerics.quadrature import (
    gauss_legendre,
    graded_edges,
    merge_edges,
    normal_density,
    panel_nodes,
)
from nfl_pruning.problem import Problem
from nfl_pruning.theory.integrators.panels.mesh import Layers, link_layers, u_panels

P_NODES = 8
LINE = 12.0  # half the length of a line that is integrated along
PARALLEL = 1e-7  # below it a parameter's second component turns no kink out of the first axis
PERFECT = 1e-12  # below it sqrt(1 - rho^2) counts as 0: the plane's second axis has no teacher


@dataclass(frozen=True)
class PlaneLevel:
    """A resolution: panels in u, nodes on each, panels in p."""

    u_panels: int
    u_nodes: int
    p_panels: int


PLANE_LEVELS = (
    PlaneLevel(16, 6, 12),
    PlaneLevel(24, 8, 20),
    PlaneLevel(40, 10, 34),
    PlaneLevel(64, 12, 60),
)

Evaluate = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class PlaneLaw:
    """Labels and selection in the plane.

    Attributes:
        problem: its teacher is read.
        alignment: cosine rho of probe and teacher.
        breaks: places in u where the selection or P(y | u) jumps, increasing.
        intervals: pieces between them on which something is kept.
        evaluate: (u, p) of shapes (k, 1) and (k, m) -> keep probability and weight of shapes that
            broadcast with (layers, 2, k, m); the second axis is y = +1, -1, layers add up.
        u_layers: centres and widths in u of a selection that changes steeply but smoothly.
        p_breaks: u of shape (k,) -> places in p where the selection bends, shape (k, breaks).
        rest: as the keep probability, but for E[keep * r^2] / E[r^2], with r the input's
            component in any one direction across the plane; None where both are the same.
        fraction: share of all samples that was asked for.
        constant: whether the keep probability is constant in between; else it is nowhere 0.
    """

    problem: Problem
    alignment: float
    breaks: np.ndarray
    intervals: list[tuple[float, float]]
    evaluate: Evaluate
    u_layers: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))
    p_breaks: Callable[[np.ndarray], np.ndarray] = lambda u: np.zeros((len(u), 0))
    rest: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    fraction: float = 1.0
    constant: bool = True

    @property
    def across(self) -> float:
        """sqrt(1 - rho^2), or exactly 0 for a perfect probe."""
        perp = float(np.sqrt(max(1 - self.alignment**2, 0.0)))
        return perp if perp > PERFECT else 0.0


@dataclass(frozen=True)
class Plane:
    """Nodes with their masses: u of shape (k, 1), p of (k, m).

    ``mass`` holds weight times density times P(y | z) for y = +1, -1, shape (2, k, m); the padding
    has mass 0. ``keep`` and ``omega`` are those of :class:`PlaneLaw`.
    """

    u: np.ndarray
    p: np.ndarray
    mass: np.ndarray
    keep: np.ndarray
    omega: np.ndarray

    def weighted(self, power: int) -> np.ndarray:
        """Mass times keep probability times weight^power, summed over layers, (2, k, m)."""
        return self.mass * np.sum(self.keep * self.omega**power, axis=0)

    def defect(self, fraction: float) -> float:
        """Relative difference of what the nodes keep and a keep fraction."""
        return abs(float(self.weighted(0).sum()) / fraction - 1)


def _u_edges(law: PlaneLaw, layers: Layers, theta: np.ndarray, loss: Loss, n: int) -> np.ndarray:
    """Panels in u, shape (panels, 2); the count is rounded up with empty panels."""
    rho = law.alignment
    lean = max(abs(rho), 1e-9)
    rise_at = np.sign(rho or 1.0) * layers.places / lean
    rise = np.sqrt(layers.widths**2 + law.across**2) / lean
    size = max(float(np.hypot(*theta)), 1e-9)
    slope = max(abs(theta[0]), 1e-9)
    kinks = _signed_kinks(loss)
    bends = np.concatenate([[0.0], kinks])
    bend = np.append(np.hypot(1.0, theta[1]), np.full(len(kinks), abs(theta[1]))) / slope
    edge = np.full(len(law.breaks), max(1 / size, 1e-3))  # steep losses decay from the edges on
    centres = np.concatenate([rise_at, bends / slope, law.breaks, law.u_layers[0], [0.0]])
    widths = np.concatenate([rise, bend, edge, law.u_layers[1], [0.5]])
    features = np.clip(centres, -30, 30), np.clip(widths, 1e-4, 1e3)
    cuts = kinks / slope if abs(theta[1]) < PARALLEL else np.zeros(0)
    panels = u_panels(_split(law.intervals, cuts), features, n)
    short = -len(panels) % 8
    return np.concatenate([panels, np.repeat(panels[-1:, 1:], 2, axis=1).repeat(short, axis=0)])


def _split(intervals: list[tuple[float, float]], cuts: np.ndarray) -> list[tuple[float, float]]:
    """The intervals, cut at some places."""
    pieces = []
    for low, high in intervals:
        inner = np.sort(cuts[(cuts > low) & (cuts < high)]).tolist()
        pieces.extend(pairwise([low, *inner, high]))
    return pieces


def _signed_kinks(loss: Loss) -> np.ndarray:
    """The margins v at which the loss of either label bends, y v for y = 1 first."""
    found = np.unique([float(kink) for kink in loss.kinks(jnp.zeros(()))])
    return np.concatenate([found, -found])


def _p_edges(
    law: PlaneLaw, layers: Layers, theta: np.ndarray, u: np.ndarray, *, loss: Loss, n: int
) -> np.ndarray:
    """Panel edges in p for every u, shape (len(u), edges)."""
    bends = np.concatenate([[0.0], _signed_kinks(loss)])
    slope = theta[1] if abs(theta[1]) > 1e-9 else 1e-9
    bend_at = (bends - theta[0] * u[:, None]) / slope
    centres, widths, exact = [bend_at], [np.full(len(bends), 1 / abs(slope))], [bend_at[:, 1:]]
    if law.across > 0:
        rise_at = (layers.places - law.alignment * u[:, None]) / law.across
        centres.append(rise_at)
        widths.append(layers.widths / law.across)
        exact.append(rise_at[:, layers.widths == 0])
    own = law.p_breaks(u)
    centres.append(own)
    widths.append(np.full(own.shape[1], 0.3))
    places = np.clip(np.concatenate(centres, axis=1), -30.0, 30.0)
    layer = np.broadcast_to(np.clip(np.concatenate(widths), 1e-5, 1e3), places.shape)
    edges, rows = graded_edges(places, layer, n_panels=n), np.arange(len(u))
    for bend in own.T:  # an edge just beside a bend would leave the next panel with the bend nearby
        nearest = 1 + np.argmin(np.abs(edges[:, 1:-1] - bend[:, None]), axis=1)
        edges[rows, nearest] = np.clip(bend, edges[:, 0], edges[:, -1])
    return merge_edges(edges, np.concatenate([*exact, own], axis=1))


def _p_nodes(edges: np.ndarray, bends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on panels in p, shape (rows, panels * nodes).

    Beside a bend the keep probability is a power series in the square root of the distance where
    the number of features is odd; nodes there are even in that root.
    """
    x, w = gauss_legendre(P_NODES)
    t = 0.5 * (1 + x)
    at_bend = (edges[:, :, None] == bends[:, None, :]).any(axis=-1)
    beside = (at_bend[:, 1:] | at_bend[:, :-1])[..., None]
    low, length = edges[:, :-1, None], np.diff(edges, axis=1)[..., None]
    p = low + length * np.where(beside, t**2 * (3 - 2 * t), t)
    weight = length * (0.5 * w) * np.where(beside, 6 * t * (1 - t), 1.0)
    return p.reshape(len(edges), -1), weight.reshape(len(edges), -1)


def plane_nodes(law: PlaneLaw, theta: np.ndarray, *, loss: Loss, level: PlaneLevel) -> Plane:
    """Nodes graded for one parameter.

    Args:
        law: labels and selection.
        theta: parameter that the nodes are graded for, shape (2,).
        loss: its kinks matter.
        level: resolution.
    """
    layers = link_layers(law.problem)
    panels = _u_edges(law, layers, theta, loss, level.u_panels)
    x, w = gauss_legendre(level.u_nodes)
    half, middle = 0.5 * np.diff(panels, axis=1), panels.mean(axis=1, keepdims=True)
    u, weight = (middle + half * x).ravel(), (half * w).ravel()
    edges = _p_edges(law, layers, theta, u, loss=loss, n=level.p_panels)
    p, p_weight = _p_nodes(edges, law.p_breaks(u))
    mass = (weight * normal_density(u))[:, None] * p_weight * normal_density(p)
    teacher = law.problem.teacher
    margin = teacher.scale * (law.alignment * u[:, None] + law.across * p)
    positive = np.asarray(_probability(teacher.link, margin))
    keep, omega = law.evaluate(u[:, None], p)
    return Plane(u[:, None], p, mass * np.stack([positive, 1 - positive]), keep, omega)


@partial(jax.jit, static_argnames="link")
def _probability(link: Link, margin: Array) -> Array:
    return link(margin)


@partial(jax.jit, static_argnames="loss")
def _sums(theta: Array, u: Array, p: Array, mass: Array, loss: Loss) -> tuple[Array, ...]:
    v = theta[0] * u + theta[1] * p
    total = [jnp.zeros(())] * 6
    for y, probability in ((1.0, mass[0]), (-1.0, mass[1])):
        slope, curvature = jax.jvp(loss.derivative, (y * v,), (jnp.ones_like(v),))
        first = probability * y * slope
        second = probability * curvature
        parts = (
            probability * jnp.where(probability > 0, loss.value(y * v), 0.0),
            first * u,
            first * p,
            second * u * u,
            second * u * p,
            second * p * p,
        )
        total = [t + jnp.sum(part) for t, part in zip(total, parts, strict=True)]
    return tuple(total)


def risk_terms(plane: Plane, theta: np.ndarray, loss: Loss) -> tuple[float, np.ndarray, np.ndarray]:
    """E[keep omega loss(y v)], its gradient (2,) and its Hessian (2, 2) at theta.

    The Hessian leaves out what kinks of the loss contribute, which is :func:`kink_hessian`.
    """
    sums = _sums(jnp.asarray(theta), plane.u, plane.p, plane.weighted(1), loss)
    value, g_u, g_p, h_uu, h_up, h_pp = (float(part) for part in sums)
    return value, np.array([g_u, g_p]), np.array([[h_uu, h_up], [h_up, h_pp]])


def kink_hessian(law: PlaneLaw, theta: np.ndarray, loss: Loss) -> np.ndarray:
    """What kinks of the loss add to the Hessian at theta, shape (2, 2).

    A kink at margin k with a jump J of the derivative adds J E[keep omega x x^T delta(y v - k)]: an
    integral along the line y v = k, cut where selection or link jump.
    """
    norm, total = float(np.hypot(*theta)), np.zeros((2, 2))
    if norm == 0:
        return total
    along, across = theta / norm, np.array([-theta[1], theta[0]]) / norm
    kinks = _signed_kinks(loss)
    layers, axis = link_layers(law.problem), np.array([law.alignment, law.across])
    for i, kink in enumerate(kinks):
        label = 0 if i < len(kinks) // 2 else 1
        size = abs(kink)
        jump = float(
            loss.derivative(jnp.asarray(size + 1e-9)) - loss.derivative(jnp.asarray(size - 1e-9))
        )
        foot = kink / norm * along
        with np.errstate(divide="ignore", invalid="ignore"):
            cuts = np.concatenate(
                [
                    (law.breaks - foot[0]) / across[0],
                    (layers.places - axis @ foot) / (axis @ across),
                ]
            )
        edges = merge_edges(np.linspace(-LINE, LINE, 65), np.nan_to_num(cuts, posinf=LINE))
        s, weight = (np.asarray(part) for part in panel_nodes(edges, P_NODES))
        u, p = foot[:, None] + across[:, None] * s
        keep, omega = law.evaluate(u[:, None], p[:, None])
        kept = np.broadcast_to(np.sum(keep * omega, axis=0), (2, len(s), 1))[label, :, 0]
        teacher = law.problem.teacher
        probability = np.asarray(
            _probability(teacher.link, teacher.scale * (axis[0] * u + axis[1] * p))
        )
        mass = weight * normal_density(u) * normal_density(p) * kept / norm
        mass = mass * (probability if label == 0 else 1 - probability)
        total += jump * np.einsum("k,ik,jk->ij", mass, np.stack([u, p]), np.stack([u, p]))
    return total

"""From a problem to quadrature rows: where the integrands of the four equations vary, and how fast.

The (u, xi) plane has three kinds of features: the link rises along the line where the teacher's
margin crosses a step, the proximal map bends along lines of constant margin v, and the selection
jumps at fixed u. Panels end on the jumps and shrink towards the lines down to their width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from nfl_pruning.losses import Loss
from nfl_pruning.numerics.quadrature import (
    NORMAL_RANGE,
    gauss_legendre,
    graded_edges,
    merge_edges,
    normal_density,
    panel_nodes,
)
from nfl_pruning.problem import Problem
from nfl_pruning.theory.equations import Rows, Terms
from nfl_pruning.theory.keep_law import KeepLaw

BLOCK_ROWS, BLOCK_NODES = 64, 96  # one compiled shape serves every level of refinement
NODES = 8  # a panel in xi
CORNER_GRID = 2001  # places in u among which corners are looked for


@dataclass(frozen=True)
class Level:
    """A resolution: panels in u, nodes on each, and runs of ``BLOCK_NODES`` nodes in xi."""

    u_panels: int
    u_nodes: int
    xi_runs: int


LEVELS = (Level(8, 8, 1), Level(14, 9, 2), Level(24, 10, 3), Level(40, 12, 5), Level(72, 14, 9))


@dataclass(frozen=True)
class Layers:
    """Link rises along the teacher axis z: ``places`` and ``widths``, each of shape (rises,)."""

    places: np.ndarray
    widths: np.ndarray


def link_layers(problem: Problem) -> Layers:
    """The link's rises in z = (teacher margin) / scale."""
    link, scale = problem.teacher.link, problem.teacher.scale
    if scale == 0:
        return Layers(np.zeros(0), np.zeros(0))
    places, widths = np.array(link.rises).T
    return Layers(places / scale, widths / scale)


def equation_terms(
    problem: Problem, law: KeepLaw, *, ridge: float, labels: tuple[int, ...], probe: tuple
) -> Terms:
    """The scalars and link arrays of a problem, as float64 JAX arrays."""
    steps = problem.teacher.link.steps
    values = (
        problem.samples_per_feature,
        ridge,
        law.label_law.alignment,
        max(law.mean(1), problem.keep_fraction),
        problem.teacher.scale,
        *steps,
        labels,
        probe,
    )
    return Terms(*(jnp.asarray(value, jnp.float64) for value in values))


def kept_intervals(law: KeepLaw, n_labels: int) -> list[tuple[float, float]]:
    """Pieces between breaks on which some of the first ``n_labels`` labels (+1, -1) is kept.

    A keep probability that is not constant has a break where it falls below its floor: it exceeds
    the floor all over a piece, or at one of its ends.
    """
    edges = np.unique(np.concatenate([[-NORMAL_RANGE], law.breaks, [NORMAL_RANGE]]))
    low, high = edges[:-1], edges[1:]
    inside = (0.5,) if law.constant else (1e-6, 0.5, 1 - 1e-6)
    keep = [law.evaluate(low + t * (high - low))[0][:, :n_labels] for t in inside]
    kept = np.max(keep, axis=(0, 1, 2)) > law.floor
    return [(a, b) for a, b, k in zip(edges[:-1], edges[1:], kept, strict=True) if k]


@dataclass(frozen=True)
class Setting:
    """What the equations integrate over.

    Attributes:
        law: the limiting selection.
        layers: the link's rises.
        labels: (1, -1), or (1,) where y = +1 stands for both by symmetry.
        probe_pull: (label, u) -> y times the derivative of the probe's own training loss; zeros
            for a probe that has not seen the samples.
        probe_bend: (sigma, kappa) of an in-sample probe, whose proximal map bends at u = 0 and
            ``kappa / sigma``; None otherwise.
    """

    law: KeepLaw
    layers: Layers
    labels: tuple[int, ...]
    probe_pull: Callable[[int, np.ndarray], np.ndarray]
    probe_bend: tuple[float, float] | None = None

    @property
    def alignment(self) -> float:
        return self.law.label_law.alignment


def _u_features(setting: Setting, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres and widths in u of what is left of the lines once xi is integrated out."""
    rho, layers = setting.alignment, setting.layers
    lean = max(abs(rho), 1e-9)
    rise_at = np.sign(rho or 1.0) * layers.places / lean
    rise = np.sqrt(layers.widths**2 + 1 - rho**2) / lean
    bend = np.hypot(1.0, np.hypot(x[1], np.exp(x[2]))) / max(abs(x[0]), 1e-9)
    centres = np.concatenate([rise_at, [0.0, 0.0], setting.law.layers[0]])
    widths = np.concatenate([rise, [bend, 0.5], setting.law.layers[1]])
    if setting.probe_bend is not None:
        sigma, kappa = setting.probe_bend
        centres = np.concatenate([centres, np.array([0.0, 1.0, -1.0]) * kappa / sigma])
        widths = np.concatenate([widths, np.full(3, (1 + np.log1p(kappa)) / sigma)])
    return np.clip(centres, -30, 30), np.clip(widths, 1e-4, 1e3)


def u_panels(
    intervals: list[tuple[float, float]], features: tuple[np.ndarray, np.ndarray], n_panels: int
) -> np.ndarray:
    """Panels over the intervals, shape (panels, 2); at least one each, the rest by need."""
    fine = graded_edges(*features, n_panels=n_panels * 16)
    measure = lambda u: np.interp(u, fine, np.arange(len(fine)) / 16.0)  # noqa: E731
    lengths = np.array([measure(b) - measure(a) for a, b in intervals])
    counts = np.maximum(1, np.ceil(n_panels * lengths / lengths.sum() - 1e-9)).astype(int)
    panels = []
    for (a, b), count in zip(intervals, counts, strict=True):
        marks = np.linspace(measure(a), measure(b), count + 1)
        edges = np.interp(marks, np.arange(len(fine)) / 16.0, fine)
        edges[[0, -1]] = a, b
        panels.append(np.stack([edges[:-1], edges[1:]], axis=1))
    return np.concatenate(panels)


@dataclass(frozen=True)
class Lines:
    """Nodes in u, each a line along which xi varies, with what belongs to them.

    Attributes:
        u: shape (rows,). keep, omega: as in :class:`Rows`. pulls: its ``probe_pull``.
        omegas: the weights that occur; first and last of many.
    """

    u: np.ndarray
    keep: np.ndarray
    omega: np.ndarray
    pulls: np.ndarray
    omegas: np.ndarray


def _xi_nodes(
    lines: Lines, x: np.ndarray, *, setting: Setting, loss: Loss, runs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in xi and normal weights for every u, shapes (len(u), runs * BLOCK_NODES)."""
    u, omegas = lines.u, lines.omegas
    a_u, a_p, tau, kappa = x[0], x[1], np.exp(x[2]), np.exp(x[3])
    s, rho, layers = np.hypot(a_p, tau), setting.alignment, setting.layers
    perp = np.sqrt(max(1 - rho**2, 0.0))
    lean = max(perp * abs(a_p) / s, 1e-9)
    rise_at = np.where(a_p < 0, -1.0, 1.0) * (layers.places - rho * u[:, None]) / lean
    rise = np.hypot(layers.widths, perp * tau / s) / lean
    # A smooth map bends where the margin is 0 and where it lies one full step on the wrong side.
    step = kappa * omegas.max(initial=1e-12)
    bends = np.array([0.0, step, -step]) if loss.smooth else np.zeros(0)
    bend_at = (bends - a_u * u[:, None]) / s
    bend = np.full(len(bends), (1 + np.log1p(step)) / s)
    panels = runs * BLOCK_NODES // NODES
    kinks = _kinks(lines, x, labels=setting.labels, loss=loss)[:, : panels - 4]
    exact_at = (kinks - a_u * u[:, None]) / s
    centres = np.clip(np.concatenate([rise_at, bend_at], axis=1), -30.0, 30.0)
    widths = np.clip(np.concatenate([rise, bend]), 1e-5, 1e3)
    n_panels = panels - exact_at.shape[1]
    edges = graded_edges(centres, np.broadcast_to(widths, centres.shape), n_panels=n_panels)
    nodes = panel_nodes(merge_edges(edges, exact_at), NODES)
    xi, weight = (np.asarray(part) for part in nodes)
    return xi, weight * normal_density(xi)


def _kinks(lines: Lines, x: np.ndarray, *, labels: tuple[int, ...], loss: Loss) -> np.ndarray:
    """Margins v at which the proximal map has a corner, shape (len(u), kinks)."""
    kappa, chi = np.exp(x[3]), x[4] if len(x) == 5 else 0.0
    steps = (loss.kinks(jnp.asarray(kappa * omega)) for omega in lines.omegas)
    corners = sorted({float(k) for kinks in steps for k in kinks})
    if not corners:
        return np.zeros((len(lines.u), 0))
    moved = [(y, chi * pull) for y, pull in zip(labels, lines.pulls, strict=True)]
    return np.stack([y * (k - shift) for k in corners for y, shift in moved], axis=1)


def _corner_features(
    setting: Setting, x: np.ndarray, *, loss: Loss, intervals: list[tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Where the corners of the proximal map pass xi = 0, and the width over which they do."""
    u = np.linspace(-NORMAL_RANGE, NORMAL_RANGE, CORNER_GRID)
    kept = np.any([(u >= a) & (u <= b) for a, b in intervals], axis=0)
    zeros = np.zeros((1, 1, len(u)))
    omegas = setting.law.evaluate(u[kept])[1] if kept.any() else zeros
    pulls = np.stack([setting.probe_pull(label, u) for label in setting.labels])
    lines = Lines(u, zeros, zeros, pulls, np.unique(omegas)[[0, -1]])
    v = _kinks(lines, x, labels=setting.labels, loss=loss) - x[0] * u[:, None]
    xi = v / np.hypot(x[1], np.exp(x[2]))
    where, which = np.nonzero((xi[1:] > 0) != (xi[:-1] > 0))
    rate = np.abs(xi[where + 1, which] - xi[where, which]) / (u[1] - u[0])
    return 0.5 * (u[where] + u[where + 1]), np.clip(1 / rate, 1e-4, 1e3)


def build_lines(setting: Setting, x: np.ndarray, *, loss: Loss, level: Level) -> Lines:
    """Nodes in u for a setting, graded by the current unknowns."""
    n_labels = len(setting.labels)
    intervals = kept_intervals(setting.law, n_labels)
    centres, widths = _u_features(setting, x)
    if not loss.smooth:
        places, lengths = _corner_features(setting, x, loss=loss, intervals=intervals)
        centres, widths = np.append(centres, places), np.append(widths, lengths)
    panels = u_panels(intervals, (centres, widths), level.u_panels)
    nodes, weights = gauss_legendre(level.u_nodes)
    half, middle = 0.5 * np.diff(panels, axis=1), panels.mean(axis=1, keepdims=True)
    u, weight = (middle + half * nodes).ravel(), (half * weights).ravel()
    keep, omega = (part[:, :n_labels] for part in setting.law.evaluate(u))
    density = weight * normal_density(u) * (3.0 - n_labels)
    omegas = np.unique(np.round(omega[keep > 0], 12))
    if len(omegas) > 8:
        omegas = omegas[[0, -1]]
    pulls = np.stack([setting.probe_pull(label, u) for label in setting.labels])
    return Lines(u, keep * density, omega, pulls, omegas)


def build_rows(
    setting: Setting, lines: Lines, x: np.ndarray, *, loss: Loss, level: Level
) -> list[Rows]:
    """Quadrature rows on given nodes in u, in blocks of one shape.

    Args:
        setting: what is integrated over.
        lines: nodes in u.
        x: current unknowns (a_u, a_p, log tau, log kappa, and chi for in-sample probes) that grade
            the nodes in xi.
        loss: the loss that is solved for (its bends matter).
        level: resolution.
    """
    xi, xi_weight = _xi_nodes(lines, x, setting=setting, loss=loss, runs=level.xi_runs)
    shape = (len(lines.u) * level.xi_runs, BLOCK_NODES)
    repeat = lambda part: np.repeat(part, level.xi_runs, axis=-1)  # noqa: E731
    by_row = (repeat(part) for part in (lines.u, lines.keep, lines.omega, lines.pulls))
    return _blocks((*by_row, xi.reshape(shape), xi_weight.reshape(shape)))


def _blocks(parts: tuple[np.ndarray, ...]) -> list[Rows]:
    """Cut into blocks of ``BLOCK_ROWS`` rows, the last one padded with rows of no weight."""
    axes = (0, 2, 2, 1, 0, 0)  # where each part of Rows has its rows
    short = -len(parts[0]) % BLOCK_ROWS
    padded = [
        np.pad(part, [(0, short if i == axis else 0) for i in range(part.ndim)])
        for part, axis in zip(parts, axes, strict=True)
    ]
    cuts = [
        np.split(part, part.shape[axis] // BLOCK_ROWS, axis=axis)
        for part, axis in zip(padded, axes, strict=True)
    ]
    return [Rows(*block) for block in zip(*cuts, strict=True)]

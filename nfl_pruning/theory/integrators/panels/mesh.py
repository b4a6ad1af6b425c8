"""From a problem to quadrature rows: where the integrands of the four equations vary, and how fast.

The (u, xi) plane has three kinds of features: the link rises along the line where the teacher's
margin crosses a step, the proximal map bends along lines of constant margin v, and the selection
jumps at fixed u. Panels end on the jumps and shrink towards the lines down to their width.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
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
from nfl_pruning.theory.integrators.panels.equations import LabelTerms, Rows
from nfl_pruning.theory.probe_fit import ProbeFit
from nfl_pruning.theory.selection_law.keep_law import KeepLaw
from nfl_pruning.theory.state import State, across_share

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


def label_terms(problem: Problem, law: KeepLaw, labels: tuple[int, ...]) -> LabelTerms:
    """What the moments need of a problem's label law, as float64 JAX arrays."""
    teacher = problem.teacher
    values = law.label_law.alignment, teacher.scale, teacher.link.steps, labels
    double = lambda value: jnp.asarray(value, jnp.float64)  # noqa: E731
    return LabelTerms(*jax.tree.map(double, values, is_leaf=_is_row))


def _is_row(value: object) -> bool:
    """Whether a tuple is a row of numbers, which becomes one array."""
    return isinstance(value, tuple) and all(isinstance(entry, float | int) for entry in value)


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
        fit: of a probe that has seen the samples, whose proximal map bends at u = 0 and
            kappa / sigma; None otherwise.
    """

    law: KeepLaw
    layers: Layers
    labels: tuple[int, ...]
    fit: ProbeFit | None = None

    @property
    def alignment(self) -> float:
        return self.law.label_law.alignment

    def probe_derivatives(self, u: np.ndarray) -> np.ndarray:
        """Y f_1, the derivative of the probe's own training loss, shape (labels, len(u)).

        Zeros for a probe that has not seen the samples.
        """
        if self.fit is None:
            return np.zeros((len(self.labels), len(u)))
        return np.stack([self.fit.derivative(label, u) for label in self.labels])


def _u_features(setting: Setting, state: State) -> tuple[np.ndarray, np.ndarray]:
    """Centres and widths in u of what is left of the lines once xi is integrated out."""
    rho, layers = setting.alignment, setting.layers
    lean = max(abs(rho), 1e-9)
    rise_at = np.sign(rho or 1.0) * layers.places / lean
    rise = np.sqrt(layers.widths**2 + 1 - rho**2) / lean
    bend = np.hypot(1.0, state.spread) / max(abs(state.along), 1e-9)
    centres = np.concatenate([rise_at, [0.0, 0.0], setting.law.layers[0]])
    widths = np.concatenate([rise, [bend, 0.5], setting.law.layers[1]])
    if setting.fit is not None:
        sigma, kappa = setting.fit.sigma, setting.fit.step
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
    lines: Lines, state: State, *, setting: Setting, loss: Loss, runs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in xi and normal weights for every u, shapes (len(u), runs * BLOCK_NODES)."""
    u, omegas = lines.u, lines.omegas
    a_u, a_p, s, rho = state.along, state.across, state.spread, setting.alignment
    perp, layers = across_share(rho), setting.layers
    lean = max(perp * abs(a_p) / s, 1e-9)
    rise_at = np.where(a_p < 0, -1.0, 1.0) * (layers.places - rho * u[:, None]) / lean
    rise = np.hypot(layers.widths, perp * state.noise / s) / lean
    # A smooth map bends where the margin is 0 and where it lies one full step on the wrong side.
    step = state.step * omegas.max(initial=1e-12)
    bends = np.array([0.0, step, -step]) if loss.smooth else np.zeros(0)
    bend_at = (bends - a_u * u[:, None]) / s
    bend = np.full(len(bends), (1 + np.log1p(step)) / s)
    panels = runs * BLOCK_NODES // NODES
    kinks = _kinks(lines, state, labels=setting.labels, loss=loss)[:, : panels - 4]
    exact_at = (kinks - a_u * u[:, None]) / s
    centres = np.clip(np.concatenate([rise_at, bend_at], axis=1), -30.0, 30.0)
    widths = np.clip(np.concatenate([rise, bend]), 1e-5, 1e3)
    n_panels = panels - exact_at.shape[1]
    edges = graded_edges(centres, np.broadcast_to(widths, centres.shape), n_panels=n_panels)
    nodes = panel_nodes(merge_edges(edges, exact_at), NODES)
    xi, weight = (np.asarray(part) for part in nodes)
    return xi, weight * normal_density(xi)


def _kinks(lines: Lines, state: State, *, labels: tuple[int, ...], loss: Loss) -> np.ndarray:
    """Margins v at which the proximal map has a corner, shape (len(u), kinks)."""
    steps = (loss.kinks(jnp.asarray(state.step * omega)) for omega in lines.omegas)
    corners = sorted({float(k) for kinks in steps for k in kinks})
    if not corners:
        return np.zeros((len(lines.u), 0))
    moved = [(y, state.shift * pull) for y, pull in zip(labels, lines.pulls, strict=True)]
    return np.stack([y * (k - shift) for k in corners for y, shift in moved], axis=1)


def _corner_features(
    setting: Setting, state: State, *, loss: Loss, intervals: list[tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Where the corners of the proximal map pass xi = 0, and the width over which they do."""
    u = np.linspace(-NORMAL_RANGE, NORMAL_RANGE, CORNER_GRID)
    kept = np.any([(u >= a) & (u <= b) for a, b in intervals], axis=0)
    zeros = np.zeros((1, 1, len(u)))
    omegas = setting.law.evaluate(u[kept])[1] if kept.any() else zeros
    pulls = setting.probe_derivatives(u)
    lines = Lines(u, zeros, zeros, pulls, np.unique(omegas)[[0, -1]])
    v = _kinks(lines, state, labels=setting.labels, loss=loss) - state.along * u[:, None]
    xi = v / state.spread
    where, which = np.nonzero((xi[1:] > 0) != (xi[:-1] > 0))
    rate = np.abs(xi[where + 1, which] - xi[where, which]) / (u[1] - u[0])
    return 0.5 * (u[where] + u[where + 1]), np.clip(1 / rate, 1e-4, 1e3)


def build_lines(setting: Setting, x: np.ndarray, *, loss: Loss, level: Level) -> Lines:
    """Nodes in u for a setting, graded by the current unknowns."""
    n_labels, state = len(setting.labels), State.unpack(x)
    intervals = kept_intervals(setting.law, n_labels)
    centres, widths = _u_features(setting, state)
    if not loss.smooth:
        places, lengths = _corner_features(setting, state, loss=loss, intervals=intervals)
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
    return Lines(u, keep * density, omega, setting.probe_derivatives(u), omegas)


def build_rows(
    setting: Setting, lines: Lines, x: np.ndarray, *, loss: Loss, level: Level
) -> list[Rows]:
    """Quadrature rows on given nodes in u, in blocks of one shape.

    Args:
        setting: what is integrated over.
        lines: nodes in u.
        x: current unknowns, packed, which grade the nodes in xi.
        loss: the loss that is solved for (its bends matter).
        level: resolution.
    """
    state = State.unpack(x)
    xi, xi_weight = _xi_nodes(lines, state, setting=setting, loss=loss, runs=level.xi_runs)
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

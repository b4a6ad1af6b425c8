"""Moments for two classes where a selection is constant between thresholds: one integral each.

Given the fit's logit v the probe's is normal, so that the share of each band has a closed form, and
no second integral is left. Nodes lie in v, in units of its deviation: panels are short where the
proximal map bends and where a band begins, and long elsewhere.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr

from nfl_pruning.losses import Loss
from nfl_pruning.numerics.quadrature import NORMAL_RANGE, gauss_legendre
from nfl_pruning.theory.mixture.closing import Moments, State
from nfl_pruning.theory.mixture.two_classes.panels import PANEL, Fineness
from nfl_pruning.theory.mixture.two_classes.populations import KeptPart, Populations

RANGE = 9.0  # in standard deviations; what lies beyond weighs 2e-19
STEP_IN_V = 1.6  # of a panel where a proximal map bends: its singularities are at least pi away
GROWTH = 0.4  # of a panel with its distance to the nearest bend
FAR = 9.0  # widths of a band's edge from which on it is flat
THIN = 1e-12  # edges are not resolved below this width
MOST_BANDS = 32
NOWHERE = 60.0  # where a band without an end ends


class Lines(NamedTuple):
    """Kept samples as bands of the probe's logit, with nodes in the fit's; leading axis J.

    Attributes:
        component, sign: of each population, shape (J,).
        x: nodes, shape (J, N). mass: their normal weights, 0 for padding, shape (J, N).
        low, high: ends of bands in zeta, shape (J, U, B).
        keep: mass of the population times keep probability in the band, shape (J, U, B).
        weight: omega of the bands of one group, shape (J, U).
    """

    component: Any
    sign: Any
    x: Any
    mass: Any
    low: Any
    high: Any
    keep: Any
    weight: Any


class Shape(NamedTuple):
    """What nodes are made for, of one component: numbers of the law of (zeta, v).

    Attributes:
        mean, deviation: of v. on_probe: correlation of v and zeta. rest: sqrt(1 - on_probe^2).
        step: kappa.
    """

    mean: float
    deviation: float
    on_probe: float
    rest: float
    step: float


def bands_of(law: Populations, parts: list[KeptPart]) -> Lines | None:
    """What is kept, without nodes; None where it is not constant between thresholds, or in pieces.

    Neighbouring bands that are treated alike are one.
    """
    if law.teachers is not None or not all(part.constant for part in parts):
        return None
    rows = [_bands(part) for part in parts]
    if max(len(row) for row in rows) > MOST_BANDS:
        return None
    groups = _rung(max(len({w for *_, w in row}) for row in rows))
    most = _rung(max(max(_counts(row).values(), default=1) for row in rows))
    shape = (len(rows), groups, most)
    low, high, keep = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    weight = np.ones(shape[:2])
    for j, row in enumerate(rows):
        for u, omega in enumerate(sorted(_counts(row))):
            weight[j, u] = omega
            for b, (start, end, kept, _) in enumerate(r for r in row if r[3] == omega):
                low[j, u, b], high[j, u, b], keep[j, u, b] = start, end, kept * law.mass[j]
    empty = np.zeros((len(rows), 0))
    return Lines(law.component, law.sign.astype(float), empty, empty, low, high, keep, weight)


def _bands(part: KeptPart) -> list[tuple[float, float, float, float]]:
    """(low, high, keep probability, weight) of every band of which something is kept."""
    ends = np.concatenate([[-NOWHERE], np.sort(part.breaks), [NOWHERE]])
    inside = np.clip(ends, -NORMAL_RANGE, NORMAL_RANGE)  # beyond, thresholds are not among breaks
    keep, weight = part.evaluate(0.5 * (inside[1:] + inside[:-1]))
    found: list[tuple[float, float, float, float]] = []
    for layer in range(len(keep)):
        for i, (kept, omega) in enumerate(zip(keep[layer], weight[layer], strict=True)):
            if kept <= 0 or ends[i] == ends[i + 1]:
                continue
            low, same = float(ends[i]), found and found[-1][1:] == (ends[i], kept, omega)
            if same:
                low = found.pop()[0]
            found.append((low, float(ends[i + 1]), float(kept), float(omega)))
    return found


def _counts(row: list[tuple[float, float, float, float]]) -> dict[float, int]:
    """How many bands have each weight."""
    counts: dict[float, int] = {}
    for *_, omega in row:
        counts[omega] = counts.get(omega, 0) + 1
    return counts


def _rung(count: int) -> int:
    """Numbers of bands grow by octaves, so that programs are shared."""
    return 1 << max(count - 1, 0).bit_length()


def with_nodes(bands: Lines, shapes: list[Shape], loss: Loss, fineness: Fineness) -> Lines:
    """The bands with nodes for a law of the logits, padded to few lengths."""
    rows = []
    for j, c in enumerate(bands.component):
        rows.append(_nodes(_cuts(bands, j, shapes[c], loss, fineness.factor), fineness.nodes))
    length = 256 * int(np.ceil(max(len(row[0]) for row in rows) / 256))
    x, mass = np.zeros((len(rows), length)), np.zeros((len(rows), length))
    for j, (at, of) in enumerate(rows):
        x[j, : len(at)], mass[j, : len(at)] = at, of
    return bands._replace(x=x, mass=mass)


def _nodes(cuts: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    node, weight = gauss_legendre(count)
    half, middle = 0.5 * np.diff(cuts), 0.5 * (cuts[1:] + cuts[:-1])
    x = (middle[:, None] + half[:, None] * node).ravel()
    return x, (half[:, None] * weight).ravel() * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)


def _cuts(bands: Lines, j: int, law: Shape, loss: Loss, factor: float) -> np.ndarray:
    """Ends of panels, from left to right: each as long as what lies at its left end allows."""
    sign, unit = float(bands.sign[j]), 1 / law.deviation
    turns = _turns(sign, law.step, bands.weight[j], loss)
    bends = [(x - law.mean) * unit for x in turns or ()]
    width = max(law.rest / max(abs(law.on_probe), 1e-300), THIN)
    edges: list[float] = []
    if width < 1:
        kept = bands.keep[j] > 0
        ends = np.concatenate([bands.low[j][kept], bands.high[j][kept]])
        edges = [e / law.on_probe for e in ends if abs(e) < NOWHERE]
        edges = sorted(e for e in edges if abs(e) < RANGE + FAR * width)
    cuts, x = [-RANGE], -RANGE
    while x < RANGE:
        length = PANEL
        if turns is None or turns:
            near = min((abs(x - bend) for bend in bends), default=0.0)
            length = min(length, max(STEP_IN_V * unit, GROWTH * near))
        for edge in edges:
            before = edge - FAR * width - x
            if before > 0:
                length = min(length, max(before, PANEL * width))
            elif x < edge + FAR * width:
                length = min(length, PANEL * width)
        x = min(x + length, RANGE)
        cuts.append(x)
    if factor == 1:
        return np.array(cuts)
    count = int(np.ceil((len(cuts) - 1) * factor))
    return np.interp(np.linspace(0, len(cuts) - 1, count + 1), np.arange(len(cuts)), cuts)


def _turns(sign: float, step: float, weights: np.ndarray, loss: Loss) -> list[float] | None:
    """Where in v a proximal map bends; None where the loss does not say."""
    if loss.turns is None:
        return None
    return [sign * t for omega in set(weights.tolist()) for t in loss.turns(step * omega)]


def shapes_of(state: State, deviation: np.ndarray) -> list[Shape]:
    """The law of (zeta, v) on each component, in plain numbers."""
    variance = np.asarray(state.covariance)[:, 0, 0]
    on_zeta = np.asarray(state.cross)[:, 0, 0] / deviation
    spread = np.maximum(variance - on_zeta**2, 1e-300)
    s = np.sqrt(variance)
    columns = (np.asarray(state.mean)[:, 0], s, on_zeta / s, np.sqrt(spread) / s,
               np.asarray(state.step)[:, 0, 0])  # fmt: skip
    return [Shape(*(float(value) for value in row)) for row in zip(*columns, strict=True)]


@partial(jax.jit, static_argnames="loss")
def line_moments(state: State, lines: Lines, law: Any, *, loss: Loss) -> Moments:
    """Moments of a fit at a law of its logits; see :func:`panel_moments`, whose law it takes."""
    shares = law[2]
    per_population = jax.vmap(partial(_population, loss=loss), (0, None, None))(lines, state, law)
    force, square, response, moment = (
        jax.ops.segment_sum(part, lines.component, num_segments=len(shares)) / shares
        for part in per_population
    )
    given = (moment - response * state.cross[:, 0, 0]) * law[1][:, 0, 0]
    return Moments(
        force[:, None],
        square[:, None, None],
        response[:, None, None],
        given[:, None, None],
        jnp.zeros_like(square)[:, None, None],
    )


def _population(lines: Lines, state: State, law: Any, *, loss: Loss) -> tuple[Array, ...]:
    """E[f], E[f^2], E[df/dv], E[f (z - zbar)] over one population, times its mass."""
    c, x = lines.component, lines.x
    deviation = law[0][c]
    s = jnp.sqrt(state.covariance[c, 0, 0])
    on_zeta = state.cross[c, 0, 0] / deviation
    share, moment = kept_at(lines, x, on_zeta / s, _rest(state, c, on_zeta) / s)
    kappa = state.step[c, 0, 0]
    t = lines.sign * (state.mean[c, 0] + s * x) + 0 * share
    step = kappa * lines.weight[:, None] + 0 * t
    residual, slope = jax.jvp(lambda t: loss.prox_residual(t, step), (t,), (jnp.ones_like(t),))
    f, mass = lines.sign * residual / kappa, lines.mass * share
    return (
        jnp.sum(mass * f),
        jnp.sum(mass * f**2),
        jnp.sum(mass * slope) / kappa,
        jnp.sum(lines.mass * moment * f) * deviation,
    )


def _rest(state: State, c: Any, on_zeta: Array) -> Array:
    return jnp.sqrt(jnp.maximum(state.covariance[c, 0, 0] - on_zeta**2, 1e-300))


def kept_at(lines: Lines, x: Array, on_probe: Array, rest: Array) -> tuple[Array, Array]:
    """E[keep | x] and E[keep zeta | x] of each group of bands, shape (U, N)."""
    centre = on_probe * x
    low = (lines.low[..., None] - centre) / rest
    high = (lines.high[..., None] - centre) / rest
    upper = low + high > 0  # where both tails are small, the near one is differenced
    inside = jnp.where(upper, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
    share = jnp.einsum("ub,ubn->un", lines.keep, inside)
    pull = jnp.einsum("ub,ubn->un", lines.keep, _density(low) - _density(high))
    return share, centre * share + rest * pull


def _density(z: Array) -> Array:
    return jnp.exp(-0.5 * jnp.clip(z, -40.0, 40.0) ** 2) / np.sqrt(2 * np.pi)


@jax.jit
def mass_of(lines: Lines, state: State, law: Any) -> Array:
    """Kept share by these nodes, which they were not made from."""

    def one(part: Lines) -> Array:
        c = part.component
        s, on_zeta = jnp.sqrt(state.covariance[c, 0, 0]), state.cross[c, 0, 0] / law[0][c]
        share, _ = kept_at(part, part.x, on_zeta / s, _rest(state, c, on_zeta) / s)
        return jnp.sum(part.mass * share)

    return jnp.sum(jax.vmap(one)(lines))

"""Moments for two classes: deterministic panels in the probe's logit and in the fit's.

The fit's logit v is normal given zeta, the probe's; nodes in zeta end on the thresholds, nodes in v
are equal panels, fine enough for the proximal map, which is smooth over lengths of order one.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.links import smoothed_steps
from nfl_pruning.losses import Loss
from nfl_pruning.numerics.quadrature import gauss_legendre
from nfl_pruning.theory.mixture.closing import Moments, State
from nfl_pruning.theory.mixture.two_classes.populations import KeptPart, Populations

RANGE = 8.5  # in standard deviations; what lies beyond weighs 2e-17
PANEL = 1.25  # largest length of a panel in zeta
NODES = 8  # a panel


class Fineness(NamedTuple):
    """How fine panels are: their number is that of the coarsest, times ``factor``."""

    factor: float
    nodes: int


COARSE, FINE, FINEST = Fineness(1.0, 8), Fineness(1.6, 8), Fineness(2.6, 10)


class Cloud(NamedTuple):
    """Kept samples as nodes in zeta, for each population; leading axis J, nodes N.

    Attributes:
        component: shape (J,). sign: shape (J,).
        zeta: shape (J, N). mass: of the node within its component's law, kept, shape (J, N);
            without the label's probability where a teacher labels.
        weight: omega, shape (J, N).
        own: force f_1 of the sample in its own probe, 0 for a probe that has not seen it, (J, N).
    """

    component: Any
    sign: Any
    zeta: Any
    mass: Any
    weight: Any
    own: Any


class LabelTerms(NamedTuple):
    """How a teacher labels: its link's steps, and its margin's law by component.

    Attributes:
        steps: base, locations, widths, jumps.
        mean, deviation: of the teacher's row on each component, shape (C,).
        on_zeta: its covariance with zeta, shape (C,).
    """

    steps: Any
    mean: Any
    deviation: Any
    on_zeta: Any


def nodes_of(
    law: Populations, parts: list[KeptPart], fineness: Fineness, *, sharp: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Nodes in zeta of what is kept, their masses and weights, each (J, N); padded by zeros.

    Args:
        law: of the populations.
        parts: what is kept of each.
        fineness: of the panels.
        sharp: for each population, further places where panels should end.
    """
    rows = [_nodes(part, fineness, places) for part, places in zip(parts, sharp, strict=True)]
    longest = max(len(row[0]) for row in rows)
    padded = _rung(longest, 256)
    out = {name: np.zeros((len(rows), padded)) for name in ("zeta", "mass", "weight")}
    out["weight"] += 1.0
    for j, row in enumerate(rows):
        scale = law.mass[j] if law.teachers is not None else float(law.between(j, -9.5, 9.5))
        for name, values in zip(out, row, strict=True):
            out[name][j, : len(values)] = values * (scale if name == "mass" else 1.0)
    return out


def _nodes(
    part: KeptPart, fineness: Fineness, sharp: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, w = gauss_legendre(fineness.nodes)
    inner = np.unique(np.concatenate([part.breaks, sharp]))
    ends = np.concatenate([[-RANGE], inner[np.abs(inner) < RANGE], [RANGE]])
    panels = np.ceil(np.diff(ends) / PANEL * fineness.factor).astype(int)
    cuts = np.concatenate(
        [np.linspace(a, b, k + 1)[:-1] for a, b, k in zip(ends[:-1], ends[1:], panels, strict=True)]
        + [[RANGE]]
    )
    half, middle = 0.5 * np.diff(cuts), 0.5 * (cuts[1:] + cuts[:-1])
    zeta = (middle[:, None] + half[:, None] * x).ravel()
    density = (half[:, None] * w).ravel() * np.exp(-0.5 * zeta**2) / np.sqrt(2 * np.pi)
    keep, weight = part.evaluate(zeta)
    kept = keep > 0
    zeta = np.broadcast_to(zeta, keep.shape)[kept]
    return zeta, (density * keep)[kept], weight[kept]


def line_nodes(spread: float, fineness: Fineness) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and normal weights for v given zeta, in units of its standard deviation.

    Padded with nodes of no weight, so that a quadrature and its refinement share a program.

    Args:
        spread: largest standard deviation of v given zeta.
        fineness: of the panels.
    """
    wanted = max(12.0, RANGE * min(spread, 400.0))
    n_panels = int(np.ceil(wanted * fineness.factor))
    x, w = gauss_legendre(fineness.nodes)
    cuts = np.linspace(-RANGE, RANGE, n_panels + 1)
    half, middle = 0.5 * np.diff(cuts), 0.5 * (cuts[1:] + cuts[:-1])
    eta = (middle[:, None] + half[:, None] * x).ravel()
    weights = (half[:, None] * w).ravel() * np.exp(-0.5 * eta**2) / np.sqrt(2 * np.pi)
    length = _rung(fineness.nodes * max(wanted * FINE.factor, n_panels), 256)
    padding = (0, length - len(eta))
    return np.pad(eta, padding), np.pad(weights, padding)


def _rung(wanted: float, least: int) -> int:
    """Lengths grow by octaves, so that programs are shared."""
    return least * 2 ** max(int(np.ceil(np.log2(wanted / least))), 0)


@partial(jax.jit, static_argnames=("loss", "taught"))
def panel_moments(
    state: State,
    cloud: Cloud,
    lines: tuple[Array, Array],
    law: Any,
    labels: LabelTerms,
    *,
    loss: Loss,
    taught: bool,
) -> Moments:
    """Moments of a fit at a law of its logits.

    Args:
        state: with one output.
        cloud: what is kept.
        lines: from :func:`line_nodes`.
        law: (deviation of the probe's logit, shape (C,); pseudo-inverse of Cov(z), shape (C, P, P);
            share p_c, shape (C,)).
        labels: read where ``taught``.
        loss: of the fit.
        taught: whether a teacher gives the labels.
    """
    per_population = jax.vmap(
        partial(_population, lines=lines, loss=loss, taught=taught), (0, None, None, None)
    )(cloud, state, law, labels)
    shares = law[2]
    summed = [
        jax.ops.segment_sum(part, cloud.component, num_segments=len(shares))
        / shares.reshape(-1, *([1] * (part.ndim - 1)))
        for part in per_population
    ]
    force, square, response, moment, shared = summed
    pseudo = law[1]
    cross = state.cross[:, 0, :]
    given = jnp.einsum("cp,cpq->cq", moment - response[:, None] * cross, pseudo)
    return Moments(
        force[:, None],
        square[:, None, None],
        response[:, None, None],
        given[:, None, :],
        shared[:, None, None],
    )


def _population(
    cloud: Cloud,
    state: State,
    law: Any,
    labels: LabelTerms,
    *,
    lines: Any,
    loss: Loss,
    taught: bool,
) -> tuple[Array, ...]:
    """E[f], E[f^2], E[df/dv], E[f (z - zbar)], E[f f_1] over one population, times its mass."""
    c, (eta, weights) = cloud.component, lines
    deviation = law[0][c]
    mean, variance = state.mean[c, 0], state.covariance[c, 0, 0]
    on_zeta = state.cross[c, 0, 0] / deviation
    spread = jnp.sqrt(jnp.maximum(variance - on_zeta**2, 1e-300))
    kappa, coupling = state.step[c, 0, 0], state.coupling[c, 0, 0]
    centre = mean + on_zeta * cloud.zeta - coupling * cloud.own
    v = centre[:, None] + spread * eta
    step = kappa * cloud.weight[:, None] + 0 * v
    sign = cloud.sign
    residual, slope = jax.jvp(
        lambda t: loss.prox_residual(t, step), (sign * v,), (jnp.ones_like(v),)
    )
    f, curvature = sign * residual / kappa, slope / kappa
    mass = cloud.mass[:, None] * weights
    if not taught:
        total = jnp.sum(mass * f)
        zeta = jnp.sum(mass * f, 1) @ cloud.zeta * deviation
        moment = zeta[None]
    else:
        probability, moment_t = _taught(cloud, state, labels, deviation, on_zeta, spread, eta)
        from_teacher = jnp.sum(mass * f * moment_t)
        mass = mass * probability
        total = jnp.sum(mass * f)
        zeta = jnp.sum(mass * f, 1) @ cloud.zeta * deviation
        moment = jnp.stack([zeta, from_teacher])
    return (
        total,
        jnp.sum(mass * f**2),
        jnp.sum(mass * curvature),
        moment,
        jnp.sum(mass * f, 1) @ cloud.own,
    )


def _taught(
    cloud: Cloud,
    state: State,
    labels: LabelTerms,
    deviation: Array,
    on_zeta: Array,
    spread: Array,
    eta: Array,
) -> tuple[Array, Array]:
    """P(y | zeta, eta), and E[(t - tbar) 1{y} | zeta, eta] of the teacher's margin t."""
    c = cloud.component
    on_eta = (state.cross[c, 0, 1] - on_zeta * labels.on_zeta[c]) / spread
    rest = labels.deviation[c] ** 2 - labels.on_zeta[c] ** 2 - on_eta**2
    moved = labels.on_zeta[c] * cloud.zeta[:, None] + on_eta * eta
    noise = jnp.sqrt(jnp.maximum(rest, 0.0))
    positive, slope = smoothed_steps(labels.steps, labels.mean[c] + moved, noise)
    sign = cloud.sign
    probability = jnp.where(sign > 0, positive, 1 - positive)
    return probability, probability * moved + sign * rest * slope

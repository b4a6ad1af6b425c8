"""Moments of a refit whose probes are cross-fitted, for two classes: no randomness.

Of J probes one scores a sample, and J - 1 were fitted to it. Given what all of them share on a
sample, their logits are independent: the characteristic function of what they do to the refit's
logit is a power, and one Fourier sum gives that logit's density among the kept samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.losses import LOSSES, Loss
from nfl_pruning.theory.mixture.closing import Moments, State
from nfl_pruning.theory.mixture.two_classes.fold_waves import kept_waves
from nfl_pruning.theory.mixture.two_classes.panels import RANGE, Fineness, nodes_of
from nfl_pruning.theory.mixture.two_classes.populations import KeptPart, Populations

PERIOD = 18.0  # of the Fourier sum, in units of the refit logit's scale; more than 2 RANGE
BAND = 6.5  # of a normal law, to what the coarsest rule resolves: exp(-BAND^2 / 2) is 7e-10
SMOOTH = 0.5  # largest step in a logit: a logistic proximal map is analytic up to distance pi


@dataclass(frozen=True)
class FoldLaw:
    """The probes' logits on a sample that none of them has seen; arrays have shape (C,).

    Attributes:
        folds: number of probes J.
        mean: of a logit. variance: of it. common: covariance of two probes' logits.
        step: kappa of a probe's proximal map.
    """

    folds: int
    mean: np.ndarray
    variance: np.ndarray
    common: np.ndarray
    step: np.ndarray


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("component", "sign", "mass", "omega", "zeta", "shared", "others", "force",
                 "nodes", "waves"),
    meta_fields=("folds",),
)  # fmt: skip
@dataclass(frozen=True)
class Folds:
    """Kept samples as nodes; leading axis: the populations.

    Attributes:
        component, sign: of the population.
        mass: kept mass of a node with each weight, shape (U, N). omega: the weights, shape (U,).
        zeta: the scoring probe's logit there, without its mean, shape (N,).
        shared: density of the shared part's nodes given the scored logit, shape (A, N).
        others: another probe's logit, without its mean, shape (A, B); its law given the shared
            part has the weights ``nodes``, shape (B,).
        force: of the sample in that probe's fit, shape (A, B).
        waves: zeros, as many as the Fourier sum has frequencies and nodes, shapes (M,) and (T,).
        folds: J.
    """

    component: Any
    sign: Any
    mass: Any
    omega: Any
    zeta: Any
    shared: Any
    others: Any
    force: Any
    nodes: Any
    waves: Any
    folds: int


def probe_force(sign: float, v: np.ndarray, step: float) -> np.ndarray:
    """A sample's force in a logistic probe that is fitted to it; v is its logit without it."""
    with jax.enable_x64(True):
        return sign * np.asarray(_residual(sign * np.asarray(v, float), step)) / step


@jax.jit
def _residual(t: Array, step: Array) -> Array:
    return LOSSES["logistic"].prox_residual(t, step + 0 * t)


def normal_grid(step: float) -> tuple[np.ndarray, np.ndarray]:
    """Equidistant nodes of a standard normal variable, and their weights."""
    count = 2 * int(np.ceil(RANGE / step)) + 1
    x = np.linspace(-RANGE, RANGE, count)
    return x, np.exp(-0.5 * x * x) * (x[1] - x[0]) / np.sqrt(2 * np.pi)


def _padded(grid: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    """A grid with nodes of no weight, so that programs are shared."""
    return tuple(np.pad(part, (0, _rung(len(part)) - len(part))) for part in grid)


def shared_force(law: FoldLaw, c: int, sign: float, common: float, fineness: Fineness) -> float:
    """E[f_k f_l] of one sample in two probes' fits, at a covariance of their logits."""
    own, shared = np.sqrt(max(law.variance[c] - common, 0.0)), np.sqrt(common)
    x, w = normal_grid(_step(1.0, own, fineness))
    z, p = normal_grid(_step(1.0, shared, fineness))
    v = law.mean[c] + shared * z[:, None] + own * x
    return float(p @ (probe_force(sign, v, law.step[c]) @ w) ** 2)


def _step(sharpness: float, deviation: float, fineness: Fineness) -> float:
    """Of a grid in a normal variable: for a bandwidth, and for a map of a logit."""
    step = min(2 * np.pi / (BAND * sharpness), SMOOTH / max(deviation, 1e-300))
    return step / fineness.factor


def folds_of(
    law: FoldLaw,
    populations: Populations,
    parts: list[KeptPart],
    fineness: Fineness,
    *,
    spread: float,
    along: float,
) -> Folds:
    """Nodes for a law of the refit's logit.

    Args:
        law: of the probes' logits.
        populations: who there is.
        parts: what is kept of each.
        fineness: of all nodes.
        spread: largest scale of the refit's logit.
        along: that, and how far it moves with the probes, over what it moves by itself.
    """
    c = populations.component
    common, own = law.common[c], law.variance[c] - law.common[c]
    rest = own / law.variance[c]  # of the shared part's variance, once a logit is known
    sharp = np.sqrt(1 / rest.min() + along**2)
    finer = fineness._replace(factor=fineness.factor * max(1.0, sharp / 1.6))
    nodes = nodes_of(populations, parts, finer, sharp=[np.zeros(0)] * len(parts))
    omega = np.unique(nodes["weight"])
    mass = np.where(nodes["weight"][:, None] == omega[:, None], nodes["mass"][:, None], 0.0)
    g, g_mass = _padded(normal_grid(_step(sharp, np.sqrt(common.max()), fineness)))
    e, w = _padded(normal_grid(_step(np.sqrt(1 + along**2), np.sqrt(own.max()), fineness)))
    rho, gap = np.sqrt(1 - rest)[:, None, None], rest[:, None, None]
    away = g[:, None] - rho * nodes["zeta"][:, None]
    density = np.exp(-0.5 * away**2 / gap) * (g[1] - g[0]) / np.sqrt(2 * np.pi * gap)
    shared = np.where(g_mass[:, None] > 0, density, 0.0)
    others = np.sqrt(common)[:, None, None] * g[:, None] + np.sqrt(own)[:, None, None] * e
    force = np.stack(
        [probe_force(float(s), law.mean[k] + v, law.step[int(k)])
         for s, k, v in zip(populations.sign, c, others, strict=True)]
    )  # fmt: skip
    zeta = np.sqrt(law.variance[c])[:, None] * nodes["zeta"]
    n, scale = len(c), along * fineness.factor
    frequencies = _rung(BAND * PERIOD * scale / (2 * np.pi))
    places = max(_rung(2 * PERIOD * scale), _rung(PERIOD * spread * fineness.factor / SMOOTH))
    return Folds(
        c, populations.sign.astype(float), mass, np.tile(omega, (n, 1)), zeta, shared, others,
        force, np.tile(w, (n, 1)), (np.zeros((n, frequencies)), np.zeros((n, places))), law.folds,
    )  # fmt: skip


def reach(state: State, law: FoldLaw, deviation: np.ndarray) -> tuple[float, float]:
    """How large ``spread`` and ``along`` of :func:`folds_of` are for a law of the refit's logit.

    Args:
        state: of the refit.
        law: of the probes' logits.
        deviation: of the probes' mean logit, shape (C,).
    """
    variance, cross = np.asarray(state.covariance)[:, 0, 0], np.asarray(state.cross)[:, 0, 0]
    coupling = np.abs(np.asarray(state.coupling)[:, 0, 0])
    slope = cross / deviation**2
    rest = np.sqrt(np.maximum(variance - slope * cross, 1e-300))
    scale = np.sqrt(variance) + coupling / RANGE
    moved = (np.abs(slope) + coupling / (4 + law.step)) * np.sqrt(law.variance)
    return float(scale.max()), float((np.maximum(scale, moved) / rest).max())


def _rung(count: float) -> int:
    """Lengths grow by octaves, so that programs are shared."""
    return 64 * 2 ** max(int(np.ceil(np.log2(count / 64))), 0)


@partial(jax.jit, static_argnames="loss")
def fold_moments(state: State, folds: Folds, law: Any, *, loss: Loss) -> Moments:
    """Moments of a refit; see :func:`panel_moments`. The probes' mean is the row that is given."""
    each = jax.lax.map(lambda one: _population(one, state, law, loss=loss), folds)
    shares, pseudo = law[2], law[1][:, 0, 0]
    force, square, response, moment, shared = (
        jax.ops.segment_sum(part, folds.component, num_segments=len(shares)) / shares
        for part in each
    )
    given = (moment - response * state.cross[:, 0, 0]) * pseudo
    return Moments(
        force[:, None],
        square[:, None, None],
        response[:, None, None],
        given[:, None, None],
        shared[:, None, None],
    )


def _population(folds: Folds, state: State, law: Any, *, loss: Loss) -> tuple[Array, ...]:
    """E[f], E[f^2], E[df/dv], E[f (zbar - its mean)], E[f fbar] of one population, times its mass.

    zbar is the mean of all probes' logits, fbar the mean force in the fits that saw the sample.
    """
    c = folds.component
    kappa, coupling = state.step[c, 0, 0], state.coupling[c, 0, 0]
    variance, cross = state.covariance[c, 0, 0], state.cross[c, 0, 0]
    slope = cross * law[1][c, 0, 0]
    rest = jnp.maximum(variance - slope * cross, 1e-300)
    scale = jnp.sqrt(variance) + jnp.abs(coupling) / RANGE
    m, n = (wave.shape[-1] for wave in folds.waves)
    k = 2 * jnp.pi / PERIOD * jnp.arange(m)
    smoothed = jnp.exp(-0.5 * rest * (k / scale) ** 2)
    density = kept_waves(folds, k, slope / scale, coupling / scale) * smoothed
    x = PERIOD * (jnp.arange(n) / n - 0.5)
    waves = jnp.exp(-1j * k[:, None] * x) * jnp.where(k > 0, 2.0, 1.0)[:, None] / n
    mass, with_probes, with_force = jnp.real(density @ waves)  # each (U, T)
    t = folds.sign * (state.mean[c, 0] + scale * x) + 0 * mass
    step = kappa * folds.omega[:, None] + 0 * t
    residual, bend = jax.jvp(lambda t: loss.prox_residual(t, step), (t,), (jnp.ones_like(t),))
    f = folds.sign * residual / kappa
    return (
        jnp.sum(mass * f),
        jnp.sum(mass * f**2),
        jnp.sum(mass * bend) / kappa,
        jnp.sum(with_probes * f),
        jnp.sum(with_force * f),
    )

"""Moments for two classes and a probe that is cross-fitted in two folds (docs/equations.md, M10).

A sample is scored by the probe that has not seen it and pushes on the other one. Given that other
probe's logit and the fit's, the scoring logit is normal, so that the share of each band has a
closed form and two integrals are left.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.losses import Loss
from nfl_pruning.theory.mixture.closing import Moments, State
from nfl_pruning.theory.mixture.lines import Lines, kept_at

ROOT2 = np.sqrt(2.0)


class Twin(NamedTuple):
    """The law of the two probes' logits on each component, shape (C,).

    Attributes:
        deviation: of either. tie: their correlation.
    """

    deviation: Any
    tie: Any


class Folds(NamedTuple):
    """Kept samples as bands of the scoring logit and nodes in the other probe's; leading axis J.

    Attributes:
        bands: of the scoring logit, without nodes.
        zeta: the other probe's standardised logit, shape (J, N). mass: normal weights, (J, N).
        own: force of the sample in the other probe over sqrt(2), shape (J, N).
        twin: of the probes.
    """

    bands: Lines
    zeta: Any
    mass: Any
    own: Any
    twin: Twin


def fold_moments(state: State, folds: Folds, lines: Any, law: Any, *, loss: Loss) -> Moments:
    """Moments of a fit at a law of its logits; see :func:`panel_moments`, whose law it takes."""
    shares = law[2]
    summed = jax.vmap(partial(_population, lines=lines, loss=loss), (_AXES, None))(folds, state)
    force, square, response, moment, shared = (
        jax.ops.segment_sum(part, folds.bands.component, num_segments=len(shares)) / shares
        for part in summed
    )
    given = (moment - response * state.cross[:, 0, 0]) * law[1][:, 0, 0]
    return Moments(
        force[:, None],
        square[:, None, None],
        response[:, None, None],
        given[:, None, None],
        shared[:, None, None],
    )


_AXES = Folds(Lines(*(0,) * 8), 0, 0, 0, Twin(None, None))  # type: ignore[arg-type]


def _shares(folds: Folds, state: State, eta: Array) -> tuple[Array, ...]:
    """Mean and deviation of v given zeta, and the bands' share and moment, shape (U, N, M)."""
    c, twin = folds.bands.component, folds.twin
    slope = state.cross[c, 0, 0] / (ROOT2 * twin.deviation[c])  # of v, on either logit
    spread = jnp.sqrt(jnp.maximum(state.covariance[c, 0, 0] - slope**2, 1e-300))
    tie = twin.tie[c]
    beside = slope * (1 - tie) / spread  # of the scoring logit, on eta
    rest = jnp.sqrt(jnp.maximum(1 - tie**2 - beside**2, 1e-300))
    centre = tie * folds.zeta[:, None] + beside * eta
    share, moment = kept_at(folds.bands, centre.reshape(-1), jnp.ones(()), rest)
    shape = (-1, *centre.shape)
    return slope, spread, share.reshape(shape), moment.reshape(shape)


def _population(folds: Folds, state: State, *, lines: Any, loss: Loss) -> tuple[Array, ...]:
    """E[f], E[f^2], E[df/dv], E[f (s - mean)], E[f f_s] over one population, times its mass."""
    c, (eta, weights) = folds.bands.component, lines
    slope, spread, share, moment = _shares(folds, state, eta)
    centre = state.mean[c, 0] + slope * folds.zeta - state.coupling[c, 0, 0] * folds.own
    kappa, sign = state.step[c, 0, 0], folds.bands.sign
    t = sign * (centre[:, None] + spread * eta) + 0 * share
    step = kappa * folds.bands.weight[:, None, None] + 0 * t
    residual, bend = jax.jvp(lambda t: loss.prox_residual(t, step), (t,), (jnp.ones_like(t),))
    node = folds.mass[:, None] * weights
    f, mass = sign * residual / kappa, node * share
    of_zeta = jnp.sum(mass * f, (0, 2))
    both = of_zeta @ folds.zeta + jnp.sum(node * moment * f)
    return (
        jnp.sum(of_zeta),
        jnp.sum(mass * f**2),
        jnp.sum(mass * bend) / kappa,
        both * folds.twin.deviation[c] / ROOT2,
        of_zeta @ folds.own,
    )


@jax.jit
def fold_mass(state: State, folds: Folds, lines: Any) -> Array:
    """Kept share by these nodes, which they were not made from."""

    def one(part: Folds) -> Array:
        share = _shares(part, state, lines[0])[2]
        return jnp.sum(part.mass[:, None] * lines[1] * share)

    return jnp.sum(jax.vmap(one, (_AXES,))(folds))

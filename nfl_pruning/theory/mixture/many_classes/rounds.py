"""One round of the equations for many classes: law of the logits -> moments -> law."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.theory.mixture.closing import Given, Moments, State, close
from nfl_pruning.theory.mixture.many_classes.points import Points
from nfl_pruning.theory.mixture.many_classes.prox import (
    Outputs,
    derivatives,
    mean_response,
    proximal,
)

SMALL = 1e-4
FLOOR = 1e-9  # relative size below which a variance counts as 0


class Terms(NamedTuple):
    """What the equations of one fit are made of.

    Attributes:
        geometry: of the inputs. points: kept samples. given: rows that are read.
        pseudo: pseudo-inverse of Cov(z), shape (C, P, P).
        ridge, samples_per_feature: numbers.
    """

    geometry: Any
    points: Points
    given: Given
    pseudo: Any
    ridge: Any
    samples_per_feature: Any


def at_rest(terms: Terms, n_outputs: int) -> State:
    """A fit so close to 0 that its moments are those of the loss's slope there."""
    n_components, n_given = terms.pseudo.shape[:2]
    unit = np.tile(np.eye(n_outputs), (n_components, 1, 1))
    n_own = terms.points.own.shape[-1]
    return State(
        np.zeros((n_components, n_outputs)),
        SMALL**2 * unit,
        np.zeros((n_components, n_outputs, n_given)),
        SMALL * unit,
        np.zeros((n_components, n_outputs, n_own)),
        np.zeros(n_outputs),
    )


def pack(state: State) -> np.ndarray:
    """All unknowns in one vector; the intercept is part of the means."""
    return np.concatenate([np.asarray(part).ravel() for part in state[:-1]])


def unpack(x: np.ndarray, like: State) -> State:
    """The inverse of :func:`pack`."""
    parts, start = [], 0
    for part in like[:-1]:
        size = int(np.prod(part.shape))
        parts.append(x[start : start + size].reshape(part.shape))
        start += size
    return State._make([*parts, like.intercept])


def sizes(x: np.ndarray, like: State) -> np.ndarray:
    """What a change of each unknown is measured by, shape of x."""
    state = unpack(x, like)
    variance = np.maximum(np.trace(state.covariance, axis1=1, axis2=2), 1e-12)
    variance = variance / state.covariance.shape[-1]
    spread = np.sqrt(variance)
    step = np.trace(state.step, axis1=1, axis2=2) / state.step.shape[-1]
    size = spread + np.abs(state.mean).max(axis=1)
    whole = State(
        np.broadcast_to(size[:, None], state.mean.shape),
        np.broadcast_to(variance[:, None, None], state.covariance.shape),
        np.broadcast_to((spread * (1 + np.abs(state.cross).max((1, 2)) / spread))[:, None, None],
                        state.cross.shape),
        np.broadcast_to(np.abs(step)[:, None, None], state.step.shape),
        np.broadcast_to((spread + np.abs(step))[:, None, None], state.coupling.shape),
        state.intercept,
    )  # fmt: skip
    return pack(whole) + 1e-12


def _root(matrix: Array) -> Array:
    """The symmetric square root of matrices that should be positive, (C, R, R).

    It is smooth in the matrix; another root would turn the points from round to round.
    """
    values, vectors = jnp.linalg.eigh(0.5 * (matrix + jnp.swapaxes(matrix, -1, -2)))
    floor = FLOOR * jnp.maximum(values[..., -1:], 1e-12)
    scaled = vectors * jnp.sqrt(jnp.maximum(values, floor))[..., None, :]
    return scaled @ jnp.swapaxes(vectors, -1, -2)


def _inverse(matrix: Array) -> Array:
    """Inverse of matrices that should be positive, (C, R, R)."""
    values, vectors = jnp.linalg.eigh(0.5 * (matrix + jnp.swapaxes(matrix, -1, -2)))
    floor = 1e-6 * jnp.maximum(jnp.abs(values[..., -1:]), 1e-12)
    return (vectors / jnp.maximum(values, floor)[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)


closed = jax.jit(close, static_argnames="free")


@partial(jax.jit, static_argnames="outputs")
def moments_of(
    state: State, h: Array, points: Points, pseudo: Array, *, outputs: Outputs
) -> tuple[Moments, Array, Array]:
    """Moments of all components; a programme of its own, which every geometry shares.

    Args:
        state: the law.
        h: guesses of the fitted outputs, shape (C, R, N).
        points: kept samples.
        pseudo: pseudo-inverse of Cov(z), shape (C, P, P).
        outputs: of the student.

    Returns:
        The moments, the fitted outputs and the largest gradient left in them.
    """
    explained = jnp.einsum("cap,cpq,cbq->cab", state.cross, pseudo, state.cross)
    spread = _root(state.covariance - explained)
    slope = jnp.einsum("cap,cpq->caq", state.cross, pseudo)
    inverse = _inverse(state.step)
    found, h, left = jax.vmap(partial(_component, outputs=outputs))(
        state.mean, spread, slope, state.coupling, inverse, points, h
    )
    force, square, response, moment, shared = found
    given = jnp.einsum(
        "cap,cpq->caq", moment - jnp.einsum("cab,cbp->cap", response, state.cross), pseudo
    )
    return Moments(force, square, response, given, shared), h, jnp.max(left)


def _component(
    mean: Array,
    spread: Array,
    slope: Array,
    coupling: Array,
    inverse: Array,
    points: Points,
    h: Array,
    *,
    outputs: Outputs,
) -> tuple[tuple[Array, ...], Array, Array]:
    """Moments of one component, fitted outputs (R, N), gradient left."""
    v = mean[:, None] + slope @ points.given.T + spread @ points.eta.T - coupling @ points.own.T
    h, left = proximal(outputs, v, points.label, points.weight, inverse, h)
    f = points.weight * derivatives(outputs, h, points.label)[0]
    response = mean_response(outputs, h, points.label, points.weight, inverse, points.mass)
    weighted = points.mass * f
    return (
        (
            jnp.sum(weighted, 1),
            weighted @ f.T,
            response,
            weighted @ points.given,
            weighted @ points.own,
        ),
        h,
        left,
    )

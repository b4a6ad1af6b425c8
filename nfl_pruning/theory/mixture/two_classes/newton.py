"""Newton's method for a fit to two classes: few unknowns, quadratic convergence.

Moments of a component depend on that component's law alone, so their derivatives take one forward
pass for each entry of a component's law, however many components there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from nfl_pruning.losses import Loss
from nfl_pruning.theory.mixture.closing import Given, Moments, State, close
from nfl_pruning.theory.mixture.two_classes.fold_moments import Folds, fold_moments
from nfl_pruning.theory.mixture.two_classes.lines import Lines, line_moments
from nfl_pruning.theory.mixture.two_classes.panels import Cloud, LabelTerms, panel_moments

CONVERGED = 1e-11
ROUNDING = 1e-12
SMALL = 1e-6
MOST_STEPS = 40
MOST_CHORDS = 8


class Terms(NamedTuple):
    """What the equations of one fit are made of.

    Attributes:
        geometry: of the inputs. cloud: kept samples, nodes in both logits or in v alone.
        lines: nodes in v given zeta, where those are of both. given: rows that are read.
        law: see :func:`panel_moments`. labels: of a teacher. ridge, samples_per_feature: numbers.
    """

    geometry: Any
    cloud: Cloud | Lines | Folds
    lines: tuple[Array, Array]
    given: Given
    law: Any
    labels: LabelTerms
    ridge: Any
    samples_per_feature: Any


class Step(NamedTuple):
    """What a program of the search returns.

    Attributes:
        value: what one round of the equations changes, shape (k,). jacobian: of that, (k, k).
        state: the law of the logits, with the intercept. fit: the parameter.
    """

    value: Array
    jacobian: Array
    state: State
    fit: Any


class Kind(NamedTuple):
    """What a program is compiled for."""

    loss: Loss
    taught: bool
    free: bool
    coupled: bool


@dataclass(frozen=True)
class Root:
    """Where the search ended.

    Attributes:
        x: packed unknowns. residual: largest entry. steps: taken. last: there.
    """

    x: np.ndarray
    residual: float
    steps: int
    last: Step

    @property
    def converged(self) -> bool:
        return bool(self.residual < CONVERGED)


def unpack(x: Any, terms: Terms, kind: Kind) -> State:
    """The law of the logits from the vector that Newton's method moves, shape (C * entries,)."""
    return _unpack(x, terms.law, kind)


@partial(jax.jit, static_argnames="kind")
def _unpack(x: Array, law: Any, kind: Kind) -> State:
    n_components, n_given = law[1].shape[0], law[1].shape[-1]
    rows = x.reshape(n_components, -1)
    mean, log_spread, log_step = rows[:, 0], rows[:, 1], rows[:, 2]
    cross = rows[:, 3 : 3 + n_given]
    coupling = rows[:, -1] if kind.coupled else 0 * mean
    explained = jnp.einsum("cp,cpq,cq->c", cross, law[1], cross)
    return State(
        mean[:, None],
        (jnp.exp(log_spread) + explained)[:, None, None],
        cross[:, None, :],
        jnp.exp(log_step)[:, None, None],
        coupling[:, None, None],
        jnp.zeros(1),
    )


def pack(state: State, terms: Terms, kind: Kind) -> Array:
    """The inverse of :func:`unpack`; the intercept is left out."""
    cross = state.cross[:, 0, :]
    explained = jnp.einsum("cp,cpq,cq->c", cross, terms.law[1], cross)
    variance = state.covariance[:, 0, 0]
    spread = jnp.maximum(variance - explained, 1e-14 * variance + 1e-300)
    parts = [state.mean, jnp.log(spread)[:, None], jnp.log(state.step[:, 0]), cross]
    if kind.coupled:
        parts.append(state.coupling[:, 0])
    return jnp.concatenate(parts, axis=1).reshape(-1)


def at_rest(terms: Terms, kind: Kind) -> np.ndarray:
    """A fit so close to 0 that its moments are those of the loss's slope there."""
    n_components, n_given = len(terms.law[2]), terms.law[1].shape[-1]
    entries = [0.0, 2 * np.log(SMALL), np.log(SMALL)] + [0.0] * (n_given + int(kind.coupled))
    return np.tile(np.array(entries), n_components)


def _moments(x: Array, terms: Terms, kind: Kind) -> Moments:
    if isinstance(terms.cloud, Folds):
        return fold_moments(unpack(x, terms, kind), terms.cloud, terms.law, loss=kind.loss)
    if isinstance(terms.cloud, Lines):
        return line_moments(unpack(x, terms, kind), terms.cloud, terms.law, loss=kind.loss)
    return panel_moments(
        unpack(x, terms, kind), terms.cloud, terms.lines, terms.law, terms.labels,
        loss=kind.loss, taught=kind.taught,
    )  # fmt: skip


def closed(moments: Moments, mean: Array, terms: Terms, kind: Kind) -> Any:
    """What the moments give back: the law, and the fit."""
    return close(
        terms.geometry, moments, mean, terms.given, ridge=terms.ridge,
        samples_per_feature=terms.samples_per_feature, free=kind.free,
    )  # fmt: skip


@partial(jax.jit, static_argnames="kind")
def linearised(x: Array, terms: Terms, kind: Kind) -> Step:
    """What one round of the equations changes, and the derivative of that."""
    n_components = len(terms.law[2])
    entries = len(x) // n_components

    def push(entry: Array) -> Any:  # all components at once: none reads another's law
        tangent = jnp.tile(entry, n_components)
        return jax.jvp(lambda y: _moments(y, terms, kind), (x,), (tangent,))

    moments, changes = jax.vmap(push, out_axes=(None, 0))(jnp.eye(entries))
    own = jax.vmap(lambda change: ravel_pytree(change)[0])(changes)
    there, by_moments, by_mean = _answer(x, moments, terms, kind)
    component = _component_of(moments, n_components)
    select = (component[:, None] == jnp.arange(n_components)).astype(x.dtype)
    through = jnp.einsum("km,mc,em->kce", by_moments, select, own)
    through = through.at[:, :, 0].add(by_mean)
    return there._replace(jacobian=through.reshape(len(x), len(x)) - jnp.eye(len(x)))


def _answer(x: Array, moments: Moments, terms: Terms, kind: Kind) -> tuple[Step, Array, Array]:
    """What the moments give back, and its derivatives in them, (k, m), and in the means, (k, C).

    Each field of the moments by itself: most leave most of the large matrices alone.
    """
    law = unpack(x, terms, kind)
    last, fit = closed(moments, law.mean, terms, kind)
    there = Step(pack(last, terms, kind) - x, jnp.zeros((0, 0)), law._replace(
        intercept=last.intercept), fit)  # fmt: skip
    columns = []
    for name, field in moments._asdict().items():
        if name == "shared" and not kind.coupled:
            columns.append(jnp.zeros((len(x), field.size)))
            continue

        def answer(value: Array, name: str = name) -> Array:
            changed = moments._replace(**{name: value})
            return pack(closed(changed, law.mean, terms, kind)[0], terms, kind)

        columns.append(jax.jacfwd(answer)(field).reshape(len(x), -1))
    by_mean = jax.jacfwd(lambda mean: pack(closed(moments, mean, terms, kind)[0], terms, kind))
    return there, jnp.concatenate(columns, axis=1), by_mean(law.mean)[..., 0]


@partial(jax.jit, static_argnames="kind")
def valued(x: Array, terms: Terms, kind: Kind) -> Step:
    """:func:`linearised` without a derivative."""
    law = unpack(x, terms, kind)
    last, fit = closed(_moments(x, terms, kind), law.mean, terms, kind)
    value = pack(last, terms, kind) - x
    return Step(value, jnp.zeros((0, 0)), law._replace(intercept=last.intercept), fit)


def _component_of(moments: Moments, n_components: int) -> Array:
    """The component that each entry of the raveled moments belongs to."""
    parts = [
        jnp.broadcast_to(jnp.arange(n_components).reshape(-1, *([1] * (m.ndim - 1))), m.shape)
        for m in moments
    ]
    return jnp.concatenate([part.reshape(-1) for part in parts])


def search(start: np.ndarray, terms: Terms, kind: Kind, slopes: np.ndarray | None = None) -> Root:
    """Damped Newton from a start; a step is halved until the largest residual falls.

    At least one step is taken, so that a root of a coarser quadrature moves to this one's.

    Args:
        start: packed unknowns.
        terms: of the equations.
        kind: what is compiled in.
        slopes: the derivative at a root nearby, with which a few steps are tried first.
    """
    if slopes is not None:
        root = _chord(start, terms, kind, slopes)
        if root.converged:
            return root
    x = np.asarray(start)
    here = linearised(x, terms, kind)
    error, evaluations = _size(here.value), 1
    while evaluations < MOST_STEPS and np.isfinite(error):
        if error < CONVERGED and evaluations > 1:
            break
        step = np.linalg.solve(np.asarray(here.jacobian), -np.asarray(here.value))
        longest = np.max(np.abs(step) / (1 + np.abs(x)))
        length = min(1.0, 1.5 / max(longest, 1e-300)) if np.isfinite(longest) else 0.0
        while length > 1e-3:
            there = linearised(x + length * step, terms, kind)
            new_error = _size(there.value)
            evaluations += 1
            if new_error < max(error * (1 - 1e-4 * length), ROUNDING):
                break
            length *= 0.5
        else:
            break
        x, here, error = x + length * step, there, new_error
    return Root(x, error, evaluations, here)


def _chord(start: np.ndarray, terms: Terms, kind: Kind, slopes: np.ndarray) -> Root:
    """Steps with one derivative; they end where the residual no longer falls tenfold."""
    x, inverse, last, evaluations = np.asarray(start), np.linalg.inv(slopes), np.inf, 0
    while True:
        here = valued(x, terms, kind)._replace(jacobian=slopes)
        error, evaluations = _size(here.value), evaluations + 1
        done = (error < CONVERGED and evaluations > 1) or not error < 0.1 * last
        if done or evaluations == MOST_CHORDS:
            return Root(x, error, evaluations, here)
        x, last = x - inverse @ np.asarray(here.value), error


def _size(value: Any) -> float:
    size = float(np.max(np.abs(np.asarray(value))))
    return size if np.isfinite(size) else np.inf

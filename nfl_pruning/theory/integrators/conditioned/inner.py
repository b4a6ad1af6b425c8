"""The inner integral for probes with memory, over the student's own direction, and its derivatives.

A row, that is a value of the probe's margin, enters through a few numbers alone. So the derivatives
of its integrals in these are computed along with the integrals, once for all directions of a
Jacobian, as products of the integrand with powers of the variable.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.theory.integrators.conditioned.cell import Kind
from nfl_pruning.theory.integrators.conditioned.smooth import Smoothed, smoothed


class Inner(NamedTuple):
    """What the integrand reads: at xi, margins are shift + spread xi, teacher's mean + lean xi.

    Attributes:
        shift: the student's margin at xi = 0, shape (rows,).
        spread: its growth with xi, a scalar.
        step: of the student's proximal map, shape (rows,).
        mean: the teacher's margin at xi = 0, given the row, shape (rows,).
        lean: its growth with xi, a scalar.
        noise: its standard deviation given the row and xi, a scalar.
    """

    shift: Array
    spread: Array
    step: Array
    mean: Array
    lean: Array
    noise: Array


class _Integrand(NamedTuple):
    """The smoothed link; the pull D and its derivatives in the margin and the step."""

    link: Smoothed
    pull: Array
    by_margin: Array
    by_step: Array


def _integrand(kind: Kind, label: int, xi: Array, inner: Inner) -> _Integrand:
    margin = inner.shift[:, None] + inner.spread * xi
    link = smoothed(kind, label, inner.mean[:, None] + inner.lean * xi, inner.noise)
    step = jnp.broadcast_to(inner.step[:, None], margin.shape)
    one = jnp.ones_like(margin)

    def along(in_margin: Array, in_step: Array) -> tuple[Array, Array]:
        return jax.jvp(kind.loss.prox_residual, (margin, step), (in_margin * one, in_step * one))

    pull, slopes = jax.vmap(along, out_axes=(None, 0))(jnp.array([1.0, 0]), jnp.array([0, 1.0]))
    return _Integrand(link, pull, *slopes)


def _values(at: _Integrand) -> list[Array]:
    chance, slope, d = at.link.chance, at.link.slope, at.pull
    return [chance * d, slope * d, chance * d * d, chance * at.by_margin]


def _across(xi: Array, weight: Array, values: list[Array], powers: int) -> Array:
    """Integrals of values times powers of xi from 0 on, shape (powers, values, rows)."""
    basis = weight * jnp.stack([xi**power for power in range(powers)])
    if len(xi) == 1:
        return jnp.einsum("krn,pn->pkr", jnp.stack(values), basis[:, 0])
    return jnp.einsum("krn,prn->pkr", jnp.stack(values), basis)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def inner_integrals(kind: Kind, label: int, xi: Array, weight: Array, inner: Inner) -> Array:
    """Integrals over xi of P D, P' D, P D^2 and P dD/dv, and of these times xi.

    P is the label's probability given the row and xi, P' its slope in the teacher's margin, D the
    pull of a kept sample and v the student's margin. Derivatives of the first three are exact; the
    fourth has none, and neither have the nodes.

    Args:
        kind: what is compiled in.
        label: +1 or -1.
        xi: nodes, shape (rows, nodes) or (1, nodes).
        weight: of the nodes, times their density, likewise.
        inner: what a row is known by.

    Returns:
        Shape (2, 4, rows): for the powers 0 and 1 of xi, the four integrals.
    """
    return _across(xi, weight, _values(_integrand(kind, label, xi, inner)), 2)


@inner_integrals.defjvp
def _inner_integrals_jvp(kind: Kind, label: int, primals, tangents):
    xi, weight, inner = primals
    dot: Inner = tangents[2]
    at = _integrand(kind, label, xi, inner)
    chance, slope, bend, twist = at.link
    d, none = at.pull, jnp.zeros_like(at.pull)
    by_pull = [chance, slope, 2 * chance * d]
    by_margin = [*(part * at.by_margin for part in by_pull), none]
    by_step = [*(part * at.by_step for part in by_pull), none]
    by_mean = [slope * d, bend * d, slope * d * d, none]
    by_noise = [bend * d, twist * d, bend * d * d, none]  # over the noise: the heat equation
    every = [*_values(at), *by_margin, *by_mean, *by_step, *by_noise]
    found = _across(xi, weight, every, 3).reshape(3, 5, 4, -1)
    value, margin, mean, step, noise = found.transpose(1, 0, 2, 3)
    change = margin[:2] * dot.shift + margin[1:] * dot.spread + step[:2] * dot.step
    change += mean[:2] * dot.mean + mean[1:] * dot.lean + noise[:2] * (inner.noise * dot.noise)
    return value[:2], change

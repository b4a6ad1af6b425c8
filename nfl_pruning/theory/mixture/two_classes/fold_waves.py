"""Cross-fitted probes, two classes: what they do to the refit's logit, as characteristic functions.

Of J probes one scored a sample and J - 1 were fitted to it. Given what all share on the sample,
their logits are independent, so that the function of all is a product of one probe's.

Sums over two grids and all frequencies are the largest arrays of the theory. They are formed for
few frequencies at a time, and once for values and slopes: a Jacobian asks for a slope in each of
dozens of unknowns, but all of them act through two numbers.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

AT_ONCE = 16  # frequencies


def kept_waves(folds: Any, k: Array, slope: Array, coupling: Array) -> Array:
    """Characteristic functions among the kept samples of one population, shape (3, U, M).

    E[exp(i k move)] of what the probes move the refit's logit by, as it is, times the mean zbar of
    all probes' logits, and times the mean force fbar in the fits that saw the sample:
    move = slope zbar - coupling fbar.

    Args:
        folds: kept samples of one population as nodes.
        k: frequencies, shape (M,), M a multiple of ``AT_ONCE``.
        slope: of the refit's logit in zbar, in its own scale.
        coupling: to fbar, likewise. First derivatives in both are exact; the rest of what is given
            counts as constant in them.
    """
    rest = jax.lax.stop_gradient((slope, coupling))
    per_probe = rest[0] / folds.folds, rest[1] / (folds.folds - 1)
    few = k.reshape(-1, AT_ONCE)
    found = jax.lax.map(lambda some: _with_slopes(folds, some, *per_probe), few)
    value, along, across = (
        jnp.moveaxis(part, 0, 2).reshape(*part.shape[1:3], k.size) for part in found
    )
    return value + (slope - rest[0]) * along + (coupling - rest[1]) * across


def _with_slopes(folds: Any, k: Array, a: Array, b: Array) -> tuple[Array, Array, Array]:
    """The three functions at some frequencies, and their slopes in ``slope`` and ``coupling``."""
    z, f, count = folds.others, folds.force, folds.folds
    turned = jnp.exp(1j * k * (a * z - b * f)[..., None])  # (A, B, M)
    powers = jnp.stack([jnp.ones_like(z), z, f, z * z, z * f, f * f], axis=1) * folds.nodes
    one, of_z, of_f, of_zz, of_zf, of_ff = jnp.moveaxis(powers @ turned, 1, 0)  # each (A, M)
    scored = jnp.exp(1j * k * (a * folds.zeta)[:, None])  # (N, M)
    kept, with_own, with_square = (
        jnp.einsum("un,an,nm->uam", folds.mass * folds.zeta**power, folds.shared, scored)
        for power in range(3)
    )
    at = kept, with_own, one, of_z, of_f
    with_a, with_b = 1j * k / count, -1j * k / (count - 1)
    by_a = tuple(with_a * part for part in (with_own, with_square, of_z, of_zz, of_zf))
    none = jnp.zeros_like(kept)
    by_b = (none, none, *(with_b * part for part in (of_f, of_zf, of_ff)))

    def whole(*parts: Array) -> Array:
        return _of_all(count, *parts)

    value, along = jax.jvp(whole, at, by_a)
    return value, along, jax.jvp(whole, at, by_b)[1]


def _of_all(
    count: int, kept: Array, with_own: Array, one: Array, of_z: Array, of_f: Array
) -> Array:
    """From one probe's sums to all J, and the sum over what they share, shape (3, U, M)."""
    less = jax.lax.integer_pow(one, count - 2) if count > 2 else jnp.ones_like(one)
    full = less * one
    probes = (with_own * full + (count - 1) * kept * (less * of_z)) / count
    return jnp.sum(jnp.stack([kept * full, probes, kept * (less * of_f)]), axis=2)

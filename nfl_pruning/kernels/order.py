"""The first k rows of a priority order, found by bisection instead of sorting.

Counting how many of n numbers exceed a level vectorises, so 64 counts cost a tenth of a sort. The
level that separates the first k is an exact order statistic: numbers are compared as integers
that order like them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax


def ordered_integers(values: Array) -> Array:
    """Integers of the same width that order like the floats ``values``; equal where those are."""
    values = jnp.where(values == 0, 0, values)  # minus zero ties with zero
    width = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    bits = lax.bitcast_convert_type(values, width)
    return jnp.where(bits < 0, jnp.iinfo(width).min - bits, bits)


def _level(numbers: Array, count: Array, among: Array) -> Array:
    """The ``count``-th largest of the integers ``numbers`` that are ``among``.

    The largest for a count of 0; no rows may be ``among`` then.
    """
    info = jnp.iinfo(numbers.dtype)

    def halve(bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket  # at least count numbers reach low, fewer reach high
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        enough = jnp.sum(among & (numbers >= middle), dtype=jnp.int32) >= count
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low = jnp.min(jnp.where(among, numbers, info.max))
    high = jnp.max(jnp.where(among, numbers, info.min))
    at_top = jnp.sum(among & (numbers >= high), dtype=jnp.int32) >= count
    low = jnp.where(at_top, high, low)

    def open_bracket(bracket: tuple[Array, Array]) -> Array:
        low, high = bracket  # no sum with 1: at the ends of the range it would wrap around
        return (low < high) & (high - low != 1)

    return lax.while_loop(open_bracket, halve, (low, jnp.maximum(high, low)))[0]


def take_largest(keys: tuple[Array, ...], count: Array, among: Array) -> Array:
    """Mask of the ``count`` rows that come first when rows are sorted by ``keys``, largest first.

    Args:
        keys: integers of shape (n,); later ones break ties of earlier ones. Ties of the last are
            broken by row number, so exactly ``count`` rows are taken.
        count: how many, between 0 and the number of rows in ``among``.
        among: rows that take part, boolean of shape (n,).
    """
    if not keys:
        return among & (jnp.cumsum(among) <= count)
    level = _level(keys[0], count, among)
    above, tied = among & (keys[0] > level), among & (keys[0] == level)
    rest = count - jnp.sum(above, dtype=jnp.int32)
    return above | take_largest(keys[1:], rest, tied)


def random_integers(key: Array, shape: tuple[int, ...]) -> Array:
    """Non-negative random integers, int32."""
    return (jax.random.bits(key, shape, jnp.uint32) >> 1).astype(jnp.int32)

"""A link smoothed by normal noise, P(label | m) = E[link(m + noise * eta)], at many places m.

A link of one or two steps is a sum of normal distribution functions. The logistic link would be a
sum of two dozen; it is tabulated once for a noise, as local polynomials about the places of a grid
so fine that interpolation leaves no error above rounding, and then looked up.
"""

from __future__ import annotations

from functools import lru_cache
from math import perm, pi
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.numerics.quadrature import normal_cdf, normal_density
from nfl_pruning.theory.integrators.conditioned.cell import Kind

FEW_STEPS = 4
ORDER, PLACES, SPACING = 14, 320, 0.1
NEGLIGIBLE = 1e-14  # jumps that no sum in double precision notices
TINY_WIDTH = 1e-9


class Smoothed(NamedTuple):
    """The probability and its first three derivatives in m, each of the shape of m."""

    chance: Array
    slope: Array
    bend: Array
    twist: Array


def _spreads(kind: Kind, noise: Array) -> tuple[np.ndarray, Array, np.ndarray]:
    """Places, widths after smoothing, and jumps of the link's steps; shape (steps,)."""
    parts = np.array(kind.link.steps[1:])
    places, widths, jumps = parts[:, np.abs(parts[2]) > NEGLIGIBLE]
    return places, jnp.sqrt(widths**2 + noise**2 + TINY_WIDTH**2), jumps


@lru_cache(maxsize=1)
def _fit() -> np.ndarray:
    """From values at ORDER + 1 neighbours to the polynomial through them, in units of the grid.

    Lagrange's polynomials have integer coefficients before they are normalised, so none is lost.
    """
    places = np.arange(ORDER + 1) - ORDER // 2
    rows = []
    for place in places:
        others = places[places != place]
        rows.append(np.polynomial.polynomial.polyfromroots(others) / np.prod(place - others))
    return np.stack(rows)


def _polynomials(kind: Kind, noise: Array, width: Array) -> Array:
    """Coefficients of a local polynomial about 0, -width, -2 width, ...; (PLACES, ORDER + 1)."""
    where, spread, jumps = _spreads(kind, noise)
    grid = ORDER // 2 - np.arange(PLACES + ORDER)
    values = kind.link.steps.base + normal_cdf((width * grid[:, None] - where) / spread) @ jumps
    windows = jnp.stack([values[i : i + PLACES] for i in range(ORDER + 1)][::-1], axis=1)
    return windows @ _fit()


def _direct(kind: Kind, m: Array, noise: Array) -> Smoothed:
    total = [jnp.full_like(m, kind.link.steps.base), *(jnp.zeros_like(m) for _ in range(3))]
    for place, spread, jump in zip(*_spreads(kind, noise), strict=True):
        x = (m - place) / spread
        density = jump * normal_density(x) / spread
        parts = (
            jump * normal_cdf(x),
            density,
            -x * density / spread,
            (x**2 - 1) * density / spread**2,
        )
        total = [old + new for old, new in zip(total, parts, strict=True)]
    return Smoothed(*total)


def _looked_up(kind: Kind, m: Array, noise: Array) -> Smoothed:
    """For symmetric links: the table covers m <= 0."""
    width = SPACING * jnp.sqrt(1 + 3 * (noise / pi) ** 2)
    table = _polynomials(kind, noise, width)
    place = -jnp.abs(m) / width
    cell = jnp.clip(jnp.round(-place), 0, PLACES - 1)
    shift = jnp.maximum(place + cell, -0.5)
    terms = table[cell.astype(jnp.int32)]
    values = []
    for order in range(4):
        total = jnp.zeros_like(m)
        for k in range(ORDER, order - 1, -1):
            total = total * shift + perm(k, order) * terms[..., k]
        values.append(total / width**order)
    chance, slope, bend, twist = values
    up = m > 0
    return Smoothed(jnp.where(up, 1 - chance, chance), slope, jnp.where(up, -bend, bend), twist)


def _positive(kind: Kind, m: Array, noise: Array) -> Smoothed:
    tabulated = len(kind.link.steps.jumps) > FEW_STEPS and kind.link.symmetric
    return (_looked_up if tabulated else _direct)(kind, m, noise)


def smoothed(kind: Kind, label: int, m: Array, noise: Array) -> Smoothed:
    """P(label | folded m), twice that where one label stands for both, and its derivatives.

    The derivative in the noise is noise times ``bend``, and that of the slope noise times ``twist``
    (the heat equation).

    Args:
        kind: what is compiled in.
        label: +1 or -1.
        m: mean of the folded teacher margin, any shape.
        noise: its standard deviation, >= 0, a scalar.
    """
    fold = 2.0 if len(kind.labels) == 1 else 1.0
    found = _positive(kind, label * m, noise)
    if label < 0:
        found = Smoothed(1 - found.chance, found.slope, -found.bend, found.twist)
    return Smoothed(*(fold * part for part in found))

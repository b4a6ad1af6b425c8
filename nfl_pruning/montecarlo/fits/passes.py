"""Passes over the training rows: the only work whose cost grows with rows times features.

Rows come in blocks that stay in cache, and each pass uses a block twice, for the margins and for
the transposed product. A block is either stored or drawn again each time it is needed, which
needs no memory and costs about fifteen times as much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax


class Samples(NamedTuple):
    """Kept samples as the fit sees them.

    Attributes:
        block: number of a block -> its rows, shape (size, width), float32.
        width: number of features.
        plane: the first two columns of the rows, shape (blocks, size, 2), float32.
        labels: -1 or 1, shape (blocks, size), float64.
        weights: w_i / n, 0 for padding, shape (blocks, size), float64.
        axis: name of the device axis that the blocks are spread over, or None.
    """

    block: Callable[[Array], Array]
    width: int
    plane: Array
    labels: Array
    weights: Array
    axis: str | None = None

    def total(self, value: Array) -> Array:
        """Sum of ``value`` over the devices that share the samples."""
        return value if self.axis is None else lax.psum(value, self.axis)

    def least(self, value: Array) -> Array:
        """Minimum of ``value`` over the devices that share the samples."""
        return value if self.axis is None else lax.pmin(value, self.axis)


def double_product(
    samples: Samples, vector: Array, weigh: Callable[[Array, Array], Array]
) -> tuple[Array, Array]:
    """The margins = rows @ vector and rows.T @ weigh(block number, margins), in one pass.

    Runs in the precision of ``vector``: float32 rows are widened block by block. The highest
    precision is demanded because accelerators otherwise round float32 factors to 10 bits or fewer.
    """

    def step(total: Array, number: Array) -> tuple[Array, Array]:
        rows = samples.block(number).astype(vector.dtype)
        margins = jnp.matmul(rows, vector, precision=lax.Precision.HIGHEST)
        pulled = jnp.matmul(weigh(number, margins), rows, precision=lax.Precision.HIGHEST)
        return total + pulled, margins

    numbers = jnp.arange(samples.labels.shape[0])
    total, margins = lax.scan(step, jnp.zeros_like(vector), numbers)
    return margins, samples.total(total)


def widen(values: Array) -> Array:
    """``values`` in float64."""
    return jax.lax.convert_element_type(values, jnp.float64)

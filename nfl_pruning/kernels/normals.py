"""Counter-based normals: entry (row, column) of a matrix is a function of the key alone.

Threefry-2x32 with 20 rounds (Salmon et al. 2011), the cipher behind ``jax.random``, is applied to
the counter (row, column pair), and its two words feed one Box-Muller pair. Any subset of rows can
therefore be drawn, in any order and on any device, and every row comes out the same. Written as
one elementwise expression it costs a fifth of ``jax.random.normal`` on a CPU.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def threefry(key_words: Array, counter: tuple[Array, Array]) -> tuple[Array, Array]:
    """Two random words a counter.

    Args:
        key_words: shape (2,), uint32.
        counter: two uint32 arrays of shapes that broadcast together.
    """
    one = jnp.uint32
    schedule = (key_words[0], key_words[1], key_words[0] ^ key_words[1] ^ one(_PARITY))
    left, right = jnp.broadcast_arrays(counter[0] + schedule[0], counter[1] + schedule[1])
    for step in range(5):
        for bits in _ROTATIONS[step % 2]:
            left = left + right
            right = left ^ ((right << one(bits)) | (right >> one(32 - bits)))
        left = left + schedule[(step + 1) % 3]
        right = right + schedule[(step + 2) % 3] + one(step + 1)
    return left, right


def _sine_cosine(turns: Array) -> tuple[Array, Array]:
    """The sine and cosine of ``2 pi * turns`` for turns in [-1/2, 1/2], float32, to 1e-7.

    Taylor polynomials on an eighth of a turn around the nearest quarter; a library call would cost
    more than the cipher.
    """
    f32 = jnp.float32
    quarters = jnp.round(turns * f32(4))
    x = (turns * f32(4) - quarters) * f32(1.5707963267948966)
    x2 = x * x
    tail = f32(-1 / 6) + x2 * (f32(1 / 120) + x2 * (f32(-1 / 5040) + x2 * f32(1 / 362880)))
    sine = x + x * x2 * tail
    tail = f32(1 / 24) + x2 * (f32(-1 / 720) + x2 * (f32(1 / 40320) - x2 * f32(1 / 3628800)))
    cosine = f32(1) + x2 * (f32(-0.5) + x2 * tail)
    quadrant = quarters.astype(jnp.int32)
    swapped = (quadrant & 1) == 1
    first, second = jnp.where(swapped, cosine, sine), jnp.where(swapped, sine, cosine)
    return (
        jnp.where((quadrant & 2) != 0, -first, first),
        jnp.where(((quadrant + 1) & 2) != 0, -second, second),
    )


def _pairs(key: Array, rows: Array, columns: Array) -> tuple[Array, Array]:
    """Two independent normals for every (row, column), arrays that broadcast; float32."""
    bits = threefry(jax.random.key_data(key), (rows.astype(jnp.uint32), columns))
    uniform = (bits[0].astype(jnp.float32) + jnp.float32(0.5)) * jnp.float32(2.0**-32)
    radius = jnp.sqrt(jnp.float32(-2) * jnp.log(uniform))
    turns = bits[1].astype(jnp.int32).astype(jnp.float32) * jnp.float32(2.0**-32)
    sine, cosine = _sine_cosine(turns)
    return radius * sine, radius * cosine


def normal_rows(key: Array, rows: Array, width: int) -> Array:
    """Standard normals for the given rows, shape (rows, width), float32.

    Column j and column j + ceil(width / 2) are one Box-Muller pair, so a row depends on ``width``.
    The radius has 32 random bits: the largest entry that can occur is 6.8.

    Args:
        key: a typed ``threefry2x32`` key.
        rows: row numbers, integers of shape (rows,).
        width: number of columns, >= 0.
    """
    columns = jnp.arange((width + 1) // 2, dtype=jnp.uint32)
    return jnp.concatenate(_pairs(key, rows[:, None], columns[None, :]), axis=1)[:, :width]


def normal_columns(key: Array, rows: Array, width: int) -> Array:
    """The transpose of ``normal_rows``, shape (width, rows), computed in that order.

    For narrow rows this is four times as fast on a CPU: XLA merges a concatenation whose last axis
    is shorter than 128 with what it joins, and the merged loop is not vectorised.
    """
    columns = jnp.arange((width + 1) // 2, dtype=jnp.uint32)
    return jnp.concatenate(_pairs(key, rows[None, :], columns[:, None]), axis=0)[:width]

"""Composite Gauss-Legendre rules on panels graded towards known sharp features.

Integrands here are smooth but for layers at known places (a steep link, the bend of a proximal
map) and jumps at known points (a selection threshold). Panels shrink geometrically towards the
layers and end exactly on the jumps, so the error falls geometrically with the number of panels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

AnyArray = Any  # numpy for numpy arguments, JAX for JAX ones
NORMAL_RANGE = 9.5  # beyond it the normal density is below 1e-20


@lru_cache(maxsize=32)
def gauss_legendre(n_nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [-1, 1], each of shape (n_nodes,)."""
    return np.polynomial.legendre.leggauss(n_nodes)


def graded_edges(
    centres: ArrayLike,
    widths: ArrayLike,
    *,
    n_panels: int,
    base: float = 1.0,
    limit: float = NORMAL_RANGE,
) -> AnyArray:
    """Panel edges on [-limit, limit] that resolve layers of given centres and widths.

    The edges equidistribute the density ``1 / base + sum_i 1 / sqrt((x - c_i)^2 + w_i^2)``, whose
    integral is a sum of inverse hyperbolic sines: each halving of the distance to a layer gets
    its panels, down to the layer's width. The mesh is data, not part of the integrand: no
    derivative flows through it.

    Args:
        centres: shape (..., features).
        widths: positive, broadcasts with ``centres``.
        n_panels: number of panels.
        base: largest panel length, up to a constant.
        limit: half the length of the interval.

    Returns:
        Edges of shape (..., n_panels + 1), increasing; numpy for numpy input, else JAX.
    """
    host = isinstance(centres, np.ndarray)
    xp = np if host else jnp
    if not host:
        centres, widths = (jax.lax.stop_gradient(jnp.asarray(a)) for a in (centres, widths))
    centres, widths = (a[..., None, :] for a in xp.broadcast_arrays(centres, widths))

    def cumulative(x):
        return x / base + xp.sum(xp.arcsinh((x[..., None] - centres) / widths), axis=-1)

    shape = (*centres.shape[:-2], n_panels + 1)
    low, high = xp.full(shape, -limit), xp.full(shape, limit)
    first, last = cumulative(low), cumulative(high)
    target = first + (last - first) * np.linspace(0.0, 1.0, n_panels + 1)

    def halve(_, bracket):
        low, high = bracket
        middle = 0.5 * (low + high)
        below = cumulative(middle) < target
        return xp.where(below, middle, low), xp.where(below, high, middle)

    low, high = _repeat(30, halve, (low, high), host=host)
    inner = 0.5 * (low + high)[..., 1:-1]
    ends = xp.full((*inner.shape[:-1], 1), limit)
    return xp.concatenate([-ends, inner, ends], axis=-1)


def _repeat(count: int, body, state, *, host: bool):
    """``lax.fori_loop`` for JAX arrays, a plain loop (nothing to compile) for numpy arrays."""
    if not host:
        return jax.lax.fori_loop(0, count, body, state)
    for i in range(count):
        state = body(i, state)
    return state


def panel_nodes(edges: ArrayLike, n_nodes: int) -> tuple[AnyArray, AnyArray]:
    """Gauss-Legendre nodes and weights on every panel.

    Args:
        edges: increasing along the last axis, shape (..., panels + 1); empty panels are harmless.
        n_nodes: nodes a panel.

    Returns:
        Nodes and weights, each of shape (..., panels * n_nodes).
    """
    edges = edges if isinstance(edges, np.ndarray) else jnp.asarray(edges)
    x, w = gauss_legendre(n_nodes)
    half = 0.5 * (edges[..., 1:] - edges[..., :-1])[..., None]
    middle = 0.5 * (edges[..., 1:] + edges[..., :-1])[..., None]
    shape = (*edges.shape[:-1], -1)
    return (middle + half * x).reshape(shape), (half * w).reshape(shape)


def merge_edges(edges: AnyArray, jumps: ArrayLike) -> AnyArray:
    """Edges with the jump points added, sorted; jumps outside the range are moved to its ends."""
    xp = np if isinstance(edges, np.ndarray) else jnp
    jumps = xp.clip(xp.asarray(jumps), edges[..., :1], edges[..., -1:])
    jumps = xp.broadcast_to(jumps, (*edges.shape[:-1], jumps.shape[-1]))
    return xp.sort(xp.concatenate([edges, jumps], axis=-1), axis=-1)


def normal_density(x):
    """Standard normal density, numpy for numpy input."""
    xp = np if isinstance(x, np.ndarray | float) else jnp
    return xp.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)


def normal_cdf(x: ArrayLike) -> Array:
    """Standard normal distribution function, to full relative precision in the lower tail."""
    return 0.5 * jax.lax.erfc(jnp.asarray(x) * -(0.5**0.5))

"""Class probabilities without cancellation: the building block of the built-in scores."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jax.nn import logsumexp, softplus


def class_log_odds(logits: Array) -> Array:
    """log(p_k / (1 - p_k)) of the softmax for every class k, shape (..., classes).

    The sum over the other classes is formed without subtracting nearly equal numbers: for every
    class but the largest the largest stays in the sum, and the largest gets a sum of its own. Then
    ``sigmoid(log_odds)`` and ``sigmoid(-log_odds)`` are p_k and 1 - p_k to full relative precision.
    """
    if logits.shape[-1] == 2:
        return logits - logits[..., ::-1]
    largest = jnp.argmax(logits, axis=-1, keepdims=True)
    is_largest = jnp.arange(logits.shape[-1]) == largest
    others = logsumexp(jnp.where(is_largest, -jnp.inf, logits), axis=-1, keepdims=True)
    top = jnp.max(logits, axis=-1, keepdims=True)
    scaled = jnp.exp(logits - top)
    without = top + jnp.log(
        jnp.maximum(jnp.sum(scaled, axis=-1, keepdims=True) - jnp.where(is_largest, 0, scaled), 1)
    )
    return logits - jnp.where(is_largest, others, without)


def of_label(values: Array, labels: Array) -> Array:
    """The entry of each row that belongs to its label: (..., classes), (...,) -> (...,)."""
    return jnp.take_along_axis(values, labels[..., None], axis=-1)[..., 0]


def log_softplus(x: Array) -> Array:
    """log(log(1 + e^x)), which is x to machine precision far below 0, where e^x underflows."""
    small = x < -0.75 * jnp.log(jnp.finfo(x.dtype).max)
    return jnp.where(small, x, jnp.log(softplus(jnp.where(small, 0, x))))

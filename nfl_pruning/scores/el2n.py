"""EL2N (Paul, Ganguli and Dziugaite 2021): the size of the probe's error vector."""

import jax.numpy as jnp
from jax.nn import one_hot, sigmoid, softplus

from nfl_pruning.scores.base import register_score
from nfl_pruning.scores.log_odds import class_log_odds, of_label

SQRT2 = 2.0**0.5


def log_error(logits, labels):
    """log(EL2N / sqrt 2), between -inf and 0, with full precision near both ends.

    With q = 1 - p_label and p_k the other classes, EL2N^2 = q^2 + sum p_k^2 and
    2 - EL2N^2 = 2 p_label (1 + q) + sum p_k (q - p_k); both are sums of non-negative terms.
    """
    log_odds = class_log_odds(logits)
    if logits.shape[-1] == 2:  # EL2N = sqrt 2 (1 - p_label)
        return -softplus(of_label(log_odds, labels))
    p, rest = sigmoid(log_odds), sigmoid(-log_odds)
    other = 1 - one_hot(labels, logits.shape[-1], dtype=p.dtype)
    p_label, q = of_label(p, labels), of_label(rest, labels)
    squared = 0.5 * (q**2 + jnp.sum(other * p**2, axis=-1))
    gap = jnp.sum(other * p * jnp.maximum(rest - p_label[..., None], 0), axis=-1)
    short_of_one = p_label * (1 + q) + 0.5 * gap
    small = squared < 0.5
    return 0.5 * jnp.where(
        small,
        jnp.log(jnp.where(small, jnp.maximum(squared, jnp.finfo(p.dtype).tiny), 1.0)),
        jnp.log1p(-jnp.where(small, 0.0, short_of_one)),
    )


@register_score("el2n", label_aware=True, publish=lambda log_value: SQRT2 * jnp.exp(log_value))
def el2n(logits, labels, context):
    """Euclidean norm of softmax(logits) minus the one-hot label."""
    return log_error(logits, labels)

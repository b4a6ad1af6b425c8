"""EL2N (Paul, Ganguli and Dziugaite 2021): the size of the probe's error vector."""

import jax.numpy as jnp
from jax.nn import logsumexp, one_hot, sigmoid, softplus

from nfl_pruning.numerics.log_odds import class_log_odds, of_label
from nfl_pruning.scores.base import register_score

SQRT2 = 2.0**0.5


def error_log_odds(logits, labels):
    """log(s / (1 - s)) of s = EL2N / sqrt 2, which lies in (0, 1); resolves both ends.

    With q = 1 - p_label and p_k the other classes, EL2N^2 = q^2 + sum p_k^2 and
    2 - EL2N^2 = 2 p_label (1 + q) + sum p_k (q - p_k); both are sums of non-negative terms, formed
    from logarithms so that none underflows. For two classes s = 1 - p_label.
    """
    log_odds = class_log_odds(logits)
    if logits.shape[-1] == 2:
        return -of_label(log_odds, labels)
    is_label = one_hot(labels, logits.shape[-1], dtype=bool)
    log_p, log_rest = -softplus(-log_odds), -softplus(log_odds)
    log_p_label, log_q = of_label(log_p, labels), of_label(log_rest, labels)
    parts = jnp.where(is_label, log_q[..., None], log_p)
    log_s = 0.5 * (logsumexp(2 * parts, axis=-1) - jnp.log(2.0))
    ratio = jnp.exp(jnp.minimum(log_p_label[..., None] - log_rest, 0))  # p_label / (1 - p_k)
    none = is_label | (ratio == 1)  # a gap of 0 has a logarithm without a derivative
    log_gap = jnp.log1p(-jnp.where(none, 0, ratio))
    gaps = jnp.where(none, -jnp.inf, log_p + log_rest + log_gap - jnp.log(2.0))
    log_rest_of_square = logsumexp(
        jnp.concatenate([gaps, (log_p_label + jnp.log1p(jnp.exp(log_q)))[..., None]], -1), axis=-1
    )
    return log_s - log_rest_of_square + jnp.log1p(jnp.exp(log_s))  # 1 - s = (1 - s^2) / (1 + s)


def log_error(logits, labels):
    """log(EL2N / sqrt 2), at most 0, with full precision near minus infinity."""
    return -softplus(-error_log_odds(logits, labels))


@register_score("el2n", label_aware=True, publish=lambda log_odds: SQRT2 * sigmoid(log_odds))
def el2n(logits, labels, context):
    """Euclidean norm of softmax(logits) minus the one-hot label."""
    return error_log_odds(logits, labels)

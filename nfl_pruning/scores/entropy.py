"""Entropy of the probe's prediction."""

import jax.numpy as jnp
from jax.nn import logsumexp, softplus

from nfl_pruning.numerics.log_odds import class_log_odds, log_softplus
from nfl_pruning.scores.base import register_score


@register_score("entropy", label_aware=False, publish=jnp.exp)
def entropy(logits, labels, context):
    """Shannon entropy of softmax(logits), in nats."""
    log_odds = class_log_odds(logits)
    return logsumexp(-softplus(-log_odds) + log_softplus(-log_odds), axis=-1)  # p_k (-log p_k)

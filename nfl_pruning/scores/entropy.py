"""Entropy of the probe's prediction."""

import jax.numpy as jnp
from jax.nn import sigmoid, softplus

from nfl_pruning.scores.base import register_score
from nfl_pruning.scores.log_odds import class_log_odds


@register_score("entropy", label_aware=False)
def entropy(logits, labels, context):
    """Shannon entropy of softmax(logits), in nats."""
    log_odds = class_log_odds(logits)
    return jnp.sum(sigmoid(log_odds) * softplus(-log_odds), axis=-1)

"""Margin between the two likeliest classes."""

import jax.numpy as jnp
from jax.nn import sigmoid

from nfl_pruning.scores.base import register_score
from nfl_pruning.scores.log_odds import class_log_odds


@register_score("margin", label_aware=False)
def margin(logits, labels, context):
    """One minus the gap between the two largest class probabilities."""
    ordered = jnp.sort(class_log_odds(logits), axis=-1)
    first, second = ordered[..., -1], ordered[..., -2]
    return sigmoid(-first) + sigmoid(second)  # (1 - p_first) + p_second: no cancellation

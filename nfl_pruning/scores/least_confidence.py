"""Least confidence of the probe's prediction."""

import jax.numpy as jnp
from jax.nn import sigmoid

from nfl_pruning.numerics.log_odds import class_log_odds
from nfl_pruning.scores.base import register_score


@register_score("least-confidence", label_aware=False, publish=sigmoid)
def least_confidence(logits, labels, context):
    """One minus the largest class probability."""
    return -jnp.max(class_log_odds(logits), axis=-1)

"""Margin between the two likeliest classes."""

import jax.numpy as jnp
from jax.nn import softplus

from nfl_pruning.numerics.log_odds import class_log_odds
from nfl_pruning.scores.base import register_score


@register_score("margin", label_aware=False, publish=lambda log_half: 2 * jnp.exp(log_half))
def margin(logits, labels, context):
    """One minus the gap between the two largest class probabilities."""
    ordered = jnp.sort(class_log_odds(logits), axis=-1)
    log_short = -softplus(ordered[..., -1])  # of one minus the largest
    log_second = -softplus(-ordered[..., -2])
    return jnp.logaddexp(log_short, log_second) - jnp.log(2.0)  # no cancellation, no underflow

"""The random score: every sample ties, and ties are broken at random by the key."""

import jax.numpy as jnp

from nfl_pruning.scores.base import register_score


@register_score("random", label_aware=False)
def random(logits, labels, context):
    """A constant: all samples tie, so any rank rule keeps a uniform random subset."""
    return jnp.zeros(logits.shape[:-1], logits.dtype)

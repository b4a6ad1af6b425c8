"""Forgetting events (Toneva et al. 2019, arXiv 1812.05159)."""

import jax.numpy as jnp

from nfl_pruning.scores.base import register_score


@register_score("forgetting", label_aware=True, needs=("trajectory",))
def forgetting(logits, labels, context):
    """How often a learned sample was forgotten; never learned counts as the number of times."""
    correct = jnp.argmax(context.trajectory, axis=-1) == labels[..., None]
    events = jnp.sum(correct[..., :-1] & ~correct[..., 1:], axis=-1)
    never = ~jnp.any(correct, axis=-1)
    return jnp.where(never, correct.shape[-1], events).astype(logits.dtype)

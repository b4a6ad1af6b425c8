"""Distance to the decision boundary, one DeepFool step (Moosavi-Dezfooli et al. 2016)."""

import jax.numpy as jnp

from nfl_pruning.scores.base import register_score


@register_score("deepfool", label_aware=False, needs=("gap_gradient",))
def deepfool(logits, labels, context):
    """Minus the linearised distance from the input to the nearest other class."""
    top = jnp.argmax(logits, axis=-1, keepdims=True)
    gaps = jnp.max(logits, axis=-1, keepdims=True) - logits
    other = jnp.arange(logits.shape[-1]) != top
    slopes = jnp.where(other, context.gap_gradient, 1)
    return -jnp.min(jnp.where(other, gaps / slopes, jnp.inf), axis=-1)

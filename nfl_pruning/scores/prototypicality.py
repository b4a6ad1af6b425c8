"""Distance to prototypes (Sorscher et al. 2022, arXiv 2206.14486)."""

import jax.numpy as jnp

from nfl_pruning.scores.base import register_score


@register_score("prototypicality", label_aware=False, needs=("features", "prototypes"))
def prototypicality(logits, labels, context):
    """Euclidean distance of the features to the nearest k-means centre."""
    features, centres = jnp.asarray(context.features), jnp.asarray(context.prototypes)
    squared = [jnp.sum((features - centre) ** 2, axis=-1) for centre in centres]
    return jnp.sqrt(jnp.min(jnp.stack(squared, axis=-1), axis=-1))

"""Area under the margin (Pleiss et al. 2020, arXiv 2001.10528), with the sign of difficulty."""

import jax
import jax.numpy as jnp

from nfl_pruning.numerics.log_odds import of_label
from nfl_pruning.scores.base import register_score


@register_score("aum", label_aware=True, needs=("trajectory",))
def aum(logits, labels, context):
    """Minus the mean over training of (label's logit - largest other logit)."""
    path = jnp.asarray(context.trajectory)
    own = jax.nn.one_hot(labels, path.shape[-1], dtype=bool)[..., None, :]
    others = jnp.max(jnp.where(own, -jnp.inf, path), axis=-1)
    at_label = of_label(path, jnp.broadcast_to(labels[..., None], path.shape[:-1]))
    return jnp.mean(others - at_label, axis=-1)

"""GraNd (Paul, Ganguli and Dziugaite 2021): the norm of the per-sample loss gradient."""

import jax.numpy as jnp

from nfl_pruning.scores.base import register_score
from nfl_pruning.scores.el2n import SQRT2, log_error


@register_score(
    "grand",
    label_aware=True,
    needs=("input_norm",),
    publish=lambda log_value: SQRT2 * jnp.exp(log_value),
)
def grand(logits, labels, context):
    """Norm of the per-sample loss gradient: EL2N times the input norm (over sqrt d) if linear."""
    return log_error(logits, labels) + jnp.log(context.input_norm)

"""Cross-entropy of the probe."""

from jax.nn import softplus

from nfl_pruning.numerics.log_odds import class_log_odds, of_label
from nfl_pruning.scores.base import register_score


@register_score("loss", label_aware=True, publish=softplus)
def loss(logits, labels, context):
    """Cross-entropy -log p_label of the probe."""
    return -of_label(class_log_odds(logits), labels)

"""The smooth rule of Kolossov, Montanari and Tandon (2023, arXiv 2309.14563)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from jax.nn import softplus

from nfl_pruning.numerics.log_odds import class_log_odds
from nfl_pruning.scores.base import Score
from nfl_pruning.selections.base import PropensitySelection, register_selection
from nfl_pruning.validation import check_number


def _log_uncertainty(logits, labels, context):
    top = jnp.max(class_log_odds(logits), axis=-1)
    return -softplus(top) - softplus(-top)


@register_selection("power", uses=())
@dataclass(frozen=True)
class Power(PropensitySelection):
    """Keep with probability ``min(1, c [p (1 - p)]^exponent)``, all with weight 1.

    ``p`` is the probe's probability of its likeliest class, and ``c`` makes the mean the keep
    fraction. Positive exponents prefer hard samples, negative ones easy samples, 0 is random.
    """

    base: ClassVar[Score] = Score(
        "log-uncertainty",
        _log_uncertainty,
        label_aware=False,
        summary="log p (1 - p) of the likeliest class",
    )
    exponent: float

    def __post_init__(self) -> None:
        check_number("power exponent", self.exponent, "(-inf, inf)")

    def log_propensity(self, rank_key: Any) -> Any:
        return self.exponent * rank_key

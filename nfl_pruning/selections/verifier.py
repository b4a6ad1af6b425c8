"""A verifier that knows, with errors, whether a label is right (El Firdoussi et al. 2025)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.scores.base import Score
from nfl_pruning.selections.base import PropensitySelection, register_selection
from nfl_pruning.validation import check_number


def _is_wrong(logits, labels, context):
    return 1.0 - jnp.asarray(context.label_is_right, logits.dtype)


@register_selection("verifier", uses=())
@dataclass(frozen=True)
class Verifier(PropensitySelection):
    """Keep right labels with probability proportional to ``right``, wrong ones to ``wrong``.

    Both are scaled by one factor so that the mean is the keep fraction, and clipped at 1; all that
    is kept weighs 1. A perfect verifier is ``verifier:1:0``, a blind one ``verifier:1:1``; one that
    errs with probability e in both ways is ``verifier:1-e:e``. A label is right where it is the
    likeliest class of the sample's component, so only mixtures have such labels (arXiv
    2410.08942).
    """

    base: ClassVar[Score] = Score(
        "wrong-label",
        _is_wrong,
        label_aware=True,
        needs=frozenset({"label_is_right"}),
        summary="1 where the label is wrong, 0 where it is right",
    )
    right: float
    wrong: float

    def __post_init__(self) -> None:
        check_number("verifier's right", self.right, "[0, 1]")
        check_number("verifier's wrong", self.wrong, "[0, 1]")
        if self.right == self.wrong == 0:
            raise InvalidArgumentError("a verifier must keep something; got right 0 and wrong 0.")

    def log_propensity(self, rank_key: Any) -> Any:
        return jnp.log(self.right + (self.wrong - self.right) * rank_key)

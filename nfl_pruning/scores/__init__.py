"""Scores: how hard a sample is, from the probe's logits. Larger always means harder."""

from nfl_pruning.scores.aum import aum
from nfl_pruning.scores.base import NEEDS, SCORES, Context, Score, binary_logits, register_score
from nfl_pruning.scores.deepfool import deepfool
from nfl_pruning.scores.el2n import el2n
from nfl_pruning.scores.entropy import entropy
from nfl_pruning.scores.forgetting import forgetting
from nfl_pruning.scores.grand import grand
from nfl_pruning.scores.least_confidence import least_confidence
from nfl_pruning.scores.loss import loss
from nfl_pruning.scores.margin import margin
from nfl_pruning.scores.prototypicality import prototypicality
from nfl_pruning.scores.random import random

__all__ = [
    "NEEDS",
    "SCORES",
    "Context",
    "Score",
    "aum",
    "binary_logits",
    "deepfool",
    "el2n",
    "entropy",
    "forgetting",
    "grand",
    "least_confidence",
    "loss",
    "margin",
    "prototypicality",
    "random",
    "register_score",
]

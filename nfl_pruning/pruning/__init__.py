"""Pruning a data set that people have: score its samples, select, keep the evidence, resize."""

from nfl_pruning.pruning.own_logits import score_logits
from nfl_pruning.pruning.pruned import Pruned
from nfl_pruning.pruning.resizing import load_pruned, resize
from nfl_pruning.pruning.run import prune

__all__ = ["Pruned", "load_pruned", "prune", "resize", "score_logits"]

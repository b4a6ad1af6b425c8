"""Outcomes of pruning in the tools that people train with: tables, weights, samplers, data sets."""

from nfl_pruning.adapters.files import save_table
from nfl_pruning.adapters.hugging_face import to_hf
from nfl_pruning.adapters.pytorch import TorchSubset, to_torch
from nfl_pruning.adapters.tables import add_columns, result_columns
from nfl_pruning.adapters.weights import NORMALISATIONS, kept_weights, normalised

__all__ = [
    "NORMALISATIONS",
    "TorchSubset",
    "add_columns",
    "kept_weights",
    "normalised",
    "result_columns",
    "save_table",
    "to_hf",
    "to_torch",
]

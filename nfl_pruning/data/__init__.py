"""Data sets: by name, or from the user's own files."""

from nfl_pruning.data.builtin import DATASETS
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.load import load_dataset

__all__ = ["DATASETS", "Dataset", "load_dataset", "make_dataset"]

"""Data sets: by name, or from the user's own files."""

from nfl_pruning.data.builtin import DATASETS
from nfl_pruning.data.columns import Columns
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.load import load_dataset, load_test_data

__all__ = ["DATASETS", "Columns", "Dataset", "load_dataset", "load_test_data", "make_dataset"]

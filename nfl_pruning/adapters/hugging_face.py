"""Hugging Face data sets: columns added, and the kept rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from nfl_pruning.adapters.tables import add_columns, result_columns
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.pruned import Pruned


def to_hf(dataset: Any, pruned: Pruned, *, only_kept: bool = False) -> Any:
    """A ``datasets.Dataset`` with the columns ``score, rank, keep, weight, keep_probability``.

    Args:
        dataset: what was pruned, rows in the same order.
        pruned: the outcome.
        only_kept: whether to leave out rows that are dropped; protected rows stay.

    Raises:
        InvalidArgumentError: another kind of data, or another number of rows.
    """
    if not (hasattr(dataset, "column_names") and hasattr(dataset, "select")):
        raise InvalidArgumentError(
            f"to_hf takes a Hugging Face datasets.Dataset; got {type(dataset).__name__}."
        )
    found = add_columns(dataset, pruned)
    return found.select(np.flatnonzero(result_columns(pruned)["keep"])) if only_kept else found

"""PyTorch data sets: the kept part, its weights, and a sampler that draws by them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nfl_pruning.adapters.weights import kept_weights
from nfl_pruning.data.readers.arrow_files import library
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.pruned import Pruned


class TorchSubset(NamedTuple):
    """The kept rows of a PyTorch data set.

    Attributes:
        subset: ``torch.utils.data.Subset``; its items are those of the data set.
        weights: float32 tensor, shape (kept,), in the subset's order; their mean is 1.
        sampler: ``WeightedRandomSampler`` over the subset: drawing by weight, in place of weighing
            losses. Use one of the two, never both.
    """

    subset: Any
    weights: Any
    sampler: Any


def to_torch(dataset: Any, pruned: Pruned, *, generator: Any = None) -> TorchSubset:
    """The kept rows of a map-style PyTorch data set, in the order of the data.

    Protected rows are no part of it: what is trained on holds no row of a test part.

    Args:
        dataset: what was pruned, rows in the same order.
        pruned: the outcome.
        generator: ``torch.Generator`` of the sampler.

    Raises:
        InvalidArgumentError: torch is not installed, or the data set has another length.
    """
    torch = library("torch", "to_torch", "torch")
    data = library("torch.utils.data", "to_torch", "torch")
    if len(dataset) != len(pruned.weights):
        raise InvalidArgumentError(
            f"dataset must have the {len(pruned.weights)} rows that were pruned; it has "
            f"{len(dataset)}."
        )
    weights = kept_weights(pruned, "mean-one")
    return TorchSubset(
        data.Subset(dataset, pruned.indices.tolist()),
        torch.as_tensor(weights.astype(np.float32)),
        data.WeightedRandomSampler(weights.tolist(), len(weights), generator=generator),
    )

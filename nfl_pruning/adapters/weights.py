"""Weights of kept rows as trainers want them, each normalisation stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nfl_pruning.pruning.pruned import Pruned
from nfl_pruning.validation import check_choice

NORMALISATIONS = {
    "as-is": "the weights of the rule",
    "sum-n": "their sum is the number of candidates: a sum of losses estimates that over all rows",
    "mean-one": "their mean over kept rows is 1: learning rates and penalties keep their meaning",
}


def kept_weights(pruned: Pruned, normalisation: str = "mean-one") -> np.ndarray:
    """Weights of the kept rows, in the order of ``pruned.indices``, shape (kept,).

    Args:
        pruned: the outcome.
        normalisation: ``"mean-one"`` for trainers that average losses over a batch, or that divide
            by the number of rows (PyTorch, Keras, the Hugging Face Trainer); ``"sum-n"`` for those
            that sum losses beside a penalty (scikit-learn's C, LightGBM, XGBoost) and whose
            penalty was chosen for all rows; ``"as-is"``. Under exact calibration the rule's own
            weights sum to the number of candidates already.
    """
    return normalised(pruned, normalisation).weights[pruned.indices]


def normalised(pruned: Pruned, normalisation: str) -> Pruned:
    """The same outcome with weights in another normalisation, named in its configuration.

    Args:
        pruned: the outcome.
        normalisation: as for :func:`kept_weights`.
    """
    check_choice("normalisation", normalisation, NORMALISATIONS)
    weights = np.asarray(pruned.weights, float)
    if normalisation == "mean-one":
        weights = weights * (len(pruned.indices) / weights.sum())
    elif normalisation == "sum-n":
        weights = weights * (pruned.n_candidates / weights.sum())
    config = {**pruned.config, "weight_normalisation": normalisation}
    return replace(pruned, weights=weights, config=config)

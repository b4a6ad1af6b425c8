"""A sampler of imbalanced-learn's form: pruning as a step of a pipeline."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names, check_X_y, column_or_1d

from nfl_pruning.adapters.weights import kept_weights
from nfl_pruning.data.arrays import as_array
from nfl_pruning.data.dataset import make_dataset
from nfl_pruning.data.labels import from_one_hot
from nfl_pruning.pruning.run import prune


class PruningSampler(OneToOneFeatureMixin, BaseEstimator):
    """Prunes a training set inside a pipeline; a test set is never resampled.

    Works in imbalanced-learn's ``Pipeline``, which resamples in ``fit`` alone and leaves what is
    predicted as it is; it needs scikit-learn and not imbalanced-learn itself. Rows come out in the
    order in which they came in, as the same kind of container.

    Args:
        keep_fraction: share of rows to keep, in (0, 1].
        difficulty: name of the score, as in :func:`nfl_pruning.prune`.
        keep: ``"hardest"`` or ``"easiest"``.
        selection: the protocol.
        exploit: share of the budget spent by score, in [0, 1].
        probe: the model that scores.
        balance: ``"none"``, or quotas by class, ``"proportional"`` or ``"equal"``.
        normalisation: of ``sample_weight_`` (see :func:`nfl_pruning.adapters.kept_weights`).
        random_state: whole number, ``RandomState`` or None.

    Attributes:
        sample_indices_: rows that stay, increasing, shape (kept,).
        sample_weight_: their weights, shape (kept,).
        sampling_strategy_: class -> kept rows.
        pruned_: the whole outcome.
        n_features_in_: number of features.
    """

    def __init__(
        self,
        *,
        keep_fraction: float = 0.3,
        difficulty: str = "el2n",
        keep: str = "hardest",
        selection: str = "exact",
        exploit: float = 0.5,
        probe: str = "pilot",
        balance: str = "none",
        normalisation: str = "mean-one",
        random_state: Any = None,
    ) -> None:
        self.keep_fraction = keep_fraction
        self.difficulty = difficulty
        self.keep = keep
        self.selection = selection
        self.exploit = exploit
        self.probe = probe
        self.balance = balance
        self.normalisation = normalisation
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Choose which rows stay.

        Args:
            X: features, shape (n, d): array, SciPy sparse matrix or DataFrame.
            y: labels, shape (n,).
        """
        _check_feature_names(self, X, reset=True)
        how: dict[str, Any] = {"accept_sparse": True, "ensure_min_samples": 2, "estimator": self}
        x, labels = check_X_y(X, _labels(y), **how)
        self.n_features_in_ = x.shape[1]
        options = self.get_params()
        state, normalisation = options.pop("random_state"), options.pop("normalisation")
        options |= {"score": options.pop("difficulty")}
        options |= {"seed": int(check_random_state(state).randint(2**31 - 1))}
        self.pruned_ = prune(make_dataset("sampler", x, labels), **options)
        self.sample_indices_ = self.pruned_.indices
        names, counts = np.unique(labels[self.sample_indices_], return_counts=True)
        self.sampling_strategy_ = dict(zip(names.tolist(), counts.tolist(), strict=True))
        self.sample_weight_ = kept_weights(self.pruned_, normalisation)
        return self

    def fit_resample(self, X: Any, y: Any, **params: Any) -> Any:  # noqa: N803
        """The rows that stay.

        Args:
            X: features, shape (n, d).
            y: labels, shape (n,).
            **params: values of the same length, one a row, such as ``sample_weight``.

        Returns:
            X and y of the kept rows, and each of ``params``, as containers of the same kind.
        """
        self.fit(X, y)
        given = [X, y, *params.values()]
        return tuple(_take(part, self.sample_indices_) for part in given)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "sampler"
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        known = sys.modules.get("imblearn.utils._tags")  # where its own tools ask for more tags
        return tags if known is None else _imbalanced(tags, known)


def _imbalanced(tags: Any, known: Any) -> Any:
    """The tags in imbalanced-learn's form: tables are welcome, and rows that stay are named."""
    names = {f.name for f in fields(known.InputTags)} - {"dataframe"}
    held = {name: getattr(tags.input_tags, name) for name in names}
    return known.Tags(
        estimator_type=tags.estimator_type,
        target_tags=tags.target_tags,
        input_tags=known.InputTags(dataframe=True, **held),
        sampler_tags=known.SamplerTags(sample_indices=True),
    )


def _labels(y: Any) -> np.ndarray:
    """Labels of a classification, shape (n,), from these or from their one-hot form."""
    if getattr(y, "ndim", 1) == 2 and y.shape[1] > 1:
        return from_one_hot(as_array("y", y, "the arguments"), "the arguments")
    check_classification_targets(y)
    return column_or_1d(y, warn=True)


def _take(part: Any, rows: np.ndarray) -> Any:
    """Rows of a container, as one of the same kind."""
    if isinstance(part, list | tuple):
        return type(part)(part[row] for row in rows)
    return _safe_indexing(part.tocsr() if hasattr(part, "tocsr") else part, rows)

"""The outcome of pruning a real data set, and its file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nfl_pruning.archive import write_archive

if TYPE_CHECKING:
    from nfl_pruning.data.dataset import Dataset
    from nfl_pruning.selections.nested import Nested


@dataclass(frozen=True)
class Pruned:
    """The outcome of pruning n samples with C classes.

    Attributes:
        indices: kept rows in data-set order, increasing, shape (kept,).
        weights: one entry a sample, 0 for dropped rows, shape (n,); use ``weights[indices]`` as
            sample weights when refitting.
        scores: in the units of the literature, larger = harder, shape (n,).
        keep_probabilities: probability that each row had to stay, given the scores, shape (n,).
        data_hash: of the data set that was pruned (see :attr:`Dataset.hash`).
        config: everything that decided the outcome, as plain values.
        class_counts: name of each class -> (samples, kept samples).
        seconds: time spent ``scoring`` and ``selecting``.
        warnings: sentences that the user should read.
        ids: what the rows are called, shape (n,), where the data say it; ``ids[indices]`` are kept.
        probe_accuracy: of the model that scored, on rows it had not seen; None without one.
        largest_class: share of the largest class, what guessing it would give.
        source: the file of the data, which no output may replace.
        protected: rows that were no candidates, such as those of a test part, boolean of shape
            (n,); they are in neither ``indices`` nor the weights, and keep their place in tables.
        group: what each row belongs to, shape (n,), where the data say it.
        rank_keys: what candidates were ranked by, shape (candidates,); their scores where None.
        nested: the order in which candidates enter as the budget grows, for rules whose subsets
            are nested.
        labels: class codes, shape (n,).
    """

    indices: np.ndarray
    weights: np.ndarray
    scores: np.ndarray
    keep_probabilities: np.ndarray
    data_hash: str
    config: Mapping[str, Any]
    class_counts: Mapping[str, tuple[int, int]]
    seconds: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    ids: np.ndarray | None = None
    probe_accuracy: float | None = None
    largest_class: float = 0.0
    source: Path | None = None
    protected: np.ndarray | None = None
    group: np.ndarray | None = None
    rank_keys: np.ndarray | None = None
    nested: Nested | None = None
    labels: np.ndarray | None = None

    @property
    def n_candidates(self) -> int:
        """Rows that could be dropped: all but the protected ones."""
        return len(self.weights) - (0 if self.protected is None else int(self.protected.sum()))

    @property
    def candidates(self) -> np.ndarray:
        """Rows that could be dropped, increasing."""
        n = len(self.weights)
        return np.arange(n) if self.protected is None else np.flatnonzero(~self.protected)

    @property
    def order(self) -> np.ndarray:
        """Candidates' rows in the order of ranks, shape (candidates,); kept ones come first.

        Of a rule with nested subsets, the first m rows are what a budget of m keeps. Of another
        rule, rows that are kept and rows that are dropped come hardest first.
        """
        if self.nested is not None:
            return self.candidates[self.nested.order]
        keys = self.scores if self.rank_keys is None else self.rank_keys
        rows = self.candidates
        keys = keys[rows] if self.rank_keys is None else keys
        return rows[np.lexsort((-keys, self.weights[rows] == 0))]

    @property
    def effective_sample_size(self) -> float:
        """(sum of weights)^2 / (sum of squared weights): equals the kept count without weights."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())

    def among(self, dataset: Dataset) -> Pruned:
        """The outcome for candidates as one for all rows of the data set that they are part of."""
        assert dataset.protected is not None
        n, rows = len(dataset), np.flatnonzero(~dataset.protected)

        def spread(values: np.ndarray, fill: float) -> np.ndarray:
            whole = np.full(n, fill)
            whole[rows] = values
            return whole

        return replace(
            self,
            indices=rows[self.indices],
            weights=spread(self.weights, 0.0),
            scores=spread(self.scores, np.nan),
            keep_probabilities=spread(self.keep_probabilities, 0.0),
            data_hash=dataset.hash,
            ids=dataset.ids,
            group=dataset.group,
            labels=dataset.y,
            source=dataset.source,
            protected=dataset.protected,
        )

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON and records."""
        return {
            "n_samples": len(self.weights),
            "n_protected": len(self.weights) - self.n_candidates,
            "n_kept": len(self.indices),
            "keep_fraction": len(self.indices) / self.n_candidates,
            "keep_fraction_by_class": {
                name: kept / total if total else None
                for name, (total, kept) in self.class_counts.items()
            },
            "effective_sample_size": self.effective_sample_size,
            "seconds": dict(self.seconds),
            "probe_accuracy": self.probe_accuracy,
            "largest_class": self.largest_class,
            "data_hash": self.data_hash,
            "warnings": list(self.warnings),
            "config": dict(self.config),
        }

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        force: bool = False,
        inputs: Iterable[str | os.PathLike[str] | None] = (),
    ) -> Path:
        """Write a .npz without pickles: the arrays, ``data_hash`` and ``config`` (JSON text).

        The file appears whole or not at all.

        Args:
            path: ends in .npz; a link is written through.
            force: whether a file that exists may be replaced.
            inputs: files beside the data's own that must stay as they are.

        Raises:
            InvalidArgumentError: see :func:`nfl_pruning.archive.check_output`.
        """
        arrays = {
            "indices": self.indices,
            "weights": self.weights,
            "scores": self.scores,
            "keep_probabilities": self.keep_probabilities,
        }
        for name in ("ids", "protected", "group"):
            held = getattr(self, name)
            if held is not None:
                arrays[name] = held
        if self.nested is not None:
            arrays |= {"order": self.nested.order, "priority": self.nested.priority}
        if self.rank_keys is not None:
            arrays["rank_keys"] = self.rank_keys
        return write_archive(
            path,
            arrays,
            data_hash=self.data_hash,
            config=self.config,
            force=force,
            inputs=(self.source, *inputs),
        )

"""Looking at data before they are advised on, and at the mixture once it is fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.realdata.apply import Source
from nfl_pruning.realdata.diagnostics import (
    Diagnostics,
    HeldOut,
    near_copies,
    repeated,
    row_codes,
    tails,
)
from nfl_pruning.realdata.rounds.refits import Rows
from nfl_pruning.realdata.rounds.softmax import fit_softmax
from nfl_pruning.realdata.rounds.study import Study, joint

COPIES = 11  # stream of random numbers


def look(source: Source, work: Rows, test: tuple[Any, Any] | Dataset | None) -> Diagnostics:
    """What can be seen before anything is fitted.

    Args:
        source: the data.
        work: the rows that are worked with, in the space's axes.
        test: rows that are tested on elsewhere: copies of them are looked for.

    Raises:
        InvalidArgumentError: ``test`` has another number of features.
    """
    data, rng = source.dataset, np.random.default_rng([source.seed, COPIES])
    copies, conflicting = repeated(data.x, data.y)
    counts = data.class_counts()
    near = near_copies(rng, work.x)
    return Diagnostics(
        n_samples=len(data),
        n_features=work.x.shape[1],
        smallest_class=int(min(counts.min(), np.bincount(work.y).min())),
        smallest_component=0,
        n_components=0,
        duplicates=copies,
        conflicting=conflicting,
        near_copies=near,
        leaked=_leaked(source, work, test, rng),
        tail=1.0,
        kurtosis=0.0,
        accuracy=float("nan"),
        balanced=float("nan"),
        chance=float(counts.max() / counts.sum()),
        wrong_labels=0.0,
    )


def _leaked(
    source: Source, work: Rows, test: tuple[Any, Any] | Dataset | None, rng: np.random.Generator
) -> float | None:
    """Share of the test rows that are, or nearly are, rows of the data; None without any."""
    if test is None:
        return None
    data = source.dataset
    x = test.x if isinstance(test, Dataset) else np.asarray(test[0])
    flat = x.reshape(len(x), -1).astype(data.x.dtype)
    if flat.shape[1] != data.x.shape[1]:
        raise InvalidArgumentError(
            f"test must have the data's {data.x.shape[1]} features; got {flat.shape[1]}."
        )
    same = float(np.isin(row_codes(flat), row_codes(data.x)).mean())
    return max(same, near_copies(rng, work.x, source.space(flat)))


def with_mixture(seen: Diagnostics, study: Study) -> Diagnostics:
    """Numbers of the mixtures on the rows that they were not fitted to, beside what was seen."""
    first = study.mixtures[0]
    tail, kurtosis = tails([_held_out(study, number) for number in range(len(study.mixtures))])
    return replace(
        seen,
        n_components=len(first.components),
        smallest_component=min(c.rows for c in first.components),
        tail=tail,
        kurtosis=kurtosis,
        wrong_labels=first.wrong_labels,
    )


def _held_out(study: Study, number: int) -> HeldOut:
    """What one mixture has not seen, with the directions of logits that were fitted as it was."""
    mixture, split = study.mixtures[number], study.splits[number]
    rest, own = study.rows.take(split.test), study.rows.take(split.train)
    fit = fit_softmax(
        own.x, own.y, study.setting.n_classes, ridge=study.setting.ridge, tolerance=1e-4
    )
    extra = mixture.components[0].mean.shape[0] - own.x.shape[1]
    weights = np.concatenate([fit.weights, np.zeros((extra, fit.weights.shape[1]))])
    return HeldOut(mixture, joint(rest), rest.y, weights)

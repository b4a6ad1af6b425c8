"""Clusters within classes, and rows whose labels are likely wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from nfl_pruning.realdata.rounds.probing import folds
from nfl_pruning.realdata.rounds.softmax import fit_softmax

SMALLEST = 10  # rows of a cluster
FOLDS = 4
RIDGE = 0.01
CERTAIN = 3  # one in so many rows counts as certain
LEAST_WRONG = 0.015  # share of wrong labels below which they are left alone


def cluster_codes(x: np.ndarray, groups: np.ndarray, per_group: int, seed: int) -> np.ndarray:
    """Cluster codes 0 .. C - 1, shape (n,): k-means within each group, tiny clusters dissolved.

    Args:
        x: rows, shape (n, d).
        groups: codes, shape (n,).
        per_group: clusters of a group at most.
        seed: of the clusters' starts.
    """
    cluster, first = np.zeros(len(groups), int), 0
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        codes = _split(x[rows], min(per_group, len(rows) // SMALLEST), seed)
        cluster[rows] = first + codes
        first += int(codes.max()) + 1
    return cluster


def _split(x: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Codes of one group's rows, shape (n,)."""
    from sklearn.cluster import KMeans

    if number < 2:
        return np.zeros(len(x), int)
    once: Any = 1  # the stubs take the default, a text, for the only kind
    model = KMeans(number, n_init=once, max_iter=30, random_state=seed).fit(x)
    codes = np.asarray(model.labels_)
    small = np.bincount(codes, minlength=number) < SMALLEST
    if small.any() and not small.all():
        distance = model.transform(x)
        distance[:, small] = np.inf
        codes = distance.argmin(axis=1)
    return np.unique(codes, return_inverse=True)[1]


def likely_classes(
    x: np.ndarray, y: np.ndarray, n_classes: int, seed: int
) -> tuple[np.ndarray, float]:
    """The class that each row is likely of, whatever its label, and the share of wrong labels.

    Where a cross-fitted linear model is most certain, overlap of classes no longer explains why
    labels disagree with it: the share that does there is that of wrong labels. As many rows, those
    whose labels it finds the least likely, are then taken for the class that it says.

    Args:
        x: rows, shape (n, d).
        y: class codes, shape (n,).
        n_classes: K.
        seed: of the folds.
    """
    rng, logits = np.random.default_rng(seed), np.zeros((len(y), n_classes))
    for part in folds(rng, y, FOLDS):
        own = np.setdiff1d(np.arange(len(y)), part)
        fit = fit_softmax(x[own], y[own], n_classes, ridge=RIDGE, tolerance=1e-4, steps=60)
        logits[part] = fit.logits(x[part])
    said = logits.argmax(axis=1)
    ordered = np.sort(logits, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    certain = np.zeros(len(y), bool)
    for label in np.unique(said):
        rows = np.flatnonzero(said == label)
        certain[rows[np.argsort(-margin[rows])[: len(rows) // CERTAIN]]] = True
    count = max(int(certain.sum()), 1)
    share = float((said != y)[certain].mean()) if certain.any() else 0.0
    share -= float(np.sqrt(share * (1 - share) / count))  # what is there beyond doubt
    if share < LEAST_WRONG:
        return y.copy(), 0.0
    doubt = ordered[:, -1] - logits[np.arange(len(y)), y]
    moved = np.argsort(-doubt, kind="stable")[: int(share * len(y))]
    groups = y.copy()
    groups[moved] = said[moved]
    lost = np.setdiff1d(np.unique(y), groups)
    groups[np.isin(y, lost)] = y[np.isin(y, lost)]  # a class must not vanish
    return groups, float((groups != y).mean())

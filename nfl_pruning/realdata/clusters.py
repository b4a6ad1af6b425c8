"""Clusters within classes, and rows that lie deep in a class that is not their own."""

from __future__ import annotations

import numpy as np

SMALLEST = 10  # rows of a cluster
SUBSPACE = 16  # leading directions that decide whose row a row is
FOLDS = 4
WRONG = 0.1  # share of labels taken for wrong before the data are looked at
ROUNDS = 2


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
    model = KMeans(number, n_init=1, max_iter=30, random_state=seed).fit(x)
    codes = np.asarray(model.labels_)
    small = np.bincount(codes, minlength=number) < SMALLEST
    if small.any() and not small.all():
        distance = model.transform(x)
        distance[:, small] = np.inf
        codes = distance.argmin(axis=1)
    return np.unique(codes, return_inverse=True)[1]


def cross_groups(x: np.ndarray, y: np.ndarray, n_classes: int, seed: int) -> np.ndarray:
    """The class that each row looks like, given its label, shape (n,).

    A row changes class where densities fitted to other rows say that a wrong label is likelier than
    a row so far out: on the leading directions, with one covariance a class.
    """
    rng = np.random.default_rng(seed)
    inner = x[:, :SUBSPACE]
    groups, part = y.copy(), rng.integers(FOLDS, size=len(y))
    prior = np.full((n_classes, n_classes), np.log(WRONG / max(n_classes - 1, 1)))
    prior[np.diag_indices(n_classes)] = np.log(1 - WRONG)
    for _ in range(ROUNDS):
        density = np.full((len(y), n_classes), -np.inf)
        for fold in range(FOLDS):
            own, rest = part != fold, part == fold
            for label in range(n_classes):
                rows = inner[own & (groups == label)]
                if len(rows) > 2 * inner.shape[1]:
                    density[rest, label] = _log_normal(rows, inner[rest])
        value = density + prior[:, y].T
        moved = value.argmax(axis=1)
        known = np.isfinite(density[np.arange(len(y)), y])
        groups = np.where(known, moved, y)
        lost = np.setdiff1d(np.arange(n_classes), groups)
        if len(lost):  # a class must not vanish
            keep = np.isin(y, lost)
            groups[keep] = y[keep]
    return groups


def _log_normal(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Log-share and log-density of a normal law fitted to ``rows``, at ``x``, up to a constant."""
    mean = rows.mean(axis=0)
    covariance = np.cov(rows.T).reshape(len(mean), -1)
    covariance[np.diag_indices(len(mean))] += 1e-6 * max(np.trace(covariance) / len(mean), 1e-300)
    root = np.linalg.cholesky(covariance)
    distance = (np.linalg.solve(root, (x - mean).T) ** 2).sum(axis=0)
    return np.log(len(rows)) - 0.5 * distance - np.log(np.diag(root)).sum()

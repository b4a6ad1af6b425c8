"""Covariances from few rows: eigenvalues brought back to what they are without the rows' noise."""

from __future__ import annotations

import numpy as np

LEAST = 1e-6  # floor of variances, as a share of their mean


def shrunk_eigenvalues(values: np.ndarray, n: int) -> np.ndarray:
    """The analytical nonlinear shrinkage of Ledoit and Wolf (2020, Annals of Statistics 48).

    The sample's spectral density and its Hilbert transform come from an Epanechnikov kernel; where
    there are fewer rows than directions the eigenvalues are drawn to their mean instead.

    Args:
        values: eigenvalues of a sample covariance, shape (d,).
        n: rows less what their means took.
    """
    values = np.maximum(values, LEAST * max(float(values.mean()), 1e-300))
    d = len(values)
    if d < 4:
        return values
    if n <= 1.1 * d:
        part = min(1.0, d / (n + d))
        return (1 - part) * values + part * values.mean()
    ratio, width = d / n, values * n ** (-1 / 3)
    x = (values[:, None] - values) / width
    reach = np.sqrt(5.0)
    bump = np.maximum(1 - x**2 / 5, 0.0)
    density = (3 / (4 * reach) * bump / width).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log(np.abs((reach - x) / (reach + x)))
        part = (1 - x**2 / 5) * log
    part[~np.isfinite(part)] = 0.0
    hilbert = ((-3 / (10 * np.pi) * x + 3 / (4 * reach * np.pi) * part) / width).mean(axis=1)
    lower = (np.pi * ratio * values * density) ** 2
    lower += (1 - ratio - np.pi * ratio * values * hilbert) ** 2
    # No true value is farther from the sample's than a spectrum of one value would put it.
    ends = (1 + np.sqrt(ratio)) ** -2, (1 - np.sqrt(ratio)) ** -2
    return values * np.clip(1 / np.maximum(lower, 1e-300), *ends)


def shrunk_towards_one(around: np.ndarray) -> np.ndarray:
    """Covariance of rows around their mean, drawn to a multiple of the identity (Ledoit-Wolf).

    Args:
        around: rows less their mean, in coordinates where the pooled covariance is the identity.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    n, d = around.shape
    if n < 3 or d == 1:
        spread = float((around**2).mean()) if n > 2 else 1.0
        return np.eye(d) * max(spread * n / max(n - 1, 1), 1e-6)
    own = around.T @ around / (n - 1)
    part = float(ledoit_wolf_shrinkage(around, assume_centered=True))
    level = np.trace(own) / d
    return (1 - part) * own + np.eye(d) * (part * level + 1e-9)


def means_without_noise(means: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Whitened means with the spread that their own noise adds taken off, shape (C, d).

    Each direction of the means' scatter has, beside its own size, that of the noise: the number of
    free means over the rows. A direction keeps the share that is not noise.

    Args:
        means: around the common mean, where the covariance within clusters is the identity.
        sizes: rows of each, shape (C,).
    """
    n = sizes.sum()
    scatter = (means.T * (sizes / n)) @ means
    values, axes = np.linalg.eigh(scatter)
    count = max(min(len(sizes) - 1, means.shape[1]), 1)
    noise = (len(sizes) - 1) * means.shape[1] / n / count
    share = np.sqrt(np.clip(1 - noise / np.maximum(values, 1e-300), 0.0, 1.0))
    return means @ (axes * share) @ axes.T

"""A binary task on frozen features of a network, in the terms of the theory.

The population is a finite pool of samples. Its covariance gives the spectrum, the logistic fit to
all of it the teacher: its margin's standard deviation is the signal. A probe's alignment is the
correlation of its margin with the teacher's. What the theory assumes beyond these numbers (Gaussian
features, labels that follow the logistic law of the teacher's margin) may fail, and is measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_expit

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import Spectrum

SMALLEST = 1e-4  # directions of less variance than this share of the largest are left out


class Pool(NamedTuple):
    """A population: whitening has not been done, but axes are principal.

    Attributes:
        x: centred features along the principal axes, shape (n, d), mean variance 1.
        y: labels, -1 or +1, shape (n,).
    """

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Measured:
    """A pool and a probe in the theory's terms.

    Attributes:
        spectrum: covariance, teacher and probe in the principal axes.
        signal: standard deviation of the teacher's margin.
        probe_norm: standard deviation of the probe's margin.
        alignment: correlation of the two margins.
        kurtosis: excess kurtosis of the teacher's margin over the pool; 0 for Gaussian features.
        misfit: largest gap, over tenths of the pool ordered by the teacher's margin, between the
            share of positive labels and the logistic law's.
    """

    spectrum: Spectrum
    signal: float
    probe_norm: float
    alignment: float
    kurtosis: float
    misfit: float


def make_pool(features: np.ndarray, labels: np.ndarray) -> Pool:
    """Centre and rotate features (n, width); labels take two values, the larger becomes +1.

    Raises:
        InvalidArgumentError: labels do not take two values, or features hardly vary.
    """
    names = np.unique(labels)
    if len(names) != 2:
        raise InvalidArgumentError(f"a binary task has labels of 2 values; got {len(names)}.")
    x = np.asarray(features, np.float64)
    x = x - x.mean(axis=0)
    values, axes = np.linalg.eigh(x.T @ x / len(x))
    keep = values > SMALLEST * values[-1]
    if keep.sum() < 2:
        raise InvalidArgumentError("features must vary in 2 directions at least; got fewer.")
    x = (x @ axes[:, keep])[:, ::-1] / np.sqrt(values[keep].mean())
    return Pool(x, np.where(labels == names[1], 1, -1))


def fit_logistic(
    x: np.ndarray, y: np.ndarray, *, ridge: float, weights: np.ndarray | None = None, n: int = 0
) -> np.ndarray:
    """Least (1/n) sum_i w_i log(1 + exp(-y_i <x_i, theta>)) + (ridge/2) ||theta||^2: its argument.

    Args:
        x: shape (kept, d).
        y: -1 or +1, shape (kept,).
        ridge: > 0.
        weights: shape (kept,); 1 by default.
        n: samples before pruning; those given by default.

    Returns:
        theta, shape (d,).
    """
    w = (np.ones(len(y)) if weights is None else weights) / (n or len(y))
    theta, gradient = np.zeros(x.shape[1]), np.inf

    def objective(theta: np.ndarray) -> float:
        return float(-w @ log_expit(y * (x @ theta)) + 0.5 * ridge * theta @ theta)

    value = objective(theta)
    for _ in range(100):
        margin = y * (x @ theta)
        wrong = expit(-margin)
        gradient = -x.T @ (w * y * wrong) + ridge * theta
        if np.abs(gradient).max() < 1e-10:
            break
        curvature = (x.T * (w * wrong * (1 - wrong))) @ x + ridge * np.eye(len(theta))
        step = -np.linalg.solve(curvature, gradient)
        size, decrease = 1.0, float(gradient @ step)
        while objective(theta + size * step) > value + 1e-4 * size * decrease and size > 1e-8:
            size /= 2
        theta = theta + size * step
        value = objective(theta)
    return theta


def measure_task(pool: Pool, probe: np.ndarray, *, teacher_ridge: float = 1e-6) -> Measured:
    """The theory's numbers for a pool and a probe's coefficients, shape (d,)."""
    teacher = fit_logistic(pool.x, pool.y, ridge=teacher_ridge)
    margin, scored = pool.x @ teacher, pool.x @ probe
    tenths = np.array_split(np.argsort(margin), 10)
    gaps = [abs((pool.y[rows] > 0).mean() - expit(margin[rows]).mean()) for rows in tenths]
    standard = (margin - margin.mean()) / margin.std()
    spectrum = Spectrum(pool.x.var(axis=0), teacher, probe, title="measured")
    return Measured(
        spectrum,
        signal=float(margin.std()),
        probe_norm=float(scored.std()),
        alignment=float(np.corrcoef(margin, scored)[0, 1]),
        kurtosis=float((standard**4).mean() - 3),
        misfit=float(max(gaps)),
    )

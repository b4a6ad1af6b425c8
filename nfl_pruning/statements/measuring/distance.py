"""The law of t = y z before and after pruning, and Wasserstein-1 distances to it.

t is the label times the input along the teacher. Given t, the probe's y u is normal with mean
rho t and variance 1 - rho^2 (for a symmetric link), so what a threshold rule keeps of each t is a
normal probability. On the line the Wasserstein-1 distance is the area between two distribution
functions; for m independent samples and their own law its mean is an integral of binomial mean
absolute deviations, which De Moivre summed.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr
from scipy.stats import binom

from nfl_pruning.numerics.bracket import bracketed_root
from nfl_pruning.problem import Problem
from nfl_pruning.settings import float64
from nfl_pruning.statements.measuring.planar import rule_of

GRID = np.linspace(-6.0, 6.0, 1201)
STEP = GRID[1] - GRID[0]


@float64
def data_density(problem: Problem) -> np.ndarray:
    """Density of t on ``GRID`` for all samples."""
    link = problem.teacher.link
    up = np.asarray(link(problem.teacher.scale * GRID))
    down = np.asarray(link(-problem.teacher.scale * GRID))
    return (up + 1 - down) * np.exp(-0.5 * GRID**2) / np.sqrt(2 * np.pi)


def kept_share(problem: Problem) -> np.ndarray:
    """Chance that a threshold rule keeps a sample with t, on ``GRID``; the probe has rho < 1."""
    rule, rho = rule_of(problem), getattr(problem.probe, "alignment")  # noqa: B009
    small, _ = rule.small(problem.keep_fraction)
    density = data_density(problem) * STEP

    def below(cut: float) -> np.ndarray:
        upper = ndtr((cut - rho * GRID) / np.sqrt(1 - rho**2))
        return upper if rule.aware else upper - ndtr((-cut - rho * GRID) / np.sqrt(1 - rho**2))

    start = -8.0 if rule.aware else 0.0
    cut = bracketed_root(lambda c: float(density @ below(c)) - small, start, 8.0, xtol=1e-13)
    inside = below(cut)
    return inside if rule.hardest else 1 - inside


def law_cdf(density: np.ndarray) -> np.ndarray:
    """Normalised distribution function on ``GRID`` (trapezoidal; the density is smooth)."""
    total = np.cumsum(density) - 0.5 * density
    return np.clip(total / density.sum(), 0, 1)


def empirical_cdf(t: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Empirical distribution functions on ``GRID`` of the kept entries in each row of t."""
    rows = [np.sort(values[mask]) for values, mask in zip(t, kept, strict=True)]
    return np.stack([np.searchsorted(row, GRID) / len(row) for row in rows])


def distances(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Areas between distribution functions on ``GRID``, over the last axis."""
    return np.trapezoid(np.abs(ours - theirs), GRID, axis=-1)


def mean_distance(cdf: np.ndarray, m: int) -> float:
    """Expected distance of m independent samples to their own law, exactly."""
    p = np.clip(cdf, 1e-12, 1 - 1e-12)
    k = np.floor(m * p)
    deviation = 2 * (k + 1) * binom.pmf(k + 1, m, p) * (1 - p) / m
    return float(np.trapezoid(deviation, GRID))

"""Many classes: samples of a mixture as points of a randomised quasi-Monte Carlo rule.

Points are antithetic pairs of a scrambled Sobol sequence, whitened exactly: without that the noise
of the response to the probe, a small difference, spoils a fit. Selections look at all points; only
the kept ones go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from nfl_pruning.selections import Stratum

WIDEST = 21  # Sobol dimensions that scipy knows are many more; a sanity bound on K


class Points(NamedTuple):
    """Kept samples as points; leading axes (C, N). Padding has mass 0.

    Attributes:
        given: z - zbar of the rows that are read, shape (C, N, P).
        eta: independent standard normals, shape (C, N, R).
        label: class codes, shape (C, N).
        mass: within the component, kept, shape (C, N).
        weight: omega, shape (C, N).
        own: force of the sample in its own probe, shape (C, N, R_1).
    """

    given: Any
    eta: Any
    label: Any
    mass: Any
    weight: Any
    own: Any


def normal_points(n_points: int, n_dimensions: int, seed: np.random.SeedSequence) -> np.ndarray:
    """Whitened antithetic points, shape (n_points, n_dimensions); n_points a power of two.

    Mean 0 and covariance the identity, exactly.
    """
    engine = qmc.Sobol(n_dimensions, scramble=True, rng=np.random.default_rng(seed))
    half = ndtri(np.clip(engine.random(n_points // 2), 1e-15, 1 - 1e-15))
    root = np.linalg.cholesky(half.T @ half / len(half))
    half = np.linalg.solve(root, half.T).T
    return np.concatenate([half, -half])


def labelled_points(
    law: np.ndarray, n_points: int, n_dimensions: int, seed: np.random.SeedSequence
) -> tuple[np.ndarray, ...]:
    """Standard points with each label that their component has; rare labels have fewer.

    Args:
        law: P(y | c), shape (C, K).
        n_points: of a label that its component has for certain, a power of two.
        n_dimensions: D.
        seed: of them.

    Returns:
        Component, label and mass within the component, each (n,), and the points, (n, D).
    """
    rows = []
    for c, child in enumerate(seed.spawn(len(law))):
        labels = np.flatnonzero(law[c])
        own = [child, *child.spawn(len(labels) - 1)]
        for label, each in zip(labels, own, strict=True):
            count = _count(n_points, float(law[c, label]), n_dimensions)
            points = normal_points(count, n_dimensions, each)
            rows.append((c, label, law[c, label] / count, points))
    counts = [len(row[3]) for row in rows]
    component, label, mass = (np.repeat([row[i] for row in rows], counts) for i in range(3))
    return component, label, mass, np.concatenate([row[3] for row in rows])


def _count(n_points: int, share: float, n_dimensions: int) -> int:
    """Points of a label: by the root of its share, a power of two, enough to be whitened.

    By the share itself wrong labels, whose forces are the largest, would be too few; with as many
    for all, ten classes with noisy labels would cost ten times what clean ones do.
    """
    wanted = max(n_points * np.sqrt(share), 4 * n_dimensions)
    return min(n_points, 2 ** int(np.ceil(np.log2(wanted) - 1e-9)))


def root(matrix: np.ndarray) -> np.ndarray:
    """Symmetric roots of matrices that should not be negative, shape (..., P, P)."""
    values, vectors = np.linalg.eigh(matrix)
    scaled = vectors * np.sqrt(np.maximum(values, 0))[..., None, :]
    return scaled @ np.swapaxes(vectors, -1, -2)


def band_shares(
    priority: np.ndarray, mass: np.ndarray, strata: tuple[Stratum, ...]
) -> list[tuple[np.ndarray, Stratum]]:
    """The share of each sample that lies in each band; ties share what they meet together.

    Args:
        priority: of samples, larger first, shape (n,).
        mass: of samples, sum 1, shape (n,).
        strata: the bands, from first priority to last.

    Returns:
        For each band the samples' shares, shape (n,), and the band.
    """
    order = np.argsort(-priority, kind="stable")
    values, cumulative = priority[order], np.cumsum(mass[order])
    starts = np.concatenate([[True], values[1:] != values[:-1]])
    group = np.cumsum(starts) - 1
    ends = cumulative[np.append(np.flatnonzero(starts)[1:] - 1, len(values) - 1)]
    begins = np.concatenate([[0.0], ends[:-1]])
    edges = np.concatenate([[0.0], np.cumsum([s.share for s in strata])])
    edges[-1] = max(edges[-1], ends[-1])
    found = []
    for low, high, stratum in zip(edges[:-1], edges[1:], strata, strict=True):
        inside = np.clip(np.minimum(ends, high) - np.maximum(begins, low), 0, None)
        width = ends - begins
        share = np.where(width > 0, inside / np.where(width > 0, width, 1.0), 0.0)
        back = np.empty(len(order))
        back[order] = share[group]
        found.append((back, stratum))
    return found


def propensity_shares(logs: np.ndarray, mass: np.ndarray, keep_fraction: float) -> np.ndarray:
    """min(1, c exp(log)) with the mean asked for, shape (n,)."""
    order = np.argsort(-logs, kind="stable")
    values = np.exp(logs[order] - logs.max())
    taken = np.concatenate([[0.0], np.cumsum(mass[order])])
    rest = np.concatenate([np.cumsum((mass[order] * values)[::-1])[::-1], [0.0]])
    # with the first k kept for certain, c = (r - taken_k) / rest_k; valid where c v_{k+1} <= 1
    with np.errstate(divide="ignore", invalid="ignore"):
        c = (keep_fraction - taken[:-1]) / rest[:-1]
    valid = np.flatnonzero(c * values <= 1 + 1e-12)
    if not len(valid) or not np.isfinite(c[valid[0]]):
        return np.ones(len(logs))
    keep = np.empty(len(logs))
    keep[order] = np.minimum(1.0, c[valid[0]] * values)
    return keep


def pack(
    parts: Sequence[tuple[np.ndarray, float | np.ndarray]],
    component: np.ndarray,
    mass: np.ndarray,
    fields: dict[str, np.ndarray],
    n_components: int,
) -> Points:
    """Kept samples of each component side by side, padded to one length.

    Args:
        parts: (keep probability, weight) of every sample, layers that add up.
        component: of every sample, shape (n,).
        mass: within its component, shape (n,).
        fields: given, eta, label and own of every sample.
        n_components: C.
    """
    rows, kept, weights = [], [], []
    for keep, weight in parts:
        chosen = np.flatnonzero(keep > 0)
        rows.append(chosen)
        kept.append(keep[chosen] * mass[chosen])
        weights.append(np.broadcast_to(weight, keep.shape)[chosen])
    row, kept_mass, omega = (np.concatenate(part) for part in (rows, kept, weights))
    of = component[row]
    counts = np.bincount(of, minlength=n_components)
    length = _rung(int(counts.max()))
    order = np.argsort(of, kind="stable")
    position = np.arange(len(row)) - np.concatenate([[0], np.cumsum(counts)[:-1]])[of[order]]
    place = of[order], position

    def spread(values: np.ndarray, fill: float = 0.0) -> np.ndarray:
        out = np.full((n_components, length, *values.shape[1:]), fill, values.dtype)
        out[place] = values[order]
        return out

    whole = {name: spread(values[row]) for name, values in fields.items()}
    return Points(mass=spread(kept_mass), weight=spread(omega, 1.0), **whole)


def _rung(count: int) -> int:
    """Lengths grow by quarter octaves, so that programs are shared."""
    count = max(count, 64)
    return int(16 * np.ceil(2 ** (np.ceil(4 * np.log2(count)) / 4) / 16))

"""Features as the advice sees them: scaled, centred, on their principal axes, few enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfl_pruning.numerics.scaling import ROWS_PER_CHUNK, Scaling, fit_scaling

MOST = 128  # directions that are kept
SMALLEST = 1e-6  # directions of less variance than this share of the largest are left out
NOTHING = 1e-6  # share of the variance that is not worth a word
FIT_ROWS = 20_000  # rows that axes are fitted to


@dataclass(frozen=True)
class Space:
    """Principal axes of scaled features; a rotation, so that a ridge means what it meant.

    Attributes:
        scaling: of each feature.
        centre: mean of the scaled features, shape (D,).
        axes: shape (D, d), orthonormal, by falling variance.
        variances: along the axes, shape (d,).
        dropped: share of the variance in directions that were left out.
        fitted_rows: rows that the axes were fitted to.
    """

    scaling: Scaling
    centre: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    dropped: float
    fitted_rows: int

    @property
    def n_features(self) -> int:
        """Directions kept, d."""
        return self.axes.shape[1]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Rows (n, D) in the axes, shape (n, d), float64; a chunk of rows at a time."""
        found = np.empty((len(x), self.n_features))
        for start in range(0, len(x), ROWS_PER_CHUNK):
            rows = slice(start, start + ROWS_PER_CHUNK)
            found[rows] = (self.scaling(np.asarray(x[rows])) - self.centre) @ self.axes
        return found

    @property
    def sentence(self) -> str:
        """What was done, for people."""
        width = len(self.centre)
        if self.n_features == width:
            return f"All {width} features are used, scaled {self.scaling.kind}."
        if self.dropped < NOTHING:
            return (
                f"The {width} features vary along {self.n_features} directions, which are used; "
                f"they are scaled {self.scaling.kind}."
            )
        return (
            f"{self.n_features} principal directions of {width} features (scaled "
            f"{self.scaling.kind}) are used; the rest holds {100 * self.dropped:.2g} % of the "
            "variance."
        )


def fit_space(
    x: np.ndarray,
    *,
    scale: str = "auto",
    is_image: bool = False,
    most: int = MOST,
    rng: np.random.Generator,
) -> Space:
    """Scaling and axes of features (n, D), fitted to ``FIT_ROWS`` random rows at most.

    Args:
        x: features; may be memory-mapped.
        scale: as in :func:`nfl_pruning.numerics.scaling.fit_scaling`.
        is_image: whether the features are pixels.
        most: directions to keep at most.
        rng: chooses the rows.
    """
    rows = np.sort(rng.permutation(len(x))[:FIT_ROWS])
    sample = np.asarray(x[rows]) if len(rows) < len(x) else np.asarray(x)
    scaling = fit_scaling(sample, scale, is_image=is_image)
    scaled = scaling(sample).astype(np.float64)
    centre = scaled.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(scaled.T, bias=True).reshape(len(centre), -1))
    values, axes = np.maximum(values[::-1], 0.0), axes[:, ::-1]
    kept = min(most, max(1, int((values > SMALLEST * values[0]).sum())))
    total = float(values.sum()) or 1.0
    lost = float(values[kept:].sum()) / total
    return Space(scaling, centre, axes[:, :kept], values[:kept], lost, len(rows))

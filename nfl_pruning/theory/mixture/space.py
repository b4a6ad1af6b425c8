"""A mixture in the coordinates in which its covariances are simplest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs.covariances import Diagonal as DiagonalCovariances
from nfl_pruning.inputs.covariances import LowRank, Scalar
from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.theory.mixture.factored import Factored
from nfl_pruning.theory.mixture.geometry import Dense, Diagonal

LARGEST_SHARE = 0.5  # of the features, that factors may span and save time
SAME = 1e-12  # relative difference up to which two covariances are one
MOST_ROWS = 4608  # of a dense operator: 170 MB, and minutes a round beyond it
MOST_FACTORED = 2304  # of a factored one's parts, of which fitted probes bring up to 25


@dataclass(frozen=True)
class Space:
    """The geometry, and how rows are written in it.

    Attributes:
        geometry: with numpy arrays.
        basis: columns are the geometry's axes, shape (d, d); None for the axes of x.
        padding: coordinates added for features in which nothing but noise lives.
        norm: sqrt(E ||x||^2 / d) of each component, what a score of the norm reads, shape (C,).
        turn: eigenvectors of the mean covariance, columns, where covariances share none.
    """

    geometry: Diagonal | Dense | Factored
    basis: np.ndarray | None
    padding: int
    norm: np.ndarray
    turn: np.ndarray | None = None

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Rows (k, d) in the geometry's coordinates, shape (k, D)."""
        moved = rows if self.basis is None else rows @ self.basis
        return np.pad(moved, ((0, 0), (0, self.padding)))

    @cached_property
    def near(self) -> Diagonal:
        """The diagonals of the covariances in the basis of ``turn``."""
        assert not isinstance(self.geometry, Diagonal) and self.turn is not None
        return self.geometry.nearest(self.turn)


def check_size(space: Space, n_outputs: int) -> None:
    """Raise UnsupportedProblemError where a fit of so many outputs would take hours."""
    geometry = space.geometry
    if isinstance(geometry, Diagonal):
        return
    rows, factored = geometry.rows_of(n_outputs), isinstance(geometry, Factored)
    most = MOST_FACTORED if factored else MOST_ROWS
    if rows <= most:
        return
    width = rows // n_outputs
    if factored:
        raise UnsupportedProblemError(
            f"Factors of low-rank covariances that span {width} directions need matrices of "
            f"outputs x directions = {n_outputs} x {width} = {rows} rows, and the limit takes at "
            f"most {most}. Fewer factors, or ones that components share, need fewer; shared, "
            "diagonal and scalar covariances have no such bound, nor has simulate."
        )
    raise UnsupportedProblemError(
        f"Covariances without common eigenvectors need matrices of outputs x features = "
        f"{n_outputs} x {width} = {rows} rows, and the limit takes at most {most}. A diagonal plus "
        f"low rank (LowRank), with factors that span less than {LARGEST_SHARE:.0%} of the features "
        "between them, needs fewer; shared, diagonal and scalar covariances have no such bound, "
        "nor has simulate."
    )


@lru_cache(maxsize=8)
def space_of(mixture: Mixture) -> Space:
    """The space of a mixture: diagonal where its covariances commute and that is cheap to see."""
    p, means, d = mixture.weights, mixture.means, mixture.means.shape[1]
    covariances = mixture.covariances
    if isinstance(covariances, Scalar):  # any number of features
        variances = covariances.variances[:, None]
        eigenvalues = np.repeat(variances, d + 1, axis=1)
        multiplicity = np.append(np.zeros(d), 1.0)
        geometry = Diagonal(p, np.pad(means, ((0, 0), (0, 1))), eigenvalues, multiplicity)
        return Space(geometry, None, 1, np.sqrt(variances[:, 0]))
    if isinstance(covariances, DiagonalCovariances):
        values = covariances.variances
        norm = np.sqrt((values.sum(1) + (means**2).sum(1)) / d)
        return Space(Diagonal(p, means, values, np.full(d, 1 / d)), None, 0, norm)
    full = np.stack([covariances.covariance(c, d) for c in range(len(p))])
    norm = np.sqrt((np.trace(full, axis1=1, axis2=2) + (means**2).sum(1)) / d)
    basis = _common_basis(full)
    if basis is None:
        turn = np.linalg.eigh(np.einsum("c,cij->ij", p, full))[1]
        few = _factored(mixture, covariances) if isinstance(covariances, LowRank) else None
        return Space(Dense(p, means, full) if few is None else few, None, 0, norm, turn)
    values = np.stack([np.diag(basis.T @ one @ basis) for one in full])
    return Space(Diagonal(p, means @ basis, values, np.full(d, 1 / d)), basis, 0, norm)


def _factored(mixture: Mixture, covariances: LowRank) -> Factored | None:
    """Factors of all components in one basis; None where whole matrices are as cheap, or cheaper.

    Two classes have one output, and matrices of as many rows as features: Newton's method takes
    those whole.
    """
    n, d, rank = covariances.factors.shape
    columns = covariances.factors.transpose(1, 0, 2).reshape(d, n * rank)
    vectors, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    factors = vectors[:, sizes > SAME * sizes[0]]
    if mixture.n_classes == 2 or factors.shape[1] > LARGEST_SHARE * d:
        return None
    inside = np.einsum("iq,cir->cqr", factors, covariances.factors)
    inner = inside @ inside.swapaxes(1, 2)
    return Factored(mixture.weights, mixture.means, covariances.diagonal, factors, inner)


def _common_basis(full: np.ndarray) -> np.ndarray | None:
    """Eigenvectors that all covariances share, columns; None where there are none.

    Those of a combination with weights that no two covariances' eigenvalues conspire against.
    """
    mixed = np.einsum("c,cij->ij", 1 + 0.1 * np.sqrt(np.arange(1, len(full) + 1)), full)
    basis = np.linalg.eigh(mixed)[1]
    for one in full:
        turned = basis.T @ one @ basis
        rest = turned - np.diag(np.diag(turned))
        if np.abs(rest).max() > SAME * np.abs(turned).max() * len(turned):
            return None
    return basis

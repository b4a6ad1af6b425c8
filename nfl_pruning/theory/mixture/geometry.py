"""The covariances of a mixture as algebra: what the equations of a fit do to features.

An *operator* maps rows (b, features) to rows (a, features). All operators of a fit are sums
``sum_c p_c A_c (x) Sigma_c`` with small matrices A_c, their inverses and products. Where the
covariances commute an operator is one small matrix for each eigenvector; else it is dense.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.numerics.arrays import library_of

Matrix = Any  # an array of jax, traced or not, or of numpy
Operator = Matrix
SMALL = 128  # rows up to which a matrix is inverted whole


class Geometry(Protocol):
    """What the closing asks of the covariances.

    Attributes:
        weights: p_c, shape (C,). means: mu_c in the geometry's coordinates, shape (C, D).
    """

    @property
    def weights(self) -> Any: ...

    @property
    def means(self) -> Any: ...

    def combine(self, a: Matrix) -> Operator:
        """sum_c p_c a_c (x) Sigma_c of small matrices a, shape (C, a, b)."""
        ...

    def inverse(self, operator: Operator, ridge: Matrix) -> Operator:
        """(ridge + operator)^-1 of a symmetric operator whose sum with the ridge is positive."""
        ...

    def compose(self, left: Operator, right: Operator) -> Operator:
        """The operator that applies ``right`` first."""
        ...

    def transpose(self, operator: Operator) -> Operator:
        """The adjoint."""
        ...

    def rows(self, operator: Operator, rows: Matrix) -> Matrix:
        """The operator applied to rows (b, D), giving (a, D)."""
        ...

    def trace(self, operator: Operator) -> Matrix:
        """Trace over features of (I (x) Sigma_c) operator, over d; shape (C, a, b)."""
        ...

    def overlap(self, left: Matrix, right: Matrix) -> Matrix:
        """Left Sigma_c right^T of rows (a, D) and (b, D); shape (C, a, b)."""
        ...

    def between_means(self, operator: Operator) -> Matrix:
        """mu_c operator mu_e^T, shape (C, C, a, b)."""
        ...


class Diagonal(NamedTuple):
    """Covariances that share their eigenvectors; operators have shape (D, a, b).

    Attributes:
        weights: p_c, shape (C,). means: mu_c in the eigenbasis, shape (C, D).
        eigenvalues: s_ci, shape (C, D).
        multiplicity: share of all features that each coordinate stands for, shape (D,), sum 1:
            1 / d each, or 0 for single directions among infinitely many and 1 for the rest.
    """

    weights: Any
    means: Any
    eigenvalues: Any
    multiplicity: Any

    def combine(self, a: Matrix) -> Operator:
        return jnp.einsum("c,cab,ci->iab", self.weights, a, self.eigenvalues)

    def inverse(self, operator: Operator, ridge: Matrix) -> Operator:
        if operator.shape[-1] == 1:
            return 1 / (operator + ridge)
        return jnp.linalg.inv(operator + ridge * jnp.eye(operator.shape[-1]))

    def compose(self, left: Operator, right: Operator) -> Operator:
        return left @ right

    def transpose(self, operator: Operator) -> Operator:
        return jnp.swapaxes(operator, -1, -2)

    def rows(self, operator: Operator, rows: Matrix) -> Matrix:
        return jnp.einsum("iab,bi->ai", operator, rows)

    def trace(self, operator: Operator) -> Matrix:
        einsum = library_of(operator).einsum
        return einsum("i,ci,iab->cab", self.multiplicity, self.eigenvalues, operator)

    def overlap(self, left: Matrix, right: Matrix) -> Matrix:
        return library_of(left).einsum("ai,ci,bi->cab", left, self.eigenvalues, right)

    def between_means(self, operator: Operator) -> Matrix:
        return jnp.einsum("ci,iab,ei->ceab", self.means, operator, self.means)


class Dense(NamedTuple):
    """Any covariances; operators have shape (a, D, b, D), D = d.

    Attributes:
        weights: p_c, shape (C,). means: mu_c, shape (C, D).
        covariances: Sigma_c, shape (C, D, D).
    """

    weights: Any
    means: Any
    covariances: Any

    def combine(self, a: Matrix) -> Operator:
        return jnp.einsum("c,cab,cij->aibj", self.weights, a, self.covariances)

    def inverse(self, operator: Operator, ridge: Matrix) -> Operator:
        a, d = operator.shape[:2]
        flat = operator.reshape(a * d, a * d) + ridge * jnp.eye(a * d)
        return inverse_by_halves(flat).reshape(operator.shape)

    def compose(self, left: Operator, right: Operator) -> Operator:
        (a, d), (b, _) = left.shape[:2], left.shape[2:]
        flat = left.reshape(a * d, b * d) @ right.reshape(b * d, -1)
        return flat.reshape(a, d, *right.shape[2:])

    def transpose(self, operator: Operator) -> Operator:
        return jnp.transpose(operator, (2, 3, 0, 1))

    def rows(self, operator: Operator, rows: Matrix) -> Matrix:
        return jnp.einsum("aibj,bj->ai", operator, rows)

    def trace(self, operator: Operator) -> Matrix:
        d = self.means.shape[-1]
        return library_of(operator).einsum("cij,ajbi->cab", self.covariances, operator) / d

    def overlap(self, left: Matrix, right: Matrix) -> Matrix:
        moved = library_of(left).einsum("ai,cij->caj", left, self.covariances)
        return library_of(left).einsum("caj,bj->cab", moved, right)

    def between_means(self, operator: Operator) -> Matrix:
        return jnp.einsum("ci,aibj,ej->ceab", self.means, operator, self.means)

    def rows_of(self, n_outputs: int) -> int:
        """Rows of the largest matrices that a fit of so many outputs inverts."""
        return n_outputs * self.means.shape[-1]

    def seconds(self, n_outputs: int) -> float:
        """What a fit of so many outputs costs in a round: 0.13 ns for a cubed row, on one core."""
        return 0.13e-9 * self.rows_of(n_outputs) ** 3

    def nearest(self, basis: Matrix) -> Diagonal:
        """The covariances' diagonals in another basis, columns of shape (D, D)."""
        library = library_of(self.means)
        values = library.einsum("ki,ckl,li->ci", basis, self.covariances, basis, optimize=True)
        d = self.means.shape[-1]
        return Diagonal(self.weights, self.means @ basis, values, np.full(d, 1 / d))

    def diagonal(self, operator: Operator, basis: Matrix) -> Operator:
        """An operator's diagonal in another basis, of the form that :class:`Diagonal` has."""
        return library_of(operator).einsum("ki,akbl,li->iab", basis, operator, basis, optimize=True)


def inverse_by_halves(matrix: Array) -> Array:
    """The inverse X^T X of a symmetric positive matrix, X the inverse of its Cholesky factor.

    Both are put together from halves, so that nearly all of the work is products, which machines
    do several times faster than triangular systems: 0.7 of ``jnp.linalg.inv``'s time at 1,152
    rows on one core. Errors grow with the condition number as those of the library do; inverting
    the halves themselves would be as fast and lose all digits from condition numbers of 1e6 on.
    """
    return _gram(_inverse_factor(matrix))


def _inverse_factor(matrix: Array) -> Array:
    n = matrix.shape[0]
    if n <= SMALL:
        factor = jnp.linalg.cholesky(matrix)
        return jax.scipy.linalg.solve_triangular(factor, jnp.eye(n), lower=True)
    half = n // 2
    first = _inverse_factor(matrix[:half, :half])
    beside = matrix[half:, :half] @ first.T
    last = _inverse_factor(matrix[half:, half:] - beside @ beside.T)
    return jnp.block([[first, jnp.zeros((half, n - half))], [-last @ (beside @ first), last]])


def _gram(lower: Array) -> Array:
    """X^T X of a lower triangular matrix."""
    n = lower.shape[0]
    if n <= SMALL:
        return lower.T @ lower
    half = n // 2
    beside, last = lower[half:, :half], lower[half:, half:]
    across = last.T @ beside
    upper = _gram(lower[:half, :half]) + beside.T @ beside
    return jnp.block([[upper, across.T], [across, _gram(last)]])

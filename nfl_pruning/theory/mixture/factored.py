"""Covariances of low rank plus a diagonal, each with its own, as algebra.

Sigma_c = diag(delta_c) + F S_c F^T, where the q columns of F span the factors of all components. An
operator is a small matrix for each feature plus parts of low rank,

    X = D + sum_kl L_k F X_kl F^T R_l^T,

with L_k and R_l again one small matrix for each feature and X_kl of (small x q) rows and columns.
Sums over components, inverses (Woodbury's identity) and products have that form, so that nothing
of (small x features) rows and columns is formed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.numerics.arrays import library_of
from nfl_pruning.theory.mixture.geometry import Diagonal, Matrix, Operator

Part = Any  # an array, or None: of a span the identity, of a block zero


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["diagonal", "core", "left", "right"],
    meta_fields=[],
)
@dataclass(frozen=True)
class LowRankOperator:
    """D + sum_kl L_k F X_kl F^T R_l^T, from rows (b, features) to rows (a, features).

    Attributes:
        diagonal: D, shape (d, a, b).
        core: X_kl, shape (s q, t q) each; None for zero.
        left: L_k, shape (d, a, s) each, None for the identity. None instead of them all in an
            inverse, which is symmetric: there L_1 = R_1 = D.
        right: R_l, shape (d, b, t) each, in the same way.
    """

    diagonal: Any
    core: tuple[tuple[Part, ...], ...]
    left: tuple[Part, ...] | None = None
    right: tuple[Part, ...] | None = None

    @property
    def lefts(self) -> tuple[Part, ...]:
        return (self.diagonal,) if self.left is None else self.left

    @property
    def rights(self) -> tuple[Part, ...]:
        return (self.diagonal,) if self.right is None else self.right

    def __neg__(self) -> LowRankOperator:
        core = tuple(tuple(None if x is None else -x for x in row) for row in self.core)
        return LowRankOperator(-self.diagonal, core, self.lefts, self.rights)


class Factored(NamedTuple):
    """Covariances of low rank plus a diagonal; operators are :class:`LowRankOperator`.

    Attributes:
        weights: p_c, shape (C,). means: mu_c, shape (C, d).
        variances: delta_c, shape (C, d).
        factors: F, orthonormal columns, shape (d, q).
        inner: S_c, shape (C, q, q).
    """

    weights: Any
    means: Any
    variances: Any
    factors: Any
    inner: Any

    def combine(self, a: Matrix) -> Operator:
        einsum = library_of(a).einsum
        diagonal = einsum("c,cab,ci->iab", self.weights, a, self.variances)
        core = einsum("cab,cqp->aqbp", self.weights[:, None, None] * a, self.inner)
        rows = core.shape[0] * core.shape[1]
        return LowRankOperator(diagonal, ((core.reshape(rows, -1),),), (None,), (None,))

    def inverse(self, operator: Operator, ridge: Matrix) -> Operator:
        first = jnp.linalg.inv(operator.diagonal + ridge * jnp.eye(operator.diagonal.shape[-1]))
        first = 0.5 * (first + jnp.swapaxes(first, 1, 2))
        core = operator.core[0][0]  # may be singular, so that its inverse is not asked for
        capacity = jnp.eye(len(core)) + core @ self._projected(first)
        found = -jnp.linalg.solve(capacity, core)
        return LowRankOperator(first, ((0.5 * (found + found.T),),))

    def compose(self, left: Operator, right: Operator) -> Operator:
        diagonal, flipped = left.diagonal @ right.diagonal, self.transpose(right).diagonal
        passed = [
            diagonal if x is right.diagonal else _times(left.diagonal, x) for x in right.lefts
        ]
        returned = [_times(flipped, x) for x in left.rights]
        size = left.diagonal.shape[2]
        grams = [[self._gram(x, y, size) for y in right.lefts] for x in left.rights]
        found = _Sum()
        for outer, blocks in zip(left.lefts, left.core, strict=True):
            for last, block in zip(returned, blocks, strict=True):
                found.add(outer, block, last)
        for outer, blocks in zip(passed, right.core, strict=True):
            for last, block in zip(right.rights, blocks, strict=True):
                found.add(outer, block, last)
        for last, blocks in zip(right.rights, zip(*right.core, strict=True), strict=True):
            column = [_dot(row, blocks) for row in grams]
            for outer, row in zip(left.lefts, left.core, strict=True):
                found.add(outer, _dot(row, column), last)
        return found.operator(diagonal)

    def transpose(self, operator: Operator) -> Operator:
        if operator.left is None:
            return operator
        core = tuple(
            tuple(None if x is None else x.T for x in column)
            for column in zip(*operator.core, strict=True)
        )
        flipped = operator.diagonal.swapaxes(1, 2)
        return LowRankOperator(flipped, core, operator.rights, operator.lefts)

    def rows(self, operator: Operator, rows: Matrix) -> Matrix:
        einsum = library_of(rows).einsum
        found = einsum("iab,bi->ai", operator.diagonal, rows)
        read = [rows.T if x is None else einsum("ibt,bi->it", x, rows) for x in operator.rights]
        inside = [(one.T @ self.factors).reshape(-1) for one in read]
        for x, blocks in zip(operator.lefts, operator.core, strict=True):
            pushed = _dot(blocks, inside)
            if pushed is not None:
                moved = pushed.reshape(-1, self.factors.shape[1]) @ self.factors.T
                found = found + (moved if x is None else einsum("ias,si->ai", x, moved))
        return found

    def trace(self, operator: Operator) -> Matrix:
        library, d = library_of(operator.diagonal), self.means.shape[-1]
        at_feature, inside = operator.diagonal, self._projected(operator.diagonal)
        for x, y, block in _blocks(operator):
            at_feature = at_feature + _between(x, self._at_features(block), y)
            left = block if x is None else self._projected(x) @ block
            inside = inside + (left if y is None else left @ self._projected(y).T)
        (a, b), q = operator.diagonal.shape[1:], self.factors.shape[1]
        own = library.einsum("ci,iab->cab", self.variances, at_feature)
        shared = library.einsum("cqp,apbq->cab", self.inner, inside.reshape(a, q, b, q))
        return (own + shared) / d

    def overlap(self, left: Matrix, right: Matrix) -> Matrix:
        own = library_of(left).einsum("ai,ci,bi->cab", left, self.variances, right)
        return own + (left @ self.factors) @ self.inner @ (right @ self.factors).T

    def between_means(self, operator: Operator) -> Matrix:
        einsum, means = library_of(operator.diagonal).einsum, self.means
        a, b = operator.diagonal.shape[1:]
        found = einsum("ci,iab,ei->ceab", means, operator.diagonal, means)
        for x, y, block in _blocks(operator):
            left, right = self._along(means, x, a), self._along(means, y, b)
            found = found + einsum("cay,eby->ceab", left @ block, right)
        return found

    def rows_of(self, n_outputs: int) -> int:
        """Rows of the largest matrices that a fit of so many outputs inverts."""
        return n_outputs * self.factors.shape[1]

    def seconds(self, n_outputs: int) -> float:
        """What a fit of so many outputs costs in a round: measured on one core."""
        rows, d = self.rows_of(n_outputs), self.means.shape[-1]
        return 0.6e-9 * rows**3 + 1.3e-9 * rows**2 * d

    def nearest(self, basis: Matrix) -> Diagonal:
        """The covariances' diagonals in another basis, columns of shape (d, d)."""
        d = len(basis)
        inside = basis.T @ self.factors
        values = self.variances @ basis**2 + np.einsum(
            "iq,cqp,ip->ci", inside, self.inner, inside, optimize=True
        )
        return Diagonal(self.weights, self.means @ basis, values, np.full(d, 1 / d))

    def diagonal(self, operator: Operator, basis: Matrix) -> Matrix:
        """An operator's diagonal in another basis, of the form that :class:`Diagonal` has."""
        library = library_of(operator.diagonal)
        a, b = operator.diagonal.shape[1:]
        found = library.tensordot(basis**2, operator.diagonal, (0, 0))
        for x, y, block in _blocks(operator):
            left, right = self._along(basis.T, x, a), self._along(basis.T, y, b)
            found = found + (left @ block) @ right.swapaxes(1, 2)
        return found

    def _projected(self, small: Matrix) -> Matrix:
        """F^T W F for one small matrix W for each feature, (d, t, s); shape (t q, s q)."""
        library, (_, t, s) = library_of(small), small.shape
        q = self.factors.shape[1]
        scaled = small[..., None] * self.factors[:, None, None, :]
        found = library.tensordot(self.factors, scaled, (0, 0))  # (q, t, s, q)
        return found.transpose(1, 0, 2, 3).reshape(t * q, s * q)

    def _gram(self, left: Part, right: Part, size: int) -> Matrix:
        """F^T left^T right F of two spans on so many rows."""
        if left is None and right is None:
            return np.eye(size * self.factors.shape[1])
        return self._projected(_times(None if left is None else left.swapaxes(1, 2), right))

    def _along(self, rows: Matrix, part: Part, size: int) -> Matrix:
        """Rows (m, d) times a span and F, shape (m, size, s q)."""
        library = library_of(rows)
        if part is None:
            flat = library.einsum("as,mq->masq", np.eye(size), rows @ self.factors)
        else:
            scaled = part[..., None] * self.factors[:, None, None, :]
            flat = library.tensordot(rows, scaled, (1, 0))
        return flat.reshape(len(rows), size, -1)

    def _at_features(self, block: Matrix) -> Matrix:
        """F X F^T from each feature to itself, shape (d, s, t)."""
        q = self.factors.shape[1]
        parts = block.reshape(block.shape[0] // q, q, block.shape[1] // q, q)
        half = library_of(block).tensordot(self.factors, parts, (1, 1))  # (d, s, t, q)
        return (half @ self.factors[:, None, :, None])[..., 0]


class _Sum:
    """Parts of low rank added up; equal spans, which are the same object, share a block."""

    def __init__(self) -> None:
        self._left: list[Part] = []
        self._right: list[Part] = []
        self._blocks: dict[tuple[int, int], Any] = {}

    def add(self, left: Part, block: Part, right: Part) -> None:
        """Add left F block F^T right^T."""
        if block is not None:
            place = _place(self._left, left), _place(self._right, right)
            known = self._blocks.get(place)
            self._blocks[place] = block if known is None else known + block

    def operator(self, diagonal: Matrix) -> LowRankOperator:
        core = tuple(
            tuple(self._blocks.get((k, m)) for m in range(len(self._right)))
            for k in range(len(self._left))
        )
        return LowRankOperator(diagonal, core, tuple(self._left), tuple(self._right))


def _place(spans: list[Part], span: Part) -> int:
    for k, known in enumerate(spans):
        if known is span:
            return k
    spans.append(span)
    return len(spans) - 1


def _blocks(operator: LowRankOperator) -> Iterator[tuple[Part, Part, Any]]:
    """(L_k, R_l, X_kl) of all blocks that are not zero."""
    for x, row in zip(operator.lefts, operator.core, strict=True):
        for y, block in zip(operator.rights, row, strict=True):
            if block is not None:
                yield x, y, block


def _times(left: Part, right: Part) -> Part:
    """Product at each feature."""
    if left is None or right is None:
        return right if left is None else left
    return left @ right


def _between(left: Part, small: Matrix, right: Part) -> Matrix:
    """Left small right^T at each feature."""
    return _times(_times(left, small), None if right is None else right.swapaxes(1, 2))


def _dot(row: Sequence[Part], column: Sequence[Part]) -> Part:
    """Sum of products of blocks."""
    found = None
    for x, y in zip(row, column, strict=True):
        if x is not None and y is not None:
            found = x @ y if found is None else found + x @ y
    return found

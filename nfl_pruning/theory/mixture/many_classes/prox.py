"""Proximal points of a loss of several logits, many at once.

h minimises ``omega * loss(y, h) + (h - v)^T kappa^-1 (h - v) / 2``: strictly convex, so Newton's
method with step halving finds it from anywhere. Systems are small and many: they are solved by a
Cholesky factorisation written out over the matrix, vectorised over the samples, which a batched
library call is several times slower for (tests compare the two).
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.theory.mixture.geometry import Matrix

MOST_STEPS = 200
TOLERANCE = 1e-7  # of the gradient, relative to its parts


@lru_cache(maxsize=64)
def contrast_basis(n_classes: int) -> np.ndarray:
    """Orthonormal rows that are orthogonal to the logits' common shift, shape (K - 1, K)."""
    rows = np.zeros((n_classes - 1, n_classes))
    for k in range(1, n_classes):
        rows[k - 1, :k] = 1 / np.sqrt(k * (k + 1))
        rows[k - 1, k] = -k / np.sqrt(k * (k + 1))
    return rows


class Outputs(NamedTuple):
    """How the student's outputs make logits, and the loss of these.

    Attributes:
        basis: logits are ``h @ basis``, shape (R, K), as a tuple of rows so that it is hashable.
        squared: half the squared distance to the one-hot label instead of the cross-entropy.
    """

    basis: tuple[tuple[float, ...], ...]
    squared: bool

    @property
    def matrix(self) -> np.ndarray:
        """The basis as an array, shape (R, K)."""
        return np.asarray(self.basis)

    @classmethod
    def of(cls, n_classes: int, *, squared: bool) -> Outputs:
        """Softmax has no use for a common shift and loses it; one against all has K outputs."""
        basis = np.eye(n_classes) if squared else contrast_basis(n_classes)
        return cls(tuple(map(tuple, basis.tolist())), squared)


def losses(outputs: Outputs, h: Matrix, labels: Matrix) -> Array:
    """The loss of outputs h of shape (R, N) with labels (N,); shape (N,)."""
    logits = outputs.matrix.T @ h
    hot = jax.nn.one_hot(labels, logits.shape[0], axis=0, dtype=h.dtype)
    if outputs.squared:
        return 0.5 * jnp.sum((logits - hot) ** 2, 0)
    return jax.nn.logsumexp(logits, axis=0) - jnp.sum(hot * logits, 0)


def derivatives(outputs: Outputs, h: Matrix, labels: Matrix) -> tuple[Matrix, Matrix]:
    """Gradient (R, N) and Hessian (R, R, N) of the loss in h."""
    basis = outputs.matrix
    logits = basis.T @ h
    hot = jax.nn.one_hot(labels, logits.shape[0], axis=0, dtype=h.dtype)
    if outputs.squared:
        hessian = jnp.broadcast_to(
            jnp.asarray(basis @ basis.T)[..., None], (len(basis), len(basis), h.shape[1])
        )
        return basis @ (logits - hot), hessian
    p = jax.nn.softmax(logits, axis=0)
    force = basis @ (p - hot)
    return force, _softmax_hessian(p)


def _softmax_hessian(p: Array) -> Array:
    """B (diag(p) - p p^T) B^T in the contrasts of :func:`contrast_basis`, shape (R, R, N).

    A later contrast is constant, c_j, where an earlier one is not 0, so that an entry beside the
    diagonal is c_j m_i - m_i m_j with m = B p, and the diagonal needs running sums of p alone: a
    tenth of the product's work.
    """
    place = np.arange(1, p.shape[0])[:, None]
    c = 1 / np.sqrt(place * (place + 1))
    before = jnp.cumsum(p, axis=0)[:-1]
    mean = c * (before - place * p[1:])
    beside = jnp.where(
        (place > place.T)[..., None], c[..., None] * mean[None], c[None] * mean[:, None]
    )
    diagonal = c**2 * (before + place**2 * p[1:])
    same = np.eye(len(place), dtype=bool)[..., None]
    return jnp.where(same, diagonal[:, None], beside) - mean[:, None] * mean[None]


def factor(matrix: Array) -> list[list[Array]]:
    """Cholesky factor of matrices (R, R, N), as rows of arrays (N,)."""
    size = matrix.shape[0]
    lower: list[list[Any]] = [[None] * size for _ in range(size)]
    for j in range(size):
        pivot = matrix[j, j] - sum((lower[j][k] ** 2 for k in range(j)), 0.0)
        lower[j][j] = jnp.sqrt(jnp.maximum(pivot, 1e-300))
        for i in range(j + 1, size):
            rest = matrix[i, j] - sum((lower[i][k] * lower[j][k] for k in range(j)), 0.0)
            lower[i][j] = rest / lower[j][j]
    return lower


def solve_factored(lower: list[list[Array]], right: Array) -> Array:
    """Solution of the factored systems for right sides (R, ..., N), same shape."""
    size = len(lower)
    forward: list[Any] = []
    for i in range(size):
        rest = right[i] - sum((lower[i][k] * forward[k] for k in range(i)), 0.0)
        forward.append(rest / lower[i][i])
    back: list[Any] = [None] * size
    for i in reversed(range(size)):
        rest = forward[i] - sum((lower[k][i] * back[k] for k in range(i + 1, size)), 0.0)
        back[i] = rest / lower[i][i]
    return jnp.stack(back)


def mean_inverse(lower: list[list[Array]], mass: Array) -> Array:
    """Sum over samples of mass times the inverses of factored matrices, shape (R, R).

    With X the inverse of the factor it is the sum of X^T X, which needs a half of what solving for
    the columns of the identity does.
    """
    size = len(lower)
    rows: list[list[Any]] = []  # of X, up to the diagonal
    for i in range(size):
        row = [
            -sum((lower[i][k] * rows[k][j] for k in range(j, i)), 0.0) / lower[i][i]
            for j in range(i)
        ]
        rows.append([*row, 1 / lower[i][i]])
    whole: list[list[Any]] = [[None] * size for _ in range(size)]
    for a in range(size):
        for b in range(a + 1):
            products = sum((rows[k][a] * rows[k][b] for k in range(a, size)), 0.0)
            whole[a][b] = whole[b][a] = jnp.sum(mass * products)
    return jnp.array(whole)


class _Search(NamedTuple):
    h: Array
    value: Array
    step: Array
    length: Array
    gradient: Array
    passes: Array


def proximal(
    outputs: Outputs, v: Matrix, labels: Matrix, weight: Matrix, inverse: Matrix, start: Matrix
) -> tuple[Array, Array]:
    """Proximal points, and the largest scaled gradient that is left.

    Args:
        outputs: of the student.
        v: shape (R, N).
        labels: shape (N,).
        weight: omega, shape (N,).
        inverse: kappa^-1, shape (R, R).
        start: a guess of h, shape (R, N).

    Returns:
        h of shape (R, N), and a number.
    """

    def objective(h: Array) -> Array:
        return weight * losses(outputs, h, labels) + 0.5 * jnp.sum((h - v) * (inverse @ (h - v)), 0)

    scale = 1e-3 + jnp.sqrt(jnp.diagonal(inverse))[:, None] + weight

    def direction(h: Array) -> tuple[Array, Array]:
        gradient, hessian = derivatives(outputs, h, labels)
        gradient = weight * gradient + inverse @ (h - v)
        lower = factor(weight * hessian + inverse[..., None])
        return -solve_factored(lower, gradient), jnp.max(jnp.abs(gradient) / scale, 0)

    def improve(state: _Search) -> _Search:
        tried = state.h + state.length * state.step
        value = objective(tried)
        slack = 1e-13 * (1 + jnp.abs(state.value))
        better = value <= state.value + slack
        h = jnp.where(better, tried, state.h)
        step, gradient = direction(h)
        return _Search(
            h,
            jnp.where(better, value, state.value),
            step,
            jnp.where(better, jnp.minimum(1.0, 4 * state.length), 0.25 * state.length),
            gradient,
            state.passes + 1,
        )

    def going(state: _Search) -> Array:
        return (jnp.max(state.gradient) > TOLERANCE) & (state.passes < MOST_STEPS)

    # the first pass takes a step of 0, so that the programme holds ``direction`` once
    unknown = jnp.full(start.shape[1], jnp.inf)
    first = _Search(
        start, unknown, jnp.zeros_like(start), jnp.ones(start.shape[1]), unknown,
        jnp.zeros((), jnp.int32),
    )  # fmt: skip
    last = jax.lax.while_loop(going, improve, first)
    return last.h, jnp.max(last.gradient)


def mean_response(
    outputs: Outputs, h: Matrix, labels: Matrix, weight: Matrix, inverse: Matrix, mass: Matrix
) -> Array:
    """Sum over samples of mass times df/dv at proximal points, shape (R, R).

    df/dv = omega L (kappa^-1 + omega L)^-1 kappa^-1, which is kappa^-1 minus kappa^-1 times the
    inverse Hessian times kappa^-1.
    """
    hessian = weight * derivatives(outputs, h, labels)[1]
    mean = mean_inverse(factor(hessian + inverse[..., None]), mass)
    response = inverse * jnp.sum(mass) - inverse @ mean @ inverse
    return 0.5 * (response + response.T)


def fitted(outputs: np.ndarray, label: np.ndarray, step: np.ndarray) -> tuple[Any, Any]:
    """What softmax fits make of samples that they have seen: their outputs, and the forces.

    Args:
        outputs: of the fits without the sample, in contrasts, shape (n, P).
        label: shape (n,).
        step: kappa, shape (P, P).

    Returns:
        Two arrays of shape (n, P).
    """
    softmax = Outputs.of(outputs.shape[1] + 1, squared=False)
    with jax.enable_x64(True):
        h, f = _fitted(softmax, outputs.T, label, np.linalg.inv(step))
    return np.asarray(h).T, np.asarray(f).T


@partial(jax.jit, static_argnums=0)
def _fitted(outputs: Outputs, v: Array, label: Array, inverse: Array) -> tuple[Array, Array]:
    h, _ = proximal(outputs, v, label, jnp.ones(v.shape[1]), inverse, v)
    return h, derivatives(outputs, h, label)[0]

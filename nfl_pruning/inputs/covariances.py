"""Covariances of the components of a mixture, each kept in the form that it was given in."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from nfl_pruning.errors import InvalidArgumentError

NEGATIVE = 1e-10  # eigenvalues this far below 0, relative to the largest, are rounding


@dataclass(frozen=True, eq=False)
class Covariances(abc.ABC):
    """Covariances Sigma_c of C components; see its subclasses.

    Attributes:
        form: ``"scalar"``, ``"diagonal"``, ``"full"`` or ``"low-rank"``.
    """

    form: ClassVar[str]

    @property
    @abc.abstractmethod
    def n_components(self) -> int:
        """Number of components C."""

    @property
    @abc.abstractmethod
    def n_features(self) -> int | None:
        """Number of features; None where the covariances fit any number."""

    @abc.abstractmethod
    def covariance(self, component: int, n_features: int) -> np.ndarray:
        """Sigma_c as a matrix, shape (n_features, n_features)."""

    @abc.abstractmethod
    def times(self, component: int, rows: np.ndarray) -> np.ndarray:
        """Product rows @ Sigma_c for rows of shape (k, n_features)."""

    @abc.abstractmethod
    def traces(self, n_features: int) -> np.ndarray:
        """Traces of Sigma_c, shape (C,)."""

    @property
    def rank(self) -> int:
        """Number of factors beside the features that a row is made of."""
        return 0

    @abc.abstractmethod
    def shape(self, component: int, noise: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """Rows of covariance Sigma_c from standard normal ones, (k, n_features) and (k, rank)."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What the form consists of, by the names that :func:`covariances_of` takes."""


@dataclass(frozen=True, eq=False)
class Scalar(Covariances):
    """Sigma_c = variances_c I for any number of features; variances of shape (C,)."""

    form: ClassVar[str] = "scalar"
    variances: np.ndarray

    @property
    def n_components(self) -> int:
        return len(self.variances)

    @property
    def n_features(self) -> None:
        return None

    def covariance(self, component: int, n_features: int) -> np.ndarray:
        return self.variances[component] * np.eye(n_features)

    def times(self, component: int, rows: np.ndarray) -> np.ndarray:
        return self.variances[component] * rows

    def traces(self, n_features: int) -> np.ndarray:
        return self.variances * n_features

    def shape(self, component: int, noise: np.ndarray, factors: np.ndarray) -> np.ndarray:
        return np.sqrt(self.variances[component]) * noise

    def arrays(self) -> dict[str, np.ndarray]:
        return {"scalar": self.variances}


@dataclass(frozen=True, eq=False)
class Diagonal(Covariances):
    """Sigma_c = diag(variances_c), variances of shape (C, d)."""

    form: ClassVar[str] = "diagonal"
    variances: np.ndarray

    @property
    def n_components(self) -> int:
        return len(self.variances)

    @property
    def n_features(self) -> int:
        return self.variances.shape[1]

    def covariance(self, component: int, n_features: int) -> np.ndarray:
        return np.diag(self.variances[component])

    def times(self, component: int, rows: np.ndarray) -> np.ndarray:
        return rows * self.variances[component]

    def traces(self, n_features: int) -> np.ndarray:
        return self.variances.sum(axis=1)

    def shape(self, component: int, noise: np.ndarray, factors: np.ndarray) -> np.ndarray:
        return np.sqrt(self.variances[component]) * noise

    def arrays(self) -> dict[str, np.ndarray]:
        return {"diagonal": self.variances}


@dataclass(frozen=True, eq=False)
class Full(Covariances):
    """Any symmetric matrices without negative eigenvalues, shape (C, d, d)."""

    form: ClassVar[str] = "full"
    matrices: np.ndarray

    @property
    def n_components(self) -> int:
        return len(self.matrices)

    @property
    def n_features(self) -> int:
        return self.matrices.shape[1]

    def covariance(self, component: int, n_features: int) -> np.ndarray:
        return self.matrices[component]

    def times(self, component: int, rows: np.ndarray) -> np.ndarray:
        return rows @ self.matrices[component]

    def traces(self, n_features: int) -> np.ndarray:
        return np.trace(self.matrices, axis1=1, axis2=2)

    @cached_property
    def roots(self) -> list[np.ndarray]:
        """R_c with R_c^T R_c = Sigma_c, which may be singular."""
        pairs = (np.linalg.eigh(matrix) for matrix in self.matrices)
        return [np.sqrt(np.maximum(s, 0))[:, None] * vectors.T for s, vectors in pairs]

    def shape(self, component: int, noise: np.ndarray, factors: np.ndarray) -> np.ndarray:
        return noise @ self.roots[component]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"full": self.matrices}


@dataclass(frozen=True, eq=False)
class LowRank(Covariances):
    """Sigma_c = diag(diagonal_c) + factors_c factors_c^T.

    Attributes:
        diagonal: >= 0, shape (C, d).
        factors: shape (C, d, r) with r small against d.
    """

    form: ClassVar[str] = "low-rank"
    diagonal: np.ndarray
    factors: np.ndarray

    def __post_init__(self) -> None:
        diagonal = _array("diagonal of low-rank covariances", self.diagonal, "(C, d)", 2)
        factors = _array("factors of low-rank covariances", self.factors, "(C, d, r)", 3)
        _check_variances(diagonal, "the diagonal of low-rank covariances", zero=True)
        if factors.shape[:2] != diagonal.shape:
            raise InvalidArgumentError(
                f"factors of low-rank covariances must have shape {diagonal.shape} and a rank; "
                f"got {factors.shape}."
            )
        object.__setattr__(self, "diagonal", diagonal)
        object.__setattr__(self, "factors", factors)

    @property
    def n_components(self) -> int:
        return len(self.diagonal)

    @property
    def n_features(self) -> int:
        return self.diagonal.shape[1]

    def covariance(self, component: int, n_features: int) -> np.ndarray:
        factor = self.factors[component]
        return np.diag(self.diagonal[component]) + factor @ factor.T

    def times(self, component: int, rows: np.ndarray) -> np.ndarray:
        factor = self.factors[component]
        return rows * self.diagonal[component] + (rows @ factor) @ factor.T

    def traces(self, n_features: int) -> np.ndarray:
        return self.diagonal.sum(axis=1) + (self.factors**2).sum(axis=(1, 2))

    @property
    def rank(self) -> int:
        return self.factors.shape[2]

    def shape(self, component: int, noise: np.ndarray, factors: np.ndarray) -> np.ndarray:
        root = np.sqrt(self.diagonal[component])
        return root * noise + factors @ self.factors[component].T

    def arrays(self) -> dict[str, np.ndarray]:
        return {"diagonal": self.diagonal, "factors": self.factors}


def covariances_of(value: Any, n_components: int) -> Covariances:
    """Covariances from a number for all, or from an array whose shape says the form.

    Args:
        value: a variance, (C,) variances, (C, d) diagonals, (C, d, d) matrices, a mapping of one of
            the names ``scalar``, ``diagonal``, ``full`` (or ``diagonal`` and ``factors``) to such
            arrays, or :class:`Covariances`.
        n_components: C.

    Raises:
        InvalidArgumentError: a shape does not fit, or a matrix is no covariance.
    """
    if isinstance(value, dict):
        value = _from_names(value)
    if not isinstance(value, Covariances):
        value = _from_array(_array("covariances", value, "(C,), (C, d) or (C, d, d)", None))
        if isinstance(value, Scalar) and value.variances.ndim == 0:
            value = Scalar(np.full(n_components, float(value.variances)))
    if value.n_components != n_components:
        raise InvalidArgumentError(
            f"covariances must be one for each of the {n_components} weights; "
            f"got {value.n_components}."
        )
    return value


def _from_names(value: dict[str, Any]) -> Any:
    if set(value) == {"diagonal", "factors"}:
        return LowRank(value["diagonal"], value["factors"])
    if len(value) == 1 and set(value) <= {"scalar", "diagonal", "full"}:
        return next(iter(value.values()))
    raise InvalidArgumentError(
        "covariances must be given as scalar, diagonal, full, or diagonal and factors; got "
        f"{', '.join(sorted(value)) or 'nothing'}."
    )


def _from_array(array: np.ndarray) -> Covariances:
    if array.ndim < 2:
        _check_variances(array, "scalar covariances", zero=False)
        return Scalar(array)
    if array.ndim == 2:
        _check_variances(array, "diagonal covariances", zero=True)
        return Diagonal(array)
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise InvalidArgumentError(
            f"covariances must have shape (C,), (C, d) or (C, d, d); got {array.shape}."
        )
    for number, matrix in enumerate(array):
        largest = np.abs(matrix).max()
        if np.abs(matrix - matrix.T).max() > NEGATIVE * largest:
            raise InvalidArgumentError(
                f"covariances must be symmetric; that of component {number} is not."
            )
        lowest = float(np.linalg.eigvalsh(matrix)[0])
        if lowest < -NEGATIVE * largest * len(matrix):
            raise InvalidArgumentError(
                "covariances must have no negative eigenvalue; that of component "
                f"{number} has {lowest:.3g}."
            )
    return Full(array)


def _check_variances(array: np.ndarray, name: str, *, zero: bool) -> None:
    bad = array[array < 0 if zero else array <= 0]
    if bad.size:
        wanted = "at least 0" if zero else "positive"
        raise InvalidArgumentError(f"{name} must be {wanted}; got {bad.reshape(-1)[0]:g}.")


def _array(name: str, value: Any, shape: str, ndim: int | None) -> np.ndarray:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"{name} must be numbers of shape {shape}.") from None
    if (ndim is not None and array.ndim != ndim) or (array.ndim and not array.size):
        raise InvalidArgumentError(f"{name} must have shape {shape}; got {array.shape}.")
    if not np.isfinite(array).all():
        raise InvalidArgumentError(f"{name} must be finite; some are not.")
    return array

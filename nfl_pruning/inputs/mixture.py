"""Inputs in Gaussian components that bring their labels: many classes, and real features.

Component c has probability p_c; x given c is normal with mean mu_c and covariance Sigma_c, and the
label has a law P(y | c) over the classes: one for certain, or a row of probabilities (label noise,
an annotator, a synthetic source). A class may own several components.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs.base import INPUTS, Inputs
from nfl_pruning.inputs.covariances import Covariances, LowRank, Scalar, covariances_of
from nfl_pruning.inputs.mixture_parts import (
    finite_numbers,
    label_law_of,
    of_sum_one,
    simplex_corners,
)
from nfl_pruning.validation import check_integer, check_number


@dataclass(frozen=True, eq=False)
class Mixture(Inputs):
    """Gaussian components with labels.

    Attributes:
        weights: probabilities of the components, > 0, sum 1, shape (C,).
        means: shape (C, d).
        covariances: see :func:`covariances_of`: a variance, (C,) variances, (C, d) diagonals,
            (C, d, d) matrices, or :class:`LowRank`. Scalar ones stand for any number of features:
            beyond the d coordinates of the means the components differ in variance alone.
        labels: law of the label of each component, shape (C, K), rows sum to 1; or (C,) class codes
            from 0; or None: labels -1 and 1 then come from the problem's teacher, whose margin is
            the signal times the first coordinate.
        title: what records call it: where it was read from.

    Raises:
        InvalidArgumentError: an entry is out of range, or the shapes differ.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: Covariances
    labels: np.ndarray | None = None
    title: str = field(default="given")
    name: ClassVar[str] = "components"
    has_limit: ClassVar[bool] = True

    if TYPE_CHECKING:  # arrays, and lists of lists, are taken and stored in these forms

        def __init__(
            self,
            weights: Any,
            means: Any,
            covariances: Any,
            labels: Any = None,
            title: str = "given",
        ) -> None: ...

    def __post_init__(self) -> None:
        weights = finite_numbers("weights", self.weights, 1)
        if not (weights > 0).all():
            raise InvalidArgumentError(f"weights must be positive; got {weights.min():g}.")
        means = finite_numbers("means", self.means, 2)
        if len(means) != len(weights):
            raise InvalidArgumentError(
                f"means must be one for each of the {len(weights)} weights; got {len(means)}."
            )
        covariances = covariances_of(self.covariances, len(weights))
        if covariances.n_features not in (None, means.shape[1]):
            raise InvalidArgumentError(
                f"covariances must have the {means.shape[1]} features of the means; "
                f"got {covariances.n_features}."
            )
        for name, value in (
            ("weights", of_sum_one("weights", weights)),
            ("means", means),
            ("covariances", covariances),
            ("labels", label_law_of(self.labels, len(weights))),
        ):
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mixture) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def n_components(self) -> int:
        """Number of components C."""
        return len(self.weights)

    @property
    def n_classes(self) -> int:
        """Number of classes K; 2 where labels come from a teacher."""
        return 2 if self.labels is None else self.labels.shape[1]

    @property
    def n_features(self) -> int:
        """Number of features d; of scalar covariances the least number that can be drawn."""
        return self.means.shape[1]

    @property
    def any_size(self) -> bool:
        """Whether it stands for any number of features."""
        return isinstance(self.covariances, Scalar)

    @property
    def label_law(self) -> np.ndarray:
        """P(y | component), shape (C, K).

        Raises:
            InvalidArgumentError: labels come from a teacher.
        """
        if self.labels is None:
            raise InvalidArgumentError("this mixture's labels come from a teacher; it has no law.")
        return self.labels

    @property
    def likeliest(self) -> np.ndarray:
        """The likeliest class of each component, shape (C,): what a right label is."""
        return self.label_law.argmax(axis=1)

    @property
    def class_shares(self) -> np.ndarray:
        """P(y), shape (K,)."""
        return self.weights @ self.label_law

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the law, whatever it is called."""
        digest = hashlib.sha256()
        parts = {"weights": self.weights, "means": self.means, **self.covariances.arrays()}
        parts |= {} if self.labels is None else {"labels": self.labels}
        for name, array in parts.items():
            digest.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @property
    def label(self) -> str:
        """Text form: where it was read from, and what it was then."""
        return f"{self.name}:{self.title}#{self.fingerprint}"

    def describe(self) -> dict[str, Any]:
        """Plain values for records."""
        return {
            "mixture": self.fingerprint,
            "n_components": self.n_components,
            "n_classes": self.n_classes,
            "covariances": self.covariances.form,
        }

    def placed(self, n_features: int | None = None) -> np.ndarray:
        """Means in ``n_features`` coordinates, shape (C, n_features); its own number by default.

        Raises:
            InvalidArgumentError: the mixture cannot be drawn with so many features.
        """
        n_features = self.check_features(n_features)
        return np.pad(self.means, ((0, 0), (0, n_features - self.n_features)))

    def check_features(self, n_features: int | None) -> int:
        """The number of features to draw: its own by default."""
        if n_features is None:
            return self.n_features
        n_features = check_integer("n_features", n_features, 1)
        if n_features < self.n_features or not (self.any_size or n_features == self.n_features):
            wanted = "at least " if self.any_size else ""
            raise InvalidArgumentError(
                f"n_features must be {wanted}the mixture's {self.n_features}; got {n_features}."
            )
        return n_features

    def covariance(self, component: int, n_features: int | None = None) -> np.ndarray:
        """Covariance of one component, shape (n_features, n_features)."""
        return self.covariances.covariance(component, self.check_features(n_features))

    def times(self, component: int, rows: np.ndarray) -> np.ndarray:
        """Product rows @ Sigma_c, shape (k, n_features)."""
        return self.covariances.times(component, rows)

    def input_norms(self) -> np.ndarray:
        """||x|| / sqrt(d) of each component as d grows, shape (C,): what scores are given."""
        d = self.n_features
        if self.any_size:  # means in finitely many of infinitely many coordinates
            return np.sqrt(self.covariances.traces(d) / d)
        return np.sqrt((self.covariances.traces(d) + (self.means**2).sum(axis=1)) / d)

    def draw(
        self, key: Array, n_samples: int, n_features: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Independent samples, float64.

        Args:
            key: PRNG key; components, rows and labels use keys of their own.
            n_samples: how many, >= 1.
            n_features: number of features, its own by default.

        Returns:
            Rows, shape (n_samples, n_features); components and class codes, shape (n_samples,);
            None for the codes where labels come from a teacher.
        """
        from nfl_pruning.inputs.mixture_draw import draw_mixture

        return draw_mixture(self, key, n_samples, n_features)

    @classmethod
    def simplex(
        cls,
        n_classes: int,
        distance: float,
        scales: Any = 1.0,
        weights: Any = None,
        label_noise: float = 0.0,
    ) -> Mixture:
        """One component a class, with means at the corners of a regular simplex.

        Args:
            n_classes: K >= 2.
            distance: of each mean from the origin, > 0.
            scales: variance of all components, or of each, > 0.
            weights: probabilities of the classes; equal by default.
            label_noise: probability that a label is another class, drawn uniformly, in [0, 1).
        """
        k = check_integer("n_classes", n_classes, 2)
        distance = check_number("distance", distance, "(0, inf)")
        noise = check_number("label_noise", label_noise, "[0, 1)")
        law = np.full((k, k), noise / (k - 1)) + (1 - noise - noise / (k - 1)) * np.eye(k)
        shares = np.full(k, 1 / k) if weights is None else weights
        return cls(shares, distance * simplex_corners(k), scales, law, title=f"simplex-{k}")

    @classmethod
    def from_data(
        cls, x: Any, y: Any, *, components: int | None = None, seed: int = 0, directions: int = 128
    ) -> Mixture:
        """The mixture that describes data, as ``realdata.fitted.fitting.fit_mixture`` finds it."""
        from importlib import import_module

        fit = import_module("nfl_pruning.realdata.fitted.fitting").fit_mixture
        return fit(x, y, components=components, seed=seed, directions=directions)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that :meth:`from_dict` reads."""
        return {
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covariances": {name: a.tolist() for name, a in self.covariances.arrays().items()},
            "labels": None if self.labels is None else self.labels.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, title: str = "given") -> Mixture:
        """A mixture from plain values: ``weights``, ``means``, ``covariances`` and ``labels``."""
        names = ("weights", "means", "covariances", "labels")
        wrong = sorted(set(values) - set(names)) or sorted(set(names[:3]) - set(values))
        if wrong:
            raise InvalidArgumentError(
                f"a mixture is described by {', '.join(names)}; see {wrong[0]!r}."
            )
        return cls(**dict(values), title=title)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the mixture as JSON, for ``components:FILE.json``."""
        Path(path).write_text(json.dumps(self.to_dict()) + "\n", encoding="utf-8")
        return Path(path)


def read_mixture(text: str) -> Mixture:
    """A mixture from ``components:FILE.json``, or from the label of one that was read so."""
    place, _, known = text.removeprefix("components:").partition("#")
    path = Path(place)
    if path.suffix != ".json" or not path.is_file():
        raise InvalidArgumentError(
            f"a mixture is written components:FILE.json, with a file that exists; got {text!r}."
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as reason:
        raise InvalidArgumentError(f"{place!r} is not a mixture's JSON: {reason}.") from None
    if not isinstance(values, dict):
        raise InvalidArgumentError(f"{place!r} is not a mixture's JSON: it holds no mapping.")
    mixture = Mixture.from_dict(values, title=place)
    if known and known != mixture.fingerprint:
        raise InvalidArgumentError(
            f"{place!r} holds another mixture than {known}: it is now {mixture.fingerprint}."
        )
    return mixture


INPUTS.add(Mixture.name, Mixture)
__all__ = ["LowRank", "Mixture", "read_mixture", "simplex_corners"]

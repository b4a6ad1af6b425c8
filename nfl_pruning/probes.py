"""Probes, the models that score: given ones, and fits to samples of their own or the same ones."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_integer, check_number, format_number


@dataclass(frozen=True)
class FixedProbe:
    """A probe that is given, independent of the samples it scores.

    Attributes:
        alignment: cosine between probe and teacher, in [-1, 1].
        norm: size of the probe's parameter, >= 0; its margin is ``norm * u``, u standard normal.
            None means the teacher's signal (1 for a scale-free link).
    """

    alignment: float = 1.0
    norm: float | None = None

    def __post_init__(self) -> None:
        check_number("probe alignment", self.alignment, "[-1, 1]")
        if self.norm is not None:
            check_number("probe norm", self.norm, "[0, inf)")

    @property
    def label(self) -> str:
        """The command line's form."""
        parts = [self.alignment] if self.norm is None else [self.alignment, self.norm]
        return ":".join(["fixed", *(format_number(part) for part in parts)])


@dataclass(frozen=True)
class PilotProbe:
    """Ridge-penalised logistic regression on samples of its own, drawn from the same law.

    Attributes:
        samples_per_feature: pilot samples per feature, > 0.
        ridge: the pilot fit's penalty, normalised by the pilot's own sample size, > 0.
    """

    samples_per_feature: float
    ridge: float

    def __post_init__(self) -> None:
        check_number("pilot samples_per_feature", self.samples_per_feature, "(0, inf)")
        check_number("pilot ridge", self.ridge, "(0, inf)")

    @property
    def label(self) -> str:
        """The command line's form."""
        return f"pilot:{format_number(self.samples_per_feature)}:{format_number(self.ridge)}"


@dataclass(frozen=True)
class InSampleProbe:
    """Ridge-penalised logistic regression on the very samples that it then scores.

    Attributes:
        ridge: the probe's penalty, normalised by n before pruning, > 0.
    """

    ridge: float

    def __post_init__(self) -> None:
        check_number("in-sample ridge", self.ridge, "(0, inf)")

    @property
    def label(self) -> str:
        """The command line's form."""
        return f"in-sample:{format_number(self.ridge)}"


@dataclass(frozen=True)
class CrossFitProbe:
    """Ridge-penalised logistic regressions, each scoring a fold of the samples it has not seen.

    Attributes:
        folds: number of parts that the samples are divided into, >= 2; each part is scored by a
            probe that is fitted on all the others.
        ridge: the fits' penalty, normalised by the number of samples of a fit, > 0.
    """

    folds: int
    ridge: float

    def __post_init__(self) -> None:
        number = self.folds
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        object.__setattr__(self, "folds", check_integer("cross-fit folds", number, 2))
        check_number("cross-fit ridge", self.ridge, "(0, inf)")

    @property
    def label(self) -> str:
        """The command line's form."""
        return f"cross-fit:{self.folds}:{format_number(self.ridge)}"


@dataclass(frozen=True, eq=False)
class WeightsProbe:
    """A linear model that is given, in the coordinates of a mixture's means.

    Attributes:
        weights: shape (d,) for one margin, that of the second of two classes: logits are then
            (0, margin); or (K, d) for K logits. Coordinates beyond those given have weight 0.
        intercepts: a number for one margin, or shape (K,); 0 by default.
        title: what records call it: where it was read from.
    """

    weights: np.ndarray
    intercepts: np.ndarray | float = 0.0
    title: str = "given"

    def __post_init__(self) -> None:
        weights = _finite("weights", self.weights)
        if weights.ndim not in (1, 2) or not weights.size or weights.shape[0] < 1:
            raise InvalidArgumentError(
                f"a probe's weights must have shape (d,) or (K, d); got {weights.shape}."
            )
        wanted = weights.shape[:-1]
        if wanted == (1,):
            raise InvalidArgumentError(
                "a probe's weights must be of at least 2 logits, or a vector for one margin; got "
                f"shape {weights.shape}."
            )
        intercepts = _finite("intercepts", self.intercepts)
        if intercepts.shape not in ((), wanted):
            raise InvalidArgumentError(
                f"a probe's intercepts must have shape {wanted}; got {intercepts.shape}."
            )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "intercepts", np.broadcast_to(intercepts, wanted).copy())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WeightsProbe) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return 2 if self.weights.ndim == 1 else len(self.weights)

    @property
    def n_features(self) -> int:
        """Number of coordinates with a weight."""
        return self.weights.shape[-1]

    @property
    def matrix(self) -> np.ndarray:
        """Weights of K logits, shape (K, d): (0, weights) for one margin."""
        return _rows(self.weights, 1)

    @property
    def offsets(self) -> np.ndarray:
        """Intercepts of K logits, shape (K,)."""
        return _rows(np.asarray(self.intercepts), 0)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the numbers."""
        digest = hashlib.sha256(f"{self.weights.shape}".encode())
        for part in (self.weights, self.intercepts):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()[:16]

    @property
    def label(self) -> str:
        """Text form: where it was read from, and what it was then."""
        return f"weights:{self.title}#{self.fingerprint}"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the probe as JSON, for ``weights:FILE.json``."""
        values = {"weights": self.weights.tolist(), "intercepts": np.asarray(self.intercepts)}
        values["intercepts"] = values["intercepts"].tolist()
        Path(path).write_text(json.dumps(values) + "\n", encoding="utf-8")
        return Path(path)


def _rows(values: np.ndarray, ndim: int) -> np.ndarray:
    """One entry a logit; of one margin it is that of the second class."""
    return np.stack([np.zeros_like(values), values]) if values.ndim == ndim else values


def _finite(name: str, values: Any) -> np.ndarray:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise InvalidArgumentError(f"a probe's {name} must be finite numbers.")
    return array


def _read_weights(text: str) -> WeightsProbe:
    """The probe in a JSON file with ``weights`` and perhaps ``intercepts``."""
    place, _, known = text.removeprefix("weights:").partition("#")
    try:
        values = json.loads(Path(place).read_text(encoding="utf-8"))
        numbers = values["weights"], values.get("intercepts", 0.0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InvalidArgumentError(
            "a probe of given weights is written weights:FILE.json, with a file that holds weights "
            f"and perhaps intercepts; got {text!r}."
        ) from None
    probe = WeightsProbe(*numbers, title=place)
    if known and known != probe.fingerprint:
        raise InvalidArgumentError(
            f"{place!r} holds another probe than {known}: it is now {probe.fingerprint}."
        )
    return probe


Probe = FixedProbe | PilotProbe | InSampleProbe | CrossFitProbe | WeightsProbe

FORMS = {
    "fixed": (FixedProbe, "COSINE[:NORM]", (1, 2)),
    "pilot": (PilotProbe, "SAMPLES_PER_FEATURE:RIDGE", (2,)),
    "in-sample": (InSampleProbe, "RIDGE", (1,)),
    "cross-fit": (CrossFitProbe, "FOLDS:RIDGE", (2,)),
}


def parse_probe(text: str | Probe) -> Probe:
    """A probe from its text.

    ``fixed:COSINE[:NORM]``, ``pilot:SAMPLES_PER_FEATURE:RIDGE``, ``in-sample:RIDGE``,
    ``cross-fit:FOLDS:RIDGE`` or ``weights:FILE.json``.
    """
    if isinstance(text, Probe):
        return text
    if str(text).startswith("weights:"):
        return _read_weights(str(text))
    kind, *parts = str(text).split(":")
    forms = " or ".join(f"{name}:{form}" for name, (_, form, _) in FORMS.items())
    refusal = InvalidArgumentError(f"probe must have the form {forms} with numbers; got {text!r}.")
    if kind not in FORMS or len(parts) not in FORMS[kind][2]:
        raise refusal
    try:
        values = [float(part) for part in parts]
    except ValueError:
        raise refusal from None
    return FORMS[kind][0](*values)

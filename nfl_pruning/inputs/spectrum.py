"""Covariances of the inputs: eigenvalues, with the teacher and the probe along the eigenvectors.

Inputs are x = Sigma^(1/2) w with w standard normal and Sigma diagonal in the basis of its
eigenvectors. The teacher's margin is signal * z, where z has variance 1: a part of it,
sum_k sqrt(s_k) t_k w_k, lies in the features that the student sees, and the rest, ``outside`` of
the variance, does not. The Gaussian covariate model of Loureiro et al. (2021, arXiv 2102.08127),
which covers random features and frozen features of networks, has this form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs.base import Inputs
from nfl_pruning.validation import check_integer, check_number, format_number, is_number

FORM = "power:EXPONENT:TEACHER_EXPONENT:N_FEATURES[:OUTSIDE]"


@dataclass(frozen=True, eq=False)
class Spectrum(Inputs):
    """A covariance with the teacher, and perhaps a fixed probe, in its eigenbasis.

    Attributes:
        eigenvalues: s_k > 0, shape (n_features,).
        teacher: coefficients t_k, same shape; only their direction matters: they are scaled so that
            sum_k s_k t_k^2 = 1 - outside.
        probe: coefficients of a fixed probe, same shape, scaled to a margin of variance 1; or None
            for a probe that is the teacher plus noise, isotropic in the whitened inputs
            Sigma^(-1/2) x: each feature then adds as much to the variance of the probe's error.
        outside: share of the teacher margin's variance that no feature carries, in [0, 1).
        title: what records call it; of a power law its text form without ``outside``.

    Raises:
        InvalidArgumentError: an entry is out of range, or the shapes differ.
    """

    eigenvalues: np.ndarray
    teacher: np.ndarray
    probe: np.ndarray | None = None
    outside: float = 0.0
    title: str = field(default="given")
    name: ClassVar[str] = "spectrum"
    has_limit: ClassVar[bool] = True

    def __post_init__(self) -> None:
        s = _vector("eigenvalues", self.eigenvalues)
        if not (s > 0).all():
            raise InvalidArgumentError(f"eigenvalues must be positive; got {s.min():g}.")
        outside = check_number("outside", self.outside, "[0, 1)")
        teacher = _scaled("teacher", self.teacher, s, 1 - outside)
        probe = None if self.probe is None else _scaled("probe", self.probe, s, 1.0)
        for name, value in (
            ("eigenvalues", s),
            ("teacher", teacher),
            ("probe", probe),
            ("outside", outside),
        ):
            object.__setattr__(self, name, value)

    @property
    def n_features(self) -> int:
        """Number of features of the student."""
        return len(self.eigenvalues)

    @property
    def label(self) -> str:
        """Text form; that of a power law makes it again."""
        return self.title if self.outside == 0 else f"{self.title}:{format_number(self.outside)}"

    def describe(self) -> dict[str, Any]:
        """Plain values for records."""
        return {"spectrum": self.title, "n_features": self.n_features, "outside": self.outside}


def _vector(name: str, values: Any) -> np.ndarray:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or len(vector) < 2 or not np.isfinite(vector).all():
        raise InvalidArgumentError(
            f"{name} must be a vector of at least 2 finite numbers; got shape {vector.shape}."
        )
    return vector


def _scaled(name: str, values: Any, s: np.ndarray, variance: float) -> np.ndarray:
    vector = _vector(name, values)
    if vector.shape != s.shape:
        raise InvalidArgumentError(
            f"{name} must have one coefficient for each of the {len(s)} eigenvalues; "
            f"got {len(vector)}."
        )
    now = float(np.sum(s * vector**2))
    if now == 0:
        raise InvalidArgumentError(f"{name} must not be all zeros; got zeros.")
    return vector * np.sqrt(variance / now)


def power_law(
    exponent: float, teacher_exponent: float, n_features: int, *, outside: float = 0.0
) -> Spectrum:
    """Eigenvalues k^-exponent, with a share proportional to k^-teacher_exponent of the teacher.

    The share is of the variance of the teacher's margin, s_k t_k^2.

    Args:
        exponent: >= 0; kernels and images have 1 to 2.
        teacher_exponent: finite; above 1 the teacher does not change as features are added.
        n_features: number of features, >= 2.
        outside: see :class:`Spectrum`.
    """
    exponent = check_number("spectrum exponent", exponent, "[0, inf)")
    teacher_exponent = check_number("spectrum teacher exponent", teacher_exponent, "(-inf, inf)")
    n_features = check_integer("spectrum n_features", n_features, 2)
    k = np.arange(1, n_features + 1, dtype=np.float64)
    label = ":".join(["power", format_number(exponent), format_number(teacher_exponent)])
    return Spectrum(
        k**-exponent,
        k ** (0.5 * (exponent - teacher_exponent)),
        outside=outside,
        title=f"{label}:{n_features}",
    )


def parse_spectrum(text: str | Spectrum) -> Spectrum:
    """A spectrum from its text form or from a file.

    A ``.npy`` or ``.csv`` file holds a table whose columns are eigenvalues, teacher coefficients
    and, if there is a third one, probe coefficients; a ``.csv`` file may start with a header.
    """
    if isinstance(text, Spectrum):
        return text
    if text.startswith("power:"):
        parts = text.split(":")[1:]
        try:
            exponent, teacher_exponent = (float(part) for part in parts[:2])
            (n_features,) = (int(part) for part in parts[2:3])
            (outside,) = (float(part) for part in parts[3:] or ["0"])
        except ValueError:
            raise InvalidArgumentError(
                f"spectrum must have the form {FORM} with numbers; got {text!r}."
            ) from None
        return power_law(exponent, teacher_exponent, n_features, outside=outside)
    table = _read(Path(text))
    columns = [table[:, i] for i in range(table.shape[1])]
    probe = columns[2] if len(columns) > 2 else None
    return Spectrum(columns[0], columns[1], probe, title=Path(text).name)


def _read(path: Path) -> np.ndarray:
    if path.suffix not in (".npy", ".csv") or not path.is_file():
        raise InvalidArgumentError(
            f"spectrum must be {FORM} or the path of a .npy or .csv file; got {str(path)!r}."
        )
    try:
        if path.suffix == ".npy":
            table = np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
        else:
            lines = path.read_text(encoding="utf-8").splitlines()
            first = lines[0].split(",")[0].strip() if lines else ""
            table = np.loadtxt(lines, delimiter=",", ndmin=2, skiprows=0 if is_number(first) else 1)
    except (ValueError, OSError) as reason:
        raise InvalidArgumentError(
            f"spectrum file {str(path)!r} is not a table: {reason}."
        ) from None
    if table.ndim != 2 or table.shape[1] not in (2, 3):
        raise InvalidArgumentError(
            "spectrum file must hold the columns eigenvalue, teacher and perhaps probe; "
            f"got shape {table.shape}."
        )
    return table

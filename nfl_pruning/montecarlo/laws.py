"""Laws of the inputs: the normal law of the theory, and two that show what depends on it.

Every law has mean zero and unit covariance. A law shapes standard normals with one latent number
a sample, so the selection still needs two coordinates of a sample and the rest can wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.registry import Registry
from nfl_pruning.validation import InvalidArgumentError, check_choice, check_number, format_number


@dataclass(frozen=True)
class GaussianLaw:
    """x ~ N(0, I): what theory assumes."""

    knows_norm = True  # whether the norm's law is known, for scores that need the input norm
    rotates = True  # whether directions across the teacher are alike

    @property
    def label(self) -> str:
        """Text form."""
        return "gaussian"

    def latent(self, key: Array, n_samples: int) -> Array:
        """One number a sample, float64 of shape (n_samples,)."""
        del key
        return jnp.ones(n_samples, jnp.float64)

    def shape_plane(self, latent: Array, plane: Array) -> Array:
        """The plane's coordinates (rows, 2) from normal ones."""
        del latent
        return plane

    def shape_rest(self, latent: Array, rest: Array) -> Array:
        """The other coordinates (rows, d - 2) from normal ones, in the dtype of ``rest``."""
        del latent
        return rest

    def shape_radius(self, latent: Array, radius: Array) -> Array:
        """Norm of the other coordinates from that of normal ones."""
        del latent
        return radius


@dataclass(frozen=True)
class HeavyTails(GaussianLaw):
    """Multivariate t: a normal vector times one random length, rescaled to unit covariance.

    The norm of x does not concentrate, so neither does its effect: the limit differs from the
    normal one at every d, and tends to it as ``degrees`` grows.

    Attributes:
        degrees: of freedom, > 2.
    """

    degrees: float = 5.0

    def __post_init__(self) -> None:
        check_number("degrees of freedom", self.degrees, "(2, inf)")

    @property
    def label(self) -> str:
        return f"heavy-tails:{format_number(self.degrees)}"

    def latent(self, key: Array, n_samples: int) -> Array:
        half = 0.5 * self.degrees
        return jnp.sqrt((half - 1) / jax.random.gamma(key, half, (n_samples,), jnp.float64))

    def shape_plane(self, latent: Array, plane: Array) -> Array:
        return latent[:, None] * plane

    def shape_rest(self, latent: Array, rest: Array) -> Array:
        return latent[:, None].astype(rest.dtype) * rest

    def shape_radius(self, latent: Array, radius: Array) -> Array:
        return latent * radius


@dataclass(frozen=True)
class GaussianMixture(GaussianLaw):
    """Two normal clouds of equal weight, at plus and minus ``separation`` along one direction.

    The variance along that direction is 1 - separation^2 within a cloud, so the covariance is the
    identity. Across the teacher and the probe the clouds do not change the limit (only the
    covariance is felt); along the teacher they do.

    Attributes:
        separation: in [0, 1).
        direction: ``"across"`` (orthogonal to teacher and probe) or ``"teacher"``.
    """

    separation: float = 0.8
    direction: str = "across"

    def __post_init__(self) -> None:
        check_number("separation", self.separation, "[0, 1)")
        check_choice("mixture direction", self.direction, ("across", "teacher"))

    @property
    def knows_norm(self) -> bool:  # type: ignore[override]
        """The norm's law is simple only where the shift lies in the plane."""
        return self.direction == "teacher"

    @property
    def rotates(self) -> bool:  # type: ignore[override]
        """The clouds mark a direction unless it is the teacher's."""
        return self.direction == "teacher"

    @property
    def label(self) -> str:
        return f"mixture:{format_number(self.separation)}:{self.direction}"

    def latent(self, key: Array, n_samples: int) -> Array:
        return self.separation * jax.random.rademacher(key, (n_samples,), jnp.float64)

    def _shift(self, latent: Array, columns: Array) -> Array:
        inside = (1 - self.separation**2) ** 0.5
        shift = latent.astype(columns.dtype)
        return columns.at[:, 0].set(inside * columns[:, 0] + shift)

    def shape_plane(self, latent: Array, plane: Array) -> Array:
        return self._shift(latent, plane) if self.direction == "teacher" else plane

    def shape_rest(self, latent: Array, rest: Array) -> Array:
        return self._shift(latent, rest) if self.direction == "across" else rest


LAWS: Registry[type[GaussianLaw]] = Registry("covariate law")
LAWS.add("gaussian", GaussianLaw)
LAWS.add("heavy-tails", HeavyTails)
LAWS.add("mixture", GaussianMixture)


def parse_law(text: str | GaussianLaw) -> GaussianLaw:
    """A law from its text, as in ``gaussian``, ``heavy-tails:5`` or ``mixture:0.8:teacher``."""
    if isinstance(text, GaussianLaw):
        return text
    name, *parts = text.split(":")
    law: type[Any] = LAWS[name]
    try:
        return law(*(part if part.isalpha() else float(part) for part in parts))
    except InvalidArgumentError:
        raise
    except (TypeError, ValueError):
        raise InvalidArgumentError(
            "covariate law must be gaussian, heavy-tails[:DEGREES] or "
            f"mixture[:SEPARATION[:DIRECTION]]; got {text!r}."
        ) from None

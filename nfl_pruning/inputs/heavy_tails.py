"""Inputs whose norm does not concentrate: to see what of the theory depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.inputs.base import INPUTS
from nfl_pruning.inputs.isotropic import UnitCovariance
from nfl_pruning.validation import check_number


@dataclass(frozen=True)
class HeavyTails(UnitCovariance):
    """Multivariate t: a normal vector times one random length, rescaled to unit covariance.

    The norm of x does not concentrate, so neither does its effect: the limit differs from the
    normal one at every d, and tends to it as ``degrees`` grows.

    Attributes:
        degrees: of freedom, > 2.
    """

    name: ClassVar[str] = "heavy-tails"
    degrees: float = 5.0

    def __post_init__(self) -> None:
        check_number("degrees of freedom", self.degrees, "(2, inf)")

    def latent(self, key: Array, n_samples: int) -> Array:
        half = 0.5 * self.degrees
        return jnp.sqrt((half - 1) / jax.random.gamma(key, half, (n_samples,), jnp.float64))

    def shape_plane(self, latent: Array, plane: Array) -> Array:
        return latent[:, None] * plane

    def shape_rest(self, latent: Array, rest: Array) -> Array:
        return latent[:, None].astype(rest.dtype) * rest

    def shape_radius(self, latent: Array, radius: Array) -> Array:
        return latent * radius


INPUTS.add(HeavyTails.name, HeavyTails)

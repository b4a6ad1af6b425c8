"""Standard normal inputs: what the theory assumes where nothing else is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from nfl_pruning.inputs.base import INPUTS, Inputs


@dataclass(frozen=True)
class UnitCovariance(Inputs):
    """Inputs of mean zero and unit covariance, made from standard normals.

    A law shapes them with one latent number a sample, so the selection still needs two coordinates
    of a sample and the rest can wait. What is written here is the normal law's.
    """

    @property
    def knows_norm(self) -> bool:
        """Whether the norm's law is known, for scores that need the input norm."""
        return True

    @property
    def rotates(self) -> bool:
        """Whether directions across the teacher are alike."""
        return True

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
class Isotropic(UnitCovariance):
    """x ~ N(0, I)."""

    name: ClassVar[str] = "gaussian"
    has_limit: ClassVar[bool] = True


INPUTS.add(Isotropic.name, Isotropic)

"""Inputs in two clouds of unit covariance together: to see what of the theory depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.inputs.base import INPUTS
from nfl_pruning.inputs.isotropic import UnitCovariance
from nfl_pruning.validation import check_choice, check_number


@dataclass(frozen=True)
class Clouds(UnitCovariance):
    """Two normal clouds of equal weight, at plus and minus ``separation`` along one direction.

    The variance along that direction is 1 - separation^2 within a cloud, so the covariance is the
    identity. Across the teacher and the probe the clouds do not change the limit (only the
    covariance is felt); along the teacher they do.

    Attributes:
        separation: in [0, 1).
        direction: ``"across"`` (orthogonal to teacher and probe) or ``"teacher"``.
    """

    name: ClassVar[str] = "mixture"
    separation: float = 0.8
    direction: str = "across"

    def __post_init__(self) -> None:
        check_number("separation", self.separation, "[0, 1)")
        check_choice("mixture direction", self.direction, ("across", "teacher"))

    @property
    def knows_norm(self) -> bool:
        """The norm's law is simple only where the shift lies in the plane."""
        return self.direction == "teacher"

    @property
    def rotates(self) -> bool:
        """The clouds mark a direction unless it is the teacher's."""
        return self.direction == "teacher"

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


INPUTS.add(Clouds.name, Clouds)

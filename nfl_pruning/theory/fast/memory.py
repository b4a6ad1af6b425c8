"""The fit of a probe that has seen the samples it scores, as arrays."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.scipy.special import expit

from nfl_pruning.theory.fast.geometry import REACH


class Probe(NamedTuple):
    """The probe's own fit: component along the teacher, noise, proximal step."""

    a: Array
    tau: Array
    kappa: Array

    @property
    def sigma(self) -> Array:
        """Standard deviation of its margin on a sample that it has not seen."""
        return jnp.hypot(self.a, self.tau)


def margin_to_u(probe: Probe, margin: Array) -> Array:
    """The standardised leave-one-out margin at which the training margin is ``margin`` (folded)."""
    return (margin - probe.kappa * expit(-margin)) / probe.sigma


def margin_of_widest(probe: Probe) -> Array:
    """A size that no training margin within the range of integration exceeds."""
    return REACH * probe.sigma + probe.kappa

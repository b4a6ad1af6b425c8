"""The joint normal law of the student's, the probe's and the teacher's margin."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from nfl_pruning.theory.state import State, across_share

REACH = 8.0  # the normal density has 1.2e-15 of its mass outside


class Geometry(NamedTuple):
    """z = c_z x + s_z zeta and u = c_u x + d zeta + sd * noise, with independent normal variables.

    x is the student's margin over its standard deviation. Each entry is a scalar.
    """

    c_u: Array
    c_z: Array
    s_z: Array
    d: Array
    sd: Array


def direction(unknowns: Array) -> tuple[Array, Array]:
    """The student's norm, and its unit vector in (probe, rest of the teacher, noise)."""
    state = State.unpack(unknowns)
    vector = jnp.stack([state.along, state.across, state.noise])
    norm = jnp.sqrt(jnp.sum(vector**2))
    return norm, vector / norm


def geometry(unit: Array, rho: Array) -> Geometry:
    """From the student's unit vector and the probe's cosine to the teacher."""
    along, across, noise = unit
    perp = across_share(rho)
    c_z = rho * along + perp * across
    beside = perp * along - rho * across
    s_z = jnp.sqrt(noise**2 + beside**2)  # the noise is never 0
    return Geometry(along, c_z, s_z, (rho * s_z**2 - perp * c_z * beside) / s_z, perp * noise / s_z)


def alone(rho: Array) -> Geometry:
    """The law of (u, z) without a student, to be used with x = 0."""
    zero = jnp.zeros_like(rho)
    return Geometry(zero, zero, zero + 1, rho, across_share(rho))

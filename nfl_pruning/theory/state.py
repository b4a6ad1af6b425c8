"""The unknowns of a limit, and the expectations that fix them.

Symbols are those of docs/equations.md. A fit is theta = a_u e_u + a_p e_perp + tau g: along the
probe's direction, along the rest of the teacher's, and an independent Gaussian direction.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.numerics.arrays import library_of

LOGARITHMS = slice(2, 4)  # where the packed unknowns hold logarithms


class State(NamedTuple):
    """The unknowns of the limit equations, in the coordinates that are solved for.

    Attributes:
        along: a_u, the margin's component along the probe's standardised margin u.
        across: a_p, along the rest of the teacher's margin, u_perp.
        log_noise: log tau, of the part that is independent of both.
        log_step: log kappa, of the proximal map's step.
        coupling: chi, how much the refit feels that a sample moved its own score; None for a probe
            that has not seen the samples.
    """

    along: Any
    across: Any
    log_noise: Any
    log_step: Any
    coupling: Any = None

    @classmethod
    def unpack(cls, x: Any) -> State:
        """From the vector that Newton's method moves, of 4 entries, or 5 with the coupling."""
        return cls(*(x[i] for i in range(len(x))))

    def pack(self) -> Array:
        """The vector of the unknowns, shape (4,) or (5,)."""
        return jnp.stack([jnp.asarray(part) for part in self if part is not None])

    @property
    def noise(self) -> Any:
        """The noise's standard deviation tau."""
        return library_of(self.log_noise).exp(self.log_noise)

    @property
    def step(self) -> Any:
        """The proximal map's step kappa."""
        return library_of(self.log_step).exp(self.log_step)

    @property
    def spread(self) -> Any:
        """Standard deviation s of the margin given u: s^2 = a_p^2 + tau^2."""
        return _length(self.across, self.noise)

    @property
    def norm(self) -> Any:
        """Standard deviation of the margin; for isotropic inputs the parameter's norm."""
        return _length(self.along, self.across, self.noise)

    @property
    def shift(self) -> Any:
        """The coupling, 0 where there is none."""
        return 0.0 if self.coupling is None else self.coupling

    def on_teacher(self, rho: Any) -> Any:
        """Covariance of the margin and the teacher's standardised one, rho a_u + ... a_p."""
        return rho * self.along + across_share(rho) * self.across


def _length(*parts: Any) -> Any:
    """Euclidean length, of shape of the parts.

    Not ``hypot``: that guards against numbers beyond 1e150, and compiled code pays for it with a
    dozen small operations, and as many in every derivative.
    """
    return library_of(parts[0]).sqrt(sum(part * part for part in parts))


def across_share(rho: Any) -> Any:
    """sqrt(1 - rho^2): what of the teacher's margin the probe does not see.

    At a perfect alignment, which is another program and no number to differentiate in, all
    derivatives are 0: the root's own, infinite, would turn those in other numbers to NaN.
    """
    library, square = library_of(rho), 1 - rho**2
    if library is np:
        return np.sqrt(np.maximum(square, 0.0))
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


class Moments(NamedTuple):
    """Expectations over kept samples of f, the weighted loss derivative at the fitted margin.

    Attributes:
        along, across: E[u f] and E[u_perp f].
        noise: E[G f], G the margin's independent part over tau.
        square: E[f^2].
        shared: E[f_1 f] with the probe's own derivative f_1; 0 for a probe that has not seen the
            samples.
    """

    along: Any
    across: Any
    noise: Any
    square: Any
    shared: Any

    def on_teacher(self, rho: Any) -> Any:
        """E[z f]."""
        return rho * self.along + across_share(rho) * self.across


SMALL = 1e-6


def at_rest() -> State:
    """A student so close to 0 that its moments are those of the loss's slope there."""
    small = jnp.log(jnp.asarray(SMALL))
    zero = 0 * small
    return State(zero, SMALL + zero, small, small, zero)


def step_lengths(x: Any) -> Any:
    """What a step of Newton's method in the packed unknowns is measured by, shape of x.

    The first two are no logarithms: they are as large as the margin.
    """
    library = library_of(x)
    state = State.unpack(x)
    size = 1 + library.max(library.abs(x[:2])) + library.exp(library.minimum(state.log_noise, 60.0))
    return library.where(np.arange(len(x)) < LOGARITHMS.start, size, 1.0)

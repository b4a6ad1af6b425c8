"""The unpruned fit of a probe, and the margins that it has on the samples it was fitted on."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.scipy.special import expit
from scipy.special import expit as plain_expit

from nfl_pruning.losses import logistic_prox
from nfl_pruning.numerics.arrays import library_of
from nfl_pruning.numerics.programs import elementwise
from nfl_pruning.numerics.quadrature import NORMAL_RANGE

_prox = jax.jit(logistic_prox)


class ProbeFit(NamedTuple):
    """An unpruned logistic fit: component along the teacher, noise, proximal step.

    Plain floats, or float64 scalars inside compiled code.
    """

    along: Any
    noise: Any
    step: Any

    @property
    def sigma(self) -> Any:
        """Standard deviation of its leave-one-out margin, that on a sample it has not seen."""
        return library_of(self.along).hypot(self.along, self.noise)

    @property
    def alignment(self) -> Any:
        """Its cosine to the teacher."""
        return self.along / self.sigma

    def training_margin(self, label: int, u: np.ndarray) -> np.ndarray:
        """The margin on a sample that it was fitted on, from its leave-one-out margin sigma u."""
        folded = label * self.sigma * np.asarray(u, float)
        with jax.enable_x64(True):
            return label * elementwise(lambda v: _prox(v, np.float64(self.step)), folded)

    def derivative(self, label: int, u: np.ndarray) -> np.ndarray:
        """Y times the derivative of its training loss there."""
        return -plain_expit(-label * self.training_margin(label, u))

    def leave_one_out(self, margin: Array) -> Array:
        """The u at which the training margin is ``margin``, both folded by the label."""
        return (margin - self.step * expit(-margin)) / self.sigma

    @property
    def widest(self) -> Any:
        """A size that no training margin within the range of integration exceeds."""
        return NORMAL_RANGE * self.sigma + self.step

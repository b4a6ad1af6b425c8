"""The fit of a probe that has seen the samples it scores, in the limit."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from scipy.special import expit

from nfl_pruning.losses import logistic_prox
from nfl_pruning.programs import elementwise

_prox = jax.jit(logistic_prox)


@dataclass(frozen=True)
class Memory:
    """The fit of an in-sample probe: component along the teacher, noise, proximal step."""

    a: float
    tau: float
    kappa: float

    @property
    def sigma(self) -> float:
        """Standard deviation of its leave-one-out margin."""
        return float(np.hypot(self.a, self.tau))

    def training_margin(self, label: int, u: np.ndarray) -> np.ndarray:
        """The margin on a sample that it was fitted on, from its leave-one-out margin sigma u."""
        folded = label * self.sigma * np.asarray(u, float)
        with jax.enable_x64(True):
            return label * elementwise(lambda v: _prox(v, np.float64(self.kappa)), folded)

    def pull(self, label: int, u: np.ndarray) -> np.ndarray:
        """Y times the derivative of its training loss there."""
        return -expit(-label * self.training_margin(label, u))

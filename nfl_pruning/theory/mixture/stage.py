"""What two classes and many have in common: a problem's parts, what is read, a fit solved for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.problem import Problem
from nfl_pruning.theory.mixture.closing import Fit, Given, State
from nfl_pruning.theory.mixture.space import Space


@dataclass(frozen=True)
class Setting:
    """A problem's parts that all stages share."""

    problem: Problem
    mixture: Mixture
    space: Space


@dataclass(frozen=True)
class Reads:
    """The rows that a fit reads, and the law of their outputs z on each component.

    Attributes:
        given: rows and noise. mean: zbar, shape (C, P). covariance: Cov(z), shape (C, P, P).
    """

    given: Given
    mean: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True)
class Stage:
    """A fit that was solved for.

    Attributes:
        state: law of its outputs. fit: its parameter.
    """

    state: State
    fit: Fit

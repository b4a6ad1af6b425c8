"""From a root on a coarse mesh to digits with an error estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfl_pruning.theory.continuation import solve_coarse
from nfl_pruning.theory.mesh import LEVELS
from nfl_pruning.theory.newton import Root, System, newton
from nfl_pruning.theory.observables import zero_one_error
from nfl_pruning.theory.state import State

TARGET_ERROR = 1e-9
ROUNDING = 1e-11  # of link, density range and linear algebra together


@dataclass(frozen=True)
class Digits:
    """Cosine, norm and test error of a root; errors are measured on these."""

    cosine: float
    norm: float
    test_error: float

    def distance(self, other: Digits) -> float:
        """max(|change of cosine|, relative change of norm, |change of test error|)."""
        return max(
            abs(self.cosine - other.cosine),
            abs(self.norm / other.norm - 1),
            abs(self.test_error - other.test_error),
        )


def digits_of(system: System, x: np.ndarray) -> Digits:
    """The quantities that users read, from the unknowns."""
    state, norm = State.unpack(x), float(State.unpack(x).norm)
    cosine = float(np.clip(state.on_teacher(system.law.label_law.alignment) / norm, -1.0, 1.0))
    return Digits(cosine, norm, float(zero_one_error(system.problem.teacher, cosine)))


def certified_root(system: System) -> tuple[Root, Digits | None, float]:
    """Solve on a coarse mesh (a finer one where that has no root), then refine until two agree.

    Returns:
        The finest root, its digits, and the change from the level before plus a rounding floor;
        digits are None where no root was found.
    """
    root, first = solve_coarse(system)
    if not root.converged:
        return root, None, np.inf
    digits, error = digits_of(system, root.x), np.inf
    for level in LEVELS[first + 1 :]:
        finer = newton(system, root.x, level, max_steps=12)
        if not finer.converged:
            break
        new = digits_of(system, finer.x)
        error = new.distance(digits) + ROUNDING
        root, digits = finer, new
        if error < TARGET_ERROR:
            break
    return root, digits, error

"""From a root on a coarse mesh to digits with an error estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nfl_pruning.theory.integrators.panels.continuation import solve_coarse
from nfl_pruning.theory.integrators.panels.mesh import LEVELS
from nfl_pruning.theory.integrators.panels.newton import Root, System, newton
from nfl_pruning.theory.observables import zero_one_error
from nfl_pruning.theory.selection_law.keep_law import MASS_TOLERANCE, mass_flaw
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


class Certified(NamedTuple):
    """A root with the evidence for its digits.

    Attributes:
        root: on the finest mesh that was tried.
        digits: None where no root was found.
        error: the change from the mesh before plus a rounding floor, and at least the relative
            error of the kept mass.
        flaw: why the error is no certificate, as a sentence; empty where it is one.
    """

    root: Root
    digits: Digits | None
    error: float
    flaw: str = ""


def certified_root(system: System) -> Certified:
    """Solve on a coarse mesh (a finer one where that has no root), then refine until two agree.

    Meshes that agree may share a loss, so what the last one keeps is compared with the selection's
    law, and that with what was asked for, each by a quadrature of its own.
    """
    root, first = solve_coarse(system)
    if not root.converged:
        return Certified(root, None, np.inf)
    digits, error, defect = digits_of(system, root.x), np.inf, np.inf
    for level in LEVELS[first + 1 :]:
        finer = newton(system, root.x, level, max_steps=12)
        if not finer.converged:
            break
        new = digits_of(system, finer.x)
        error = new.distance(digits) + ROUNDING
        if error < TARGET_ERROR or level is LEVELS[-1]:
            defect = mesh_defect(system, finer)
        root, digits = finer, new
        if error < TARGET_ERROR and defect <= MASS_TOLERANCE:
            break
    flaws = [mass_flaw("limiting selection", system.law.defect)]
    if np.isfinite(defect):
        flaws.append(mass_flaw("quadrature", defect))
        error = max(error, defect)
    return Certified(root, digits, max(error, system.law.defect), " ".join(filter(None, flaws)))


def mesh_defect(system: System, root: Root) -> float:
    """Relative difference of what the mesh of a root keeps and what was asked for."""
    return abs(root.kept / system.law.fraction - 1)

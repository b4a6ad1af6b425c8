"""Many classes: rounds of one fit, and where they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from nfl_pruning.theory.mixture.closing import Fit, State
from nfl_pruning.theory.mixture.geometry import Matrix
from nfl_pruning.theory.mixture.many_classes.anderson import Secants, fixed_point
from nfl_pruning.theory.mixture.many_classes.many_setting import ManySetting
from nfl_pruning.theory.mixture.many_classes.rounds import (
    Terms,
    closed,
    moments_of,
    pack,
    sizes,
    unpack,
)
from nfl_pruning.theory.mixture.stage import Stage

UNKNOWN_RATE = 0.2  # by which a correction shrinks what is left, before it was seen
GRADIENT = 1e-6  # largest that may be left in the fitted outputs


@dataclass(frozen=True)
class ManyStage(Stage):
    """A fit that was solved for, or not.

    Attributes:
        converged: whether the search ended.
        residual: largest scaled change that is left. steps: rounds taken.
        shift: what exact rounds add to cheap ones, packed; 0 where all are exact.
        offset: what they add to the intercept, shape (R,).
        rate: by which corrections shrank the residual.
    """

    converged: bool
    residual: float
    steps: int
    shift: np.ndarray | float = 0.0
    offset: np.ndarray | float = 0.0
    rate: float = UNKNOWN_RATE


class Rounds:
    """Rounds of one fit, each from the outputs that the last one fitted.

    From several scrambles of its points a round reads the mean of what each of them gives.
    """

    def __init__(self, setting: ManySetting, *terms: Terms) -> None:
        self.setting, self.terms = setting, terms
        self.given = mean_of([one.given for one in terms])
        n_outputs = len(setting.outputs.basis)
        self.outputs: list[Matrix] = [
            np.zeros((len(one.points.mass), n_outputs, one.points.mass.shape[1])) for one in terms
        ]
        self.law: State | None = None
        self.fit: Fit | None = None
        self.gradient = np.inf

    def __call__(self, state: State) -> State:
        outputs, terms = self.setting.outputs, self.terms[0]
        moments, gradients = [], []
        with jax.enable_x64(True):
            for i, one in enumerate(self.terms):
                found, self.outputs[i], left = moments_of(
                    state, self.outputs[i], one.points, one.pseudo, outputs=outputs
                )
                moments.append(found)
                gradients.append(left)
            law, self.fit = closed(
                terms.geometry,
                mean_of(moments),
                state.mean,
                self.given,
                ridge=terms.ridge,
                samples_per_feature=terms.samples_per_feature,
                free=self.setting.problem.student.intercept,
            )
        self.law, self.gradient = law, max(float(left) for left in gradients)
        return law

    def until(
        self,
        start: State,
        tolerance: float,
        *,
        shift: np.ndarray | float = 0.0,
        cautious: bool = True,
        most: int = 60,
        secants: Secants | None = None,
    ) -> ManyStage:
        """The law that a round, with a shift added, gives back."""

        def answer(x: np.ndarray) -> np.ndarray:
            return pack(self(unpack(x, start))) + shift

        first = pack(start)
        if np.all(start.mean == 0):  # from rest: the linear fit first
            first = answer(first)
        found = fixed_point(answer, first, lambda x: sizes(x, start), tolerance=tolerance,
                            cautious=cautious, most=most, secants=secants)  # fmt: skip
        assert self.law is not None and self.fit is not None
        state = unpack(found.x, start)._replace(intercept=self.law.intercept)
        good = found.converged and self.gradient < GRADIENT
        return ManyStage(state, self.fit, good, found.residual, found.steps)


def mean_of(parts: Sequence[Any]) -> Any:
    """The mean of equal trees of arrays."""
    if len(parts) == 1:
        return parts[0]
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *parts)

"""Many classes: the law that one round of the equations gives back.

Where covariances share no eigenvectors a round costs the inverse of a matrix of (outputs x
features), and the points next to nothing. There the rounds use the diagonals of the covariances in
the eigenbasis of their mean, whose algebra is cheap, plus a shift of the unknowns; one exact round
where they end says by how much the shift has to change. The end is the exact round's own, whatever
was left out: only its result counts, and an exact round measures what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from nfl_pruning.theory.mixture.closing import Fit, Given, State
from nfl_pruning.theory.mixture.geometry import Matrix
from nfl_pruning.theory.mixture.many_classes.anderson import MEMORY, fixed_point, mixed
from nfl_pruning.theory.mixture.many_classes.many_setting import ManySetting
from nfl_pruning.theory.mixture.many_classes.rounds import (
    Terms,
    at_rest,
    one_round,
    pack,
    sizes,
    unpack,
)
from nfl_pruning.theory.mixture.space import Space
from nfl_pruning.theory.mixture.stage import Stage

TOLERANCE = 1e-5  # of the fixed point, scaled, unless a caller asks for less
LADDER = (100.0, 30.0, 10.0, 3.0, 1.0)
CORRECTIONS = 12  # at most
UNKNOWN_RATE = 0.2  # by which a correction shrinks what is left, before it was seen
DEAR = 8.0  # times the points' work from which on whole covariances are dear
UNRATED = 0.1  # of the tolerance, for whole covariances without corrections, which show a rate
GRADIENT = 1e-6  # largest that may be left in the fitted outputs


@dataclass(frozen=True)
class ManyStage(Stage):
    """A fit that was solved for, or not.

    Attributes:
        converged: whether the search ended.
        residual: largest scaled change that is left. steps: rounds taken.
        shift: what exact rounds add to cheap ones, packed; 0 where all are exact.
        rate: by which corrections shrank the residual.
    """

    converged: bool
    residual: float
    steps: int
    shift: np.ndarray | float = 0.0
    rate: float = UNKNOWN_RATE


def solve_stage(
    setting: ManySetting,
    terms: Terms,
    near: ManyStage | None,
    tolerance: float = TOLERANCE,
    *,
    exact: bool = False,
) -> ManyStage:
    """The law that a round gives back: from a neighbour's, from rest, or down the ridge.

    Args:
        setting: of the problem.
        terms: of the equations.
        near: the answer of a neighbouring problem with the same shapes.
        tolerance: largest scaled change of the unknowns by one more round.
        exact: whether the fit's parameter is wanted, not its law and intercept alone.
    """
    if near is not None and near.converged:
        stage = _attempt(setting, terms, near.state, tolerance, near=near, exact=exact)
        if stage.converged:
            return stage
    rest = at_rest(terms, len(setting.outputs.basis))
    stage = _attempt(setting, terms, rest, tolerance, exact=exact)
    if stage.converged:
        return stage
    state, steps = rest, stage.steps
    for multiple in LADDER:
        higher = terms._replace(ridge=terms.ridge * multiple)
        stage = _Rounds(setting, higher).until(state, tolerance, most=120)
        steps += stage.steps
        state = stage.state if stage.converged else state
    return replace(stage, steps=steps)


def _attempt(
    setting: ManySetting,
    terms: Terms,
    start: State,
    tolerance: float,
    *,
    near: ManyStage | None = None,
    exact: bool,
) -> ManyStage:
    """From one start: by corrected cheap rounds where rounds are dear, else by plain ones."""
    cheap = cheap_terms(setting.space, terms)
    if cheap is not None:
        stage = _corrected(setting, terms, cheap, start, tolerance, near=near, exact=exact)
        if stage.converged:
            return stage
    share = 1.0 if setting.space.turn is None else UNRATED
    return _Rounds(setting, terms).until(start, share * tolerance, cautious=near is None)


class _Rounds:
    """Rounds of one fit, each from the outputs that the last one fitted."""

    def __init__(self, setting: ManySetting, terms: Terms) -> None:
        n, size = terms.points.mass.shape
        self.setting, self.terms = setting, terms
        self.outputs: Matrix = np.zeros((n, len(setting.outputs.basis), size))
        self.law: State | None = None
        self.fit: Fit | None = None
        self.gradient = np.inf

    def __call__(self, state: State) -> State:
        free = self.setting.problem.student.intercept
        with jax.enable_x64(True):
            self.law, self.fit, self.outputs, gradient = one_round(
                state, self.outputs, self.terms, outputs=self.setting.outputs, free=free
            )
        self.gradient = float(gradient)
        return self.law

    def until(
        self,
        start: State,
        tolerance: float,
        *,
        shift: np.ndarray | float = 0.0,
        cautious: bool = True,
        most: int = 60,
    ) -> ManyStage:
        """The law that a round, with a shift added, gives back."""

        def answer(x: np.ndarray) -> np.ndarray:
            return pack(self(unpack(x, start))) + shift

        first = pack(start)
        if np.all(start.mean == 0):  # from rest: the linear fit first
            first = answer(first)
        found = fixed_point(answer, first, lambda x: sizes(x, start), tolerance=tolerance,
                            cautious=cautious, most=most)  # fmt: skip
        assert self.law is not None and self.fit is not None
        state = unpack(found.x, start)._replace(intercept=self.law.intercept)
        good = found.converged and self.gradient < GRADIENT
        return ManyStage(state, self.fit, good, found.residual, found.steps)


def cheap_terms(space: Space, terms: Terms) -> Terms | None:
    """Terms with the covariances' diagonals alone; None where whole ones are not dear."""
    geometry, given = terms.geometry, terms.given
    if space.turn is None or _work_ratio(terms) < DEAR:
        return None
    noise, inverse = (
        None if one is None else geometry.diagonal(one, space.turn)
        for one in (given.noise, given.inverse)
    )
    return terms._replace(geometry=space.near, given=Given(given.rows @ space.turn, noise, inverse))


def _work_ratio(terms: Terms) -> float:
    """What a round's algebra with whole covariances costs, over what its points cost.

    Measured on a CPU: 2 ns for a cubed output of a point, and 200 ns for whatever else is done to
    one.
    """
    outputs = terms.points.eta.shape[-1]
    of_points = 1e-9 * terms.points.mass.size * (2.0 * outputs**3 + 200.0)
    return terms.geometry.seconds(outputs) / of_points


def _corrected(
    setting: ManySetting,
    terms: Terms,
    cheap: Terms,
    start: State,
    tolerance: float,
    *,
    near: ManyStage | None,
    exact: bool,
) -> ManyStage:
    """Cheap rounds to their end, an exact one, a better shift, until the exact one agrees.

    The shift is what the exact round leaves, accelerated: where few samples are kept cheap rounds
    respond to a change by up to twice what exact ones do.
    """
    full, quick = _Rounds(setting, terms), _Rounds(setting, cheap)
    shift, rate = (0.0, UNKNOWN_RATE) if near is None else (near.shift, near.rate)
    inner, last, steps = 1e-3, np.inf, 0
    shifts: list[np.ndarray] = []
    moves: list[np.ndarray] = []
    stage = quick.until(start, inner, shift=shift, cautious=near is None)
    for _ in range(CORRECTIONS):
        steps += stage.steps + 1
        if not stage.converged:
            break
        full.outputs = quick.outputs
        law = full(stage.state)
        moved, scale = pack(law) - pack(stage.state), sizes(pack(stage.state), stage.state)
        error = float(np.max(np.abs(moved) / scale))
        if np.isfinite(last):
            rate = min(max(error / last, 0.01), 1.0)
        if not np.isfinite(error) or error > 2 * last or full.gradient > GRADIENT:
            break
        assert full.fit is not None
        if error < tolerance:
            return ManyStage(law, full.fit, True, error, steps, shift, rate)
        shifts, moves = [*shifts[-MEMORY:], shift + 0 * moved], [*moves[-MEMORY:], moved]
        shift = mixed(shifts, moves, scale, 1.0)
        offset = np.asarray(law.intercept) - np.asarray(stage.state.intercept)
        inner, last = max(0.02 * error, 0.1 * tolerance), error
        stage = quick.until(stage.state, inner, shift=shift, cautious=False)
        if stage.converged and not exact and 2 * rate * error < tolerance:
            state = stage.state._replace(intercept=stage.state.intercept + offset)
            fit = full.fit._replace(intercept=state.intercept)
            return ManyStage(state, fit, True, 2 * rate * error + inner, steps, shift, rate)
    return replace(stage, converged=False, fit=full.fit or stage.fit, steps=steps)


def fits(stage: ManyStage | None, terms: Any) -> ManyStage | None:
    """A neighbour's answer, if it has the shapes of these terms."""
    if stage is None:
        return None
    state = stage.state
    same = (
        state.cross.shape[0] == terms.pseudo.shape[0]
        and state.cross.shape[-1] == terms.pseudo.shape[-1]
        and state.coupling.shape[-1] == terms.points.own.shape[-1]
    )
    return stage if same else None

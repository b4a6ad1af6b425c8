"""Many classes: the law that one round of the equations gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from nfl_pruning.theory.mixture.closing import State
from nfl_pruning.theory.mixture.many_classes.corrected import cheap_terms, corrected, together
from nfl_pruning.theory.mixture.many_classes.many_setting import ManySetting
from nfl_pruning.theory.mixture.many_classes.rounds import Terms, at_rest
from nfl_pruning.theory.mixture.many_classes.stepping import ManyStage, Rounds

TOLERANCE = 1e-5  # of the fixed point, scaled, unless a caller asks for less
LADDER = (100.0, 30.0, 10.0, 3.0, 1.0)
UNRATED = 0.1  # of the tolerance, for whole covariances without corrections, which show a rate


class Stages(NamedTuple):
    """A fit from several scrambles.

    Attributes:
        stages: of the scrambles, up to the first that was not solved for.
        near: what a neighbouring problem may start from.
        mean: from the mean of the scrambles' moments, where it was solved for.
    """

    stages: list[ManyStage]
    near: ManyStage
    mean: ManyStage | None = None


def solve_stages(
    setting: ManySetting,
    terms: Sequence[Terms],
    near: ManyStage | None,
    tolerance: float = TOLERANCE,
    *,
    exact: bool = False,
) -> Stages:
    """One fit from several scrambles of its points: :func:`solve_stage` of each."""
    if len(terms) > 1:
        shared = together(setting, terms, near, tolerance, exact=exact)
        if shared is not None:
            stages, mean = shared
            return Stages(stages, mean, mean)
    found = []
    for one in terms:
        near = solve_stage(setting, one, near, tolerance, exact=exact)
        found.append(near)
        if not near.converged:
            break
    return Stages(found, found[-1])


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
        stage = Rounds(setting, higher).until(state, tolerance, most=120)
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
        full, quick = Rounds(setting, terms), Rounds(setting, cheap)
        stage = corrected(full, quick, start, tolerance, near=near, exact=exact)
        if stage.converged:
            return stage
    share = 1.0 if setting.space.turn is None else UNRATED
    return Rounds(setting, terms).until(start, share * tolerance, cautious=near is None)


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

"""Many classes: cheap rounds of the equations, corrected by dear ones.

Where covariances share no eigenvectors a round costs the inverse of a matrix of (outputs x
features), and the points next to nothing. There the rounds use the diagonals of the covariances in
the eigenbasis of their mean, whose algebra is cheap, plus a shift of the unknowns; one exact round
where they end says by how much the shift has to change. The end is the exact round's own, whatever
was left out: only its result counts, and an exact round measures what is left.

Several scrambles of points share the shift: exact rounds read the mean of their moments, and each
scramble's law follows by cheap rounds of its own. As the moments of a scramble differ from the mean
by noise alone, and the noise has mean 0, the mean over scrambles is as exact as if each had been
corrected by itself; how far they lie apart is what cheap rounds make of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nfl_pruning.theory.mixture.closing import Given, State
from nfl_pruning.theory.mixture.many_classes.anderson import Secants
from nfl_pruning.theory.mixture.many_classes.many_setting import ManySetting
from nfl_pruning.theory.mixture.many_classes.rounds import Terms, at_rest, pack, sizes
from nfl_pruning.theory.mixture.many_classes.stepping import (
    GRADIENT,
    UNKNOWN_RATE,
    ManyStage,
    Rounds,
)
from nfl_pruning.theory.mixture.space import Space

CORRECTIONS = 12  # at most
DEAR = 8.0  # times the points' work from which on whole covariances are dear
INNER = 0.1  # of the tolerance, to which cheap rounds go
FIRST = 1e-3  # scaled change at which cheap rounds are corrected for the first time


def together(
    setting: ManySetting,
    terms: Sequence[Terms],
    near: ManyStage | None,
    tolerance: float,
    *,
    exact: bool,
) -> tuple[list[ManyStage], ManyStage] | None:
    """All scrambles by one shift; None where rounds are not dear, or do not end."""
    found = [cheap_terms(setting.space, one) for one in terms]
    cheap = [one for one in found if one is not None]
    if len(cheap) < len(terms):
        return None
    full, quick = Rounds(setting, *terms), Rounds(setting, *cheap)
    # One scramble finds the neighbourhood of the end.
    alone, secants = Rounds(setting, cheap[0]), Secants()
    if near is None:
        rest = at_rest(terms[0], len(setting.outputs.basis))
        start = alone.until(rest, FIRST, secants=secants).state
    else:
        start = alone.until(
            near.state, FIRST, shift=near.shift, cautious=False, secants=secants
        ).state
    shared = corrected(full, quick, start, tolerance, near=near, exact=False, secants=secants)
    if not shared.converged:
        return None if near is None else together(setting, terms, None, tolerance, exact=exact)
    stages = []
    for i, one in enumerate(cheap):
        own = Rounds(setting, one)
        own.outputs = [quick.outputs[i]]
        stage = own.until(
            shared.state,
            INNER * tolerance,
            shift=shared.shift,
            cautious=False,
            secants=secants.copy(),
        )
        if not stage.converged:
            return None
        intercept = stage.state.intercept + shared.offset
        fit = shared.fit
        if exact:
            whole = Rounds(setting, terms[i])
            whole.outputs = own.outputs
            whole(stage.state)
            assert whole.fit is not None
            fit = whole.fit
        stages.append(replace(shared, state=stage.state._replace(intercept=intercept), fit=fit))
    return stages, shared


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


def corrected(
    full: Rounds,
    quick: Rounds,
    start: State,
    tolerance: float,
    *,
    near: ManyStage | None,
    exact: bool,
    secants: Secants | None = None,
) -> ManyStage:
    """Cheap rounds to their end, an exact one, a better shift, until the exact one agrees.

    The shift is what the exact round leaves, accelerated: where few samples are kept cheap rounds
    respond to a change by up to twice what exact ones do. Cheap rounds keep their secants from one
    shift to the next.
    """
    secants, corrections = secants or Secants(), Secants()
    shift, rate = (0.0, UNKNOWN_RATE) if near is None else (near.shift, near.rate)
    inner, last, steps = FIRST, np.inf, 0
    stage = quick.until(start, inner, shift=shift, cautious=near is None, secants=secants)
    for _ in range(CORRECTIONS):
        steps += stage.steps + 1
        if not stage.converged:
            break
        full.outputs = list(quick.outputs)
        law = full(stage.state)
        moved, scale = pack(law) - pack(stage.state), sizes(pack(stage.state), stage.state)
        error = float(np.max(np.abs(moved) / scale))
        if np.isfinite(last):
            rate = min(max(error / last, 0.01), 1.0)
        if not np.isfinite(error) or error > 2 * last or full.gradient > GRADIENT:
            break
        assert full.fit is not None
        offset = np.asarray(law.intercept) - np.asarray(stage.state.intercept)
        if error < tolerance:
            return ManyStage(law, full.fit, True, error, steps, shift, offset, rate)
        corrections.add(shift + 0 * moved, moved)
        shift = corrections.step(scale, 1.0)
        inner, last = max(0.02 * error, INNER * tolerance), error
        stage = quick.until(stage.state, inner, shift=shift, cautious=False, secants=secants)
        if stage.converged and not exact and 2 * rate * error < tolerance:
            state = stage.state._replace(intercept=stage.state.intercept + offset)
            fit = full.fit._replace(intercept=state.intercept)
            left = 2 * rate * error + inner
            return ManyStage(state, fit, True, left, steps, shift, offset, rate)
    return replace(stage, converged=False, fit=full.fit or stage.fit, steps=steps)

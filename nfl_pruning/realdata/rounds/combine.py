"""From rounds on the mixture and on real rows to predictions with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nfl_pruning.realdata.advice import Prediction
from nfl_pruning.realdata.policies import RANDOM
from nfl_pruning.realdata.rounds.departure import PRIOR, Departure, Prior, infer
from nfl_pruning.realdata.rounds.levels import Level, levels
from nfl_pruning.realdata.rounds.refits import ALL, Cell
from nfl_pruning.realdata.rounds.study import Rounds
from nfl_pruning.realdata.targets import Target, column

NORMAL = 1.645  # half of the 90 % interval, in standard deviations
OUTSIDE = 1.05  # intervals are widened by this: priors and factors were themselves estimated


@dataclass(frozen=True)
class Evidence:
    """Everything that predictions are made of.

    Attributes:
        drawn: refits to rows drawn from the mixtures, as many before pruning as the data have.
        drawn_small: the same with as many of those rows as the real refits have.
        real: refits to real rows, tested on held-out ones.
        target: what is measured.
        n_rows: rows that the real refits were tested on, all rounds together.
    """

    drawn: Rounds
    drawn_small: Rounds
    real: Rounds
    target: Target
    n_rows: int

    def cells(self) -> list[Cell]:
        """All that are predicted."""
        return list(self.drawn[0])

    def measured_cells(self) -> list[Cell]:
        """Those that were also refitted on real rows."""
        return [cell for cell in self.real[0] if cell in self.drawn_small[0]]

    @cached_property
    def levels(self) -> dict[Cell, Level]:
        """What the mixtures say."""
        return levels(self.drawn, self.drawn_small, self.target)


def measured_departures(evidence: Evidence) -> dict[Cell, tuple[float, float]]:
    """Departure of theory from the real refits and its standard error, on the additive scale."""
    found = {}
    for cell in evidence.measured_cells():
        ours, error = evidence.target.estimate(column(evidence.real, cell))
        theirs = evidence.levels[cell]
        found[cell] = (ours - theirs.check, float(np.hypot(error, theirs.error)) + 0.01)
    return found


def shared_error(evidence: Evidence) -> float:
    """Standard error of all measured departures together: so many rows were tested on, no more."""
    error = float(np.mean([1 - one.accuracy for one in column(evidence.real, ALL)]))
    error = min(max(error, 1e-3), 0.9)
    if not evidence.target.is_error:
        return float(1 / np.sqrt(evidence.n_rows))
    return float(1 / np.sqrt(evidence.n_rows * error * (1 - error)))


def depart(evidence: Evidence, prior: Prior = PRIOR) -> Departure:
    """The departures of all cells, given the measured ones."""
    predicted = {cell: level.check for cell, level in evidence.levels.items()}
    measured = measured_departures(evidence)
    return infer(evidence.cells(), predicted, measured, shared=shared_error(evidence), prior=prior)


def predictions(evidence: Evidence, departure: Departure) -> tuple[Prediction, ...]:
    """Every cell, with its interval and its difference to random pruning."""
    target, cells = evidence.target, evidence.cells()
    place = {cell: i for i, cell in enumerate(cells)}
    centre = np.array([evidence.levels[c].whole for c in cells])
    scatter = np.array([evidence.levels[c].scatter for c in cells])
    singles = np.array([target.singles(column(evidence.drawn, c)) for c in cells])
    draws = singles.shape[1]
    value = centre + departure.mean
    spread = np.sqrt(np.diag(departure.covariance) + scatter**2 * (1 + 1 / draws)) * OUTSIDE
    measured = set(evidence.measured_cells())
    found = []
    for cell in cells:
        i, base = place[cell], place[(RANDOM, cell[1])]
        ends = target.shown(target.back(value[i] + NORMAL * spread[i] * np.array([1.0, -1.0])))
        gap, gap_error = _difference(target, value, departure, singles, i, base)
        seen = at_check = None
        if cell in measured:
            seen = float(target.shown(target.of(column(evidence.real, cell))))
            at_check = float(target.shown(target.back(evidence.levels[cell].check)))
        by_class, kept = _classes(evidence.drawn, cell)
        found.append(
            Prediction(
                cell[0],
                cell[1],
                float(target.shown(target.back(value[i]))),
                float(min(ends)),
                float(max(ends)),
                float(target.shown(target.back(centre[i]))),
                gap,
                gap_error,
                measured=seen,
                at_check=at_check,
                by_class=by_class,
                kept_by_class=kept,
            )
        )
    return tuple(found)


def _difference(
    target: Target,
    value: np.ndarray,
    departure: Departure,
    singles: np.ndarray,
    i: int,
    base: int,
) -> tuple[float, float]:
    """By how much a cell is better than another in shown units, and its standard error."""
    if i == base:
        return 0.0, 0.0
    shown = target.shown(target.back(value[[i, base]]))
    gap = float(shown[0] - shown[1]) * (1 if target.is_error else -1)
    step = 1e-4
    slope = np.abs(target.shown(target.back(value[[i, base]] + step)) - shown) / step
    paired = singles[i] * slope[0] - singles[base] * slope[1]
    draws = len(paired)
    own = float(np.var(paired, ddof=1)) / draws if draws > 1 else 0.0
    corner = departure.covariance[np.ix_([i, base], [i, base])]
    weights = np.array([slope[0], -slope[1]])
    return gap, float(OUTSIDE * np.sqrt(max(float(weights @ corner @ weights), 0.0) + own))


def _classes(rounds: Rounds, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy of each class in percent, and the share of each class that is kept."""
    own = column(rounds, cell)
    accuracy = 100 * np.nanmean(np.stack([one.by_class for one in own]), axis=0)
    kept = np.mean(np.stack([one.kept_by_class for one in own]), axis=0)
    whole = np.mean(np.stack([one.kept_by_class for one in column(rounds, ALL)]), axis=0)
    return accuracy, kept / np.maximum(whole, 1e-9)


def best_cells(found: Sequence[Prediction], better: int) -> list[Cell]:
    """At every fraction below 1, the policy that would be recommended, and random pruning."""
    cells: list[Cell] = []
    for fraction in sorted({one.keep_fraction for one in found} - {1.0}):
        own = [one for one in found if one.keep_fraction == fraction]
        best = max(own, key=lambda one: one.careful(better))
        cells += [(best.policy, fraction), (RANDOM, fraction)]
    return list(dict.fromkeys(cells))


def left_over(evidence: Evidence) -> float:
    """Largest departure of a check, in points, from what the other checks led to expect."""
    target, seen = evidence.target, measured_departures(evidence)
    predicted = {c: evidence.levels[c].check for c in seen}
    for cell in list(seen):
        predicted.setdefault((RANDOM, cell[1]), predicted[ALL])
    worst = 0.0
    for cell in seen:
        others = {c: v for c, v in seen.items() if c != cell}
        if not others:
            continue
        told: Departure = infer([cell], predicted, others, shared=shared_error(evidence))
        ours = target.shown(target.back(predicted[cell] + seen[cell][0]))
        theirs = target.shown(target.back(predicted[cell] + told.mean[0]))
        noise = abs(
            float(
                target.shown(target.back(predicted[cell] + 2 * seen[cell][1]))
                - target.shown(target.back(predicted[cell]))
            )
        )
        worst = max(worst, abs(float(ours - theirs)) - noise)
    return worst

"""What the mixtures say of each cell, at the data's size and at that of the checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nfl_pruning.realdata.rounds.refits import Cell
from nfl_pruning.realdata.rounds.study import Rounds
from nfl_pruning.realdata.targets import Target, column

# What more rows gain the mixtures is more than it gains the data; as a share of it, and the
# log-odds by which policies differ in it. Set on the tuning tasks of ``simulations/advice.py``.
GAINED = 0.65
UNLIKE = 0.1


class Level(NamedTuple):
    """A cell on the mixtures, on the additive scale.

    Attributes:
        whole: of refits before which there are as many rows as the data have.
        check: of refits before which there are as many rows as in a check, if fewer rows lose
            ``GAINED`` of what they lose the mixtures.
        scatter: standard deviation of one refit.
        error: standard error of ``check``.
    """

    whole: float
    check: float
    scatter: float
    error: float


def levels(drawn: Rounds, small: Rounds, target: Target) -> dict[Cell, Level]:
    """Every cell's level.

    A cell that was checked has draws of both sizes, the smaller ones the first rows of the larger.
    What the other rows gain is far smaller than what two draws differ by, and much the same for all
    policies at a fraction: it is drawn to their mean by the noise that it has, and then both sizes
    tell of one level.

    Args:
        drawn: refits to all drawn rows, one a draw; all cells.
        small: the same to the first of them; the cells that were checked.
        target: what is measured.
    """
    lost = losses([c for c in drawn[0] if c in small[0]], drawn, small, target)
    found = {}
    for cell in drawn[0]:
        value = target.estimate(column(drawn, cell))[0]
        variance = _variance(drawn, cell, target)
        if cell not in lost:
            error = np.sqrt(variance / len(drawn))
            found[cell] = Level(value, value, float(np.sqrt(variance)), float(error))
            continue
        both = 0.5 * (value + target.estimate(column(small, cell))[0] - lost[cell])
        variance = 0.5 * (variance + _variance(small, cell, target))
        error = np.sqrt(variance / (len(drawn) + len(small)))
        found[cell] = Level(
            both, both + GAINED * lost[cell], float(np.sqrt(variance)), float(error)
        )
    return found


def losses(
    cells: Sequence[Cell], drawn: Rounds, small: Rounds, target: Target
) -> dict[Cell, float]:
    """What a check's fewer rows lose each cell, drawn to the mean at its fraction.

    Args:
        cells: that have draws of both sizes.
        drawn: refits to all drawn rows.
        small: refits to the first of them, draw by draw.
        target: what is measured.
    """
    found: dict[Cell, float] = {}
    for fraction in {cell[1] for cell in cells}:
        own = [cell for cell in cells if cell[1] == fraction]
        values, squares = [], []
        for cell in own:
            both = [column(rounds, cell) for rounds in (small, drawn)]
            ends = [target.estimate(one)[0] for one in both]
            without = np.subtract(*(target.without_one(one) for one in both))
            values.append(ends[0] - ends[1])
            squares.append((len(without) - 1) * np.var(without))
        noise = float(np.mean(squares))
        share = UNLIKE**2 / (UNLIKE**2 + noise)
        middle = float(np.mean(values))
        found |= {c: middle + share * (v - middle) for c, v in zip(own, values, strict=True)}
    return found


def _variance(rounds: Rounds, cell: Cell, target: Target) -> float:
    """Of one refit on the additive scale."""
    singles = target.singles(column(rounds, cell))
    return float(np.var(singles, ddof=1)) if len(singles) > 1 else 0.0

"""How far a data set departs from its mixture, cell by cell: a Gaussian process, measured at a few.

The departure of a cell is what was measured minus what was predicted, as log-odds of the error.
Its prior has three parts: a shift common to all cells, a shift that grows as less is kept, and one
of a policy's own that grows with how far the policy is from random pruning. Their sizes were set on
the tuning tasks of ``simulations/advice.py``; refits at a few cells then say what they are here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nfl_pruning.realdata.policies import RANDOM, Policy

Cell = tuple[Policy, float]


@dataclass(frozen=True)
class Prior:
    """Standard deviations of the parts, in log-odds of the error.

    Attributes:
        common: of the shift that all cells share.
        little: of the shift at a tenth kept, on top of it.
        base: of a policy's own shift at a tenth kept.
        gap: of a policy's own shift per unit of its distance from random pruning in log-odds.
        alike: correlation of two policies with the same end.
        alone: of a shift that no two cells share.
    """

    common: float = 0.15
    little: float = 0.10
    base: float = 0.20
    gap: float = 0.40
    alike: float = 0.6
    alone: float = 0.03


PRIOR = Prior()


def covariance(
    cells: Sequence[Cell], predicted: Mapping[Cell, float], prior: Prior = PRIOR
) -> np.ndarray:
    """Prior covariance of the departures, shape (cells, cells).

    Args:
        cells: policies with fractions.
        predicted: what is predicted for each cell and for random pruning at each fraction, on the
            additive scale.
        prior: sizes.
    """
    n = len(cells)
    decades = np.array([-np.log10(fraction) for _, fraction in cells])
    own = np.array([0.0 if p.is_random or f == 1 else 1.0 for p, f in cells])
    gap = np.array([predicted[c] - predicted[_random_at(c)] for c in cells])
    size = own * np.sqrt((prior.base * decades) ** 2 + (prior.gap * gap) ** 2)
    near = np.exp(-np.abs(decades[:, None] - decades) / 1.0)
    alike = np.array([[_alike(a[0], b[0], prior) for b in cells] for a in cells]).reshape(n, n)
    return (
        prior.common**2
        + prior.little**2 * decades[:, None] * decades * near
        + np.outer(size, size) * alike * near
        + np.eye(n) * (prior.alone**2 * (1 + 2 * decades) ** 2)
    )


def _random_at(cell: Cell) -> Cell:
    return (RANDOM, cell[1])


def _alike(one: Policy, other: Policy, prior: Prior) -> float:
    """Correlation of two policies' own shifts."""
    if one.is_random or other.is_random or one.keep != other.keep:
        return float(one == other)
    if one.score == other.score:
        return 1.0 - 0.5 * abs(one.exploit - other.exploit)
    return prior.alike * (1.0 - 0.5 * abs(one.exploit - other.exploit))


@dataclass(frozen=True)
class Departure:
    """The departures of all cells given those that were measured.

    Attributes:
        cells: all of them.
        mean: shape (cells,).
        covariance: shape (cells, cells).
        surprise: mean squared size of what was measured, in units of what was expected: about 1
            where the data depart as the tuning tasks did.
    """

    cells: tuple[Cell, ...]
    mean: np.ndarray
    covariance: np.ndarray
    surprise: float


def infer(
    cells: Sequence[Cell],
    predicted: Mapping[Cell, float],
    measured: Mapping[Cell, tuple[float, float]],
    *,
    shared: float = 0.0,
    prior: Prior = PRIOR,
) -> Departure:
    """Condition the prior on measured departures.

    Args:
        cells: where it is wanted.
        predicted: as for :func:`covariance`, measured cells included.
        measured: departure and its standard error at the measured cells.
        shared: standard error that all measured departures have in common: they are measured on
            the same rows.
        prior: sizes.
    """
    seen = list(measured)
    whole = covariance([*cells, *seen], predicted, prior)
    n = len(cells)
    values = np.array([measured[cell][0] for cell in seen])
    errors = np.array([measured[cell][1] for cell in seen])
    inner = whole[n:, n:] + np.diag(errors**2) + shared**2
    gain = np.linalg.solve(inner, whole[n:, :n]).T
    surprise = float(values @ np.linalg.solve(inner, values) / max(len(seen), 1))
    rest = whole[:n, :n] - gain @ whole[n:, :n]
    return Departure(tuple(cells), gain @ values, 0.5 * (rest + rest.T), surprise)

"""What is to stay good when rows are dropped: accuracy, the worst class, or the loss.

Every target is a number that is better when smaller, on a scale where departures of theory from
data add up: log-odds of an error, or the logarithm of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nfl_pruning.realdata.rounds.refits import Cell, Outcome

LEAST = 1e-4


@dataclass(frozen=True)
class Target:
    """A measure of refits.

    Attributes:
        name: ``accuracy``, ``worst-class`` or ``loss``.
        of: mean measure of some rounds' outcomes; smaller is better.
        is_error: whether it is a share, shown as accuracy in percent.
    """

    name: str
    of: Callable[[Sequence[Outcome]], float]
    is_error: bool = True

    def forth(self, value: np.ndarray | float) -> np.ndarray:
        """To the scale on which departures add up."""
        if not self.is_error:
            return np.log(np.maximum(np.asarray(value, float), LEAST))
        share = np.clip(np.asarray(value, float), LEAST, 1 - LEAST)
        return np.log(share / (1 - share))

    def back(self, value: np.ndarray | float) -> np.ndarray:
        """From that scale."""
        value = np.asarray(value, float)
        return 0.5 * (1 + np.tanh(0.5 * value)) if self.is_error else np.exp(value)

    def shown(self, value: np.ndarray | float) -> np.ndarray:
        """For people: accuracy in percent, or the loss."""
        return 100 * (1 - np.asarray(value)) if self.is_error else np.asarray(value)

    def estimate(self, outcomes: Sequence[Outcome]) -> tuple[float, float]:
        """Value and standard error on the additive scale, the latter by leaving rounds out."""
        value = float(self.forth(self.of(outcomes)))
        n = len(outcomes)
        if n < 2:
            return value, 0.0
        return value, float(np.sqrt((n - 1) * np.var(self.without_one(outcomes))))

    def singles(self, outcomes: Sequence[Outcome]) -> np.ndarray:
        """Values on the additive scale of each round by itself, shape (rounds,)."""
        return np.array([float(self.forth(self.of([one]))) for one in outcomes])

    def without_one(self, outcomes: Sequence[Outcome]) -> np.ndarray:
        """Values on the additive scale with each round left out in turn, shape (rounds,)."""
        n = len(outcomes)
        if n < 2:
            return self.forth(np.array([self.of(outcomes)]))
        left = [self.of([*outcomes[:i], *outcomes[i + 1 :]]) for i in range(n)]
        return self.forth(np.array(left))


def _error(outcomes: Sequence[Outcome]) -> float:
    return float(np.mean([1 - one.accuracy for one in outcomes]))


def _worst(outcomes: Sequence[Outcome]) -> float:
    by_class = np.nanmean(np.stack([one.by_class for one in outcomes]), axis=0)
    return float(1 - np.nanmin(by_class))


def _loss(outcomes: Sequence[Outcome]) -> float:
    return float(np.mean([one.loss for one in outcomes]))


TARGETS = {
    "accuracy": Target("accuracy", _error),
    "worst-class": Target("worst-class", _worst),
    "loss": Target("loss", _loss, is_error=False),
}


def column(rounds: Sequence[dict[Cell, Outcome]], cell: Cell) -> list[Outcome]:
    """A cell's outcomes, one a round."""
    return [one[cell] for one in rounds]

"""What statements on mixtures share: limits and simulations at two sizes, carried to infinity."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nfl_pruning.montecarlo import simulate
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Quantity
from nfl_pruning.statements.measuring.summary import extrapolate
from nfl_pruning.theory.solve import solve

Sizes = tuple[tuple[int, int], tuple[int, int]]  # features and trials, of a small and a large size


def limit_of(problem: Problem) -> Mapping[str, float]:
    """Every number of the solved limit by its name; empty of those that it does not have."""
    found = solve(problem)
    fields = {"test_error": found.test_error, "test_loss": found.test_loss}
    return {name: value for name, value in fields.items() if value is not None} | dict(
        found.observables
    )


class Trials:
    """Values of named problems at two sizes; problems share their data, trial by trial.

    Args:
        problems: by name; their inputs have no size of their own.
        sizes: see :data:`Sizes`.
        seed: of all trials.
    """

    def __init__(self, problems: Mapping[str, Problem], sizes: Sizes, seed: int) -> None:
        self.sizes = sizes
        self._runs = {
            name: [simulate(p, n_features=d, n_trials=k, seed=seed) for d, k in sizes]
            for name, p in problems.items()
        }

    def at(self, place: int, name: str, observable: str) -> np.ndarray:
        """Values of one problem at the small (0) or the large (1) size, shape (trials,)."""
        return self._runs[name][place].values(observable)

    def quantity(
        self,
        text: str,
        predicted: float,
        value: Callable[[int], np.ndarray],
        matters: float,
        relation: str = "equals",
    ) -> Quantity:
        """A predicted number beside that of the trials, without its term of order 1/d.

        Args:
            text: what it is.
            predicted: in the limit, or a bound.
            value: from the place of a size to the values of its trials.
            matters: smallest difference that would matter.
            relation: see :class:`Quantity`.
        """
        (small, _), (large, trials) = self.sizes
        found = extrapolate(small, value(0), large, value(1))
        return Quantity(text, predicted, *found, matters, trials - 1, relation)

    def compare(
        self, text: str, predicted: float, name: str, observable: str, matters: float
    ) -> Quantity:
        """One observable of one problem."""
        return self.quantity(text, predicted, lambda at: self.at(at, name, observable), matters)

    def contrast(
        self,
        text: str,
        predicted: float,
        names: tuple[str, str],
        observable: str,
        matters: float,
        relation: str = "equals",
    ) -> Quantity:
        """The first problem's observable less the second's, paired."""
        first, second = names
        return self.quantity(
            text,
            predicted,
            lambda at: self.at(at, first, observable) - self.at(at, second, observable),
            matters,
            relation,
        )

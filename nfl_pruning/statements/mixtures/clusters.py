"""What statements on mixtures share: limits and simulations at two sizes, carried to infinity."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nfl_pruning.montecarlo import simulate
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Plot, Quantity, Series
from nfl_pruning.statements.measuring.summary import extrapolate, mean_and_error
from nfl_pruning.theory.solve import solve

Axes = tuple[str, str]  # words below and beside a plot
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

    def plot(self, title: str, cases: Mapping[str, tuple[str, str, float]], axes: Axes) -> Plot:
        """Limits and trials of the large size side by side, one place a case.

        Args:
            title: what is drawn; the cases are listed behind it by number.
            cases: what a place is called -> problem, observable and its limit.
            axes: words below and beside.
        """
        place = [float(i + 1) for i in range(len(cases))]
        found = [mean_and_error(self.at(1, name, what)) for name, what, _ in cases.values()]
        listed = ", ".join(f"{i}: {case}" for i, case in enumerate(cases, start=1))
        limits = [limit for _, _, limit in cases.values()]
        means, errors = [mean for mean, _ in found], [error for _, error in found]
        simulated = f"simulated, d = {self.sizes[1][0]}"
        series = [
            Series("limit", place, limits, look="full", points=True),
            Series(simulated, place, means, errors, "aware-hardest", points=True),
        ]
        return Plot(f"{title}. {listed}", *axes, series)

"""Coverage-centric selection (Zheng et al. 2023, arXiv 2210.15809): a budget for every stratum."""

from dataclasses import dataclass

import jax
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.selections.base import ValueSelection, register_selection
from nfl_pruning.validation import check_number

STRATA = 50


@register_selection("coverage", uses=("score",))
@dataclass(frozen=True)
class Coverage(ValueSelection):
    """Drop the hardest ``cut`` share, then spread the budget evenly over 50 ranges of the score.

    The ranges have equal widths in the score's usual units. Starting with the emptiest, each gives
    an equal part of the budget that is left, or all it has; samples within a range are drawn
    uniformly and all weigh 1.
    """

    cut: float

    def __post_init__(self) -> None:
        check_number("coverage cut", self.cut, "[0, 1)")

    def check_size(self, keep_fraction: float, n_samples: int) -> int:
        total = super().check_size(keep_fraction, n_samples)
        left = n_samples - int(np.floor(self.cut * n_samples + 0.5))
        if total > left:
            raise InvalidArgumentError(
                f"coverage cut must leave the {total} samples to keep; {self.cut:g} of "
                f"{n_samples} leaves {left}."
            )
        return total

    def choose(
        self, key: Array, values: np.ndarray, keep_fraction: float
    ) -> tuple[np.ndarray, np.ndarray]:
        n, total = len(values), self.check_size(keep_fraction, len(values))
        lots = np.asarray(jax.random.permutation(key, n))  # breaks ties, and draws within ranges
        order = np.lexsort((lots, values))
        left = order[: n - int(np.floor(self.cut * n + 0.5))]
        edges = np.linspace(values[left[0]], values[left[-1]], STRATA + 1)
        stratum = np.clip(np.searchsorted(edges, values[left], side="right") - 1, 0, STRATA - 1)
        names, sizes = np.unique(stratum, return_counts=True)
        weights, probabilities = np.zeros(n), np.zeros(n)
        emptiest_first = np.argsort(sizes, kind="stable")
        for done, place in enumerate(emptiest_first):
            members = left[stratum == names[place]]
            count = min(int(sizes[place]), total // (len(names) - done))
            weights[members[np.argsort(lots[members])[:count]]] = 1.0
            probabilities[members] = count / sizes[place]
            total -= count
        # Of the samples that tie where the hardest are dropped, lots decide which are left.
        tied = values == values[left[-1]]
        probabilities[tied] = probabilities[tied].mean()
        return weights, probabilities

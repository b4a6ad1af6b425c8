"""Calibration (Ayed and Hayou 2023): part of the budget by score, the rest random, reweighted."""

from dataclasses import dataclass
from typing import Any

from nfl_pruning.numerics.arrays import choose
from nfl_pruning.selections.base import RankSelection, Stratum, register_selection
from nfl_pruning.validation import check_number


def _bands(keep_fraction: Any, exploit: Any, weight_exponent: Any) -> tuple[Stratum, ...]:
    exploited = exploit * keep_fraction
    rest = 1 - exploited
    some = rest > 0
    explored = choose(some, (1 - exploit) * keep_fraction / choose(some, rest, 1.0), 1.0)
    return (Stratum(exploited, 1.0), Stratum(rest, explored, weight_exponent))


@register_selection("exact", uses=("score", "keep", "exploit"))
@dataclass(frozen=True)
class ExactCalibration(RankSelection):
    """Keep ``exploit * keep_fraction`` by score with weight 1, explore the rest uniformly.

    Explored samples weigh the inverse of their keep probability, which makes the weighted
    empirical risk unbiased for every ``exploit`` below 1. At 1 it is the threshold rule.
    """

    exploit: float = 0.5

    def __post_init__(self) -> None:
        check_number("exploit", self.exploit, "[0, 1]")

    @property
    def nested_share(self) -> float:
        return self.exploit

    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        return _bands(keep_fraction, self.exploit, 1.0)


@register_selection("soft", uses=("score", "keep", "exploit"))
@dataclass(frozen=True)
class SoftCalibration(RankSelection):
    """Exact calibration with the explored weights raised to ``exponent`` in [0, 1].

    Less weight means less variance and some bias: 1 is exact calibration, 0 no weights at all.
    """

    exponent: float
    exploit: float = 0.5

    def __post_init__(self) -> None:
        check_number("soft exponent", self.exponent, "[0, 1]")
        check_number("exploit", self.exploit, "[0, 1]")

    @property
    def nested_share(self) -> float:
        return self.exploit

    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        return _bands(keep_fraction, self.exploit, self.exponent)

"""The rule that practice means by pruning: keep the first r n samples of the priority order."""

from dataclasses import dataclass
from typing import Any

from nfl_pruning.selections.base import RankSelection, Stratum, register_selection


@register_selection("threshold")
@dataclass(frozen=True)
class Threshold(RankSelection):
    """Keep the hardest (or easiest) fraction, all with weight 1."""

    @property
    def nested_share(self) -> float:
        return 1.0

    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        return (Stratum(keep_fraction, 1.0), Stratum(1 - keep_fraction, 0.0))

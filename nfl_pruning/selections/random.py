"""The baseline that any score has to beat."""

from dataclasses import dataclass
from typing import Any

from nfl_pruning.selections.base import RankSelection, Stratum, register_selection


@register_selection("random", uses=())
@dataclass(frozen=True)
class Random(RankSelection):
    """Keep a uniformly random subset, all with weight 1."""

    @property
    def nested_share(self) -> float:
        return 0.0

    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        return (Stratum(1.0, keep_fraction),)

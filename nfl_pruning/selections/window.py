"""A window of the priority order that starts past its first samples."""

from dataclasses import dataclass
from typing import Any

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.numerics.arrays import choose
from nfl_pruning.selections.base import RankSelection, Stratum, register_selection
from nfl_pruning.validation import check_number


@register_selection("window")
@dataclass(frozen=True)
class Window(RankSelection):
    """Skip the first ``offset`` share of the samples, then keep the next ones, all with weight 1.

    With keep hardest this leaves out the very hardest, among which label errors gather (Paul et
    al. 2021, arXiv 2107.07075, section 4.1). Offset 0 is the threshold rule.
    """

    offset: float

    def __post_init__(self) -> None:
        check_number("window offset", self.offset, "[0, 1)")

    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        rest = 1 - self.offset - keep_fraction
        if isinstance(rest, float) and rest < -1e-12:
            raise InvalidArgumentError(
                f"window offset must be at most 1 - keep_fraction = {1 - keep_fraction:g}; "
                f"got {self.offset:g}."
            )
        return (
            Stratum(self.offset, 0.0),
            Stratum(keep_fraction, 1.0),
            Stratum(choose(rest > 0, rest, 0.0), 0.0),
        )

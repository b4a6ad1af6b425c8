"""Any keep probability and weight that are constant on bands of the priority order."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.selections.base import RankSelection, Stratum
from nfl_pruning.validation import check_number, format_number


@dataclass(frozen=True)
class Piecewise(RankSelection):
    """Keep probabilities and weights on consecutive bands, first priority first.

    What an optimised rule is given back as. It is made for one keep fraction.

    Attributes:
        shares: fraction of all samples in each band, >= 0, summing to 1.
        keep: keep probability in each, in [0, 1].
        weights: weight of a kept sample in each, > 0.

    Raises:
        InvalidArgumentError: lengths differ, or an entry is out of range.
    """

    name: ClassVar[str] = "piecewise"
    uses: ClassVar[frozenset[str]] = frozenset({"score", "keep"})

    shares: tuple[float, ...]
    keep: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.shares) == len(self.keep) == len(self.weights) > 0:
            raise InvalidArgumentError(
                "piecewise bands need as many shares as keep probabilities and weights; got "
                f"{len(self.shares)}, {len(self.keep)} and {len(self.weights)}."
            )
        for name, values, allowed in (
            ("piecewise shares", self.shares, "[0, 1]"),
            ("piecewise keep", self.keep, "[0, 1]"),
            ("piecewise weights", self.weights, "(0, inf)"),
        ):
            for value in values:
                check_number(name, value, allowed)
        if abs(sum(self.shares) - 1) > 1e-9:
            raise InvalidArgumentError(
                f"piecewise shares must sum to 1; got {format_number(sum(self.shares))}."
            )

    @property
    def label(self) -> str:
        """The bands as text: ``piecewise:SHARES:KEEP:WEIGHTS`` with comma lists."""
        rows = (self.shares, self.keep, self.weights)
        return ":".join([self.name, *(",".join(map(format_number, row)) for row in rows)])

    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        kept = float(np.dot(self.shares, self.keep))
        if abs(kept - keep_fraction) > 1e-6:
            raise InvalidArgumentError(
                f"piecewise bands that keep {kept:.6g} of the samples cannot serve "
                f"keep_fraction {keep_fraction:.6g}."
            )
        rows = zip(self.shares, self.keep, self.weights, strict=True)
        return tuple(Stratum(share, keep, 0.0, weight) for share, keep, weight in rows)


def parse_piecewise(text: str) -> Piecewise:
    """A selection from its label ``piecewise:SHARES:KEEP:WEIGHTS``."""
    rows = text.split(":")[1:]
    try:
        shares, keep, weights = ([float(part) for part in row.split(",")] for row in rows)
    except ValueError:
        raise InvalidArgumentError(
            f"protocol piecewise is written piecewise:SHARES:KEEP:WEIGHTS; got {text!r}."
        ) from None
    return Piecewise(tuple(shares), tuple(keep), tuple(weights))

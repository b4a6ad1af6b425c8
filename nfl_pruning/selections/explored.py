"""Calibration whose explored part is weighted, cut or drawn in other ways than uniformly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.numerics.arrays import choose
from nfl_pruning.selections.base import (
    RankSelection,
    Stratum,
    ValueSelection,
    register_selection,
)
from nfl_pruning.validation import check_number, format_number


def _explored_rate(keep_fraction: Any, exploit: Any) -> tuple[Any, Any]:
    """Share of all samples that are not exploited, and their keep probability."""
    rest = 1 - exploit * keep_fraction
    some = rest > 0
    return rest, choose(some, (1 - exploit) * keep_fraction / choose(some, rest, 1.0), 1.0)


def _check_bands(name: str, bands: float) -> None:
    check_number(f"{name} bands", bands, "[1, inf)")
    if bands != int(bands):
        raise InvalidArgumentError(
            f"{name} bands must be a whole number; got {format_number(bands)}."
        )


@register_selection("clipped", uses=("score", "keep", "exploit"))
@dataclass(frozen=True)
class ClippedCalibration(RankSelection):
    """Exact calibration in which no explored sample weighs more than ``cap``.

    Explored samples weigh min(1 / keep probability, cap). The weighted risk is unbiased where the
    cap does not bind; where it does, explored samples count cap times their keep probability of
    what they should, and the risk leans to the exploited end by that much.
    """

    cap: float
    exploit: float = 0.5

    def __post_init__(self) -> None:
        check_number("clipped cap", self.cap, "[1, inf)")
        check_number("exploit", self.exploit, "[0, 1]")

    @property
    def nested_share(self) -> float:
        return self.exploit

    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        rest, explored = _explored_rate(keep_fraction, self.exploit)
        part = choose(self.cap * explored < 1, self.cap * explored, 1.0)
        return Stratum(1 - rest, 1.0), Stratum(rest, explored, 1.0, part)


@register_selection("middle", uses=("score", "keep", "exploit"))
@dataclass(frozen=True)
class MiddleCalibration(RankSelection):
    """Calibration that exploits a band of the order past its first ``offset`` share.

    Samples before and after the band are explored at one rate and weigh the inverse of their keep
    probability to the power ``exponent``: unbiased at 1. With ``exploit`` 1 it is the window rule.
    """

    offset: float
    exponent: float = 1.0
    exploit: float = 0.5

    def __post_init__(self) -> None:
        check_number("middle offset", self.offset, "[0, 1)")
        check_number("middle exponent", self.exponent, "[0, 1]")
        check_number("exploit", self.exploit, "[0, 1]")

    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        rest, explored = _explored_rate(keep_fraction, self.exploit)
        after = rest - self.offset
        if isinstance(after, float) and after < -1e-12:
            raise InvalidArgumentError(
                f"middle offset must be at most 1 - exploit * keep_fraction = {rest:g}; "
                f"got {self.offset:g}."
            )
        return (
            Stratum(self.offset, explored, self.exponent),
            Stratum(1 - rest, 1.0),
            Stratum(choose(after > 0, after, 0.0), explored, self.exponent),
        )


@register_selection("stratified", uses=("score", "keep", "exploit"))
@dataclass(frozen=True)
class StratifiedCalibration(RankSelection):
    """Exact calibration whose explored part takes the same share of ``bands`` bands of the order.

    The bands are of equal size. Keep probabilities and weights are those of exact calibration, so
    the weighted risk is as unbiased and the limit is the same; what varies between bands no longer
    adds to its variance (proportional allocation, Cochran 1977, section 5.3).
    """

    bands: float
    exploit: float = 0.5

    def __post_init__(self) -> None:
        _check_bands("stratified", self.bands)
        check_number("exploit", self.exploit, "[0, 1]")

    @property
    def numbers(self) -> dict[str, float]:
        return {"exploit": self.exploit}  # the number of bands decides the program

    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        rest, explored = _explored_rate(keep_fraction, self.exploit)
        count = int(self.bands)
        band = Stratum(rest / count, explored, 1.0)
        return (Stratum(1 - rest, 1.0), *[band] * count)


@register_selection("neyman", uses=("score", "exploit"))
@dataclass(frozen=True)
class NeymanCalibration(ValueSelection):
    """Keep the hardest with weight 1, explore ``bands`` bands of the rest at their best rates.

    The bands are of equal size in the order of the score. The share ``equal`` of the explored
    budget is drawn at one rate from all bands, the rest at rates proportional to the root mean
    square of a band's scores; a band gives one sample at least, and all it has at most. At
    ``equal`` 0 this is Neyman's allocation for a mean whose spread within a band is its size, such
    as that of gradients when the score is their norm; above 0 no sample weighs more than 1 /
    (equal * rate of exact calibration). Explored samples weigh the inverse of their keep
    probability, so the weighted risk is unbiased. Stratified draws by a score are the idea of
    arXiv 2601.18075.
    """

    bands: float
    equal: float = 0.5
    exploit: float = 0.5

    def __post_init__(self) -> None:
        _check_bands("neyman", self.bands)
        check_number("neyman equal", self.equal, "[0, 1]")
        check_number("exploit", self.exploit, "[0, 1]")

    def check_size(self, keep_fraction: float, n_samples: int) -> int:
        total = super().check_size(keep_fraction, n_samples)
        first = self._exploited(total)
        bands = min(int(self.bands), n_samples - first)
        if total - first < bands:
            raise InvalidArgumentError(
                f"no sample is left to explore in some of {bands} bands: {total - first} of "
                f"{n_samples} samples are explored; lower exploit or bands, or raise keep_fraction."
            )
        return total

    def _exploited(self, total: int) -> int:
        return int(np.floor(self.exploit * total + 0.5 + 1e-9))

    def choose(
        self, key: Array, values: np.ndarray, keep_fraction: float
    ) -> tuple[np.ndarray, np.ndarray]:
        if values.min() < 0:
            raise InvalidArgumentError(
                "neyman needs scores that are sizes, 0 or more, such as el2n or grand; the least "
                f"is {values.min():g}."
            )
        n, total = len(values), self.check_size(keep_fraction, len(values))
        first = self._exploited(total)
        key_ties, key_lots = jax.random.split(key)
        ties, lots = (np.asarray(jax.random.permutation(k, n)) for k in (key_ties, key_lots))
        order = np.lexsort((ties, -values))
        weights, probabilities = np.zeros(n), np.zeros(n)
        weights[order[:first]] = probabilities[order[:first]] = 1.0
        parts = [part for part in np.array_split(order[first:], int(self.bands)) if len(part)]
        sizes = np.array([len(part) for part in parts])
        spreads = np.array([np.sqrt(np.mean(values[part] ** 2)) for part in parts])
        level = float(np.average(spreads, weights=sizes)) if len(parts) else 0.0
        rates = self.equal * level + (1 - self.equal) * spreads
        for part, count in zip(parts, neyman_counts(sizes, rates, total - first), strict=True):
            chosen = part[np.argsort(lots[part])[:count]]
            weights[chosen] = len(part) / count
            probabilities[part] = count / len(part)
        # Rows that tie come in a random order: each has the mean of the chances that they share.
        _, tied, sizes = np.unique(values, return_inverse=True, return_counts=True)
        return weights, (np.bincount(tied, weights=probabilities) / sizes)[tied]


def neyman_counts(sizes: np.ndarray, spreads: np.ndarray, total: int) -> np.ndarray:
    """How many to draw from each stratum: in proportion to size times spread, from 1 to all of it.

    Args:
        sizes: samples in each stratum, >= 1, shape (bands,).
        spreads: standard deviation of what is averaged in each, >= 0, shape (bands,).
        total: samples to draw, from ``bands`` to the sum of sizes.

    Returns:
        Whole numbers that sum to ``total``, shape (bands,).
    """
    if not len(sizes):
        return np.zeros(0, int)
    top = float(spreads.max())
    wanted = sizes * (np.maximum(spreads / top, 1e-9) if top > 0 else np.ones(len(sizes)))
    counts, free = np.ones(len(sizes)), np.ones(len(sizes), bool)
    while True:  # strata at an end of their range are fixed, the others share what is left
        share = (total - counts[~free].sum()) * wanted / wanted[free].sum()
        high, low = free & (share > sizes), free & (share < 1)
        # The end that more of the draw is lost to is fixed first, so that no step goes back.
        over, under = (share - sizes)[high].sum(), (1 - share)[low].sum()
        fixed = high if over >= under else low
        if not fixed.any():
            break
        counts[fixed] = sizes[fixed] if over >= under else 1
        free &= ~fixed
        if not free.any():
            break
    counts[free] = share[free]
    whole = np.floor(counts + 1e-9).astype(int)
    first = np.argsort(-(counts - whole), kind="stable")
    whole[first[: total - whole.sum()]] += 1
    return whole

"""Class quotas in the limit: which share of each class is kept."""

from __future__ import annotations

import numpy as np

from nfl_pruning.errors import InvalidArgumentError, UnsupportedProblemError
from nfl_pruning.selections.balanced import GIVEN, filled, given_ratios
from nfl_pruning.theory.mixture.populations import Populations


def class_fractions(law: Populations, keep_fraction: float, balance: str) -> dict[int, float]:
    """The share of each class, by its sign, that a quota keeps."""
    masses = {s: law.of_class(s)[0] for s in (-1, 1)}
    shares = {
        s: sum(float(law.between(j, -9.5, 9.5)) for j in law.labels if law.sign[j] == s)
        for s in masses
    }
    by_code = {(s + 1) // 2: share for s, share in shares.items()}
    fractions = quota_fractions(by_code, keep_fraction, balance)
    return {2 * code - 1: fraction for code, fraction in fractions.items()}


def quota_fractions(shares: dict[int, float], keep_fraction: float, balance: str) -> dict:
    """Keep fractions within classes, by their codes.

    Alike; in ratios that are given; or the same mass of each until a class is used up.

    Raises:
        UnsupportedProblemError: given ratios leave too few samples.
    """
    if balance.startswith(GIVEN):
        codes = list(shares)
        ratios, masses = given_ratios(balance)[codes], np.array([shares[k] for k in codes])
        try:
            fractions = filled(masses / masses.sum(), ratios, keep_fraction)
        except InvalidArgumentError as reason:
            raise UnsupportedProblemError(str(reason)) from None
        return dict(zip(codes, fractions.tolist(), strict=True))
    if balance == "proportional":
        return dict.fromkeys(shares, keep_fraction)
    left, open_ = keep_fraction, dict(shares)
    fractions: dict[int, float] = {}
    while open_:
        each = left / len(open_)
        full = [c for c, share in open_.items() if share <= each]
        if not full:
            return fractions | {c: each / share for c, share in open_.items()}
        for c in full:
            fractions[c] = 1.0
            left -= open_.pop(c)
    return fractions

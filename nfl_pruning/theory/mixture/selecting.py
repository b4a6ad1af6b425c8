"""What a limit asks of a selection: quotas of classes, its only band, inputs of its score."""

from __future__ import annotations

from typing import Any

import numpy as np

from nfl_pruning.errors import InvalidArgumentError, UnsupportedProblemError
from nfl_pruning.probes import CrossFitProbe, PilotProbe
from nfl_pruning.selections import RankSelection, Stratum
from nfl_pruning.selections.balanced import GIVEN, filled, given_ratios

KNOWN = frozenset({"input_norm", "component", "label_is_right"})


def only_stratum(problem: Any) -> Stratum | None:
    """The one band of a selection that looks at nothing; None of another."""
    if isinstance(problem.selection, RankSelection) and problem.balance == "none":
        strata = problem.selection.strata(problem.keep_fraction)
        return strata[0] if len(strata) == 1 else None
    return None


def samples_of(problem: Any) -> float:
    """Samples per feature that a fitted probe is fitted to."""
    probe = problem.probe
    if isinstance(probe, PilotProbe):
        return probe.samples_per_feature
    seen = 1 - 1 / probe.folds if isinstance(probe, CrossFitProbe) else 1.0
    return problem.samples_per_feature * seen


def quota_fractions(
    shares: dict[int, float], keep_fraction: float, balance: str
) -> dict[int, float]:
    """Keep fractions within classes, by their codes.

    Alike; in ratios that are given; or the same mass of each until a class is used up.

    Raises:
        UnsupportedProblemError: given ratios leave too few samples.
    """
    if balance.startswith(GIVEN):
        codes = list(shares)
        ratios, masses = given_ratios(balance)[codes], np.array([shares[k] for k in codes])
        try:
            kept = filled(masses / masses.sum(), ratios, keep_fraction)
        except InvalidArgumentError as reason:
            raise UnsupportedProblemError(str(reason)) from None
        return dict(zip(codes, kept.tolist(), strict=True))
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

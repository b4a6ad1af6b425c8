"""Does a rule beat random? Paired differences, their intervals, and Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from nfl_pruning.numerics.holm import holm


@dataclass(frozen=True)
class AccuracyVerdict:
    """A rule's accuracy against random's at one keep fraction, by repeats of training.

    Attributes:
        rule: its name.
        keep_fraction: share kept.
        difference: mean over repeats of (rule - random) accuracy, in points.
        half_width: of the 95 % interval (Student's t over paired repeats), in points.
        p_value: two-sided, of the paired t test; None with fewer than two repeats or no spread.
        p_holm: the same after Holm's correction over the declared family; None outside it.
        failed: repeats left out because a network diverged.
    """

    rule: str
    keep_fraction: float
    difference: float | None
    half_width: float | None
    p_value: float | None
    p_holm: float | None = None
    failed: int = 0

    @property
    def text(self) -> str:
        """``beats random``, ``loses to random`` or ``undecided`` at 5 %, by the corrected test."""
        p = self.p_value if self.p_holm is None else self.p_holm
        if p is None or self.difference is None or p >= 0.05:
            return "undecided"
        return "beats random" if self.difference > 0 else "loses to random"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the text included."""
        return {**asdict(self), "verdict": self.text}


def paired(
    rule: str, keep_fraction: float, ours: np.ndarray, theirs: np.ndarray
) -> AccuracyVerdict:
    """Compare accuracies of the same repeats; a repeat in which either diverged is left out."""
    points = 100 * (np.asarray(ours) - np.asarray(theirs))
    valid = points[np.isfinite(points)]
    failed, n = len(points) - len(valid), len(valid)
    if n < 2:
        return AccuracyVerdict(
            rule, keep_fraction, float(valid[0]) if n else None, None, None, failed=failed
        )
    error = float(valid.std(ddof=1) / np.sqrt(n))
    half = float(stats.t.ppf(0.975, n - 1) * error)
    mean = float(valid.mean())
    p = None if error == 0 else float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return AccuracyVerdict(rule, keep_fraction, mean, half, p, failed=failed)


def verdicts(
    accuracy: Mapping[float, Mapping[str, np.ndarray]],
    *,
    baseline: str = "random",
    family: float = 0.3,
    baselines: Mapping[str, str] | None = None,
) -> list[AccuracyVerdict]:
    """Every rule against the baseline at every keep fraction.

    Args:
        accuracy: keep fraction -> rule -> accuracy of each repeat.
        baseline: the rule to beat.
        family: Holm's correction runs over all comparisons at keep fractions up to this one; it is
            declared before the results are seen.
        baselines: rule -> its own rule to beat, for rules that have one.
    """
    own = baselines or {}
    found = [
        paired(rule, fraction, values, rules[own.get(rule, baseline)])
        for fraction, rules in sorted(accuracy.items())
        for rule, values in rules.items()
        if rule not in (baseline, *own.values())
    ]
    inside = [i for i, verdict in enumerate(found) if verdict.keep_fraction <= family]
    raw = [np.nan if (p := found[i].p_value) is None else p for i in inside]
    for i, p in zip(inside, holm(raw), strict=True):
        found[i] = replace(found[i], p_holm=None if np.isnan(p) else float(p))
    return found

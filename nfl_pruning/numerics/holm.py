"""Holm's correction of p values for a family of claims."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Adjusted p values that control the chance of any false claim in the family.

    Sorted upwards, the i-th of m p values is multiplied by m - i + 1, and the running maximum is
    taken (Holm 1979). Valid under any dependence.

    Args:
        p_values: in [0, 1]; NaN, a claim that could not be tested, counts as 1 in the family's
            size and stays NaN.
    """
    given = np.asarray(p_values, float)
    p = np.where(np.isnan(given), 1.0, given)
    order = np.argsort(p, kind="stable")
    scaled = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(scaled, 1.0)
    return np.where(np.isnan(given), np.nan, adjusted)

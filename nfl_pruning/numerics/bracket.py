"""The root of a function of one number between two ends of different sign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from scipy.optimize import brentq


def bracketed_root(
    function: Callable[[float], float],
    low: float,
    high: float,
    *,
    xtol: float = 2e-12,
    rtol: float = 8.9e-16,
) -> float:
    """The root between ``low`` and ``high``, at which the function's signs differ (Brent 1973).

    Args:
        function: continuous between the ends.
        low: the lower end.
        high: the upper end.
        xtol: absolute tolerance of the root.
        rtol: relative tolerance of the root, at least four units in the last place.
    """
    return cast(float, brentq(function, low, high, xtol=xtol, rtol=cast(Any, rtol)))

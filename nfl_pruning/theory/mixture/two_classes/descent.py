"""The root of a fit to two classes: at once, or along ridges that come down to its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nfl_pruning.theory.mixture.closing import State
from nfl_pruning.theory.mixture.two_classes.newton import (
    Kind,
    Root,
    Terms,
    at_rest,
    linearised,
    search,
    unpack,
)


def follow(
    walk: Callable[[float], Terms],
    kind: Kind,
    start: np.ndarray | None,
    arrived: Callable[[State], Any] = lambda state: None,
    slopes: np.ndarray | None = None,
) -> tuple[Root, Terms]:
    """The root at the ridge asked for: at once, or along ridges that come down to it.

    Args:
        walk: multiple of the ridge -> terms.
        kind: what is compiled in.
        start: of a neighbouring problem, if any.
        arrived: told the law at every stop, before ``walk`` is asked for the next terms.
        slopes: see :func:`search`.
    """
    terms = walk(1.0)
    if start is not None:
        root = search(start, terms, kind, slopes)
        if root.converged:
            return root, terms
    x = _linear_fit(terms, kind)
    arrived(unpack(x, terms, kind))
    terms = walk(1.0)
    root = search(x, terms, kind)
    if root.converged:
        return root, terms
    x = None
    for multiple in (1e4, 1e3, 300.0, 100.0, 30.0, 10.0, 5.0, 3.0, 2.0, 1.5, 1.2, 1.0):
        terms = walk(multiple)
        if x is None:
            x = _linear_fit(terms, kind)
            arrived(unpack(x, terms, kind))
            terms = walk(multiple)
        root = search(x, terms, kind)
        x = root.x
        arrived(root.last.state)
    return root, terms


def _linear_fit(terms: Terms, kind: Kind) -> np.ndarray:
    """What a round makes of a fit at rest: the fit that is linear in the labels."""
    rest = at_rest(terms, kind)
    return rest + np.asarray(linearised(rest, terms, kind).value)

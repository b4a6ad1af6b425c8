"""The priority order that a score induces on (u, y), in the limit of many samples.

The score itself is called on a grid of probe margins. Where its values show it to be a strictly
decreasing function of ``y u`` (label-aware scores) or of ``|u|`` (label-agnostic ones), thresholds
are quantiles of that variable; any other score has its level sets located by bisection, and the
samples of a level with positive mass tie (ties are broken at random).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import erfinv, ndtri

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.numerics.programs import elementwise
from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Context, Score, binary_logits
from nfl_pruning.theory.selection_law.label_law import LABELS, LabelLaw
from nfl_pruning.theory.selection_law.level_sets import GRID, Cut, GeneralOrder, find_root

_HALF_GRID = GRID[len(GRID) // 2 :]
THEORY_NEEDS = frozenset({"input_norm"})


def refuse_mixture_parts(problem: Problem) -> None:
    """Raise where one Gaussian is asked for what the theory knows of mixtures alone.

    Raises:
        UnsupportedProblemError: the problem has an intercept, class quotas, or a mixture's probe.
    """
    if part := problem.only_for_mixtures:
        raise UnsupportedProblemError(
            f"The limit of one Gaussian is not known with {part}; inputs of components have it."
        )


@partial(jax.jit, static_argnames=("score", "positive"))
def _evaluate(score: Score, positive: bool, margins: Array) -> Array:
    labels = jnp.full(margins.shape, int(positive))
    return score.rank_key(
        binary_logits(margins), labels, Context(input_norm=jnp.ones_like(margins))
    )


Margin = Callable[[int, np.ndarray], np.ndarray]


def score_on_margins(score: Score, margin: Margin) -> Margin:
    """The score's rank key as a numpy function of (label, u), called in float64.

    Args:
        score: what ranks the samples.
        margin: (label, u) -> the probe's margin that is scored.

    Raises:
        UnsupportedProblemError: the score needs what the limit does not have, or is not finite.
    """
    missing = sorted(score.needs - THEORY_NEEDS)
    if missing:
        raise UnsupportedProblemError(
            f"The score {score.name!r} needs {' and '.join(missing)}, which the proportional limit "
            "does not describe; it takes scores of logits, labels and input norm."
        )

    def key(label: int, u: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            margins = np.asarray(margin(label, u), np.float64)
            values = elementwise(lambda m: _evaluate(score, label > 0, m), margins)
        if not np.isfinite(values).all():
            raise UnsupportedProblemError(
                f"The score {score.name!r} is not finite on all probe margins."
            )
        return values

    return key


class SignedOrder:
    """Priority is ``-sign * y u``: hardest first for sign = 1."""

    def __init__(self, law: LabelLaw, sign: int) -> None:
        self._law, self._sign = law, sign

    def priority(self, label: int, u: np.ndarray) -> np.ndarray:
        return -self._sign * label * np.asarray(u)

    def cut(self, share: float) -> Cut:
        law, sign, far = self._law, self._sign, NORMAL_RANGE
        if not 0 < share < 1:
            level = np.inf if share <= 0 else -np.inf
            return Cut(level, level)

        def excess(t: float) -> float:  # P(y u < t) for hardest first, P(y u > t) for easiest
            sides = ((-far, t), (-t, far)) if sign > 0 else ((t, far), (-far, -t))
            mass = sum(law.between(y, *side) for y, side in zip(LABELS, sides, strict=True))
            return float(mass / share - 1)

        ends = (-far, far)
        if excess(ends[0]) * excess(ends[1]) >= 0:
            level = np.inf if share < 0.5 else -np.inf
        else:
            level = -sign * find_root(excess, ends)
        return Cut(level, level)

    def crossings(self, label: int, level: float) -> np.ndarray:
        return np.array([-self._sign * label * level])


class AbsoluteOrder:
    """Priority is ``-sign * |u|``: hardest (smallest margin) first for sign = 1."""

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def priority(self, label: int, u: np.ndarray) -> np.ndarray:
        return -self._sign * np.abs(u)

    def cut(self, share: float) -> Cut:
        size = np.sqrt(2) * erfinv(share) if self._sign > 0 else -ndtri(0.5 * share)
        return Cut(-self._sign * size, -self._sign * size)

    def crossings(self, label: int, level: float) -> np.ndarray:
        return np.array([level, -level])


Order = SignedOrder | AbsoluteOrder | GeneralOrder


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to a few units in the last place (vectorised exponentials differ by one)."""
    return bool(np.allclose(a, b, rtol=1e-13, atol=0.0))


def _rises(values: np.ndarray) -> bool:
    """Increasing, strictly where the normal law has mass that matters; starts at the grid's end."""
    steps = np.diff(values)
    central = (np.abs(GRID[: len(steps)]) < 7.5) & (np.abs(GRID[1 : len(steps) + 1]) < 7.5)
    return bool((steps >= 0).all() and (steps[central] > 0).all())


def order_of(problem: Problem, law: LabelLaw, margin: Margin) -> Order:
    """The priority order of a problem's ranking score, recognised from the score's own values."""
    score, sign = problem.ranking_score, 1 if problem.keep == "hardest" else -1
    key = score_on_margins(score, margin)
    positive, negative = key(1, GRID), key(-1, GRID)
    if _same(positive, negative[::-1]) and _rises(positive[::-1]):
        return SignedOrder(law, sign)
    if _even(positive, negative) and _rises(positive[: len(_HALF_GRID)]):
        return AbsoluteOrder(sign)
    if _reads_size(score, np.abs(margin(1, GRID)).max()):
        # The size itself resolves levels near its least value, where a score may be flat.
        return GeneralOrder(law, lambda label, u: -np.abs(margin(label, u)), sign)
    return GeneralOrder(law, key, sign)


def _even(positive: np.ndarray, negative: np.ndarray) -> bool:
    return _same(positive, negative) and _same(positive, positive[::-1])


def _reads_size(score: Score, largest: float) -> bool:
    """Whether a score falls strictly with the size of the margin, whatever the label."""
    margins = GRID * (largest / NORMAL_RANGE)
    key = score_on_margins(score, lambda label, h: h)
    positive, negative = key(1, margins), key(-1, margins)
    return _even(positive, negative) and _rises(positive[: len(_HALF_GRID)])

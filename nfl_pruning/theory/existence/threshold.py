"""How many samples per feature a fit without a ridge needs, as a function of the whole problem.

For a fresh probe existence has one threshold. A probe that was fitted on the same samples changes
with their number, and so does what it keeps: ``separability_threshold`` then decides existence at
one number of samples per feature, and the threshold is where the decision changes.
"""

from __future__ import annotations

import numpy as np

from nfl_pruning.errors import InvalidArgumentError, UnsupportedProblemError
from nfl_pruning.numerics.bracket import bracketed_root
from nfl_pruning.problem import Problem
from nfl_pruning.settings import float64
from nfl_pruning.theory.existence.separability import separability_threshold
from nfl_pruning.theory.probe_limit import ProbeLimit, probe_limit
from nfl_pruning.theory.selection_law.keep_law import KeepLaw, keep_law
from nfl_pruning.validation import check_kind

STRIDE = 1.3  # between the numbers of samples per feature that are looked at
FARTHEST = 1e3  # kept samples per feature at which the search ends


@float64
def existence_threshold(problem: Problem) -> float:
    """Samples per feature (before pruning) above which a fit without a ridge exists.

    Args:
        problem: its samples per feature and its ridge are not read. For losses with a hard margin
            as their limit (logistic, hinge, max-margin) this is the end of linear separability:
            a hard-margin fit exists below it, a ridge-free logistic one above. For the squared
            loss it is one kept sample per feature.

    Returns:
        The threshold, to 8 digits; infinite where the kept samples are separable however many
        there are. For an in-sample probe the least number at which existence begins, infinite when
        that is more than 1000 kept samples per feature.

    Raises:
        InvalidArgumentError: the score has no limit.
    """
    check_kind("problem", problem, Problem)
    try:
        probe = probe_limit(problem)
        constraint = problem.student.loss.obeys
        if constraint is None:
            raise UnsupportedProblemError(
                f"The {problem.student.loss.name} loss names no constraint that its fits obey "
                "as the ridge vanishes."
            )
        if not constraint.one_sided:
            return 1 / _law(problem, probe).checked().mean(0)
        if probe.fit is None:
            return separability_threshold(problem, _law(problem, probe))
        return _first_crossing(problem)
    except UnsupportedProblemError as reason:
        raise InvalidArgumentError(str(reason)) from None


def _law(problem: Problem, probe: ProbeLimit) -> KeepLaw:
    return keep_law(problem, alignment=probe.alignment, margin=probe.margin)


def _first_crossing(problem: Problem) -> float:
    """Where existence begins, upwards from one kept sample per feature, where it cannot hold."""

    def excess(samples_per_feature: float) -> float:
        here = problem.replace(samples_per_feature=samples_per_feature)
        probe = probe_limit(here)
        needed = separability_threshold(here, _law(here, probe), fit=probe.fit)
        return samples_per_feature / needed - 1

    low = 1 / problem.keep_fraction
    while low < FARTHEST / problem.keep_fraction:
        high = STRIDE * low
        if excess(high) > 0:
            return bracketed_root(excess, low, high, xtol=1e-8, rtol=1e-8)
        low = high
    return np.inf

"""The one question that theory answers: what does the fit to the kept samples tend to?"""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import Any

import jax

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs import Isotropic, Mixture, Spectrum
from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem
from nfl_pruning.settings import with_own_settings
from nfl_pruning.theory.abundant.limit import RADIUS, abundant_limit
from nfl_pruning.theory.one_component import as_one_component, needs_component
from nfl_pruning.theory.proportional import proportional_limit
from nfl_pruning.theory.solution import Solution
from nfl_pruning.theory.spectrum import spectral_limit
from nfl_pruning.validation import check_choice, check_integer, check_kind, check_number

LIMITS = ("proportional", "abundant")


@with_own_settings
def solve(
    problem: Problem,
    *,
    limit: str = "proportional",
    n_features: int | None = None,
    radius: float | None = None,
    tolerance: float | None = None,
) -> Solution:
    """The exact limit of a pruning problem.

    Args:
        problem: any score of logits, labels and input norm; any probe; isotropic inputs or a
            spectrum.
        limit: ``"proportional"``, many samples and features at a fixed ratio; or ``"abundant"``,
            infinitely many samples at fixed features, without a ridge, over a ball.
        n_features: with abundant data, number of features >= 3, for scores of the input's norm.
        radius: with abundant data, of the ball, > 0; 100 unless given.
        tolerance: for a mixture of three classes or more, the standard error of the test error
            that is worked for; 5e-4 unless given.

    Returns:
        A :class:`Solution`. What has no limit or is not covered comes back with a status and a
        sentence instead of numbers; nothing is raised for it.

    Raises:
        InvalidArgumentError: an argument is out of range.
    """
    check_kind("problem", problem, Problem)
    check_choice("limit", limit, LIMITS)
    if n_features is not None:
        n_features = check_integer("n_features", n_features, 3)
    radius = RADIUS if radius is None else check_number("radius", radius, "(0, inf)")
    if tolerance is not None:
        tolerance = check_number("tolerance", tolerance, "(0, 1)")
    ball: dict[str, Any] = {}
    if limit == "abundant":
        ball = {"limit": limit, "n_features": n_features, "radius": radius}
    with jax.enable_x64(True):
        try:
            if limit == "abundant":
                return abundant_limit(problem, n_features, radius)
            if isinstance(problem.inputs, Mixture):
                return _mixture_limit(problem, tolerance)
            return _proportional(problem.inputs, problem)
        except UnsupportedProblemError as reason:
            return Solution(problem, Status.UNSUPPORTED, str(reason), **ball)


def _mixture_limit(problem: Problem, tolerance: float | None = None) -> Solution:
    # Its quasi-random points bring scipy.stats, which takes as long to load as all of scipy else.
    from nfl_pruning.theory.mixture.limit import mixture_limit

    return mixture_limit(problem, tolerance)


@singledispatch
def _proportional(inputs: Any, problem: Problem) -> Solution:
    """The proportional limit for a law of the inputs; a new law registers its own."""
    raise UnsupportedProblemError(
        f"Inputs of the law {inputs.label!r} can be simulated, but their limit is not known."
    )


@_proportional.register
def _(inputs: Isotropic, problem: Problem) -> Solution:
    if needs_component(problem):
        return replace(_mixture_limit(as_one_component(problem)), problem=problem)
    return proportional_limit(problem)


@_proportional.register
def _(inputs: Spectrum, problem: Problem) -> Solution:
    return spectral_limit(problem)

"""The limit of a problem whose inputs are a mixture: solved, certified, put into words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.numerics.status import Status
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.problem import Problem
from nfl_pruning.theory.mixture.many_classes import many
from nfl_pruning.theory.mixture.result import Answer
from nfl_pruning.theory.mixture.two_classes import pair
from nfl_pruning.theory.solution import Solution

TOLERANCE = 5e-4  # standard error of the test error, where points are random
EXACT = 1e-8  # error estimate, where they are not


class Neighbour:
    """What was found for the problem solved last, from which the next one's search starts."""

    def __init__(self) -> None:
        self.pair, self.many = pair.Warm(), many.Warm()


def mixture_limit(
    problem: Problem, tolerance: float | None = None, near: Neighbour | None = None
) -> Solution:
    """The proportional limit for a mixture (docs/equations.md, "Mixtures and many classes").

    Args:
        problem: inputs are a :class:`Mixture`; ridge > 0; a smooth loss, for three classes or more
            logistic (softmax) or squared; a probe of fixed weights, a pilot, in-sample or
            cross-fitted.
        tolerance: for three classes or more the standard error of the test error at which points
            are enough, 5e-4 unless given; two classes are solved to 1e-8.
        near: of a problem with the same mixture; where a search starts moves no digit stated.

    Raises:
        UnsupportedProblemError: the problem is outside of that.
    """
    wide = prepared(problem)
    assert isinstance(wide.inputs, Mixture)
    if wide.inputs.n_classes == 2:
        return _solution(problem, pair.solve_two_classes(wide, near and near.pair), EXACT)
    wanted = TOLERANCE if tolerance is None else tolerance
    found = many.solve_many_classes(wide, wanted, near and near.many)
    return _solution(problem, found, wanted)


def prepared(problem: Problem) -> Problem:
    """The problem that is solved: checked, its mixture as wide as its probe.

    Raises:
        UnsupportedProblemError: it is not one whose limit is known.
    """
    mixture = problem.inputs
    assert isinstance(mixture, Mixture)
    _check(problem, mixture)
    return problem.replace(inputs=_as_wide_as_the_probe(problem, mixture))


def _as_wide_as_the_probe(problem: Problem, mixture: Mixture) -> Mixture:
    """The same mixture, its means in as many coordinates as a probe of fixed weights has."""
    if not isinstance(problem.probe, WeightsProbe):
        return mixture
    more = problem.probe.n_features - mixture.n_features
    if more <= 0:
        return mixture
    if not mixture.any_size:
        raise UnsupportedProblemError(
            f"The probe has {problem.probe.n_features} features, the mixture only "
            f"{mixture.n_features}."
        )
    return replace(mixture, means=np.pad(mixture.means, ((0, 0), (0, more))))


def _check(problem: Problem, mixture: Mixture) -> None:
    student = problem.student
    if student.ridge == 0:
        raise UnsupportedProblemError(
            "The limit of a mixture needs ridge > 0: without one a fit to separable samples does "
            "not exist, and where it does is not computed."
        )
    if not student.loss.smooth:
        raise UnsupportedProblemError(
            f"The limit of a mixture takes smooth losses; got {student.loss.name}."
        )
    if mixture.n_classes > 2 and student.loss.many is None:
        raise UnsupportedProblemError(
            "With three classes or more the limit takes the logistic loss (softmax) or the squared "
            f"one (one against all); got {student.loss.name}."
        )


def _solution(problem: Problem, answer: Answer, wanted: float) -> Solution:
    if not answer.found:
        return Solution(problem, Status.NO_SOLUTION, answer.flaw, residual=answer.residual)
    good = answer.error <= wanted and not answer.flaw
    numbers: dict[str, Any] = {**answer.values, "observables": answer.observables}
    return Solution(
        problem,
        Status.CERTIFIED if good else Status.NOT_CERTIFIED,
        answer.flaw or _sentence(answer, wanted, good=good),
        residual=answer.residual,
        error_estimate=answer.error,
        **numbers,
    )


def _sentence(answer: Answer, wanted: float, *, good: bool) -> str:
    what = (
        f"the standard error of the test error over {answer.scrambles} scrambles"
        if answer.scrambles
        else "the change under a finer quadrature"
    )
    relation = "at most" if good else "more than"
    return f"Solved; {what} is {answer.error:.1e}, {relation} {wanted:g}."


def finite_values(values: dict[str, Any]) -> dict[str, float]:
    """Plain floats."""
    return {name: float(np.asarray(value)) for name, value in values.items()}

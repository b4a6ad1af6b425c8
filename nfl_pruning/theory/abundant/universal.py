"""What a universal approximator learns from pruned data: the kept samples' own label law.

With abundant data such a model reaches P_r(y | x) = P(y | x) pi(x, y) omega / sum over y'. A
label-agnostic selection cancels wherever something is kept; a label-aware one tilts the odds by
pi(x, 1) / pi(x, -1), and turns the Bayes classifier round where the tilt beats the odds.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from numpy.typing import ArrayLike

from nfl_pruning.numerics.quadrature import NORMAL_RANGE
from nfl_pruning.problem import Problem
from nfl_pruning.theory.abundant.limit import RADIUS, plane_law
from nfl_pruning.theory.abundant.plane import PLANE_LEVELS, PlaneLaw, plane_nodes
from nfl_pruning.validation import InvalidArgumentError


@dataclass(frozen=True)
class UniversalLimit:
    """Label probabilities before and after pruning at points of the plane, arrays of one shape.

    Attributes:
        u: the probe's standardised margin. z: the teacher's.
        before: P(y = 1 | x).
        after: P_r(y = 1 | x) under the kept (weighted) law; NaN where nothing is kept.
        kept: whether anything is kept there.
        flipped: whether the likelier label changes; ties before or after count as unchanged.
    """

    u: np.ndarray
    z: np.ndarray
    before: np.ndarray
    after: np.ndarray
    kept: np.ndarray
    flipped: np.ndarray


def universal_limit(problem: Problem, u: ArrayLike, z: ArrayLike | None = None) -> UniversalLimit:
    """The kept samples' label law at given places.

    Args:
        problem: its score's ranking, protocol and teacher are read. Norms of inputs are taken as
            equal (GraNd then ranks like EL2N).
        u: probe's standardised margin, any shape.
        z: teacher's, the same shape; left out it is the mean of z given u, which for a perfect
            probe is z itself.

    Raises:
        InvalidArgumentError: u and z cannot belong to one sample.
        UnsupportedProblemError: the score or the protocol has no known limit.
    """
    with jax.enable_x64(True):
        law = plane_law(problem, None, RADIUS)
        u = np.asarray(u, float)
        z = law.alignment * u if z is None else np.asarray(z, float)
        u, z = np.broadcast_arrays(u, z)
        if law.across == 0 and not np.allclose(z, law.alignment * u, rtol=1e-9, atol=1e-12):
            raise InvalidArgumentError(
                f"z must be {law.alignment:g} * u for a probe at cosine {law.alignment:g}; got "
                "other values."
            )
        before = np.asarray(problem.teacher.link(problem.teacher.scale * z), float)
        keep, omega = law.evaluate(u.reshape(-1, 1), np.zeros((u.size, 1)))
    pull = np.broadcast_to(np.sum(keep * omega, axis=0), (2, u.size, 1)).reshape(2, *u.shape)
    return _compare(u, z, before, before * pull[0], (1 - before) * pull[1])


def _compare(
    u: np.ndarray, z: np.ndarray, before: np.ndarray, positive: np.ndarray, negative: np.ndarray
) -> UniversalLimit:
    total = positive + negative
    kept = total > 0
    after = np.where(kept, positive / np.where(kept, total, 1.0), np.nan)
    flipped = kept & ((before - 0.5) * (np.where(kept, after, 0.5) - 0.5) < 0)
    return UniversalLimit(u, z, before, after, kept, flipped)


@dataclass(frozen=True)
class UniversalMasses:
    """Probabilities under the data law, and the 0-1 error of the limiting classifier.

    Attributes:
        kept: that something is kept at a fresh x.
        flipped: that the likelier label changes there.
        bayes_error: 0-1 error of the Bayes classifier.
        least_error, most_error: 0-1 error of the limiting classifier if it is right, or wrong,
            about the likelier label wherever nothing is kept.
    """

    kept: float
    flipped: float
    bayes_error: float
    least_error: float
    most_error: float


def universal_masses(problem: Problem) -> UniversalMasses:
    """How much of the data law a universal approximator gets wrong after pruning.

    Boundaries of the flipped region that are not jumps of the selection or the link are resolved by
    the mesh only: the probabilities are good to about 1e-4.

    Raises:
        UnsupportedProblemError: the score or the protocol has no known limit.
    """
    with jax.enable_x64(True):
        law: PlaneLaw = plane_law(problem, None, RADIUS)
        everywhere = PlaneLaw(problem, law.alignment, law.breaks, _pieces(law), law.evaluate)
        plane = plane_nodes(
            everywhere, np.zeros(2), loss=problem.student.loss, level=PLANE_LEVELS[-1]
        )
    weight = plane.mass.sum(axis=0)
    positive, negative = plane.weighted(1)
    before = np.where(weight > 0, plane.mass[0] / np.where(weight > 0, weight, 1), 0.5)
    place = np.broadcast_to(plane.u, weight.shape)
    found = _compare(place, place, before, positive, negative)
    error = np.minimum(before, 1 - before)
    wrong = np.where(found.flipped, 1 - error, error)
    unknown = float(np.sum(weight * np.where(found.kept, 0.0, 1 - 2 * error)))
    least = float(np.sum(weight * wrong))
    return UniversalMasses(
        kept=float(np.sum(weight * found.kept)),
        flipped=float(np.sum(weight * found.flipped)),
        bayes_error=float(np.sum(weight * error)),
        least_error=least,
        most_error=least + unknown,
    )


def _pieces(law: PlaneLaw) -> list[tuple[float, float]]:
    edges = np.concatenate([[-NORMAL_RANGE], law.breaks, [NORMAL_RANGE]])
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))

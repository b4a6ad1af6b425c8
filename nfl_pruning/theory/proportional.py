"""The proportional limit of a pruning problem: n, d -> infinity with n / d fixed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from nfl_pruning.losses import INTERPOLATION, MAX_MARGIN
from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem
from nfl_pruning.theory.keep_law import keep_law
from nfl_pruning.theory.mesh import LEVELS
from nfl_pruning.theory.newton import Root, System, newton, solve_coarse
from nfl_pruning.theory.observables import observables, zero_one_error
from nfl_pruning.theory.ordering import UnsupportedProblem
from nfl_pruning.theory.separability import separability_threshold

CERTIFIED_ERROR = 1e-6
TARGET_ERROR = 1e-9
ROUNDING = 1e-11  # of link, density range and linear algebra together


@dataclass(frozen=True)
class Solution:
    """The limit of a problem, with the evidence for its digits.

    Attributes:
        problem: what was solved.
        status: how it ended; numbers are None unless ``status.has_estimate``.
        message: the status in a sentence, with particulars.
        cosine: between student and teacher. norm: of the student.
        test_error: P(sign of the margin differs from a fresh noisy label). test_loss: expected
            loss of a fresh sample. excess_risk: test_loss minus the least over all parameters.
        calibration_slope: factor on the margin that would minimise the logistic test loss.
        direction_cosine: for separable samples, the cosine of the max-margin (for squared loss:
            least-norm interpolating) direction, the limit of a vanishing ridge.
        residual: largest scaled residual of the limit equations.
        error_estimate: max(|change of cosine|, relative change of norm, |change of test error|)
            between the two finest quadratures; the numbers are the finer one's.
        state: a_u, a_p (along the probe and across it), tau, kappa.
    """

    problem: Problem
    status: Status
    message: str
    cosine: float | None = None
    norm: float | None = None
    test_error: float | None = None
    test_loss: float | None = None
    excess_risk: float | None = None
    calibration_slope: float | None = None
    direction_cosine: float | None = None
    residual: float | None = None
    error_estimate: float | None = None
    state: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe values; what does not exist (or is infinite) is None."""
        numbers = {
            name: _finite(getattr(self, name))
            for name in (
                "cosine",
                "norm",
                "test_error",
                "test_loss",
                "excess_risk",
                "calibration_slope",
                "direction_cosine",
                "residual",
                "error_estimate",
            )
        }
        return {
            **numbers,
            "status": self.status.value,
            "message": self.message,
            "state": {name: _finite(value) for name, value in self.state.items()},
            "problem": self.problem.describe(),
        }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


@dataclass(frozen=True)
class _Digits:
    """Cosine, norm and test error of a root; errors are measured on these."""

    cosine: float
    norm: float
    test_error: float

    def distance(self, other: _Digits) -> float:
        return max(
            abs(self.cosine - other.cosine),
            abs(self.norm / other.norm - 1),
            abs(self.test_error - other.test_error),
        )


def _digits(problem: Problem, x: np.ndarray) -> _Digits:
    rho = problem.probe.alignment
    along = rho * x[0] + np.sqrt(max(1 - rho**2, 0.0)) * x[1]
    norm = float(np.sqrt(x[0] ** 2 + x[1] ** 2 + np.exp(2 * x[2])))
    cosine = float(np.clip(along / norm, -1.0, 1.0))
    return _Digits(cosine, norm, float(zero_one_error(problem.teacher, cosine)))


def _certify(system: System, root: Root) -> tuple[Root, _Digits, float]:
    """Refine until two quadratures agree; returns the finest root, its digits and the error."""
    digits, error = _digits(system.problem, root.x), np.inf
    terms = system.terms()
    for level in LEVELS[1:]:
        finer = newton(root.x, terms, system.rows(root.x, level), system.loss, max_steps=12)
        if not finer.converged:
            break
        new = _digits(system.problem, finer.x)
        error = new.distance(digits) + ROUNDING
        root, digits = finer, new
        if error < TARGET_ERROR:
            break
    return root, digits, error


def solve(problem: Problem) -> Solution:
    """The exact limit of a pruning problem.

    Args:
        problem: any score of logits, labels and input norm; a fixed probe.

    Returns:
        A :class:`Solution`. What has no limit or is not covered comes back with a status and a
        sentence instead of numbers; nothing is raised for it.
    """
    with jax.enable_x64(True):
        try:
            return _solve(problem)
        except UnsupportedProblem as reason:
            return Solution(problem, Status.UNSUPPORTED, str(reason))


def _solve(problem: Problem) -> Solution:
    law = keep_law(problem)
    folded = problem.teacher.link.symmetric and law.symmetric
    loss = problem.student.loss
    system = System(problem, law, loss, problem.student.ridge, folded)
    if system.ridge == 0 and (why := _no_finite_fit(system)):
        return _separable(system, why)
    root = solve_coarse(system)
    if not root.converged:
        return Solution(
            problem,
            Status.NO_SOLUTION,
            f"{Status.NO_SOLUTION.sentence} Newton and continuation in the ridge stopped at "
            f"residual {root.residual:.1e}.",
        )
    root, digits, error = _certify(system, root)
    status = Status.CERTIFIED if error <= CERTIFIED_ERROR else Status.NOT_CERTIFIED
    risks = observables(problem.teacher, loss, cosine=digits.cosine, norm=digits.norm)
    return Solution(
        problem,
        status,
        status.sentence,
        cosine=digits.cosine,
        norm=digits.norm,
        **{name: float(value) for name, value in risks.items()},
        residual=root.residual,
        error_estimate=error,
        state=_state(root.x),
    )


def _state(x: np.ndarray) -> dict[str, float]:
    a_u, a_p, tau, kappa = x[0], x[1], np.exp(x[2]), np.exp(x[3])
    return {"a_u": float(a_u), "a_p": float(a_p), "tau": float(tau), "kappa": float(kappa)}


def _no_finite_fit(system: System) -> str | None:
    """Why a ridge-free fit does not exist, or None where it does."""
    delta = system.problem.samples_per_feature
    if system.loss.separates:
        threshold = separability_threshold(system.problem, system.law)
        if delta > threshold:
            return None
        if np.isinf(threshold):
            return "they are so at any number of samples per feature"
        return f"a fit needs more than {threshold:.6g} samples per feature"
    if delta * system.law.mean(0) > 1:
        return None
    return "a fit needs more than one kept sample per feature"


def _separable(system: System, why: str) -> Solution:
    """The limit of vanishing ridge where no ridge-free fit exists: a direction without a norm."""
    hard = MAX_MARGIN if system.loss.separates else INTERPOLATION
    limit = replace(system, loss=hard, ridge=1.0)
    root = solve_coarse(limit)
    message = f"{Status.SEPARABLE.sentence.removesuffix('.')}; {why}."
    if not root.converged:
        return Solution(system.problem, Status.SEPARABLE, message)
    root, digits, error = _certify(limit, root)
    return Solution(
        system.problem,
        Status.SEPARABLE,
        message,
        direction_cosine=digits.cosine,
        residual=root.residual,
        error_estimate=error,
    )

"""The proportional limit of a pruning problem: n, d -> infinity with n / d fixed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from nfl_pruning.losses import INTERPOLATION, MAX_MARGIN
from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem
from nfl_pruning.theory.certify import certified_root
from nfl_pruning.theory.keep_law import keep_law
from nfl_pruning.theory.newton import System
from nfl_pruning.theory.observables import observables
from nfl_pruning.theory.ordering import UnsupportedProblemError
from nfl_pruning.theory.probe_limit import ProbeLimit, probe_limit
from nfl_pruning.theory.separability import separability_threshold

CERTIFIED_ERROR = 1e-6


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
        state: a_u, a_p (along the probe and across it), tau, kappa; chi (how much the
            refit feels that a sample moved its own score) for in-sample probes.
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


def solve(problem: Problem) -> Solution:
    """The exact limit of a pruning problem.

    Args:
        problem: any score of logits, labels and input norm; any probe.

    Returns:
        A :class:`Solution`. What has no limit or is not covered comes back with a status and a
        sentence instead of numbers; nothing is raised for it.
    """
    with jax.enable_x64(True):
        try:
            return _solve(problem)
        except UnsupportedProblemError as reason:
            return Solution(problem, Status.UNSUPPORTED, str(reason))


def _solve(problem: Problem) -> Solution:
    probe = probe_limit(problem)
    law = keep_law(problem, alignment=probe.alignment, margin=probe.margin)
    loss = problem.student.loss
    system = System(problem, law, loss, problem.student.ridge, probe.memory)
    if system.ridge == 0:
        if loss.separates and probe.memory is not None:
            raise UnsupportedProblemError(
                "Existence of a ridge-free fit is not known for in-sample probes; use ridge > 0."
            )
        system = replace(system, threshold=_ridge_free_threshold(system))
        if problem.samples_per_feature <= system.threshold:
            return _separable(system)
    root, digits, error = certified_root(system)
    if digits is None:
        return Solution(
            problem,
            Status.NO_SOLUTION,
            f"{Status.NO_SOLUTION.sentence} Newton and continuation stopped at "
            f"residual {root.residual:.1e}.",
        )
    error += probe.error
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
        state=_state(root.x, probe),
    )


def _state(x: np.ndarray, probe: ProbeLimit) -> dict[str, float]:
    """The unknowns by name, with the probe's alignment where it was solved for."""
    names = ("a_u", "a_p", "tau", "kappa", "chi")
    values = np.concatenate([x[:2], np.exp(x[2:4]), x[4:]])
    state = {name: float(value) for name, value in zip(names, values, strict=False)}
    return state | {"probe_alignment": probe.alignment}


def _ridge_free_threshold(system: System) -> float:
    """Samples per feature above which a ridge-free fit exists."""
    if system.loss.separates:
        return separability_threshold(system.problem, system.law)
    # More kept samples than features; at equality rounding of the mass must not decide.
    return (1 + 1e-12) / system.law.mean(0)


def _separable(system: System) -> Solution:
    """The limit of vanishing ridge where no ridge-free fit exists: a direction without a norm."""
    if np.isinf(system.threshold):
        why = "they are so at any number of samples per feature"
    else:
        why = f"a fit needs more than {system.threshold:.6g} samples per feature"
    hard = MAX_MARGIN if system.loss.separates else INTERPOLATION
    limit = replace(system, loss=hard, ridge=1.0)
    message = f"{Status.SEPARABLE.sentence.removesuffix('.')}; {why}."
    root, digits, error = certified_root(limit)
    if digits is None:
        return Solution(system.problem, Status.SEPARABLE, message)
    return Solution(
        system.problem,
        Status.SEPARABLE,
        message,
        direction_cosine=digits.cosine,
        residual=root.residual,
        error_estimate=error,
    )

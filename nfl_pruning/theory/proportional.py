"""The proportional limit of a pruning problem: n, d -> infinity with n / d fixed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np

from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem
from nfl_pruning.settings import with_own_settings
from nfl_pruning.theory.certify import certified_root
from nfl_pruning.theory.continuation import SMALL_RIDGE
from nfl_pruning.theory.keep_law import keep_law
from nfl_pruning.theory.newton import System
from nfl_pruning.theory.observables import observables
from nfl_pruning.theory.ordering import UnsupportedProblemError
from nfl_pruning.theory.probe_limit import ProbeLimit, probe_limit
from nfl_pruning.theory.separability import separability_threshold
from nfl_pruning.theory.state import State

CERTIFIED_ERROR = 1e-6
CONSTRAINT_RIDGE = 1.0  # any positive number gives the same fit under a hard constraint
INTERPOLATED = (
    "No more samples are kept than there are features, so many parameters fit them without any "
    "loss; use ridge > 0 for one of them."
)
LEAST_NORM = (
    "The kept samples are separable, so many parameters have no loss; this is the shortest of them."
)


@dataclass(frozen=True, repr=False)
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
        state: a_u, a_p (along the probe and across it), tau, kappa (under a constraint
            nu = samples_per_feature * ridge * kappa, which no ridge changes); chi (how much the
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

    def __repr__(self) -> str:
        return short_repr(self)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe values; what does not exist (or is infinite) is None."""
        numbers = {
            name: finite(getattr(self, name))
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
            "state": {name: finite(value) for name, value in self.state.items()},
            "problem": self.problem.describe(),
        }


def short_repr(solution: Any) -> str:
    """A solution in one line: how it ended, the numbers that exist, what was solved."""
    shown = ("cosine", "norm", "test_error", "direction_cosine", "error_estimate")
    numbers = {name: finite(getattr(solution, name)) for name in shown}
    parts = [f"{name}={value:.6g}" for name, value in numbers.items() if value is not None]
    inside = ", ".join([f"status={solution.status.value!r}", *parts])
    return f"{type(solution).__name__}({inside}, problem={solution.problem!r})"


def finite(value: float | None) -> float | None:
    """A plain float, or None where there is no finite number."""
    return float(value) if value is not None and np.isfinite(value) else None


@with_own_settings
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


@dataclass(frozen=True)
class Posed:
    """What is solved for a problem: its equations, or those of the limit of a vanishing ridge.

    Attributes:
        system: the equations. probe: the limit of the probe.
        ending: why there is no fit, or None. note: what its status does not say.
    """

    system: System
    probe: ProbeLimit
    ending: Status | None = None
    note: str = ""


def pose(problem: Problem) -> Posed:
    """The equations of a problem (call in a float64 scope).

    Raises:
        UnsupportedProblemError: the problem is not covered, or the probe's fit was not found.
    """
    probe = probe_limit(problem)
    law = keep_law(problem, alignment=probe.alignment, margin=probe.margin)
    loss = problem.student.loss
    system = System(problem, law, loss, problem.student.ridge, probe.fit)
    if not loss.hard and system.ridge > 0:
        return Posed(system, probe)
    system = replace(system, threshold=ridge_free_threshold(system))
    separable = problem.samples_per_feature <= system.threshold
    if not separable:
        return Posed(system, probe, Status.NOT_SEPARABLE if loss.hard else None)
    if not (loss.hard or loss.attained):
        return Posed(system, probe, Status.SEPARABLE)
    note = " Its test loss is infinite." if loss.hard else f" {LEAST_NORM}"
    return Posed(_constrained(system), probe, note=note)


def _solve(problem: Problem) -> Solution:
    posed = pose(problem)
    system, probe = posed.system, posed.probe
    if posed.ending is Status.NOT_SEPARABLE:
        return Solution(problem, posed.ending, no_fit_sentence(system))
    if posed.ending is Status.SEPARABLE:
        return _direction(system)
    loss = system.problem.student.loss
    root, digits, error, flaw = certified_root(system)
    if digits is None:
        return Solution(
            problem,
            Status.NO_SOLUTION,
            f"{Status.NO_SOLUTION.sentence} Newton and continuation stopped at "
            f"residual {root.residual:.1e}.",
        )
    error += probe.error
    status, sentence = verdict(error, flaw)
    risks = observables(problem.teacher, loss, cosine=digits.cosine, norm=digits.norm)
    return Solution(
        problem,
        status,
        sentence + posed.note,
        cosine=digits.cosine,
        norm=digits.norm,
        **{name: _known(value) for name, value in risks.items()},
        residual=root.residual,
        error_estimate=error,
        state=_state(system, root.x, probe),
    )


def verdict(error: float, flaw: str) -> tuple[Status, str]:
    """Whether numbers are certified, and that in words."""
    if flaw:
        return Status.NOT_CERTIFIED, f"Solved, but not certified. {flaw}"
    status = Status.CERTIFIED if error <= CERTIFIED_ERROR else Status.NOT_CERTIFIED
    return status, status.sentence


def _known(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)


def _state(system: System, x: np.ndarray, probe: ProbeLimit) -> dict[str, float]:
    """The unknowns by name, with the probe's alignment where it was solved for.

    Under a constraint kappa depends on a ridge that means nothing; delta ridge kappa does not.
    """
    state = named_state(x)
    if system.loss.hard:
        kappa = state.pop("kappa")
        state["nu"] = system.problem.samples_per_feature * system.ridge * kappa
    return state | {"probe_alignment": probe.alignment}


def named_state(x: np.ndarray) -> dict[str, float]:
    """The unknowns by their symbols in docs/equations.md."""
    state = State.unpack(x)
    named = {
        "a_u": state.along,
        "a_p": state.across,
        "tau": state.noise,
        "kappa": state.step,
        "chi": state.coupling,
    }
    return {name: float(value) for name, value in named.items() if value is not None}


def ridge_free_threshold(system: System) -> float:
    """Samples per feature above which the kept samples do not obey the loss's constraint."""
    constraint = system.loss.obeys
    if constraint is None:
        raise UnsupportedProblemError(
            f"The {system.loss.name} loss names no constraint that its fits obey as the ridge "
            "vanishes; use ridge > 0."
        )
    if constraint.one_sided:
        return separability_threshold(system.problem, system.law, fit=system.fit)
    # More kept samples than features; at equality rounding of the mass must not decide.
    return (1 + 1e-12) / system.law.checked().mean(0)


def _constrained(system: System) -> System:
    """The limit of a vanishing ridge where the samples can obey the loss's constraint."""
    assert system.loss.obeys is not None
    ridge = CONSTRAINT_RIDGE if system.fit is None else SMALL_RIDGE
    return replace(system, loss=system.loss.obeys, ridge=ridge)


def no_fit_sentence(system: System) -> str:
    """The status of a system on the wrong side of its threshold, with the threshold."""
    hard, threshold = system.loss.hard, system.threshold
    status = Status.NOT_SEPARABLE if hard else Status.SEPARABLE
    if system.fit is not None:  # what the probe keeps depends on the number of samples
        why = "existence_threshold tells how many samples per feature are the limit"
    elif np.isinf(threshold):
        why = "they are so at any number of samples per feature"
    else:
        needs = "needs at most" if hard else "needs more than"
        why = f"a fit {needs} {threshold:.6g} samples per feature"
    sentence = status.sentence
    if not hard and system.loss.obeys is not None and not system.loss.obeys.one_sided:
        sentence = INTERPOLATED
    return f"{sentence.removesuffix('.')}; {why}."


def _direction(system: System) -> Solution:
    """The limit of vanishing ridge where no ridge-free fit exists: a direction without a norm."""
    message = no_fit_sentence(system)
    root, digits, error, flaw = certified_root(_constrained(system))
    if digits is None:
        return Solution(system.problem, Status.SEPARABLE, message)
    message = f"{message} {flaw}".rstrip()
    return Solution(
        system.problem,
        Status.SEPARABLE,
        message,
        direction_cosine=digits.cosine,
        residual=root.residual,
        error_estimate=error,
    )

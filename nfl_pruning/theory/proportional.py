"""The proportional limit of a pruning problem: n, d -> infinity with n / d fixed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem
from nfl_pruning.theory.existence.separability import separability_threshold
from nfl_pruning.theory.integrators.panels.certify import certified_root
from nfl_pruning.theory.integrators.panels.continuation import SMALL_RIDGE
from nfl_pruning.theory.integrators.panels.newton import System
from nfl_pruning.theory.observables import observables
from nfl_pruning.theory.probe_limit import ProbeLimit, probe_limit
from nfl_pruning.theory.selection_law.keep_law import keep_law
from nfl_pruning.theory.selection_law.ordering import UnsupportedProblemError
from nfl_pruning.theory.solution import Solution, verdict
from nfl_pruning.theory.state import State

CONSTRAINT_RIDGE = 1.0  # any positive number gives the same fit under a hard constraint
INTERPOLATED = (
    "No more samples are kept than there are features, so many parameters fit them without any "
    "loss; use ridge > 0 for one of them."
)
LEAST_NORM = (
    "The kept samples are separable, so many parameters have no loss; this is the shortest of them."
)


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


def proportional_limit(problem: Problem) -> Solution:
    """The limit for isotropic inputs (call in a float64 scope).

    Raises:
        UnsupportedProblemError: the problem is not covered.
    """
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
    numbers: dict[str, Any] = {name: float(value) for name, value in risks.items()}
    return Solution(
        problem,
        status,
        sentence + posed.note,
        cosine=digits.cosine,
        norm=digits.norm,
        **numbers,
        residual=root.residual,
        error_estimate=error,
        state=_state(system, root.x, probe),
    )


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

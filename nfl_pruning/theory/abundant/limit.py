"""The limit of abundant data: n -> infinity at a fixed number of features, without a ridge.

The fit to the kept samples tends to theta_r = argmin E[pi omega loss(y <x, theta>)] over the ball
||theta|| <= radius, as the theorems of Ayed and Hayou (2023, arXiv 2302.06960) have it on a compact
set. The kept law is symmetric around the plane of probe and teacher and the problem is convex, so
theta_r lies in that plane: two unknowns. The best possible risk is attained without pruning, so an
excess risk above 0 means that the algorithm is not valid.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs import Isotropic
from nfl_pruning.losses import LOSSES
from nfl_pruning.numerics.status import Status
from nfl_pruning.probes import FixedProbe
from nfl_pruning.problem import Problem
from nfl_pruning.theory.abundant.ball import BallMinimum, ball_minimum
from nfl_pruning.theory.abundant.cone import separable
from nfl_pruning.theory.abundant.plane import PLANE_LEVELS, PlaneLaw, plane_nodes
from nfl_pruning.theory.integrators.panels.certify import ROUNDING, TARGET_ERROR, Digits
from nfl_pruning.theory.integrators.panels.mesh import kept_intervals
from nfl_pruning.theory.observables import best_norm, observables, zero_one_error
from nfl_pruning.theory.selection_law.keep_law import MASS_TOLERANCE, keep_law, mass_flaw
from nfl_pruning.theory.selection_law.norm_order import norm_law
from nfl_pruning.theory.selection_law.ordering import refuse_mixture_parts
from nfl_pruning.theory.solution import Solution, verdict

RADIUS = 100.0
NOTHING = 1e-12


def abundant_probe(problem: Problem, radius: float = RADIUS) -> tuple[float, float]:
    """Alignment and norm of the probe when data are abundant (call inside a float64 scope).

    A fitted probe minimises the population's logistic loss over the ball. By symmetry around the
    teacher's axis it lies there, on the other side of 0 for a link that falls.
    """
    refuse_mixture_parts(problem)
    if not isinstance(problem.inputs, Isotropic):
        raise UnsupportedProblemError(
            "The limit of abundant data is for standard normal inputs: a covariance changes it by "
            f"a change of coordinates alone; got {problem.inputs.label!r}."
        )
    if isinstance(problem.probe, FixedProbe):
        return problem.probe.alignment, problem.probe_norm
    best = float(best_norm(problem.teacher, LOSSES["logistic"], jnp.ones(())))
    return (-1.0 if best < 0 else 1.0), min(abs(best), radius)


def plane_law(problem: Problem, n_features: int | None, radius: float = RADIUS) -> PlaneLaw:
    """Labels and selection in the plane (call inside a float64 scope).

    Raises:
        UnsupportedProblemError: the score or the protocol is outside what the limit describes, or
            the kept mass is not right to 1e-9.
    """
    alignment, norm = abundant_probe(problem, radius)

    def margin(label: int, u: np.ndarray) -> np.ndarray:
        return norm * np.asarray(u, float)

    reads_norm = "input_norm" in problem.ranking_score.needs and problem.keep_fraction < 1
    if n_features is not None and reads_norm:
        return norm_law(problem, alignment, margin, n_features)
    law = keep_law(problem, alignment=alignment, margin=margin).checked()

    def evaluate(u: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keep, weight = law.evaluate(u[:, 0])
        return keep[..., None], weight[..., None]

    return PlaneLaw(
        problem,
        alignment,
        law.breaks,
        kept_intervals(law, 2),
        evaluate,
        law.layers,
        fraction=law.fraction,
        constant=law.constant,
    )


def abundant_limit(problem: Problem, n_features: int | None, radius: float) -> Solution:
    """The fit to infinitely many samples after pruning (call in a float64 scope).

    ``samples_per_feature`` and every ridge (the student's and a fitted probe's) are ignored: they
    vanish in this limit. A pilot or in-sample probe is then the minimiser of the population's
    logistic loss over the ball, so its direction is the teacher's; a fixed probe is what it is.

    Args:
        problem: any score of logits, labels and input norm; any probe and selection; a smooth loss
            or the hinge.
        n_features: number of features d >= 3. It matters only to scores that read the input's norm:
            with it they rank by the exact law of the norm, without it as if all norms were equal.
        radius: of the ball, > 0.

    Raises:
        UnsupportedProblemError: the problem is not covered.
    """
    loss = problem.student.loss
    if loss.hard:
        raise UnsupportedProblemError(
            f"The {loss.name} student has no limit with noisy labels and abundant data: some kept "
            "sample breaks any constraint."
        )
    law = plane_law(problem, n_features, radius)
    apart = loss.obeys is not None and loss.obeys.one_sided and separable(law)
    found, digits, error, flaw = _certified(law, radius, on_boundary=apart)
    status, sentence = verdict(error, flaw)
    risks = observables(problem.teacher, loss, cosine=digits.cosine, norm=digits.norm)
    values = {name: float(value) for name, value in risks.items()}
    values["excess_risk"] = values["test_loss"] - _least_risk(problem, radius)
    alignment, norm = abundant_probe(problem, radius)
    common: dict[str, Any] = {
        "limit": "abundant",
        "n_features": n_features,
        "radius": radius,
        "error_estimate": error,
        "binding": found.binding,
    }
    probe = {"probe_alignment": alignment, "probe_norm": norm}
    if apart:
        return Solution(
            problem,
            Status.SEPARABLE,
            "The kept samples are linearly separable, however many there are: the minimiser lies "
            f"on the boundary of the ball of radius {radius:g}, and only its direction has a "
            f"meaning. {flaw}".rstrip(),
            direction_cosine=digits.cosine,
            boundary_excess_risk=values["excess_risk"],
            state=probe,
            **common,
        )
    note = (
        f" The minimiser lies on the ball's boundary, radius {radius:g}." if found.binding else ""
    )
    theta = dict(zip(("theta_u", "theta_p"), found.theta.tolist(), strict=True))
    return Solution(
        problem,
        status,
        sentence + note,
        cosine=digits.cosine,
        norm=digits.norm,
        state=theta | probe,
        **values,
        **common,
    )


def _certified(
    law: PlaneLaw, radius: float, *, on_boundary: bool
) -> tuple[BallMinimum, Digits, float, str]:
    """The minimiser on meshes of growing resolution, until two agree and keep the right mass.

    With the error, and why it is no certificate as a sentence.
    """
    loss, error, found, digits = law.problem.student.loss, np.inf, None, None
    defect = np.inf
    for level in PLANE_LEVELS:
        start = None if found is None else found.theta
        new = ball_minimum(law, loss, level, radius=radius, start=start, on_boundary=on_boundary)
        now = _digits(law, new.theta)
        if digits is not None:
            error = ROUNDING if now.norm == digits.norm == 0 else now.distance(digits) + ROUNDING
        found, digits = new, now
        if error < TARGET_ERROR or level is PLANE_LEVELS[-1]:
            plane = plane_nodes(law, found.theta, loss=loss, level=level)
            defect = plane.defect(law.fraction)
        if error < TARGET_ERROR and defect <= MASS_TOLERANCE:
            break
    assert found is not None and digits is not None
    return found, digits, max(error, defect), mass_flaw("quadrature", defect)


def _digits(law: PlaneLaw, theta: np.ndarray) -> Digits:
    """Cosine, norm and test error; a parameter of rounding's size is 0, at cosine 0."""
    norm = float(np.hypot(*theta))
    if norm < NOTHING:
        return Digits(0.0, 0.0, float(zero_one_error(law.problem.teacher, 0.0)))
    along = law.alignment * theta[0] + law.across * theta[1]
    cosine = float(np.clip(along / max(norm, 1e-300), -1.0, 1.0))
    return Digits(cosine, norm, float(zero_one_error(law.problem.teacher, cosine)))


def _least_risk(problem: Problem, radius: float) -> float:
    """The least population risk over the ball; it is attained on the teacher's axis."""
    loss = problem.student.loss
    best = float(best_norm(problem.teacher, loss, jnp.ones(())))
    side = -1.0 if best < 0 else 1.0
    risks = observables(problem.teacher, loss, cosine=side, norm=min(abs(best), radius))
    return float(risks["test_loss"])

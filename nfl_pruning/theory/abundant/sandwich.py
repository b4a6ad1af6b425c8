"""The variance of the fit to many kept samples, at a fixed number of features.

With psi = keep omega l'(y v) y x at the limit theta_r, H = E[keep omega l''(y v) x x^T] and
J = E[keep omega^2 l'(y v)^2 x x^T], the fit has n Cov -> H^-1 J H^-1 (n counted before pruning).
This takes the keep probability as given and keeps samples independently. Rules that keep an exact
count, or set their threshold by the sample's own quantile, have the same variance where the mean of
psi given the score is 0 - as for label-agnostic scores in a well-specified model - and in general
another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.problem import Problem
from nfl_pruning.settings import float64
from nfl_pruning.theory.abundant.limit import RADIUS, plane_law
from nfl_pruning.theory.abundant.plane import PLANE_LEVELS, Plane, plane_nodes
from nfl_pruning.theory.selection_law.keep_law import mass_flaw
from nfl_pruning.theory.solution import Solution
from nfl_pruning.theory.solve import solve
from nfl_pruning.validation import check_integer


@dataclass(frozen=True)
class Sandwich:
    """n times the covariance of the fit, n counted before pruning.

    Attributes:
        solution: the limit around which the fit varies.
        n_features: number of features d.
        plane: n Cov of (theta_u, theta_p), shape (2, 2).
        across: n Var of each of the d - 2 coordinates outside the plane of probe and teacher.
    """

    solution: Solution
    n_features: int
    plane: np.ndarray
    across: float

    @property
    def total(self) -> float:
        """The limit of n E||theta_hat - theta_r||^2."""
        return float(np.trace(self.plane)) + (self.n_features - 2) * self.across

    @property
    def direction(self) -> float:
        """The limit of n E of the squared sine of the angle between theta_hat and theta_r."""
        theta = np.array([self.solution.state["theta_u"], self.solution.state["theta_p"]])
        norm = np.hypot(*theta)
        turned = np.array([-theta[1], theta[0]]) / norm
        inside = float(turned @ self.plane @ turned)
        return (inside + (self.n_features - 2) * self.across) / norm**2

    @property
    def excess_risk(self) -> float:
        """The limit of n times the excess risk that is due to variance, n tr(H_0 Cov) / 2.

        H_0 is the Hessian of the population risk at theta_r. Where theta_r is the truth and the
        model is well specified, this is d / (2 r) for random pruning.
        """
        inside, outside = _population_hessian(self.solution)
        total = np.trace(inside @ self.plane) + (self.n_features - 2) * outside * self.across
        return 0.5 * float(total)


@float64
def sandwich_variance(problem: Problem, *, n_features: int, radius: float = RADIUS) -> Sandwich:
    """The covariance of the fit per sample, when data are abundant.

    Args:
        problem: as for :func:`solve`; its loss must be smooth. A fitted probe is taken at
            its limit: its own error is not counted.
        n_features: number of features, >= 3.
        radius: of the ball.

    Raises:
        InvalidArgumentError: an argument is out of range.
        UnsupportedProblemError: there is no minimiser inside the ball, or the loss has kinks.
    """
    n_features = check_integer("n_features", n_features, 3)
    if not problem.student.loss.smooth:
        raise UnsupportedProblemError("The variance of the fit is given for smooth losses only.")
    solution = solve(problem, n_features=n_features, radius=radius, limit="abundant")
    if not solution.status.has_estimate or solution.binding:
        raise UnsupportedProblemError(f"The fit has no variance of its own: {solution.message}")
    theta = np.array([solution.state["theta_u"], solution.state["theta_p"]])
    law = plane_law(problem, n_features, radius)
    plane = plane_nodes(law, theta, loss=problem.student.loss, level=PLANE_LEVELS[-1])
    if flaw := mass_flaw("quadrature", plane.defect(law.fraction)):
        raise UnsupportedProblemError(flaw)
    slope, curvature = _derivatives(problem, plane, theta)
    outside = plane.weighted(1), plane.weighted(2)
    if law.rest is not None:
        tilted = law.rest(plane.u, plane.p)
        outside = tuple(
            plane.mass * np.sum(tilted * plane.omega**power, axis=0) for power in (1, 2)
        )
    bread = _second_moment(plane, plane.weighted(1) * curvature)
    meat = _second_moment(plane, plane.weighted(2) * slope**2)
    inverse = np.linalg.inv(bread)
    across = np.sum(outside[1] * slope**2) / np.sum(outside[0] * curvature) ** 2
    return Sandwich(solution, n_features, inverse @ meat @ inverse, float(across))


def _derivatives(problem: Problem, plane: Plane, theta: np.ndarray) -> tuple[np.ndarray, ...]:
    """First and second derivative of the loss at y v for y = +1, -1, shape (2, k, m) each."""
    v = theta[0] * plane.u + theta[1] * plane.p
    margins = jnp.stack([jnp.asarray(v), -jnp.asarray(v)])
    parts = jax.jvp(problem.student.loss.derivative, (margins,), (jnp.ones_like(margins),))
    return tuple(np.asarray(part) for part in parts)


def _second_moment(plane: Plane, mass: np.ndarray) -> np.ndarray:
    total = mass.sum(axis=0)
    cross = np.sum(total * plane.u * plane.p)
    return np.array([[np.sum(total * plane.u**2), cross], [cross, np.sum(total * plane.p**2)]])


@float64
def _population_hessian(solution: Solution) -> tuple[np.ndarray, float]:
    """Hessian of the unpruned risk at the limit: its block in the plane, and outside it."""
    problem = solution.problem
    theta = np.array([solution.state["theta_u"], solution.state["theta_p"]])
    law = plane_law(problem.replace(selection="random", keep_fraction=1.0), None)
    plane = plane_nodes(law, theta, loss=problem.student.loss, level=PLANE_LEVELS[-1])
    curvature = _derivatives(problem, plane, theta)[1]
    return _second_moment(plane, plane.mass * curvature), float(np.sum(plane.mass * curvature))

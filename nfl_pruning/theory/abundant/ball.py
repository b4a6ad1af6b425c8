"""The minimiser of a convex risk of two parameters over a ball.

Inside the ball: Newton's method with a line search. Where it leaves the ball, the minimiser lies on
the boundary; it is followed there along growing radii from the origin, where its direction is that
of steepest descent. Along this path it stays the global minimiser, because the minimiser over a
ball is unique and moves continuously with the radius.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from scipy.optimize import brentq

from nfl_pruning.losses import Loss
from nfl_pruning.theory.abundant.plane import (
    PlaneLaw,
    PlaneLevel,
    kink_hessian,
    plane_nodes,
    risk_terms,
)
from nfl_pruning.theory.selection_law.ordering import UnsupportedProblemError

GROWTH = 4.0  # factor between radii on the way to the boundary
SMALL_RADIUS = 0.05
SMALL_STEP = 1e-12  # of Newton's method, relative to the parameter
LARGEST_LEFT = 1e-6  # step that a minimiser may have left, likewise
ROUNDING = 1e-15  # of a gradient at 0, relative to what its terms would be without cancelling
MOST_STEPS = 60


class BallMinimum(NamedTuple):
    """The minimiser, shape (2,), and whether it lies on the boundary."""

    theta: np.ndarray
    binding: bool


class Risk:
    """E[keep omega loss(y v)] of a law at one resolution; meshes follow the parameter."""

    def __init__(self, law: PlaneLaw, loss: Loss, level: PlaneLevel) -> None:
        self._law, self._loss, self._level = law, loss, level
        self._mesh, self._at = None, np.zeros(2)

    def terms(self, theta: np.ndarray, *, exact: bool) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient and Hessian; ``exact`` asks for a mesh graded by this very theta."""
        moved = np.linalg.norm(theta - self._at) > 0.3 * np.linalg.norm(self._at) + 0.1
        if self._mesh is None or moved or exact or not self._loss.smooth:
            self._mesh = plane_nodes(self._law, theta, loss=self._loss, level=self._level)
            self._at = theta.copy()
        return risk_terms(self._mesh, theta, self._loss)

    def slope(self, theta: np.ndarray) -> np.ndarray:
        """The gradient on a mesh of its own."""
        return self.terms(theta, exact=True)[1]

    def full(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient and Hessian, kinks of the loss included."""
        value, slope, bend = self.terms(theta, exact=True)
        return value, slope, bend + kink_hessian(self._law, theta, self._loss)


def ball_minimum(
    law: PlaneLaw,
    loss: Loss,
    level: PlaneLevel,
    *,
    radius: float,
    start: np.ndarray | None = None,
    on_boundary: bool = False,
) -> BallMinimum:
    """Minimise the kept samples' risk over ||theta|| <= radius.

    Args:
        law: labels and selection.
        loss: a convex loss.
        level: resolution of the quadrature.
        radius: of the ball.
        start: a guess, such as the minimiser at a coarser resolution.
        on_boundary: whether the minimiser is known to lie on the boundary.

    Raises:
        UnsupportedProblemError: the minimiser was not found.
    """
    risk = Risk(law, loss, level)
    if not on_boundary:
        found = _inside(risk, np.zeros(2) if start is None else start, radius)
        if found is not None:
            return BallMinimum(found, False)
    angle = _follow(risk, radius) if start is None else float(np.arctan2(start[1], start[0]))
    return BallMinimum(_at(radius, _turn(risk, radius, angle)), True)


def _inside(risk: Risk, theta: np.ndarray, radius: float) -> np.ndarray | None:
    """The unconstrained minimiser if it lies in the ball, else None."""
    value, slope, bend = risk.full(np.zeros(2))
    if (np.abs(slope) <= ROUNDING * np.sqrt(value * np.diag(bend))).all():  # no side is preferred
        return np.zeros(2)
    value, slope, bend = risk.full(theta)
    for _ in range(MOST_STEPS):
        # Where few kept samples are on the wrong side the risk and its gradient are tiny all over,
        # so that only the step tells how far the minimiser is.
        step = _step(slope, bend) if slope.any() else np.zeros(2)
        if np.linalg.norm(step) <= SMALL_STEP * (1e-6 + np.linalg.norm(theta)):
            break
        step *= min(1.0, (2.0 + np.linalg.norm(theta)) / np.linalg.norm(step))
        for factor in 0.5 ** np.arange(30):
            new = risk.full(theta + factor * step)
            if new[0] <= value + 1e-4 * factor * (slope @ step):
                break
            if np.linalg.norm(new[1]) < 0.5 * np.linalg.norm(slope):  # below the value's rounding
                break
        else:
            break
        theta = theta + factor * step
        value, slope, bend = new
        if np.linalg.norm(theta) > 3 * radius:
            return None
    if np.linalg.norm(theta) > radius:
        return None
    left = _step(slope, bend) if slope.any() else np.zeros(2)
    if np.linalg.norm(left) > LARGEST_LEFT * (1e-3 + np.linalg.norm(theta)):
        raise UnsupportedProblemError("The minimiser of the kept samples' risk was not found.")
    return theta


def _step(slope: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Newton's step; a unit step downhill where the risk does not bend."""
    size = np.linalg.norm(slope)
    if np.trace(bend) < 1e-12 * size:
        return -slope / size
    return -np.linalg.solve(bend + 1e-14 * np.trace(bend) * np.eye(2), slope)


def _at(radius: float, angle: float) -> np.ndarray:
    return radius * np.array([np.cos(angle), np.sin(angle)])


def _turn(
    risk: Risk, radius: float, angle: float, *, reach: float = 1e-6, tolerance: float = 1e-14
) -> float:
    """The angle near a given one at which the risk on the circle is least.

    Args:
        risk: to minimise.
        radius: of the circle.
        angle: to start from.
        reach: first width of the bracket.
        tolerance: of the angle.
    """

    def tangential(phi: float) -> float:
        across = np.array([-np.sin(phi), np.cos(phi)])
        return float(risk.slope(_at(radius, phi)) @ across)

    here = tangential(angle)
    if here == 0:
        return angle
    side = 1.0 if here < 0 else -1.0
    while reach < np.pi and tangential(angle + side * reach) * here > 0:
        reach *= 4
    ends = angle, angle + side * min(reach, np.pi)
    return cast(float, brentq(tangential, *ends, xtol=tolerance))


def _follow(risk: Risk, radius: float) -> float:
    """The angle of the minimiser on the boundary, roughly, from small radii outwards."""
    down = -risk.slope(np.zeros(2))
    angle, size = float(np.arctan2(down[1], down[0])), min(SMALL_RADIUS, radius)
    while size < radius:
        angle = _turn(risk, size, angle, reach=0.02, tolerance=1e-3)
        size = min(radius, GROWTH * size)
    return angle

"""Newton's method on the four equations, and continuation in the ridge where it stalls."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from nfl_pruning.losses import Loss
from nfl_pruning.problem import Problem
from nfl_pruning.theory.equations import Rows, Terms, moments_and_slopes, residual_and_slopes
from nfl_pruning.theory.keep_law import KeepLaw
from nfl_pruning.theory.mesh import LEVELS, Level, build_rows, equation_terms

CONVERGED = 1e-11
LARGEST_STEP = 2.0
LOG_RANGE = 60.0


@dataclass(frozen=True)
class Root:
    """Unknowns (a_u, a_p, log tau, log kappa), the largest scaled residual there, Newton steps."""

    x: np.ndarray
    residual: float
    steps: int

    @property
    def converged(self) -> bool:
        return self.residual < CONVERGED


@dataclass(frozen=True)
class System:
    """The equations of one problem for a loss and a ridge (those of the problem, or a limit's)."""

    problem: Problem
    law: KeepLaw
    loss: Loss
    ridge: float
    folded: bool

    def rows(self, x: np.ndarray, level: Level) -> list[Rows]:
        """Quadrature rows graded by x."""
        return build_rows(
            self.problem, self.law, x, loss=self.loss, level=level, folded=self.folded
        )

    def terms(self, ridge: float | None = None) -> Terms:
        """Scalars of the equations, with another ridge if given."""
        ridge = self.ridge if ridge is None else ridge
        return equation_terms(self.problem, self.law, ridge=ridge, folded=self.folded)

    def start(self, ridge: float) -> np.ndarray:
        """Unknowns to start from: the fit linearised at theta = 0, exact for a large ridge."""
        delta, law = self.problem.samples_per_feature, self.law
        pull = 0.5 if self.loss.name == "logistic" else 1.0
        bend = pull**2
        kept = law.mean(1)
        grip = ridge + bend * kept
        kappa = 1 / (delta * grip) if delta * grip > 0 else 1.0
        tau = np.sqrt(delta * law.mean(2)) * kappa * pull
        lean = pull * law.mean(1, moment=1) / grip
        rho = self.problem.probe.alignment
        side = abs(pull) * kept * np.sqrt(max(1 - rho**2, 0)) / grip * 0.3
        return np.array([np.clip(lean, -3, 3), min(side, 1.0), np.log(tau), np.log(kappa)])


def _evaluate(
    x: np.ndarray, terms: Terms, blocks: list[Rows], loss: Loss
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (4,) and their Jacobian (4, 4)."""
    if not np.isfinite(x).all() or np.abs(x[2:]).max() > LOG_RANGE:
        return np.full(4, np.inf), np.eye(4)
    point = jnp.asarray(x)
    parts = [moments_and_slopes(point, terms, block, loss) for block in blocks]
    moment = sum(part[0] for part in parts)
    slopes = sum(part[1] for part in parts)
    value, jacobian = residual_and_slopes(point, moment, slopes, terms)
    return np.asarray(value), np.asarray(jacobian)


def newton(
    x: np.ndarray, terms: Terms, blocks: list[Rows], loss: Loss, *, max_steps: int = 40
) -> Root:
    """Damped Newton on a fixed mesh; the residual tells whether it converged."""
    value, jacobian = _evaluate(x, terms, blocks, loss)
    error, steps = np.abs(value).max(), 0
    while error > 1e-14 and steps < max_steps and np.isfinite(error):
        try:
            step = np.linalg.solve(jacobian, -value)
        except np.linalg.LinAlgError:
            break
        step *= min(1.0, LARGEST_STEP / max(np.abs(step).max(), 1e-300))
        for factor in 0.5 ** np.arange(12):
            new_value, new_jacobian = _evaluate(x + factor * step, terms, blocks, loss)
            new_error = np.abs(new_value).max()
            if new_error < error:
                break
        else:
            break  # no step improves: rounding level, or stuck
        x, value, jacobian, error = x + factor * step, new_value, new_jacobian, new_error
        steps += 1
    return Root(x, float(error), steps)


def solve_coarse(system: System, start: np.ndarray | None = None) -> Root:
    """A root on the coarsest mesh: directly, or by continuation down from a large ridge.

    The mesh follows the iterate: Newton runs on the mesh of its start, then again on its own.
    """
    first = system.start(system.ridge) if start is None else start
    root = _remeshed(system, first, system.ridge)
    if root.converged:
        return root
    return _continuation(system)


def _remeshed(system: System, x: np.ndarray, ridge: float) -> Root:
    terms = system.terms(ridge)
    root = newton(x, terms, system.rows(x, LEVELS[0]), system.loss)
    if np.isfinite(root.residual) and root.residual < 0.1:
        root = newton(root.x, terms, system.rows(root.x, LEVELS[0]), system.loss)
    return root


def _continuation(system: System) -> Root:
    """Follow the root from a ridge where the fit is linear down to the wanted one."""
    target = max(system.ridge, 1e-12)
    log_ridge = np.log(max(10.0, 10 * target))
    root = _remeshed(system, system.start(np.exp(log_ridge)), float(np.exp(log_ridge)))
    if not root.converged:
        return root
    stride, slope = np.log(4.0), np.zeros(4)
    while log_ridge > np.log(target) and stride > 1e-3:
        trial = max(log_ridge - stride, np.log(target))
        new = _remeshed(system, root.x + slope * (trial - log_ridge), float(np.exp(trial)))
        if new.converged:
            slope = (new.x - root.x) / (trial - log_ridge)
            root, log_ridge, stride = new, trial, min(1.5 * stride, np.log(10.0))
        else:
            stride *= 0.5
    if log_ridge > np.log(target):
        return Root(root.x, np.inf, root.steps)
    return _remeshed(system, root.x, system.ridge)

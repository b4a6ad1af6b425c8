"""Newton's method on the limit equations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.losses import Loss
from nfl_pruning.problem import Problem
from nfl_pruning.theory.closing import Closing, Linear, Terms, isotropic
from nfl_pruning.theory.integrators.panels.equations import (
    LabelTerms,
    Rows,
    moments_and_slopes,
    residual_and_slopes,
)
from nfl_pruning.theory.integrators.panels.mesh import (
    LEVELS,
    Level,
    Lines,
    Setting,
    build_lines,
    build_rows,
    label_terms,
    link_layers,
)
from nfl_pruning.theory.probe_fit import ProbeFit
from nfl_pruning.theory.selection_law.keep_law import KeepLaw
from nfl_pruning.theory.state import (
    LOGARITHMS,
    Moments,
    State,
    across_share,
    at_rest,
    step_lengths,
)

CONVERGED = 1e-11
LARGEST_STEP = 2.0
LOG_RANGE = 60.0


@dataclass(frozen=True)
class Root:
    """Where Newton's method ended.

    Attributes:
        x: packed unknowns. residual: the largest scaled one there. steps: of Newton's method.
        kept: share of all samples that the nodes keep; NaN where the equations were out of range.
    """

    x: np.ndarray
    residual: float
    steps: int
    kept: float = np.nan

    @property
    def converged(self) -> bool:
        return self.residual < CONVERGED

    @property
    def state(self) -> State:
        """The unknowns by name."""
        return State.unpack(self.x)


@dataclass(frozen=True)
class System:
    """The equations of one problem for a loss and a ridge (those of the problem, or a limit's).

    Attributes:
        problem: samples per feature and teacher are read.
        law: the limiting selection.
        loss, ridge: what is solved for.
        fit: of a probe that has seen the samples, or None.
        threshold: samples per feature at which the kept samples become separable, where known.
        spectral: the closing for another covariance than the identity, or None.
    """

    problem: Problem
    law: KeepLaw
    loss: Loss
    ridge: float
    fit: ProbeFit | None = None
    threshold: float = np.inf
    spectral: Closing | None = None

    @cached_property
    def closing(self) -> Closing:
        """What closes the equations."""
        return self.spectral or isotropic(self.problem.samples_per_feature, self.fit)

    @cached_property
    def setting(self) -> Setting:
        """What the equations integrate over."""
        folded = self.problem.teacher.link.symmetric and self.law.symmetric
        labels = (1,) if folded else (1, -1)
        return Setting(self.law, link_layers(self.problem), labels, self.fit)

    def rows(self, x: np.ndarray, level: Level) -> list[Rows]:
        """Quadrature rows graded by x."""
        return self.across(self.lines(x, level), x, level)

    def lines(self, x: np.ndarray, level: Level) -> Lines:
        """Nodes in u graded by x."""
        return build_lines(self.setting, x, loss=self.loss, level=level)

    def across(self, lines: Lines, x: np.ndarray, level: Level) -> list[Rows]:
        """Quadrature rows on given nodes in u, graded by x in xi."""
        return build_rows(self.setting, lines, x, loss=self.loss, level=level)

    @cached_property
    def label_terms(self) -> LabelTerms:
        """What the moments read besides the rows."""
        return label_terms(self.problem, self.law, self.setting.labels)

    def terms(self) -> Terms:
        """The numbers of the equations, and what closes them."""
        delta, rho = self.problem.samples_per_feature, self.law.label_law.alignment
        size = max(self.law.mean(1), self.problem.keep_fraction)
        numbers = (jnp.asarray(value, jnp.float64) for value in (delta, self.ridge, rho, size))
        return Terms(*numbers, closing=self.closing)

    def start(self) -> np.ndarray:
        """Unknowns to start from: the fit linearised at theta = 0, exact for a large ridge."""
        slope, law, rho = self.loss.slope_at_zero, self.law, self.law.label_law.alignment
        kept = law.mean(1)
        if self.fit is None:
            at_zero = Moments(
                -slope * law.mean(1, moment=1),
                -0.3 * slope * kept * across_share(rho),
                0.0,
                slope**2 * law.mean(2),
                0.0,
            )
        else:
            at_zero = self._moments_at_zero()
        delta = self.problem.samples_per_feature
        linear = Linear(delta, self.ridge, slope**2 * kept, rho, at_zero)
        return np.asarray(_first_guess(self.closing, linear))

    def _moments_at_zero(self) -> Moments:
        still = np.asarray(at_rest().pack())
        return Moments(*summed_moments(still, self, self.rows(still, LEVELS[0]))[0])


@jax.jit
def _first_guess(closing: Closing, linear: Linear) -> Array:
    """The packed unknowns of the linear fit: as one program, not one for each operation."""
    return closing.start(linear).pack()


def summed_moments(
    x: np.ndarray, system: System, blocks: list[Rows]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Moments over all rows, their Jacobian and the kept share, shapes (5,), (5, k) and ()."""
    point = jnp.asarray(x)
    parts = [moments_and_slopes(point, system.label_terms, block, system.loss) for block in blocks]
    moment, slopes, mass = (np.sum([np.asarray(p[i]) for p in parts], axis=0) for i in range(3))
    return moment, slopes, float(mass)


def _in_range(x: np.ndarray) -> bool:
    return bool(np.isfinite(x).all() and np.abs(x[LOGARITHMS]).max() <= LOG_RANGE)


def _evaluate(
    x: np.ndarray, system: System, terms: Terms, blocks: list[Rows]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Residuals (k,), their Jacobian (k, k) and the share of all samples that the nodes keep."""
    if not _in_range(x):
        return np.full(len(x), np.inf), np.eye(len(x)), np.nan
    moment, slopes, kept = summed_moments(x, system, blocks)
    value, jacobian = residual_and_slopes(x, moment, slopes, terms)
    return np.asarray(value), np.asarray(jacobian), kept


def equations_at(x: np.ndarray, system: System, level: Level) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (k,) and Jacobian (k, k) of a system on a mesh graded by x itself."""
    return _evaluate(x, system, system.terms(), system.rows(x, level))[:2]


def newton(system: System, x: np.ndarray, level: Level, *, max_steps: int = 40) -> Root:
    """Damped Newton on the mesh of its start; the residual tells whether it converged.

    Where the loss has corners, the mesh moves along: only with panels that end on the corners are
    the discretised equations as smooth in x as the integrals are.
    """
    terms, lines = system.terms(), system.lines(x, level)
    fixed = system.across(lines, x, level)

    def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        moves = not system.loss.smooth and _in_range(x)
        return _evaluate(x, system, terms, system.across(lines, x, level) if moves else fixed)

    value, jacobian, kept = _evaluate(x, system, terms, fixed)
    error, steps = np.abs(value).max(), 0
    while error > 1e-14 and steps < max_steps and np.isfinite(error):
        try:
            step = np.linalg.solve(jacobian, -value)
        except np.linalg.LinAlgError:
            break
        reach = step_lengths(x)
        step *= min(1.0, LARGEST_STEP / max((np.abs(step) / reach).max(), 1e-300))
        halvings = 12 if error > CONVERGED else 1  # near rounding level no shorter step helps
        for factor in 0.5 ** np.arange(halvings):
            new_value, new_jacobian, new_kept = evaluate(x + factor * step)
            new_error = np.abs(new_value).max()
            if new_error < error:
                break
        else:
            break  # no step improves: rounding level, or stuck
        x, value, jacobian, error = x + factor * step, new_value, new_jacobian, new_error
        kept = new_kept
        steps += 1
    return Root(x, float(error), steps, kept)

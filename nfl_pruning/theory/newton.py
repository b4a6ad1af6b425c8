"""Newton's method on the limit equations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import jax.numpy as jnp
import numpy as np

from nfl_pruning.losses import Loss
from nfl_pruning.problem import Problem
from nfl_pruning.theory.equations import Rows, Terms, moments_and_slopes, residual_and_slopes
from nfl_pruning.theory.keep_law import KeepLaw
from nfl_pruning.theory.linear import SMALL, Shared, at_rest, linearised
from nfl_pruning.theory.loadings import Closing, Linear
from nfl_pruning.theory.memory import Memory
from nfl_pruning.theory.mesh import (
    LEVELS,
    Level,
    Lines,
    Setting,
    build_lines,
    build_rows,
    equation_terms,
    link_layers,
)

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
    """The equations of one problem for a loss and a ridge (those of the problem, or a limit's).

    Attributes:
        problem: samples per feature and teacher are read.
        law: the limiting selection.
        loss, ridge: what is solved for.
        memory: the fit of a probe that has seen the samples, or None.
        threshold: samples per feature at which the kept samples become separable, where known.
        closing: the equations' closing for another covariance than the identity, or None.
    """

    problem: Problem
    law: KeepLaw
    loss: Loss
    ridge: float
    memory: Memory | None = None
    threshold: float = np.inf
    closing: Closing | None = None

    @cached_property
    def setting(self) -> Setting:
        """What the equations integrate over."""
        folded = self.problem.teacher.link.symmetric and self.law.symmetric
        memory = self.memory
        return Setting(
            self.law,
            link_layers(self.problem),
            (1,) if folded else (1, -1),
            memory.pull if memory else lambda label, u: np.zeros_like(u),
            (memory.sigma, memory.kappa) if memory else None,
        )

    def rows(self, x: np.ndarray, level: Level) -> list[Rows]:
        """Quadrature rows graded by x."""
        return self.across(self.lines(x, level), x, level)

    def lines(self, x: np.ndarray, level: Level) -> Lines:
        """Nodes in u graded by x."""
        return build_lines(self.setting, x, loss=self.loss, level=level)

    def across(self, lines: Lines, x: np.ndarray, level: Level) -> list[Rows]:
        """Quadrature rows on given nodes in u, graded by x in xi."""
        return build_rows(self.setting, lines, x, loss=self.loss, level=level)

    def terms(self) -> Terms:
        """Scalars of the equations."""
        memory = self.memory
        terms = equation_terms(
            self.problem,
            self.law,
            ridge=self.ridge,
            labels=self.setting.labels,
            probe=(memory.a, memory.tau, memory.kappa) if memory else (0.0, 0.0, 0.0),
        )
        return terms._replace(closing=self.closing)

    def start(self) -> np.ndarray:
        """Unknowns to start from: the fit linearised at theta = 0, exact for a large ridge."""
        delta, law = self.problem.samples_per_feature, self.law
        pull = 0.5 if self.loss.name == "logistic" else 1.0
        kept = law.mean(1)
        perp = np.sqrt(max(1 - law.label_law.alignment**2, 0))
        along, across = pull * law.mean(1, moment=1), 0.3 * pull * kept * perp
        square = pull**2 * law.mean(2)
        if self.closing is not None:
            known = self._linear_moments() if self.memory else (along, across, square, 0.0)
            fit = Linear(delta * len(self.closing.s), self.ridge, pull**2 * kept, *known)
            return self.closing.start(fit, cast(Any, self.memory))
        if self.memory and self.ridge > 0:
            return self._linear_start(pull**2 * kept)
        grip = self.ridge + pull**2 * kept
        x = [
            np.clip(along / grip, -3, 3),
            min(across / grip, 1.0),
            0.5 * np.log(square / delta) - np.log(grip),
            -np.log(delta * grip),
        ]
        return np.array([*x, 0.0] if self.memory else x)

    def _linear_start(self, bend: float) -> np.ndarray:
        """For a probe that has seen the samples, whose equations bear no worse start."""
        terms = self.terms()
        shared = Shared(terms.delta, terms.ridge, terms.rho, terms.probe, jnp.asarray(bend))
        return np.asarray(linearised(shared, jnp.asarray(self._moments_at_rest())))

    def _moments_at_rest(self) -> np.ndarray:
        still, plain = at_rest(), self.terms()._replace(closing=None)
        blocks = self.rows(np.asarray(still), LEVELS[0])
        parts = [moments_and_slopes(still, plain, block, self.loss)[0] for block in blocks]
        return np.sum([np.asarray(part) for part in parts], axis=0)

    def _linear_moments(self) -> tuple[float, float, float, float]:
        """-E[u f], -E[u_perp f], E[f^2] and E[f_1 f] at theta = 0, with the probe's own f_1."""
        u, xi, eta, square, shared = self._moments_at_rest() / SMALL
        return -u, -(xi + eta) / np.sqrt(2), square / SMALL, shared


def _in_range(x: np.ndarray) -> bool:
    return bool(np.isfinite(x).all() and np.abs(x[2:4]).max() <= LOG_RANGE)


def _evaluate(
    x: np.ndarray, terms: Terms, blocks: list[Rows], loss: Loss
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (k,) and their Jacobian (k, k)."""
    if not _in_range(x):
        return np.full(len(x), np.inf), np.eye(len(x))
    point, plain = jnp.asarray(x), terms._replace(closing=None)  # one program for every covariance
    parts = [moments_and_slopes(point, plain, block, loss) for block in blocks]
    moment = jnp.asarray(np.sum([np.asarray(part[0]) for part in parts], axis=0))
    slopes = jnp.asarray(np.sum([np.asarray(part[1]) for part in parts], axis=0))
    value, jacobian = residual_and_slopes(point, moment, slopes, terms)
    return np.asarray(value), np.asarray(jacobian)


def equations_at(x: np.ndarray, system: System, level: Level) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (k,) and Jacobian (k, k) of a system on a mesh graded by x itself."""
    return _evaluate(x, system.terms(), system.rows(x, level), system.loss)


def newton(system: System, x: np.ndarray, level: Level, *, max_steps: int = 40) -> Root:
    """Damped Newton on the mesh of its start; the residual tells whether it converged.

    Where the loss has corners, the mesh moves along: only with panels that end on the corners are
    the discretised equations as smooth in x as the integrals are.
    """
    terms, lines = system.terms(), system.lines(x, level)
    fixed = system.across(lines, x, level)

    def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moves = not system.loss.smooth and _in_range(x)
        return _evaluate(x, terms, system.across(lines, x, level) if moves else fixed, system.loss)

    value, jacobian = _evaluate(x, terms, fixed, system.loss)
    error, steps = np.abs(value).max(), 0
    while error > 1e-14 and steps < max_steps and np.isfinite(error):
        try:
            step = np.linalg.solve(jacobian, -value)
        except np.linalg.LinAlgError:
            break
        reach = np.ones_like(x)
        reach[:2] += np.abs(x[:2]).max() + np.exp(x[2])  # the first two are no logarithms
        step *= min(1.0, LARGEST_STEP / max((np.abs(step) / reach).max(), 1e-300))
        halvings = 12 if error > CONVERGED else 1  # near rounding level no shorter step helps
        for factor in 0.5 ** np.arange(halvings):
            new_value, new_jacobian = evaluate(x + factor * step)
            new_error = np.abs(new_value).max()
            if new_error < error:
                break
        else:
            break  # no step improves: rounding level, or stuck
        x, value, jacobian, error = x + factor * step, new_value, new_jacobian, new_error
        steps += 1
    return Root(x, float(error), steps)

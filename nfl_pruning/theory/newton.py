"""Newton's method on the limit equations, and continuation where it stalls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import jax.numpy as jnp
import numpy as np

from nfl_pruning.losses import LOSSES, Loss
from nfl_pruning.problem import Problem
from nfl_pruning.theory.equations import Rows, Terms, moments_and_slopes, residual_and_slopes
from nfl_pruning.theory.keep_law import KeepLaw
from nfl_pruning.theory.linear import Shared, at_rest, linearised
from nfl_pruning.theory.loadings import Closing, Linear
from nfl_pruning.theory.memory import Memory
from nfl_pruning.theory.mesh import (
    LEVELS,
    Level,
    Setting,
    build_rows,
    equation_terms,
    link_layers,
)

CONVERGED = 1e-11
LARGEST_STEP = 2.0
LOG_RANGE = 60.0
SMALLEST_STRIDE = 0.02
SMALL_RIDGE = 1e-4
PATH_LEVELS = (0, 2)
MOST_TRIALS = 40


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
        return build_rows(self.setting, x, loss=self.loss, level=level)

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
            alpha, n = pull**2 * kept, delta * len(self.closing.s)
            linear = Linear(n, self.ridge, alpha, along, across, square, self._shared_pull(pull))
            return self.closing.start(linear, cast(Any, self.memory))
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
        still, terms = at_rest(), self.terms()
        blocks = self.rows(np.asarray(still), LEVELS[0])
        sums = sum(moments_and_slopes(still, terms, block, self.loss)[0] for block in blocks)
        shared = Shared(terms.delta, terms.ridge, terms.rho, terms.probe, jnp.asarray(bend))
        return np.asarray(linearised(shared, jnp.asarray(sums)))

    def _shared_pull(self, pull: float) -> float:
        """E[f_1 f_2] at theta = 0, with f_1 the probe's own pull; 0 where there is none."""
        if self.memory is None:
            return 0.0
        own, total = self.memory.pull, 0.0
        for i, label in enumerate((1, -1)):

            def integrand(u: np.ndarray, i: int = i, label: int = label) -> np.ndarray:
                keep, weight = (part[:, i] for part in self.law.evaluate(u.ravel()))
                return -pull * np.sum(keep * weight, axis=0).reshape(u.shape) * own(label, u)

            total += self.law.label_law.integral(label, self.law.breaks, integrand)
        return total


def _evaluate(
    x: np.ndarray, terms: Terms, blocks: list[Rows], loss: Loss
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (k,) and their Jacobian (k, k)."""
    if not np.isfinite(x).all() or np.abs(x[2:4]).max() > LOG_RANGE:
        return np.full(len(x), np.inf), np.eye(len(x))
    point, plain = jnp.asarray(x), terms._replace(closing=None)  # one program for every covariance
    parts = [moments_and_slopes(point, plain, block, loss) for block in blocks]
    moment = sum(part[0] for part in parts)
    slopes = sum(part[1] for part in parts)
    value, jacobian = residual_and_slopes(point, moment, slopes, terms)
    return np.asarray(value), np.asarray(jacobian)


def equations_at(x: np.ndarray, system: System, level: Level) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (k,) and Jacobian (k, k) of a system on a mesh graded by x itself."""
    return _evaluate(x, system.terms(), system.rows(x, level), system.loss)


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
        reach = np.ones_like(x)
        reach[:2] += np.abs(x[:2]).max() + np.exp(x[2])  # the first two are no logarithms
        step *= min(1.0, LARGEST_STEP / max((np.abs(step) / reach).max(), 1e-300))
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


def solve_coarse(system: System) -> tuple[Root, int]:
    """A root on the coarsest mesh that has one, and the number of that mesh's level.

    Tried directly from the linearised fit, then by continuation from an easier system.
    """
    root = _remeshed(system, system.start(), LEVELS[0])
    return (root, 0) if root.converged else _continuation(system)


def _remeshed(system: System, x: np.ndarray, level: Level, *, max_steps: int = 40) -> Root:
    """Newton on the mesh of its start, then again on the mesh of what it found."""

    def once(x: np.ndarray) -> Root:
        rows = system.rows(x, level)
        return newton(x, system.terms(), rows, system.loss, max_steps=max_steps)

    root = once(x)
    return once(root.x) if root.residual < 0.1 else root


def _easier(system: System) -> Callable[[float], System]:
    """A path of systems from an easy one at 0 to the given one at 1.

    With a ridge: from a ridge so large that the fit is linear. Without: from many more samples per
    feature. For a hard constraint: from so few samples that any direction satisfies it. Where the
    separability threshold is known, the distance to it changes by constant factors.
    """
    delta, edge = system.problem.samples_per_feature, system.threshold

    def at_delta(value: float) -> System:
        return replace(system, problem=system.problem.replace(samples_per_feature=value))

    def approach(first: float) -> Callable[[float], System]:
        if not np.isfinite(edge):
            return lambda t: at_delta(first * (delta / first) ** t)
        ratio = (delta - edge) / (first - edge)
        return lambda t: at_delta(edge + (first - edge) * ratio**t)

    if system.memory and (system.ridge == 0 or system.loss.hard):
        return _vanishing_ridge(system)
    if system.loss.hard:
        return approach(min(0.05, 0.5 * delta))
    if system.ridge == 0:
        return approach(30 * delta)
    top = 1.0 if system.closing is None else float(np.max(system.closing.s))
    high = max(10.0 * top, 10 * system.ridge)
    return lambda t: replace(system, ridge=high * (system.ridge / high) ** t)


def _vanishing_ridge(system: System) -> Callable[[float], System]:
    """A path through ridges for a probe that saw the samples: it changes with samples per feature.

    A constraint is reached through a loss that becomes it as the ridge vanishes.
    """
    high, low = 10.0, system.ridge or SMALL_RIDGE
    soft = {"max-margin": "hinge", "interpolation": "squared"}
    loss = LOSSES[soft[system.loss.limit]] if system.loss.hard else system.loss

    def path(t: float) -> System:
        if t == 1:
            return system
        return replace(system, loss=loss, ridge=high * (low / high) ** t - (low - system.ridge) * t)

    return path


def _continuation(system: System) -> tuple[Root, int]:
    """Follow the root along a path from an easier system.

    Steps adapt; where they become too small the mesh is refined, and at last the search is given
    up: the root that is returned then has an infinite residual.
    """
    path, place, levels = _easier(system), 0.0, list(PATH_LEVELS)
    root = _remeshed(path(0.0), path(0.0).start(), LEVELS[levels[0]])
    stride, slope = 0.1, np.zeros_like(root.x)
    for _ in range(MOST_TRIALS):
        if not root.converged or place == 1:
            break
        trial = min(place + stride, 1.0)
        guess = root.x + slope * (trial - place)
        new = _remeshed(path(trial), guess, LEVELS[levels[0]], max_steps=12)
        if new.converged:
            slope = (new.x - root.x) / (trial - place)
            root, place, stride = new, trial, min(1.5 * stride, 0.25)
        elif stride > SMALLEST_STRIDE:
            stride *= 0.4
        elif len(levels) > 1:
            levels, stride = levels[1:], 0.05
        else:
            break
    return (root if place == 1 else Root(root.x, np.inf, root.steps)), levels[0]

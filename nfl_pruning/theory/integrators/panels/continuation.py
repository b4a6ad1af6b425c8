"""Roots of the limit equations: Newton's method, and continuation where it stalls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from nfl_pruning.losses import LOSSES
from nfl_pruning.theory.integrators.panels.mesh import LEVELS, Level
from nfl_pruning.theory.integrators.panels.newton import Root, System, newton

SMALLEST_STRIDE = 0.02
SMALL_RIDGE = 1e-4
PATH_LEVELS = (0, 2)
MOST_TRIALS = 40

Path = Callable[[float], System]


def solve_coarse(system: System) -> tuple[Root, int]:
    """A root on the coarsest mesh that has one, and the number of that mesh's level.

    Tried directly from the linearised fit, then by continuation from an easier system.
    """
    root, number = _remeshed(system, system.start(), LEVELS[0]), 0
    for informed in (True, False):
        for path in _easier(system):
            if root.converged:
                return root, number
            root, number = _continuation(path, informed=informed)
    return root, number


def _remeshed(system: System, x: np.ndarray, level: Level, *, max_steps: int = 40) -> Root:
    """Newton on the mesh of its start, then again on the mesh of what it found."""
    root = newton(system, x, level, max_steps=max_steps)
    return newton(system, root.x, level, max_steps=max_steps) if root.residual < 0.1 else root


def _easier(system: System) -> Iterator[Path]:
    """Paths of systems from an easy one at 0 to the given one at 1, the most promising first.

    With a ridge: from a ridge so large that the fit is linear. Without: from many more samples per
    feature. For a hard constraint: from so few samples that any direction satisfies it. Where the
    separability threshold is known, the distance to it changes by constant factors. A probe that
    saw the samples changes with their number; there, and where that fails, the ridge vanishes.
    """
    delta, edge = system.problem.samples_per_feature, system.threshold

    def at_delta(value: float) -> System:
        return replace(system, problem=system.problem.replace(samples_per_feature=value))

    def approach(first: float) -> Path:
        if not np.isfinite(edge):
            return lambda t: at_delta(first * (delta / first) ** t)
        ratio = (delta - edge) / (first - edge)
        return lambda t: at_delta(edge + (first - edge) * ratio**t)

    if system.loss.hard and system.fit is None:
        yield approach(min(0.05, 0.5 * delta))
    elif system.loss.hard or system.ridge == 0:
        if system.fit is None:
            yield approach(30 * delta)
        yield _vanishing_ridge(system)
    else:
        high = max(_linear_ridge(system), 10 * system.ridge)
        yield lambda t: replace(system, ridge=high * (system.ridge / high) ** t)


def _linear_ridge(system: System) -> float:
    """A ridge so large that the fit is linear, whatever the weights and the largest variance."""
    top = float(np.max(system.closing.s))
    return 10.0 * top * max(1.0, system.law.mean(2))


def _vanishing_ridge(system: System) -> Path:
    """A path through ridges; a constraint is reached through a loss that becomes it at the end."""
    high, low = _linear_ridge(system), system.ridge or SMALL_RIDGE
    loss = LOSSES[system.loss.softened] if system.loss.softened else system.loss

    def path(t: float) -> System:
        if t == 1:
            return system
        return replace(system, loss=loss, ridge=high * (low / high) ** t - (low - system.ridge) * t)

    return path


def _continuation(path: Path, *, informed: bool) -> tuple[Root, int]:
    """Follow the root along a path from an easier system.

    Steps adapt; where they become too small the mesh is refined, and at last the search is given
    up: the root that is returned then has an infinite residual.

    Args:
        path: see ``_easier``.
        informed: whether the first step starts from what the linearised fit changes by: right for
            a root near that fit, as at a large ridge, and wrong for others. Else from the root.
    """
    place, levels = 0.0, list(PATH_LEVELS)
    easy = path(0.0)
    linear = easy.start()
    root = _remeshed(easy, linear, LEVELS[levels[0]])
    stride, slope = 0.1, None if informed else np.zeros_like(root.x)
    for _ in range(MOST_TRIALS):
        if not root.converged or place == 1:
            break
        trial = min(place + stride, 1.0)
        system = path(trial)
        if slope is None:
            guess = root.x + system.start() - linear
        else:
            guess = root.x + slope * (trial - place)
        new = _remeshed(system, guess, LEVELS[levels[0]], max_steps=12)
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

"""Derivatives of a two-class mixture's limit in the problem's numbers, by the implicit function.

The equations F(x, a) = 0 hold for every number a, so dx / da = -(dF / dx)^-1 dF / da. Newton's
method has dF / dx; dF / da at fixed x, with the motion of thresholds and of a fitted probe, is a
fourth-order difference of F, at nodes made to one law.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.problem import Problem
from nfl_pruning.theory.derivatives.implicit import STENCIL, difference, implicit, safe_step
from nfl_pruning.theory.mixture.limit import EXACT, prepared
from nfl_pruning.theory.mixture.result import Answer
from nfl_pruning.theory.mixture.two_classes.newton import linearised, valued
from nfl_pruning.theory.mixture.two_classes.pair import Warm, at, numbers_at, solve_two_classes
from nfl_pruning.theory.mixture.two_classes.pair_setting import PairSetting, setting_of
from nfl_pruning.theory.mixture.two_classes.panels import FINE
from nfl_pruning.theory.mixture.two_classes.reading import probe_reads
from nfl_pruning.theory.mixture.two_classes.refit import refit_builder
from nfl_pruning.theory.mixture.two_classes.stages import Builder
from nfl_pruning.theory.numbers import with_numbers


def mixture_values(problem: Problem, numbers: Mapping[str, Any]) -> dict[str, Array]:
    """:func:`limit_values` for a mixture of two classes.

    Returns:
        Scalars test_error, test_loss, calibration_slope and every observable of a solution.

    Raises:
        UnsupportedProblemError: the problem has no certified solution here.
    """
    names = tuple(numbers)
    values = tuple(jnp.asarray(numbers[name], float) for name in names)
    warm = Warm()  # the numbers are often those of the problem, or close to them
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        keys = tuple(_Solved(prepared(problem), warm).numbers)

    def solve(given: list[float]) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
        found = _Solved(prepared(with_numbers(problem, names, given)), warm)
        row = np.array([found.numbers[key] for key in keys])
        return row, lambda: found.slopes(names, given, keys)

    return dict(zip(keys, implicit(solve, values), strict=True))


class _Solved:
    """A certified limit at one fineness, at which it is differentiated."""

    def __init__(self, problem: Problem, warm: Warm) -> None:
        self._problem, self._warm = problem, warm
        with jax.enable_x64(True):
            answer = solve_two_classes(problem, self._warm)
            setting = setting_of(problem)
            found = at(setting, FINE, self._warm) if answer.found else answer
            if isinstance(found, Answer):
                raise UnsupportedProblemError(found.flaw)
            if answer.flaw or not answer.error <= EXACT:
                raise UnsupportedProblemError(
                    f"The limit that is to be differentiated is not certified. {answer.flaw}"
                )
            self._stage = found[1]
            self.numbers = numbers_at(setting, *found)

    def slopes(
        self, names: tuple[str, ...], given: list[float], keys: tuple[str, ...]
    ) -> np.ndarray:
        """Derivatives of the numbers ``keys`` in those of the problem, (keys, names)."""
        columns = [self._column(name, value) for name, value in zip(names, given, strict=True)]
        return np.array([[column[key] for column in columns] for key in keys])

    def _column(self, name: str, value: float) -> dict[str, float]:
        stage = self._stage
        step, x, kind = safe_step(name, value), stage.root.x, stage.kind
        with jax.enable_x64(True):
            slopes = np.asarray(linearised(x, stage.terms, kind).jacobian)
            beside = {}
            for k, _ in STENCIL:
                setting = setting_of(with_numbers(self._problem, (name,), [value + k * step]))
                builder = _builder(setting, self._warm)
                beside[k] = (setting, builder, stage.again(builder))
            pull = difference(lambda k: np.asarray(valued(x, beside[round(k)][2], kind).value), 1.0)
            change = -np.linalg.solve(slopes, pull)  # of x, for one step of the number
            rows = {}
            for k, (setting, builder, terms) in beside.items():
                last = valued(x + k * change, terms, kind)
                moved = replace(stage, terms=terms, state=last.state,
                                fit=last.fit._replace(intercept=last.state.intercept))  # fmt: skip
                rows[k] = numbers_at(setting, builder, moved)
            return {key: difference(lambda k, key=key: rows[round(k)][key], 1.0) / step
                    for key in rows[1]}  # fmt: skip


def _builder(setting: PairSetting, warm: Warm) -> Builder:
    reads, probe = probe_reads(setting, FINE, warm.probes)
    if probe is not None and not probe.root.converged:
        raise UnsupportedProblemError("The limit cannot be differentiated: its probe has no fit.")
    return refit_builder(setting, reads)

"""Many problems at once: which of them the compiled solver knows, and how it is run over them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from threading import Lock
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.losses import LOSSES
from nfl_pruning.probes import FixedProbe, InSampleProbe, PilotProbe
from nfl_pruning.problem import Problem
from nfl_pruning.programs import release_programs
from nfl_pruning.scores.base import Score
from nfl_pruning.selections import ExactCalibration, Random, SoftCalibration, Threshold
from nfl_pruning.theory.fast.cell import Kind
from nfl_pruning.theory.fast.limit import Limit, State, limit
from nfl_pruning.theory.fast.mesh import Nodes
from nfl_pruning.theory.fast.rule import Rule, Setting, first_bands
from nfl_pruning.theory.label_law import LabelLaw
from nfl_pruning.theory.ordering import (
    AbsoluteOrder,
    SignedOrder,
    UnsupportedProblemError,
    order_of,
)


class Tier(NamedTuple):
    """A resolution; with fewer than ``least`` problems left, compiling costs more than `solve`."""

    nodes: Nodes
    least: int


TIERS = (
    Tier(Nodes(48, 48), 1),
    Tier(Nodes(96, 96), 48),
    Tier(Nodes(112, 112, graded=True), 32),
    Tier(Nodes(240, 240, graded=True), 24),
)
IN_SAMPLE_TIERS = (  # there `solve` takes seconds
    Tier(Nodes(56, 56), 1),
    Tier(Nodes(112, 112), 6),
    Tier(Nodes(160, 160, graded=True), 6),
    Tier(Nodes(320, 320, graded=True), 6),
)
TARGET = 1e-8
RESIDUAL = 1e-10
CHUNK, WIDE_CHUNK = 32, 2048  # problems a call: one after another; side by side
STEEPEST = 1 - 1e-9  # alignments closer to 1 than this count as perfect

Progress = Callable[[int], Any]

_COMPILING = Lock()


class Known(NamedTuple):
    """A problem that the compiled solver can take: what is compiled in, and its numbers."""

    kind: Kind
    rule: Rule
    setting: Setting


@lru_cache(maxsize=1024)
def _aware(score: Score, keep: str, norm: float) -> bool | None:
    """Whether a score orders by y u (True) or |u| (False) at a probe's norm; None: neither."""
    problem = Problem(score=score, keep=keep, probe=FixedProbe(0.5))
    law = LabelLaw(problem.teacher, 0.5)
    try:
        order = order_of(problem, law, lambda label, u: norm * u)
    except UnsupportedProblemError:
        return None
    if isinstance(order, SignedOrder):
        return True
    return False if isinstance(order, AbsoluteOrder) else None


def _order(problem: Problem) -> bool | None:
    """As ``_aware``, for a problem; probes of unknown norm are asked at several."""
    if isinstance(problem.selection, Random):
        return False
    fixed = isinstance(problem.probe, FixedProbe)
    norms = (problem.probe_norm,) if fixed else (0.1, 1.0, 20.0)
    found = {_aware(problem.score, problem.keep, norm) if norm > 0 else None for norm in norms}
    return found.pop() if len(found) == 1 else None


def _protocol(problem: Problem) -> tuple[float, float] | None:
    """(exploit, weight exponent) of the protocols that keep two bands."""
    selection = problem.selection
    if isinstance(selection, Threshold):
        return 1.0, 0.0
    if isinstance(selection, Random):
        return 0.0, 0.0
    if isinstance(selection, ExactCalibration):
        return selection.exploit, 1.0
    if isinstance(selection, SoftCalibration):
        return selection.exploit, selection.exponent
    return None


TAKES = (
    "threshold, random, exact or soft protocols, logistic or squared loss, ridge and signal above "
    "0, and a score that orders samples by the margin"
)
"""The problems of :func:`known` in words."""


def unknown(problem: Problem) -> str:
    """What of a problem the compiled solver does not know, in words; empty where it knows it."""
    loss, ridge, scale = problem.student.loss, problem.student.ridge, problem.teacher.scale
    if _protocol(problem) is None:
        return f"protocol {problem.selection.label!r}"
    if loss not in (LOSSES["logistic"], LOSSES["squared"]):
        return f"loss {loss.name!r}"
    if ridge == 0 or scale == 0:
        return f"ridge {ridge:g} and signal {problem.teacher.signal:g}"
    if _order(problem) is None:
        return f"score {problem.score.name!r} with probe {problem.probe.label!r}"
    return ""


def known(problem: Problem) -> Known | None:
    """The problem for the compiled solver, or None where only ``solve`` can treat it."""
    if unknown(problem):
        return None
    bands, aware = _protocol(problem), _order(problem)
    assert bands is not None and aware is not None
    loss, link = problem.student.loss, problem.teacher.link
    probe, alignment, pilot, own = problem.probe, 0.5, 1.0, 1.0
    name = "fixed"
    if isinstance(probe, FixedProbe):
        alignment = probe.alignment
    elif not isinstance(problem.selection, Random):  # for which the probe does not matter
        name, own = ("pilot" if isinstance(probe, PilotProbe) else "in-sample"), probe.ridge
        pilot = probe.samples_per_feature if isinstance(probe, PilotProbe) else 1.0
    assert isinstance(probe, FixedProbe | PilotProbe | InSampleProbe)
    perfect = abs(alignment) > STEEPEST
    if perfect:
        alignment = float(np.sign(alignment))
    kind = Kind(link, loss, perfect, (1,) if link.symmetric else (1, -1))
    setting = Setting(
        problem.samples_per_feature,
        problem.student.ridge,
        problem.keep_fraction,
        problem.teacher.scale,
        alignment,
        *bands,
        pilot,
        own,
        float(problem.keep == "hardest"),
    )
    kept = None
    if name == "in-sample" and isinstance(problem.selection, Threshold):
        kept = first_bands(aware, hardest=problem.keep == "hardest")
    return Known(kind, Rule(aware, name, kept), setting)


def _program(kind: Kind, rule: Rule, nodes: Nodes, platform: str) -> Callable:
    """A compiled function of a chunk of settings; threads that ask at once wait for one."""
    with _COMPILING:
        return _compiled(kind, rule, nodes, platform)


@lru_cache(maxsize=16)  # each holds a hundred memory maps, of which a process has few
def _compiled(kind: Kind, rule: Rule, nodes: Nodes, platform: str) -> Callable:

    def one(setting: Setting) -> tuple[Limit, State]:
        with jax.default_matmul_precision("highest"):
            return limit(kind, setting, rule, nodes=nodes)

    # One problem after another keeps its arrays in a processor's cache, and lets each stop when it
    # has converged; an accelerator needs them side by side.
    many = partial(jax.lax.map, one) if platform == "cpu" else jax.vmap(one)
    with jax.enable_x64(True):
        entry = jax.ShapeDtypeStruct((_chunk(platform),), jnp.float64)
        return jax.jit(many).lower(Setting(*[entry] * len(Setting._fields))).compile()


def _chunk(platform: str) -> int:
    return CHUNK if platform == "cpu" else WIDE_CHUNK


class Found(NamedTuple):
    """Results of a batch, numpy arrays of shape (problems,).

    Attributes:
        limit, state: see there; NaN where no root was found.
        good: whether the error estimate meets the target.
    """

    limit: Limit
    state: State
    good: np.ndarray


def run_batch(
    kind: Kind, rule: Rule, settings: Setting, *, progress: Progress = lambda n: None
) -> Found:
    """Solve a batch of one kind, on finer quadratures where the error estimate asks for it.

    Args:
        kind: what is compiled in.
        rule: likewise.
        settings: numpy arrays of shape (problems,).
        progress: called with the number of problems that were finished since its last call.
    """
    release_programs()
    count = len(settings.ridge)
    values: np.ndarray | None = None
    good = np.zeros(count, bool)
    for tier in IN_SAMPLE_TIERS if rule.probe == "in-sample" else TIERS:
        todo = np.flatnonzero(~good)
        if len(todo) < tier.least:
            break
        part = Setting(*(np.asarray(entry)[todo] for entry in settings))
        found = _run(kind, rule, part, tier.nodes)
        if values is None:
            values = np.full((found.shape[0], count), np.nan)
        values[:, todo] = found
        n_limit = len(Limit._fields)
        numbers = Limit(*found[:n_limit])
        fine = (numbers.error_estimate <= TARGET) & (numbers.residual <= RESIDUAL)
        fine &= np.isfinite(found).all(axis=0)
        good[todo] = fine
        progress(int(fine.sum()))
    assert values is not None
    return Found(Limit(*values[: len(Limit._fields)]), State(*values[len(Limit._fields) :]), good)


def _run(kind: Kind, rule: Rule, settings: Setting, nodes: Nodes) -> np.ndarray:
    """All numbers of the limits and states, shape (numbers, problems), chunk by chunk."""
    platform = jax.default_backend()
    size = _chunk(platform)
    program = _program(kind, rule, nodes, platform)
    count = len(settings.ridge)
    starts = range(0, count, size)

    def one(begin: int) -> np.ndarray:
        rows = np.minimum(np.arange(begin, begin + size), count - 1)  # repeat the last one
        with jax.enable_x64(True):
            chunk = Setting(*(jnp.asarray(part[rows], jnp.float64) for part in settings))
            found = program(chunk)
        return np.stack([np.asarray(part) for group in found for part in group])

    if platform == "cpu":
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            parts = list(pool.map(one, starts))
    else:
        parts = [one(begin) for begin in starts]
    return np.concatenate(parts, axis=1)[:, :count]


def groups(
    problems: Sequence[Problem],
) -> tuple[dict[tuple[Kind, Rule], tuple[list[int], Setting]], list[int]]:
    """Problems by what is compiled in: their positions and numbers; and the unknown ones."""
    found: dict[tuple[Kind, Rule], list[tuple[int, Setting]]] = {}
    rest = []
    for i, problem in enumerate(problems):
        taken = known(problem)
        if taken is None:
            rest.append(i)
        else:
            found.setdefault((taken.kind, taken.rule), []).append((i, taken.setting))
    stacked = {}
    for key, members in found.items():
        columns = zip(*(setting for _, setting in members), strict=True)
        numbers = Setting(*(np.asarray(column, float) for column in columns))
        stacked[key] = ([i for i, _ in members], numbers)
    return stacked, rest

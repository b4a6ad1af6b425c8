"""Which problems the compiled solver knows, and what of them is compiled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from nfl_pruning.losses import LOSSES
from nfl_pruning.probes import FixedProbe, InSampleProbe, PilotProbe, Probe
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Score
from nfl_pruning.selections import (
    ExactCalibration,
    Random,
    Selection,
    SoftCalibration,
    Threshold,
)
from nfl_pruning.theory.fast.cell import Kind
from nfl_pruning.theory.fast.rule import Rule, Setting, first_bands
from nfl_pruning.theory.label_law import LabelLaw
from nfl_pruning.theory.numbers import numbers_of
from nfl_pruning.theory.ordering import (
    AbsoluteOrder,
    SignedOrder,
    UnsupportedProblemError,
    order_of,
)

STEEPEST = 1 - 1e-9  # alignments closer to 1 than this count as perfect
PROTOCOLS: dict[type[Selection], dict[str, float]] = {
    Threshold: {"exploit": 1.0, "exponent": 0.0},
    Random: {"exploit": 0.0, "exponent": 0.0},
    ExactCalibration: {"exponent": 1.0},
    SoftCalibration: {},
}
"""Protocols that keep two bands, with those of their two numbers that do not vary."""
PROBES: dict[type[Probe], str] = {
    FixedProbe: "fixed",
    PilotProbe: "pilot",
    InSampleProbe: "in-sample",
}
UNREAD = {"alignment": 0.5, "pilot_samples": 1.0, "probe_ridge": 1.0}
SMOOTH = (LOSSES["logistic"], LOSSES["squared"])


class Known(NamedTuple):
    """Problems that the compiled solver can take: what is compiled in, and their numbers.

    Attributes:
        kind, rule: see there.
        setting: floats, or arrays of shape (problems,).
    """

    kind: Kind
    rule: Rule
    setting: Setting


@lru_cache(maxsize=1024)
def _aware(score: Score, keep: str, norm: float) -> bool | None:
    """Whether a score orders by y u (True) or |u| (False) at a probe's norm; None: neither."""
    if norm <= 0:
        return None
    problem = Problem(score=score, keep=keep, probe=FixedProbe(0.5))
    law = LabelLaw(problem.teacher, 0.5)
    try:
        order = order_of(problem, law, lambda label, u: norm * u)
    except UnsupportedProblemError:
        return None
    if isinstance(order, SignedOrder):
        return True
    return False if isinstance(order, AbsoluteOrder) else None


def _orders(problem: Problem, norms: np.ndarray) -> np.ndarray:
    """As ``_aware`` at each norm of a fixed probe; other probes are asked at several at once."""
    if isinstance(problem.selection, Random):
        return np.full(norms.shape, False, object)
    if not isinstance(problem.probe, FixedProbe):
        found = {_aware(problem.score, problem.keep, norm) for norm in (0.1, 1.0, 20.0)}
        return np.full(norms.shape, found.pop() if len(found) == 1 else None, object)
    different, place = np.unique(norms, return_inverse=True)
    asked = [_aware(problem.score, problem.keep, norm) for norm in different.tolist()]
    return np.array(asked, object)[place]


TAKES = (
    "threshold, random, exact or soft protocols, logistic or squared loss, ridge and signal above "
    "0, and a score that orders samples by the margin"
)
"""The problems of :func:`known` in words."""


def unknown(problem: Problem) -> str:
    """What of a problem the compiled solver does not know, in words; empty where it knows it."""
    loss, ridge, scale = problem.student.loss, problem.student.ridge, problem.teacher.scale
    if type(problem.selection) not in PROTOCOLS:
        return f"protocol {problem.selection.label!r}"
    if loss not in SMOOTH:
        return f"loss {loss.name!r}"
    if ridge == 0 or scale == 0:
        return f"ridge {ridge:g} and signal {problem.teacher.signal:g}"
    if known(problem) is None:
        return f"score {problem.score.name!r} with probe {problem.probe.label!r}"
    return ""


def known(problem: Problem) -> Known | None:
    """The problem for the compiled solver, or None where only ``solve`` can treat it."""
    for _, taken in known_at(problem, {}, 1):
        return taken._replace(setting=Setting(*(float(part[0]) for part in taken.setting)))
    return None


def known_at(
    problem: Problem, columns: Mapping[str, np.ndarray], count: int
) -> Iterator[tuple[np.ndarray, Known]]:
    """What the compiled solver can take of problems that differ from one in numbers alone.

    Args:
        problem: gives the numbers that no column does.
        columns: number's name, as sweeps call it -> valid values, shape (count,).
        count: problems.

    Yields:
        Positions of those that share what is compiled in, and these for the solver.
    """
    loss, link = problem.student.loss, problem.teacher.link
    if type(problem.selection) not in PROTOCOLS or loss not in SMOOTH:
        return
    setting, norms = _setting(problem, columns, count)
    orders = _orders(problem, norms)
    possible = (setting.ridge > 0) & (setting.signal > 0)
    for perfect in (False, True):
        kind = Kind(link, loss, perfect, (1,) if link.symmetric else (1, -1))
        for aware in (False, True):
            alike = (np.abs(setting.alignment) == 1) == perfect
            where = np.flatnonzero(possible & alike & (orders == aware))
            if len(where):
                here = Setting(*(part[where] for part in setting))
                yield where, Known(kind, _rule(problem, aware), here)


def _setting(
    problem: Problem, columns: Mapping[str, np.ndarray], count: int
) -> tuple[Setting, np.ndarray]:
    """All numbers as arrays, and the norms of fixed probes."""
    own = UNREAD | PROTOCOLS[type(problem.selection)] | numbers_of(problem)
    given: dict[str, Any] = {**own, **columns}
    given["hardest"] = float(problem.keep == "hardest")
    if problem.teacher.link.scale_free:
        given["signal"] = 1.0
    full = {name: np.broadcast_to(value, count) for name, value in given.items()}
    norms = full.pop("probe_norm", full["signal"])
    perfect = np.abs(full["alignment"]) > STEEPEST
    full["alignment"] = np.where(perfect, np.sign(full["alignment"]), full["alignment"])
    return Setting(**full), norms


def _rule(problem: Problem, aware: bool) -> Rule:
    # Which samples random pruning keeps does not depend on the probe.
    probe = "fixed" if isinstance(problem.selection, Random) else PROBES[type(problem.probe)]
    if probe == "in-sample" and isinstance(problem.selection, Threshold):
        return Rule(aware, probe, first_bands(aware, hardest=problem.keep == "hardest"))
    return Rule(aware, probe)

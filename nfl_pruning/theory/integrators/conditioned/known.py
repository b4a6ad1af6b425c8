"""Which problems the compiled solver knows, and what of them is compiled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nfl_pruning.inputs import Isotropic
from nfl_pruning.probes import FixedProbe, InSampleProbe, PilotProbe, Probe
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import Score
from nfl_pruning.selections import Random, RankSelection
from nfl_pruning.theory.integrators.conditioned.cell import Kind
from nfl_pruning.theory.integrators.conditioned.rule import Rule, Setting, between_edges
from nfl_pruning.theory.numbers import numbers_of
from nfl_pruning.theory.selection_law.label_law import LabelLaw
from nfl_pruning.theory.selection_law.ordering import (
    AbsoluteOrder,
    SignedOrder,
    UnsupportedProblemError,
    order_of,
)
from nfl_pruning.validation import InvalidArgumentError

STEEPEST = 1 - 1e-9  # alignments closer to 1 than this count as perfect
MOST_BANDS = 6  # of a selection: each adds edges to every table
PROBES: dict[type[Probe], str] = {
    FixedProbe: "fixed",
    PilotProbe: "pilot",
    InSampleProbe: "in-sample",
}
UNREAD = {"alignment": 0.5, "pilot_samples": 1.0, "probe_ridge": 1.0}


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
    "isotropic inputs, selections by rank, losses with a derivative, ridge and signal above 0, and "
    "a score that orders samples by the margin"
)
"""The problems of :func:`known` in words."""


def unknown(problem: Problem) -> str:
    """What of a problem the compiled solver does not know, in words; empty where it knows it."""
    loss, ridge, scale = problem.student.loss, problem.student.ridge, problem.teacher.scale
    if not isinstance(problem.inputs, Isotropic):
        return f"inputs {problem.inputs.label!r}"
    if problem.only_for_mixtures:
        return problem.only_for_mixtures
    if _bands(problem, {}, 1) is None:
        return f"protocol {problem.selection.label!r}"
    if not loss.smooth:
        return f"loss {loss.name!r}"
    if ridge == 0 or scale == 0:
        return f"ridge {ridge:g} and signal {problem.teacher.signal:g}"
    if known(problem) is None:
        return f"score {problem.score.name!r} with probe {problem.probe.label!r}"
    return ""


def known(problem: Problem) -> Known | None:
    """The problem for the compiled solver, or None where only ``solve`` can treat it."""
    for _, taken in known_at(problem, {}, 1):
        return taken._replace(setting=Setting(*(part[0] for part in taken.setting)))
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
    bands = _bands(problem, columns, count)
    gaussian = isinstance(problem.inputs, Isotropic) and not problem.only_for_mixtures
    if bands is None or not loss.smooth or not gaussian:
        return
    setting, norms = _setting(problem, columns, count, bands=bands)
    orders = _orders(problem, norms)
    possible = (setting.ridge > 0) & (setting.signal > 0) & (setting.share > -1e-12).all(axis=1)
    kept = np.sum(setting.share * setting.keep, axis=1)
    asked = np.broadcast_to(columns.get("keep_fraction", problem.keep_fraction), count)
    possible &= np.abs(kept / asked - 1) < 1e-9  # else `solve` says what is wrong
    for perfect in (False, True):
        kind = Kind(link, loss, perfect, (1,) if link.symmetric else (1, -1))
        for aware in (False, True):
            alike = (np.abs(setting.alignment) == 1) == perfect
            where = np.flatnonzero(possible & alike & (orders == aware))
            if len(where):
                here = Setting(*(part[where] for part in setting))
                yield where, Known(kind, _rule(problem, aware, bands), here)


class _Bands(NamedTuple):
    """Of selections by rank, first priority first, shape (problems, bands)."""

    share: np.ndarray
    keep: np.ndarray
    weight: np.ndarray


def _bands(problem: Problem, columns: Mapping[str, np.ndarray], count: int) -> _Bands | None:
    """The bands of problems that differ in numbers alone; None where the solver takes none."""
    selection = problem.selection
    if not isinstance(selection, RankSelection):
        return None
    fraction = np.broadcast_to(columns.get("keep_fraction", problem.keep_fraction), count)
    own = {name: columns[name] for name in selection.numbers if name in columns}
    try:
        strata = selection.moved(own).strata(fraction)
        rows = [[s.share, s.keep_probability, s.weight] for s in strata]
        table = np.stack([[np.broadcast_to(v, count) for v in row] for row in rows])
    except (TypeError, ValueError):  # not written for arrays: one problem after another
        every = [
            selection.moved({name: float(v[i]) for name, v in own.items()}).strata(float(r))
            for i, r in enumerate(fraction)
        ]
        if len({len(strata) for strata in every}) != 1:
            return None
        table = np.array(
            [[[s.share, s.keep_probability, s.weight] for s in strata] for strata in every], float
        ).transpose(1, 2, 0)
    if len(table) > MOST_BANDS:
        return None
    if len(table) == 1:  # an empty band before it: selections of one and two share a program
        table = np.concatenate([table * np.array([0.0, 1.0, 1.0])[:, None], table])
    return _Bands(*(part.T for part in table.astype(float).transpose(1, 0, 2)))


def bands_at(problem: Problem, numbers: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Shares, keep probabilities and weights of the bands at traced numbers, each (bands,).

    Raises:
        InvalidArgumentError: the selection's rule is not written for traced values.
    """
    selection = problem.selection
    assert isinstance(selection, RankSelection)
    fraction = jnp.asarray(numbers.get("keep_fraction", problem.keep_fraction), float)
    given = {n: jnp.asarray(numbers.get(n, v), float) for n, v in selection.numbers.items()}
    try:
        strata = selection.moved(given).strata(fraction)
    except (TypeError, jax.errors.JAXTypeError):
        raise InvalidArgumentError(
            "Traced numbers need a selection whose strata are written for arrays; "
            f"{selection.name!r} asks for plain numbers."
        ) from None
    rows = [
        [jnp.asarray(v, float) for v in (s.share, s.keep_probability, s.weight)] for s in strata
    ]
    if len(rows) == 1:
        rows = [[0 * rows[0][0], *rows[0][1:]], *rows]
    share, keep, weight = (jnp.stack(part) for part in zip(*rows, strict=True))
    return share, keep, weight


def _setting(
    problem: Problem, columns: Mapping[str, np.ndarray], count: int, *, bands: _Bands
) -> tuple[Setting, np.ndarray]:
    """All numbers as arrays, and the norms of fixed probes."""
    given: dict[str, Any] = {**UNREAD, **numbers_of(problem), **columns}
    given["hardest"] = float(problem.keep == "hardest")
    if problem.teacher.link.scale_free:
        given["signal"] = 1.0
    full = {name: np.broadcast_to(value, count) for name, value in given.items()}
    norms = full.get("probe_norm", full["signal"])
    perfect = np.abs(full["alignment"]) > STEEPEST
    full["alignment"] = np.where(perfect, np.sign(full["alignment"]), full["alignment"])
    full |= bands._asdict()
    return Setting(**{name: full[name] for name in Setting._fields}), norms


def _rule(problem: Problem, aware: bool, bands: _Bands) -> Rule:
    # Which samples random pruning keeps does not depend on the probe.
    probe = "fixed" if isinstance(problem.selection, Random) else PROBES[type(problem.probe)]
    if probe == "in-sample" and not problem.selection.numbers:  # no derivative moves what is kept
        kept = np.any(bands.keep > 0, axis=0)
        ordered = kept if problem.keep == "hardest" else kept[::-1]
        return Rule(aware, probe, tuple(between_edges(aware, ordered).tolist()))
    return Rule(aware, probe)

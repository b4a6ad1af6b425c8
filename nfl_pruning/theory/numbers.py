"""The numbers of a problem by name, wherever in it they lie: what sweeps and derivatives move."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from nfl_pruning.problem import Problem
from nfl_pruning.selections import SELECTIONS
from nfl_pruning.theory.selection_law.ordering import UnsupportedProblemError

INSIDE = {
    "alignment": ("probe", "alignment"),
    "probe_norm": ("probe", "norm"),
    "pilot_samples": ("probe", "samples_per_feature"),
    "probe_ridge": ("probe", "ridge"),
}
"""Numbers that some probes lack: name -> the part of the problem, and its field."""

GOALS = ("test_error", "test_loss")
"""What the best numbers and the best rule minimise."""

ALWAYS = ("signal", "keep_fraction", "ridge", "samples_per_feature")


def all_numbers() -> tuple[str, ...]:
    """Every number that a problem may have: its own, its probe's, and those of any selection."""
    of_selections = (
        f.name for cls in SELECTIONS.values() for f in fields(cls) if f.type in (float, "float")
    )
    return tuple(dict.fromkeys([*ALWAYS, *INSIDE, *of_selections]))


def _place(name: str) -> tuple[str, str]:
    """The part of a problem that would hold a number, and the number's field there."""
    return INSIDE.get(name, ("selection", name))


def lacking(problem: Problem, name: str) -> str:
    """The part of a problem that would have a number but does not, in words; else nothing."""
    if name in ALWAYS:
        return ""
    part, field = _place(name)
    owner = getattr(problem, part)
    return "" if field in {known.name for known in fields(owner)} else f"{part} {owner.label!r}"


def numbers_of(problem: Problem) -> dict[str, float]:
    """The numbers that a problem has, by name; without a norm where the probe has the default."""
    every: dict[str, float | None] = {
        "signal": problem.teacher.signal,
        "keep_fraction": problem.keep_fraction,
        "ridge": problem.student.ridge,
        "samples_per_feature": problem.samples_per_feature,
    }
    for name, (part, field) in INSIDE.items():
        every[name] = getattr(getattr(problem, part), field, None)
    every |= problem.selection.numbers
    return {name: value for name, value in every.items() if value is not None}


def with_numbers(problem: Problem, names: tuple[str, ...], values: list[float]) -> Problem:
    """The problem with some of its numbers changed.

    Raises:
        UnsupportedProblemError: its probe or protocol has no such number.
    """
    given: dict[str, Any] = dict(zip(names, values, strict=True))
    parts = {"probe": problem.probe, "selection": problem.selection}
    for name in names:
        if without := lacking(problem, name):
            raise UnsupportedProblemError(f"{name} is no number of the {without}.")
        if name not in ALWAYS:
            part, field = _place(name)
            parts[part] = replace(parts[part], **{field: given.pop(name)})
    return problem.replace(**given, **parts)

"""Grids of problems: axes of numbers and names, one problem a cell, made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.problem import Problem
from nfl_pruning.theory.numbers import all_numbers, lacking, numbers_of, with_numbers
from nfl_pruning.validation import check_number

NAMES = ("score", "keep", "selection", "probe", "loss", "link")


@dataclass(frozen=True)
class Family:
    """Problems that differ from one in numbers alone.

    Attributes:
        problem: gives the numbers that no column does.
        places: their positions in a list or grid, shape (problems,).
        columns: name of a number -> its values, shape (problems,).
    """

    problem: Problem
    places: np.ndarray
    columns: dict[str, np.ndarray]


class Grid(Sequence[Problem]):
    """The problems of a grid in C order, the last axis fastest.

    Attributes:
        axes: name -> values.
        shape: number of bases, then the lengths of the axes.
    """

    def __init__(self, bases: Sequence[Problem], axes: Mapping[str, ArrayLike]) -> None:
        """Check every value of every axis.

        Args:
            bases: what is held fixed, one or more.
            axes: name -> values; a number is constant along the axis where a base has none.

        Raises:
            InvalidArgumentError: an axis is unknown, empty or no number of any base, or a value is
                out of range.
        """
        if not bases:
            raise InvalidArgumentError("a sweep must have at least one problem; got none.")
        self._bases = tuple(bases)
        self.axes = {name: _axis(name, values) for name, values in axes.items()}
        self.shape = (len(self._bases), *(len(values) for values in self.axes.values()))
        cases = [case for case, _ in self._cases()]
        _check_owned(cases, self.axes)
        for case in cases:
            for name in _owned(case, self.axes):
                for value in self.axes[name]:
                    with_numbers(case, (name,), [value])

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Problem]: ...
    def __getitem__(self, index: int | slice) -> Problem | Sequence[Problem]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        base, *places = np.unravel_index(range(len(self))[index], self.shape)
        point = {
            name: values[i] for (name, values), i in zip(self.axes.items(), places, strict=True)
        }
        case = _named(self._bases[int(base)], point)
        own = _owned(case, point)
        return with_numbers(case, own, [point[name] for name in own])

    def _cases(self) -> Iterator[tuple[Problem, tuple[Any, ...]]]:
        """The problems at every combination of names, and where in the grid they lie."""
        for base, problem in enumerate(self._bases):
            choices = [
                enumerate(values) if name in NAMES else [(slice(None), None)]
                for name, values in self.axes.items()
            ]
            for chosen in product(*choices):
                point = dict(zip(self.axes, (value for _, value in chosen), strict=True))
                yield _named(problem, point), (base, *(index for index, _ in chosen))

    def families(self) -> Iterator[Family]:
        """The grid, combination of names by combination of names."""
        cells = np.arange(len(self)).reshape(self.shape)
        numbers = {name: values for name, values in self.axes.items() if name not in NAMES}
        columns = np.meshgrid(*numbers.values(), indexing="ij")
        table = {name: part.ravel() for name, part in zip(numbers, columns, strict=True)}
        for case, where in self._cases():
            own = _owned(case, table)
            yield Family(case, cells[where].ravel(), {name: table[name] for name in own})


def families(problems: Sequence[Problem]) -> Iterator[Family]:
    """A list of problems or a grid, those together that differ in numbers alone."""
    if isinstance(problems, Grid):
        yield from problems.families()
        return
    alike: dict[Any, list[int]] = {}
    for i, problem in enumerate(problems):
        parts = type(problem.selection), type(problem.probe), problem.teacher.link
        key = (*parts, problem.student.loss, problem.score, problem.keep, problem.inputs)
        alike.setdefault(key, []).append(i)
    for places in alike.values():
        rows = [_full(problems[i]) for i in places]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        yield Family(problems[places[0]], np.array(places), columns)


def _full(problem: Problem) -> dict[str, float]:
    """All its numbers, the probe's norm included that is the signal where none is given."""
    numbers = numbers_of(problem)
    if lacking(problem, "probe_norm"):
        return numbers
    return {"probe_norm": problem.probe_norm} | numbers


def _named(problem: Problem, point: Mapping[str, Any]) -> Problem:
    """The problem with the names of a point."""
    return problem.replace(**{name: value for name, value in point.items() if name in NAMES})


def _owned(problem: Problem, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that are numbers of the problem."""
    return tuple(name for name in names if name not in NAMES and not lacking(problem, name))


def _axis(name: str, given: ArrayLike) -> tuple:
    """The values of an axis: floats, or names as they are."""
    known = (*all_numbers(), *NAMES)
    if name not in known:
        raise InvalidArgumentError(
            f"a sweep's axes must be among {', '.join(known)}; got {name!r}."
        )
    values = np.atleast_1d(np.asarray(given, object))
    if values.ndim > 1:
        raise InvalidArgumentError(
            f"axis {name} must be a list of values; got an array of shape {values.shape}."
        )
    if not len(values):
        raise InvalidArgumentError(f"axis {name} must have at least one value; got none.")
    if name not in NAMES:
        return tuple(check_number(f"axis {name}", value, "(-inf, inf)") for value in values)
    for value in values:
        if not isinstance(value, str):
            raise InvalidArgumentError(f"axis {name} must hold names; got {value!r}.")
    return tuple(values)


def _check_owned(cases: list[Problem], axes: Mapping[str, tuple]) -> None:
    """Refuse an axis that is no number of any problem of the sweep: it would change nothing."""
    for name in (name for name in axes if name not in NAMES):
        without = dict.fromkeys(lacking(case, name) for case in cases)
        if all(without):
            raise InvalidArgumentError(
                f"axis {name} must be a number of the problem; got {', '.join(without)}."
            )

"""The proportional limit over grids of problems: phase diagrams, tables, labelled arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem
from nfl_pruning.settings import with_own_settings
from nfl_pruning.theory.fast.batch import Found, run_batch
from nfl_pruning.theory.fast.cell import Kind
from nfl_pruning.theory.fast.known import known_at
from nfl_pruning.theory.fast.rule import Rule, Setting
from nfl_pruning.theory.grid import Grid, families
from nfl_pruning.theory.observables import best_losses, calibration_slopes
from nfl_pruning.theory.solution import Solution, finite
from nfl_pruning.theory.solve import solve
from nfl_pruning.validation import check_choice

OBSERVED = (
    "cosine",
    "norm",
    "test_error",
    "test_loss",
    "excess_risk",
    "error_estimate",
    "residual",
)
STATE = ("a_u", "a_p", "tau", "kappa", "chi", "probe_alignment")

Progress = Callable[[int, int], Any]


@dataclass(frozen=True)
class Sweep:
    """Limits over a grid.

    Attributes:
        axes: name -> values, in the order of the array axes.
        problems: one a cell, in C order; those of a grid are made when asked for.
        status: how each cell ended (:class:`Status`), an object array of the grid's shape.
        values: name -> float64 array of the grid's shape, NaN where the status has no estimate:
            cosine, norm, test_error, test_loss, excess_risk, error_estimate, residual; and the
            unknowns a_u, a_p, tau, kappa, chi (NaN but for in-sample probes) and probe_alignment.
        singly: number of the cell -> what ``solve`` said, for those that it solved.
    """

    axes: dict[str, tuple]
    problems: Sequence[Problem]
    status: np.ndarray
    values: dict[str, np.ndarray]
    singly: dict[int, Solution] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(len(values) for values in self.axes.values())

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def least(self, name: str, along: str) -> np.ndarray:
        """The least value of a number along an axis, cells without one left out.

        Args:
            name: of the number, ``test_error`` say.
            along: the axis that is minimised over, ``ridge`` say.

        Returns:
            An array without that axis, NaN where no cell has a number.

        Raises:
            InvalidArgumentError: there is no such number or axis.
        """
        check_choice("number", name, self.values)
        axis = list(self.axes).index(check_choice("axis", along, self.axes))
        filled = np.where(np.isnan(self.values[name]), np.inf, self.values[name]).min(axis=axis)
        return np.where(np.isinf(filled), np.nan, filled)

    def rows(self) -> list[dict[str, Any]]:
        """A plain table: one dict a cell with its coordinates, numbers (None: none) and status."""
        points = [
            dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())
        ]
        flat = {name: array.ravel() for name, array in self.values.items()}
        return [
            point
            | {name: finite(array[i]) for name, array in flat.items()}
            | {"status": self.status.flat[i].value}
            for i, point in enumerate(points)
        ]

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with the axes as coordinates.

        Raises:
            ImportError: xarray is not installed; it comes with the extra ``xarray``.
        """
        try:
            import xarray  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ImportError(
                "Labelled arrays need xarray: pip install 'nfl-pruning[xarray]'."
            ) from None
        names = tuple(self.axes)
        text = np.vectorize(lambda status: status.value, otypes=[object])(self.status)
        arrays = {name: (names, array) for name, array in self.values.items()}
        coordinates = {name: list(values) for name, values in self.axes.items()}
        return xarray.Dataset(arrays | {"status": (names, text)}, coords=coordinates)


@with_own_settings
def sweep(
    problem: Problem | Mapping[str, Problem],
    *,
    progress: Progress = lambda done, total: None,
    **axes: ArrayLike,
) -> Sweep:
    """The proportional limit of a problem over a grid of its numbers and names.

    Selections by rank with losses that have a derivative and a score that orders samples by the
    margin run in a few compiled programs, on all cores or on an accelerator;
    what it does not know, or cannot certify to 1e-8, goes to :func:`solve` one by one.

    Args:
        problem: what is held fixed; or name -> problem, which gives a first axis ``rule``.
        progress: called with (cells done, cells in all).
        axes: sequences of values for signal, keep_fraction, ridge, samples_per_feature, alignment
            and probe_norm (of fixed probes), pilot_samples, probe_ridge (of pilot and in-sample
            probes), exploit, exponent, offset (of selections that have them), or of names for
            score, keep, selection, probe, loss, link, as :meth:`Problem.replace` takes them; array
            axes come in the order given. A rule without a number, as random pruning without an
            exploit, is constant along that axis.

    Raises:
        InvalidArgumentError: an axis is unknown, empty or no number of any rule, or a value is out
            of range.

    Example:
        >>> sweep(problem, score=["el2n", "entropy"], alignment=[0.3, 0.9])["cosine"]  # (2, 2)
    """
    single = isinstance(problem, Problem)
    grid = Grid([problem] if single else list(problem.values()), axes)
    named = grid.axes if single else {"rule": tuple(problem)} | grid.axes
    shape = tuple(len(values) for values in named.values())
    flat = solve_many(grid, progress=progress)
    return Sweep(
        named,
        grid,
        flat.status.reshape(shape),
        {name: array.reshape(shape) for name, array in flat.values.items()},
        flat.singly,
    )


def solve_each(problems: Iterable[Problem]) -> Iterator[Solution]:
    """:func:`solve` of one problem after another, on all cores, in the order given."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(solve, problems)


def solve_many(
    problems: Sequence[Problem], *, progress: Progress = lambda done, total: None
) -> Sweep:
    """:func:`sweep` for any list of problems; the one axis is their number."""
    problems = problems if isinstance(problems, Grid) else tuple(problems)
    count, done = len(problems), 0

    def advance(finished: int) -> None:
        nonlocal done
        done += finished
        progress(done, count)

    values = {name: np.full(count, np.nan) for name in (*OBSERVED, *STATE)}
    status = np.empty(count, object)  # np.full would make plain text of it
    status[:] = Status.NO_SOLUTION
    slow = np.ones(count, bool)
    for (kind, rule, _), (where, settings) in _groups(problems).items():
        found = run_batch(kind, rule, settings, progress=advance)
        good = np.flatnonzero(found.good)
        places = where[good]
        slow[places] = False
        if not len(good):
            continue
        _put(values, places, found, good)
        if rule.probe != "in-sample":
            values["chi"][places] = np.nan
        least = best_losses(kind.link, kind.loss, settings.signal[good])
        values["excess_risk"][places] = values["test_loss"][places] - least
        status[places] = Status.CERTIFIED
    singly, left = {}, np.flatnonzero(slow).tolist()
    for i, solution in zip(left, solve_each(problems[i] for i in left), strict=True):
        singly[i] = solution
        _put_solution(values, status, i, solution)
        advance(1)
    return Sweep({"problem": tuple(range(count))}, problems, status, values, singly)


def _groups(
    problems: Sequence[Problem],
) -> dict[tuple[Kind, Rule, int], tuple[np.ndarray, Setting]]:
    """Positions and numbers of the problems that the compiled solver knows, by its programs.

    A program is known by what is compiled in: kind, rule and the number of bands.
    """
    parts: dict[tuple[Kind, Rule, int], list[tuple[np.ndarray, Setting]]] = {}
    for family in families(problems):
        for where, taken in known_at(family.problem, family.columns, len(family.places)):
            part = family.places[where], taken.setting
            key = taken.kind, taken.rule, taken.setting.share.shape[1]
            parts.setdefault(key, []).append(part)
    found = {}
    for key, members in parts.items():
        places, settings = zip(*members, strict=True)
        columns = (np.concatenate(column) for column in zip(*settings, strict=True))
        found[key] = np.concatenate(places), Setting(*columns)
    return found


def _put(values: dict[str, np.ndarray], places: np.ndarray, found: Found, good: np.ndarray) -> None:
    numbers = found.limit._asdict() | found.state._asdict()
    numbers["probe_alignment"] = numbers.pop("alignment")
    del numbers["mass_error"]  # what is certified has none
    for name, array in numbers.items():
        values[name][places] = np.asarray(array)[good]


def _put_solution(
    values: dict[str, np.ndarray], status: np.ndarray, i: int, solution: Solution
) -> None:
    status[i] = solution.status
    if solution.status.has_estimate:
        for name in OBSERVED:
            number = getattr(solution, name)
            values[name][i] = number
        for name in STATE:
            values[name][i] = solution.state.get(name, np.nan)


def solve_list(
    problems: Sequence[Problem], *, progress: Progress = lambda done, total: None
) -> list[Solution]:
    """:func:`solve_many` with a :class:`Solution` a problem, as ``solve`` returns it."""
    found = solve_many(problems, progress=progress)
    solutions = []
    for i, problem in enumerate(problems):
        if i in found.singly:
            solutions.append(found.singly[i])
            continue
        numbers: dict[str, Any] = {name: float(found[name][i]) for name in OBSERVED}
        slope = calibration_slopes(
            problem.teacher, cosine=found["cosine"][i], norm=found["norm"][i]
        )
        state = {name: float(found[name][i]) for name in STATE if np.isfinite(found[name][i])}
        solutions.append(
            Solution(
                problem,
                Status.CERTIFIED,
                Status.CERTIFIED.sentence,
                calibration_slope=float(slope),
                state=state,
                **numbers,
            )
        )
    return solutions

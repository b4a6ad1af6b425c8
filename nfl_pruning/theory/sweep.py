"""The proportional limit over grids of problems: phase diagrams, tables, labelled arrays."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs import Mixture
from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem
from nfl_pruning.settings import with_own_settings
from nfl_pruning.theory.grid import Grid, families
from nfl_pruning.theory.integrators.conditioned.batch import Found, run_batch
from nfl_pruning.theory.integrators.conditioned.cell import Kind
from nfl_pruning.theory.integrators.conditioned.known import known_at
from nfl_pruning.theory.integrators.conditioned.rule import Rule, Setting
from nfl_pruning.theory.mixture.limit import Neighbour, mixture_limit
from nfl_pruning.theory.observables import best_losses, calibration_slopes
from nfl_pruning.theory.solution import Solution
from nfl_pruning.theory.solve import solve
from nfl_pruning.validation import check_number

if TYPE_CHECKING:
    import xarray

OBSERVED = (
    "cosine",
    "norm",
    "test_error",
    "test_loss",
    "excess_risk",
    "error_estimate",
    "residual",
)
COMPILED, ONE_BY_ONE = "compiled", "one by one"
STATE = ("a_u", "a_p", "tau", "kappa", "chi", "probe_alignment")

Progress = Callable[[int, int], Any]


@dataclass(frozen=True)
class Batch:
    """Limits of a list of problems.

    Attributes:
        problems: those of a grid are made when asked for.
        status: how each ended (:class:`Status`), an object array.
        values: name -> float64 array, NaN where the status has no estimate: cosine, norm,
            test_error, test_loss, excess_risk, error_estimate, residual; and the unknowns a_u, a_p,
            tau, kappa, chi (NaN but for in-sample probes) and probe_alignment.
        solved_alone: number of the problem -> what ``solve`` said, for those that it solved.
    """

    problems: Sequence[Problem]
    status: np.ndarray
    values: dict[str, np.ndarray]
    solved_alone: dict[int, Solution] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]


@with_own_settings
def sweep(
    problem: Problem | Mapping[str, Problem],
    *,
    tolerance: float | None = None,
    progress: Progress = lambda done, total: None,
    **axes: ArrayLike,
) -> xarray.Dataset:
    """The proportional limit of a problem over a grid of its numbers and names.

    Selections by rank with losses that have a derivative and a score that orders samples by the
    margin run in a few compiled programs, on all cores or on an accelerator;
    what it does not know, or cannot certify to 1e-8, goes to :func:`solve` one by one, mixtures
    from the numbers of the cell beside.

    Args:
        problem: what is held fixed; or name -> problem, which gives a first axis ``rule``.
        tolerance: for mixtures of three classes or more, as :func:`solve` takes it.
        progress: called with (cells done, cells in all).
        axes: sequences of values for signal, keep_fraction, ridge, samples_per_feature, alignment
            and probe_norm (of fixed probes), pilot_samples, probe_ridge (of pilot and in-sample
            probes), exploit, exponent, offset (of selections that have them), or of names for
            score, keep, selection, probe, loss, link, as :meth:`Problem.replace` takes them; array
            axes come in the order given. A rule without a number, as random pruning without an
            exploit, is constant along that axis.

    Returns:
        A dataset with the axes as coordinates: the float64 variables of :class:`Batch`, NaN where
        the status has no estimate; ``status``, the value of a :class:`Status`; and ``method``,
        ``"compiled"`` or ``"one by one"``. ``found["test_error"].min("ridge")`` tunes the ridge.

    Raises:
        InvalidArgumentError: an axis is unknown, empty or no number of any rule, or a value is out
            of range.

    Example:
        >>> sweep(problem, score=["el2n", "entropy"], alignment=[0.3, 0.9])["cosine"]  # (2, 2)
    """
    import xarray  # it brings pandas, which takes a while to load

    single = isinstance(problem, Problem)
    grid = Grid([problem] if single else list(problem.values()), axes)
    named = grid.axes if single else {"rule": tuple(problem)} | grid.axes
    shape = tuple(len(values) for values in named.values())
    found = solve_many(grid, tolerance=tolerance, progress=progress)
    alone = np.isin(np.arange(len(grid)), list(found.solved_alone))
    columns = {
        **found.values,
        "status": np.array([status.value for status in found.status]),
        "method": np.where(alone, ONE_BY_ONE, COMPILED),
    }
    arrays = {name: (tuple(named), column.reshape(shape)) for name, column in columns.items()}
    return xarray.Dataset(arrays, coords={name: list(values) for name, values in named.items()})


def solve_each(problems: Iterable[Problem], tolerance: float | None = None) -> Iterator[Solution]:
    """:func:`solve` of one problem after another, on all cores, in the order given.

    Mixtures start from what the same thread found last for the same mixture: cells of a grid that
    lie side by side.
    """
    store = threading.local()

    def one(problem: Problem) -> Solution:
        if not isinstance(problem.inputs, Mixture):
            return solve(problem)
        if getattr(store, "inputs", None) != problem.inputs:
            store.inputs, store.near = problem.inputs, Neighbour()
        return _beside(problem, tolerance, store.near)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, problems)


@with_own_settings
def _beside(problem: Problem, tolerance: float | None, near: Neighbour) -> Solution:
    with jax.enable_x64(True):
        try:
            return mixture_limit(problem, tolerance, near)
        except UnsupportedProblemError as reason:
            return Solution(problem, Status.UNSUPPORTED, str(reason))


def solve_many(
    problems: Sequence[Problem],
    *,
    tolerance: float | None = None,
    progress: Progress = lambda done, total: None,
) -> Batch:
    """:func:`sweep` for any list of problems, or the cells of a grid in C order."""
    if tolerance is not None:
        tolerance = check_number("tolerance", tolerance, "(0, 1)")
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
    solved_alone, left = {}, np.flatnonzero(slow).tolist()
    solutions = solve_each((problems[i] for i in left), tolerance)
    for i, solution in zip(left, solutions, strict=True):
        solved_alone[i] = solution
        _put_solution(values, status, i, solution)
        advance(1)
    return Batch(problems, status, values, solved_alone)


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
        for name, number in solution.observables.items():
            values.setdefault(name, np.full(len(status), np.nan))[i] = number


def solve_list(
    problems: Sequence[Problem], *, progress: Progress = lambda done, total: None
) -> list[Solution]:
    """:func:`solve_many` with a :class:`Solution` a problem, as ``solve`` returns it."""
    found = solve_many(problems, progress=progress)
    solutions = []
    for i, problem in enumerate(problems):
        if i in found.solved_alone:
            solutions.append(found.solved_alone[i])
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

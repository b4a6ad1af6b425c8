"""``nfl-pruning solve``: the exact answer in a limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from nfl_pruning.cli.options.components import component_options, components_of
from nfl_pruning.cli.options.limits import Asked, limit_of, limit_options
from nfl_pruning.cli.options.problem import (
    FORMS,
    SWEEP_HELP,
    is_sweep,
    problem_options,
    problems,
    refuse_given,
    swept,
)
from nfl_pruning.cli.options.shared import json_option
from nfl_pruning.cli.options.types import ListOf, OneOf

if TYPE_CHECKING:
    from nfl_pruning.problem import Problem
    from nfl_pruning.theory.solution import Solution

HELP = f"""Solve a pruning problem exactly in the limit of many samples and features.

{SWEEP_HELP.format(more="")}

\b
Examples:
  nfl-pruning solve --signal 2 --probe fixed:0.8 --keep-fraction 0.3
  nfl-pruning solve --keep easiest --keep-fraction 0.1,0.3,1 --json
  nfl-pruning solve --protocol exact --exploit 0,0.5,0.9 --keep-fraction 0.2
  nfl-pruning solve --score el2n,entropy --probe fixed:0.2,0.5,0.8 --keep-fraction 0.3
  nfl-pruning solve --link steps:0:0.05,0.95 --protocol power:1 --keep-fraction 0.4
  nfl-pruning solve --abundant --score grand --n-features 20 --keep-fraction 0.5
  nfl-pruning solve --spectrum power:1.5:1.5:1000 --keep-fraction 0.3
  nfl-pruning solve --protocol soft:0.5 --best exploit,exponent,ridge --keep-fraction 0.3

test_error is P(sign <x, theta> differs from a fresh noisy label), excess_risk is test_loss minus
the least population loss, cosine is to the teacher.
"""

WORTH_COMPILING = 100  # cells; compiling for whole grids takes seconds, a cell then milliseconds
MOST_ROWS = 40  # of a table; mixtures of many components have more, all of them in --json
LEARNED = ("protocol", "exploit", "ridge")  # what --best may change
OBSERVABLES = ("cosine", "norm", "test_error", "test_loss", "excess_risk", "calibration_slope")


@click.command("solve", help=HELP, short_help="Exact answer in the proportional limit.")
@problem_options
@limit_options
@component_options
@click.option(
    "--best",
    metavar="NAME,...",
    type=ListOf(OneOf("theory.optimal.best_numbers:GRIDS")),
    help="Find the best of these numbers by gradients: exploit, exponent (of a soft protocol's "
    "weights), ridge.",
)
@click.option(
    "--goal",
    metavar="NAME",
    type=OneOf("theory.numbers:GOALS"),
    help="With --best: test_error or test_loss.  [default: test_error]",
)
@json_option
def command(as_json: bool, best: list[str] | None, goal: str | None, **options: str) -> None:
    """Solve, then print one object, a list, a summary or a table."""
    components = components_of(options, ("spectrum", "outside"))
    asked = limit_of(options)
    if components and best is not None:
        refuse_given(("best",), "inputs")
    solve = _solver(asked, best, goal)
    cases = problems(options)
    from nfl_pruning.experiments.progress import progress

    with progress(len(cases), "solving") as advance:
        found = [problem for _, problem in cases]
        if asked.inputs is not None:
            found = [problem.replace(inputs=asked.inputs) for problem in found]
        found = [components(problem) for problem in found] if components else found
        usual = asked.usual and best is None
        if usual and (components or len(cases) >= WORTH_COMPILING):
            solutions = _all_at_once(found, advance)
        else:
            solutions = []
            for problem in found:
                solutions.append(solve(problem))
                advance()
    if as_json:
        found = [as_object(solution) for solution in solutions]
        from nfl_pruning.cli.output.tables import print_json

        print_json(found if is_sweep(options) else found[0], indent=2)
    elif is_sweep(options):
        points, names = [point for point, _ in cases], swept(options)
        if best is not None:  # what was found differs from row to row
            names += [name for name in LEARNED if name not in names]
            points = [solution.problem.describe() for solution in solutions]
        _print_sweep(names, points, solutions)
    else:
        _print_one(solutions[0])


def _solver(
    asked: Asked, best: list[str] | None, goal: str | None
) -> Callable[[Problem], Solution]:
    """What solves one problem; it finds the best numbers first, if asked to."""
    from nfl_pruning.errors import InvalidArgumentError

    if best is None:
        from nfl_pruning.theory.solve import solve

        if goal is not None:
            raise InvalidArgumentError(f"--goal needs --best; got --goal {goal}.")
        return partial(solve, **asked.arguments)
    if not asked.usual:
        raise InvalidArgumentError(
            "--best is for isotropic inputs in the proportional limit; drop --abundant or "
            f"--spectrum; got --best {','.join(best)}."
        )
    from nfl_pruning.theory.numbers import GOALS
    from nfl_pruning.theory.optimal.best_numbers import best_numbers

    aim = GOALS[0] if goal is None else goal
    return lambda problem: best_numbers(problem, over=best, goal=aim).solution


def _all_at_once(cases: list[Problem], advance: Callable[[], Any]) -> list[Solution]:
    from nfl_pruning.theory.sweep import solve_list

    shown = 0

    def follow(done: int, total: int) -> None:
        nonlocal shown
        for _ in range(done - shown):
            advance()
        shown = done

    return solve_list(cases, progress=follow)


def as_object(solution: Solution) -> dict[str, Any]:
    """The JSON object: the problem in plain values, then what was found."""
    return {"problem": solution.problem.describe()} | solution.to_dict()


def _print_one(solution: Solution) -> None:
    from nfl_pruning.cli.output.tables import headline, number, print_table

    values = {name: getattr(solution, name) for name in OBSERVABLES}
    if solution.observables:  # of a mixture: what a teacher's direction says is not there
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        values = dict(list((known | solution.observables).items())[:MOST_ROWS])
    if math.isfinite(solution.direction_cosine):
        on_ball = solution.limit == "abundant"
        name = "cosine on the ball's boundary" if on_ball else "max-margin direction's cosine"
        values[name] = solution.direction_cosine
    rows = [(name.replace("_", " "), number(value, 8)) for name, value in values.items()]
    if solution.limit == "proportional":
        rows.append(("residual", number(solution.residual, 2)))
    rows.append(("error estimate", number(solution.error_estimate, 2)))
    rows.append(("status", solution.status.value))
    note = solution.message or solution.status.sentence
    print_table(
        ("observable", "value"),
        rows,
        title=headline([solution.problem]),
        note=note,
        left=("observable",),
    )


def _print_sweep(names: list[str], points: list[dict[str, Any]], solutions: list[Solution]) -> None:
    """A row a problem: the columns named, from its point, then what was found."""
    from nfl_pruning.cli.output.tables import headline, number, print_table

    shown = OBSERVABLES[: max(6 - max(len(names), 1), 1)]
    rows = [
        [number(point[name]) for name in names]
        + [number(getattr(solution, name)) for name in shown]
        + [solution.status.value]
        for point, solution in zip(points, solutions, strict=True)
    ]
    title = headline([solution.problem for solution in solutions], names)
    sentences = {s.status: s.status.sentence for s in solutions}
    note = "\n".join(f"{status.value}: {text}" for status, text in sentences.items())
    print_table((*names, *shown, "status"), rows, title=title, note=note, left=FORMS)

"""``nfl-pruning simulate``: Monte Carlo of a finite system next to the exact limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from nfl_pruning.cli.options.components import component_options, components_of, limit_value
from nfl_pruning.cli.options.limits import spectrum_of, spectrum_options
from nfl_pruning.cli.options.problem import (
    FORMS,
    SWEEP_HELP,
    SWEEPS,
    grid,
    is_sweep,
    problem_options,
    problems,
    refuse_given,
    swept,
)
from nfl_pruning.cli.options.shared import json_option, shared

if TYPE_CHECKING:
    from nfl_pruning.montecarlo import Simulation
    from nfl_pruning.theory.solution import Solution

HELP = f"""Simulate a pruning problem at finite size and compare with the exact limit.

z is (simulated mean - theory) / standard error. The limit is approached like 1 / features, so
very many trials of a small system show a difference. The theory is that of Gaussian inputs: with
another --law, z says how far the law of the inputs is felt. With --spectrum, trials and theory have
that covariance, and as many features as it has. With --inputs they have components and labels.

{SWEEP_HELP.format(more=", n-features, n-trials, seed")}

\b
Examples:
  nfl-pruning simulate --signal 2 --probe fixed:0.8 --keep-fraction 0.3
  nfl-pruning simulate --keep-fraction 0.1,0.3,1 --n-features 200 --n-trials 64
  nfl-pruning simulate --protocol exact --keep-fraction 0.3 --seed 7 --json
  nfl-pruning simulate --keep-fraction 0.3 --law heavy-tails:5
  nfl-pruning simulate --spectrum power:1:1.5:200 --samples-per-feature 4
  nfl-pruning simulate --inputs components:law.json --probe pilot:3:0.1 --keep-fraction 0.3
"""

LEAST = {"n_features": 2, "n_trials": 1}
SIZES = (*LEAST, "seed")
MOST_ROWS = 40  # of a table; mixtures of many components have more, all of them in --json
LONG_SECONDS = 30.0  # a run expected to be longer is announced


@click.command("simulate", help=HELP, short_help="Monte Carlo at finite size, beside the limit.")
@problem_options
@click.option(
    "--n-features", default="400", show_default=True, metavar="D", help="Dimension, >= 2."
)
@click.option("--n-trials", default="32", show_default=True, metavar="N", help="Repeats, >= 1.")
@shared("--seed", type=str, help="Whole number in [0, 2^63).")
@click.option(
    "--law",
    default="gaussian",
    show_default=True,
    metavar="LAW",
    help="Of the inputs: gaussian, heavy-tails[:DEGREES] or mixture[:SEPARATION[:DIRECTION]], "
    "DIRECTION across (of teacher and probe) or teacher.",
)
@spectrum_options
@component_options
@click.option(
    "--memory", metavar="SIZE", help="Budget, as 4GiB: rows that do not fit are drawn again."
)
@click.option(
    "--until-se",
    metavar="SE",
    help="Stop early, once the standard error of the cosine (of the test error, with --inputs) is "
    "this small.",
)
@click.option("--records", metavar="FOLDER", help="Keep finished trials; a killed run continues.")
@json_option
def command(
    as_json: bool,
    law: str,
    spectrum: str | None,
    outside: str | None,
    memory: str | None,
    until_se: str | None,
    records: str | None,
    **options: str,
) -> None:
    """Simulate and solve, then print one object, a list, or a table."""
    from nfl_pruning.experiments.progress import progress
    from nfl_pruning.inputs import Isotropic, parse_inputs
    from nfl_pruning.montecarlo import simulate
    from nfl_pruning.numerics.programs import release_programs
    from nfl_pruning.theory.solve import solve
    from nfl_pruning.validation import check_integer, check_seed

    components = components_of(options, ("law", "spectrum", "outside"))
    covariance = spectrum_of(spectrum, outside)
    if covariance is not None:
        refuse_given(("law", "memory", "until_se", "records", "n_features"), "spectrum")
        options["n_features"] = str(covariance.n_features)
    if components.n_features is not None:
        refuse_given(("n_features",), "inputs")
        options["n_features"] = str(components.n_features)
    sizes = list(grid(options, SIZES, int))
    for size in sizes:
        for name, low in LEAST.items():
            check_integer(name, size[name], low)
        check_seed(size["seed"], bits=63)
    described = {key: value for key, value in options.items() if key not in SIZES}
    cases = [(point, problem, size) for point, problem in problems(described) for size in sizes]
    inputs = parse_inputs(law) if covariance is None else covariance
    change = components or (lambda problem: problem.replace(inputs=inputs))
    cases = [(point, change(problem), size) for point, problem, size in cases]
    how = _how(memory, until_se, records, "test_error" if components else "cosine")
    if covariance is None and not components:
        _announce(cases, memory)
    found, solved, done = [], {}, 0
    with progress(sum(size["n_trials"] for *_, size in cases), "trials") as advance:
        for point, problem, size in cases:
            simulation = simulate(problem, **size, **how, progress=_shifted(advance, done))
            done += size["n_trials"]
            release_programs()
            if problem not in solved:  # the limit is that of Gaussian inputs
                known = problem.inputs.has_limit
                gaussian = problem if known else problem.replace(inputs=Isotropic())
                solved[problem] = solve(gaussian)
            found.append((point | size, simulation, solved[problem]))
    names = (*SWEEPS, *SIZES)
    if as_json:
        objects = [as_object(simulation, solution) for _, simulation, solution in found]
        from nfl_pruning.cli.output.tables import print_json

        print_json(objects if is_sweep(options, names) else objects[0], indent=2)
    elif is_sweep(options, names):
        _print_sweep(swept(options, names), found)
    else:
        _print_one(*found[0][1:])


def _how(
    memory: str | None, until_se: str | None, records: str | None, precise: str
) -> dict[str, Any]:
    """The arguments that all simulations share, checked."""
    from nfl_pruning.records import RecordStore
    from nfl_pruning.validation import check_folder, check_number

    until = None
    if until_se is not None:
        until = (precise, check_number("until-se", until_se, "(0, inf)"))
    return {
        "memory": memory,
        "until": until,
        "records": None if records is None else RecordStore(check_folder("records", records)),
    }


def _announce(cases: list[tuple[Any, Any, dict[str, int]]], memory: str | None) -> None:
    """Before a long run, say what it will take."""
    from nfl_pruning.montecarlo import estimate_cost

    for _, problem, size in cases:
        plan = estimate_cost(
            problem, n_features=size["n_features"], n_trials=size["n_trials"], memory=memory
        )
        if plan.seconds * size["n_trials"] / plan.workers > LONG_SECONDS:
            click.echo(plan.describe(size["n_trials"]), err=True)


def _shifted(advance: Callable[..., Any], before: int) -> Callable[[int, int], Any]:
    """Progress of one simulation on the bar of them all."""
    return lambda done, total: advance(completed=before + done)


def comparison(simulation: Simulation, solution: Solution) -> dict[str, dict[str, Any]]:
    """For each observable the simulated mean, its standard error, the theory and the z-score.

    Laws of inputs other than the Gaussian leave cosine and norm alone.
    """
    rows = {}
    for name in (name for name in simulation.observables if name in simulation.trials):
        theory = limit_value(solution, name)
        rows[name] = {
            "mean": simulation.mean(name),
            "standard_error": simulation.standard_error(name),
            "theory": theory,
            "z": simulation.z_score(name, theory),
        }
    return rows


def as_object(simulation: Simulation, solution: Solution) -> dict[str, Any]:
    """The JSON object of one simulation beside its theory."""
    return {
        "problem": simulation.problem.describe(),
        "law": simulation.law,
        "n_features": simulation.n_features,
        "n_trials": simulation.n_trials,
        "seed": simulation.seed,
        "status": solution.status,
        "error_estimate": solution.error_estimate,
        "failed": simulation.failed,
        **comparison(simulation, solution),
    }


def _inputs(simulation: Simulation, solution: Solution) -> str:
    """A line on the law of the inputs where it is another than the theory's."""
    from nfl_pruning.inputs import Mixture, Spectrum

    if isinstance(simulation.problem.inputs, Spectrum):
        return f"\nSpectrum {simulation.law}"
    if isinstance(simulation.problem.inputs, Mixture):
        return f"\nInputs   {simulation.law}"
    if simulation.law == "gaussian":
        return ""
    return f"\nInputs   {simulation.law} (theory: gaussian)"


def _note(simulation: Simulation, solution: Solution) -> str:
    theory = f"Theory {solution.status.value}: {solution.message or solution.status.sentence}"
    return f"{theory}{_failures(simulation.failed, simulation.n_trials)}"


def _failures(failed: int, n_trials: int) -> str:
    """A mean over the trials that happen to have a fit would mislead, so there is none."""
    return f"\n{failed} of {n_trials} trials have no fit, so no mean is given." if failed else ""


def _print_one(simulation: Simulation, solution: Solution) -> None:
    from nfl_pruning.cli.output.tables import headline, number, print_table, score, with_error

    rows = [
        (
            name.replace("_", " "),
            number(row["theory"]),
            with_error(row["mean"], row["standard_error"]),
            score(row["z"]),
        )
        for name, row in list(comparison(simulation, solution).items())[:MOST_ROWS]
    ]
    size = (
        f"\nTrials   {simulation.n_trials} of {simulation.n_features} features, "
        f"seed {simulation.seed}"
    )
    size += _inputs(simulation, solution)
    print_table(
        ("observable", "theory", "simulation", "z"),
        rows,
        title=headline([simulation.problem]) + size,
        note=_note(simulation, solution),
        left=("observable",),
    )


def _print_sweep(
    names: list[str], found: list[tuple[dict[str, Any], Simulation, Solution]]
) -> None:
    from nfl_pruning.cli.output.tables import headline, number, print_table, score, with_error

    known = found[0][1].trials
    first = "cosine" if "cosine" in known else "test_error"
    second = next(name for name in ("test_error", "norm") if name in known and name != first)
    shown = (first, second) if len(names) <= 1 else (first,)
    rows, failed, trials = [], 0, 0
    for point, simulation, solution in found:
        compared = comparison(simulation, solution)
        row = [number(point[name]) for name in names]
        for name in shown:
            value = compared[name]
            row += [
                number(value["theory"], 4),
                with_error(value["mean"], value["standard_error"]),
                score(value["z"], 1),
            ]
        rows.append(row)
        failed += simulation.failed
        trials += simulation.n_trials
    columns = [
        f"{name.removeprefix('test_')}\n{part}"
        for name in shown
        for part in ("theory", "simulated", "z")
    ]
    note = _failures(failed, trials).lstrip()
    title = headline([simulation.problem for _, simulation, _ in found], names)
    title += _inputs(*found[0][1:])
    print_table((*names, *columns), rows, title=title, note=note, left=FORMS)

"""``nfl-pruning reproduce``: simulations, figures, and a manifest of what came from what."""

from __future__ import annotations

from pathlib import Path

import click

from nfl_pruning.cli.options.figure import check_figure_options, figure_options, write_table
from nfl_pruning.cli.options.problem import chosen
from nfl_pruning.cli.options.shared import jobs_option, shared
from nfl_pruning.experiments.scripts import checkout

HELP = """Run the simulations of a checkout and draw its figures.

Finished records are kept, so an interrupted run continues where it stopped; --fresh computes
them again, as after a change of the code. Figures and manifest.json (figure, script, simulation,
hashes of the records) go to figures/output.

\b
Examples:
  nfl-pruning reproduce
  nfl-pruning reproduce --only no_free_lunch,calibration
  nfl-pruning reproduce --preset paper --root ~/nfl-pruning --jobs 1
"""


@click.command("reproduce", help=HELP, short_help="Run the simulations and draw the figures.")
@shared("--preset", help="quick: minutes; paper: publication-size samples.")
@click.option("--only", default="", metavar="NAME,...", help="These experiments alone.")
@click.option(
    "--root",
    default=".",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The checkout.",
)
@click.option("--fresh", is_flag=True, help="Forget the finished records first.")
@figure_options
@jobs_option("Experiments")
def command(
    preset: str,
    only: str,
    root: Path,
    fresh: bool,
    jobs: int | None,
    table: str | None,
    settings: tuple[str, ...],
) -> None:
    """Compute, draw, print what was written."""
    from nfl_pruning.cli.output.tables import print_table
    from nfl_pruning.experiments.changed import reproduce_changed
    from nfl_pruning.experiments.reproduce import reproduce

    found = {experiment.name: experiment for experiment in checkout(root)}
    experiments, rows = chosen(only, found), {}
    changes = check_figure_options(table, settings, experiments)
    if changes:
        finished = iter([reproduce_changed(experiments[0], preset, changes, fresh=fresh)])
    else:
        finished = reproduce(experiments, preset, fresh=fresh, jobs=jobs)
    for done in finished:
        files = "\n".join(path.as_posix() for path in done.written)
        rows[done.experiment.name] = (done.experiment.name, files, f"{done.seconds:.0f}")
    in_order = [rows[experiment.name] for experiment in experiments]
    print_table(("experiment", "written", "seconds"), in_order, left=("experiment", "written"))
    if table is not None:
        click.echo(f"Numbers in {write_table(table, experiments[0], preset, changes)}.")

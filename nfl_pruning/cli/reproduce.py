"""``nfl-pruning reproduce``: simulations, figures, and a manifest of what came from what."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nfl_pruning.cli.changed import (
    check_figure_options,
    figure_options,
    reproduce_changed,
    write_table,
)
from nfl_pruning.cli.options import chosen
from nfl_pruning.cli.processes import in_processes, jobs_option, usual_jobs
from nfl_pruning.cli.scripts import PRESETS, Experiment, checkout, load

if TYPE_CHECKING:
    from nfl_pruning.records import RecordStore

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
@click.option(
    "--preset",
    default="quick",
    show_default=True,
    metavar="NAME",
    help="quick: minutes; paper: publication-size samples.",
)
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
    """Compute, draw, and write the manifest after every figure."""
    from nfl_pruning.cli.output import print_table
    from nfl_pruning.validation import check_choice

    check_choice("preset", preset, PRESETS)
    found = {experiment.name: experiment for experiment in checkout(root)}
    experiments, rows = chosen(only, found), {}
    changes = check_figure_options(table, settings, experiments)
    if changes:
        written, seconds = reproduce_changed(experiments[0], preset, changes, fresh=fresh)
        files = "\n".join(path.as_posix() for path in written)
        rows[experiments[0].name] = (experiments[0].name, files, f"{seconds:.0f}")
    for experiment, written, seconds in _reproduced(
        [] if changes else experiments, preset, fresh=fresh, jobs=jobs
    ):
        _enter(experiment, preset, written)
        files = "\n".join(path.as_posix() for path in written)
        rows[experiment.name] = (experiment.name, files, f"{seconds:.0f}")
    in_order = [rows[experiment.name] for experiment in experiments]
    print_table(("experiment", "written", "seconds"), in_order, left=("experiment", "written"))
    if table is not None:
        click.echo(f"Numbers in {write_table(table, experiments[0], preset, changes)}.")


def _reproduced(
    experiments: list[Experiment], preset: str, *, fresh: bool, jobs: int | None
) -> Iterator[tuple[Experiment, list[Path], float]]:
    """Experiments as they are finished, the files that they wrote and the seconds they took."""
    jobs = min(len(experiments), jobs or usual_jobs())
    if jobs <= 1:
        for experiment in experiments:
            yield experiment, *reproduce(experiment, preset, fresh=fresh)
        return
    work = partial(reproduce, preset=preset, fresh=fresh, lines=True)
    tasks = {experiment.name: (experiment,) for experiment in experiments}
    for name, found in in_processes(work, tasks, jobs):
        yield *tasks[name], *found


def reproduce(
    experiment: Experiment, preset: str, *, fresh: bool = False, lines: bool = False
) -> tuple[list[Path], float]:
    """Run one experiment and draw its figure; returns the files and the seconds it took.

    Args:
        experiment: see there.
        preset: quick or paper.
        fresh: forget the finished records first.
        lines: show progress as lines, which several processes may write, and not as a bar.
    """
    from nfl_pruning.cli.output import steps

    start, store = time.monotonic(), _store(experiment, preset)
    if fresh:
        store.forget_others([])
    with steps(experiment.name, lines=lines) as progress:
        load(experiment.simulation).run(preset, store, progress)
    out = experiment.root / "figures" / "output"
    out.mkdir(parents=True, exist_ok=True)  # a figure whose data are missing here draws nothing
    written = [Path(path) for path in load(experiment.figure).draw(store, out)]
    return written, time.monotonic() - start


def _store(experiment: Experiment, preset: str) -> RecordStore:
    from nfl_pruning.records import RecordStore

    return RecordStore(experiment.records(preset))


def _enter(experiment: Experiment, preset: str, written: list[Path]) -> None:
    """Enter what was written, and what it came from, in the manifest."""
    from nfl_pruning.records import config_hash, to_json, write_atomically

    manifest = experiment.root / "figures" / "output" / "manifest.json"
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        entries = {}

    def place(path: Path) -> str:
        return path.resolve().relative_to(experiment.root.resolve()).as_posix()

    entries[experiment.name] = {
        "preset": preset,
        "files": [place(path) for path in written],
        "script": place(experiment.figure),
        "simulation": place(experiment.simulation),
        "records": {
            f"{config_hash(record['config'])}.json": _digest(to_json(record["result"]))
            for record in _store(experiment, preset).all()
        },
    }
    text = to_json(entries, indent=1) + "\n"
    write_atomically(manifest, lambda file: file.write(text.encode()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

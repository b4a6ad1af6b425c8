"""``reproduce --table`` and ``--set``: one experiment's numbers, and those of other numbers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from nfl_pruning.cli.scripts import Experiment, load
from nfl_pruning.validation import InvalidArgumentError

_OPTIONS = (
    click.option(
        "--table",
        metavar="FILE",
        help="Write the numbers behind the figure, one row a record (.csv); with --only NAME.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=NUMBER",
        help="Change a number of the experiment, such as signal=3; with --only NAME. Records and "
        "figures go to folders of their own, and the manifest stays as it is.",
    ),
)


def figure_options(function: Callable) -> Callable:
    """Add the options on one experiment's numbers to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def check_figure_options(
    table: str | None, settings: Sequence[str], experiments: Sequence[Experiment]
) -> dict[str, float]:
    """The numbers to change, once the options fit each other."""
    from nfl_pruning.record_tables import check_csv, parse_changes

    if (table is not None or settings) and len(experiments) != 1:
        option = "table" if table is not None else "set"
        raise InvalidArgumentError(
            f"--{option} is for one experiment: name it with --only; got {len(experiments)}."
        )
    if table is not None:
        check_csv(table)
    return parse_changes(settings)


def reproduce_changed(
    experiment: Experiment, preset: str, changes: Mapping[str, float], *, fresh: bool = False
) -> tuple[list[Path], float]:
    """Run an experiment with other numbers and draw it; returns the files and the seconds."""
    from nfl_pruning.cli.output import steps
    from nfl_pruning.record_tables import changed, folder_name
    from nfl_pruning.records import RecordStore

    start, name = time.monotonic(), folder_name(experiment.name, changes)
    store = RecordStore(experiment.records(preset).with_name(name))
    if fresh:
        store.forget_others([])
    script = load(experiment.simulation)
    with changed(script, changes), steps(name) as progress:
        script.run(preset, store, progress)
    out = experiment.root / "figures" / "output" / name
    out.mkdir(parents=True, exist_ok=True)
    written = [Path(path) for path in load(experiment.figure).draw(store, out)]
    return written, time.monotonic() - start


def write_table(
    table: str, experiment: Experiment, preset: str, changes: Mapping[str, float]
) -> Path:
    """Write the records of an experiment as a table."""
    from nfl_pruning.record_tables import check_csv, folder_name, rows_of_records, write_rows
    from nfl_pruning.records import RecordStore

    store = RecordStore(experiment.records(preset).with_name(folder_name(experiment.name, changes)))
    path = check_csv(table)
    write_rows(path, rows_of_records(store.all()))
    return path

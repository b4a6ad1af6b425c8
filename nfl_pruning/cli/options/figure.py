"""``reproduce --table`` and ``--set``: one experiment's numbers, and those of other numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.overrides import Changes
from nfl_pruning.experiments.scripts import Experiment

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
        metavar="NAME=NUMBER,...",
        help="Change a number of the experiment, such as signal=3 or trials=16, or a list of them; "
        "with --only NAME. Records and figures go to folders of their own, and the manifest stays "
        "as it is.",
    ),
)


def figure_options(function: Callable) -> Callable:
    """Add the options on one experiment's numbers to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def check_figure_options(
    table: str | None, settings: Sequence[str], experiments: Sequence[Experiment]
) -> dict[str, tuple[float, ...]]:
    """The numbers to change, once the options fit each other."""
    from nfl_pruning.experiments.overrides import parse_changes
    from nfl_pruning.experiments.record_tables import check_csv

    if (table is not None or settings) and len(experiments) != 1:
        option = "table" if table is not None else "set"
        raise InvalidArgumentError(
            f"--{option} is for one experiment: name it with --only; got {len(experiments)}."
        )
    if table is not None:
        check_csv(table)
    return parse_changes(settings)


def write_table(table: str, experiment: Experiment, preset: str, changes: Changes) -> Path:
    """Write the records of an experiment as a table."""
    from nfl_pruning.experiments.overrides import folder_name
    from nfl_pruning.experiments.record_tables import check_csv, rows_of_records, write_rows
    from nfl_pruning.records import RecordStore

    store = RecordStore(experiment.records(preset).with_name(folder_name(experiment.name, changes)))
    path = check_csv(table)
    write_rows(path, rows_of_records(store.all()))
    return path

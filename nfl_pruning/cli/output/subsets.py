"""Where ``prune`` writes: a .npz of arrays, or the user's table with columns added."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nfl_pruning.cli.options.types import OneOf

if TYPE_CHECKING:
    from nfl_pruning.data import Dataset
    from nfl_pruning.pruning.pruned import Pruned

_OPTIONS = (
    click.option("--group-column", metavar="NAME", help="Column of groups: kept, and no feature."),
    click.option(
        "--protect",
        metavar="FILE",
        help="Rows that are never pruned: numbers from 0 (.npy, or one a line).",
    ),
    click.option(
        "--resize",
        "resized_file",
        metavar="FILE",
        help="Another budget from an earlier .npz of the same DATA: larger subsets hold smaller "
        "ones.",
    ),
    click.option(
        "--weights",
        default="as-is",
        show_default=True,
        metavar="HOW",
        type=OneOf("adapters.weights:NORMALISATIONS"),
        help="Normalisation of the weights: as-is, sum-n (they sum to the rows before pruning) or "
        "mean-one (their mean over kept rows is 1).",
    ),
)


def part_options(function: Callable) -> Callable:
    """Add the options on groups, parts, earlier outcomes and weights to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def protected_rows(path: str | None) -> Any:
    """Numbers of rows, or a mask, from a file; None without one."""
    from nfl_pruning.data.readers.npy import read_vector
    from nfl_pruning.errors import InvalidArgumentError

    if path is None:
        return None
    found = read_vector(Path(path), "protect")
    if found.dtype.kind != "U":
        return found
    wrong = next((text for text in found.tolist() if not text.isdecimal()), None)
    if wrong is not None:
        raise InvalidArgumentError(
            f"protect must hold one row number a line in {path}; got {wrong!r}."
        )
    return found.astype(int)


def check_out(out: str, *, force: bool, inputs: Iterable[str]) -> None:
    """Raise unless the output may be written: a .npz, or a table by its ending."""
    from nfl_pruning.adapters.files import check_table
    from nfl_pruning.archive import check_output
    from nfl_pruning.data.readers.endings import TABLES

    if _is_table(out):
        check_table(out, force=force, inputs=inputs)
    else:
        check_output(out, endings=(".npz", *TABLES), force=force, inputs=inputs)


def save(pruned: Pruned, out: str, *, force: bool, inputs: Iterable[str]) -> str:
    """Write the outcome in the form that the file's ending names; returns what was written."""
    from nfl_pruning.adapters.files import save_table

    if _is_table(out):
        return str(save_table(pruned, out, force=force, inputs=inputs))
    return str(pruned.save(out, force=force, inputs=inputs))


def _is_table(out: str) -> bool:
    from nfl_pruning.data.readers.endings import TABLES, ending_of

    return ending_of(Path(out), TABLES) is not None


def resized(path: str, dataset: Dataset, keep_fraction: float) -> Pruned:
    """The subset of another budget, from an earlier outcome."""
    from nfl_pruning.pruning.resizing import load_pruned, resize

    return resize(load_pruned(path, dataset), keep_fraction)

"""Options that say what is in the user's own files, and what was read, for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from nfl_pruning.cli.options.shared import gathered

if TYPE_CHECKING:
    from nfl_pruning.data import Columns, Dataset

_OPTIONS = (
    click.option(
        "--label-column",
        metavar="NAME",
        help="Column of the labels in a table (label by default), one-hot columns (cat,dog,emu), "
        "array of a .npz (y), or file of labels beside a .npy.",
    ),
    click.option(
        "--id-column",
        metavar="NAME",
        help="Column, array or file of the rows' ids, which is no feature. By default a first "
        "column without a name, or one named id or index; none: there is no such column.",
    ),
    click.option("--drop", metavar="NAME,...", help="Columns of a table that are not read."),
    click.option(
        "--split-column",
        metavar="NAME",
        help="Column, array or file that says which part a row belongs to: rows other than train "
        "are never pruned, scored or trained on.",
    ),
)
WITH_TEST_PART = ("fashion-mnist", "mnist", "cifar-10", "cifar-100")
NAMES = ("label_column", "id_column", "drop", "split_column")


def column_options(function: Callable) -> Callable:
    """Add the options that name columns to a command, which gets them as ``columns``."""
    function = gathered(columns_from, "columns", NAMES)(function)
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def columns_from(
    label_column: str | None, id_column: str | None, drop: str | None, split_column: str | None
) -> Columns:
    """What the options say of the columns."""
    from nfl_pruning.cli.options.types import entries
    from nfl_pruning.data import Columns

    label: str | tuple[str, ...] | None = label_column
    left_out = () if drop is None else tuple(entries("drop", drop))
    if label_column is not None and "," in label_column:  # one-hot columns, each a class
        label = tuple(entries("label_column", label_column))
    return Columns(label, id_column, left_out, split=split_column)


def input_files(*names: str | None) -> list[str]:
    """Those of the command's inputs that are files, for outputs to stay away from."""
    from nfl_pruning.data import DATASETS

    return [name for name in names if name is not None and name not in DATASETS]


def describe_columns(dataset: Dataset, columns: Columns) -> dict[str, Any]:
    """What was read, and which columns of a file were asked for, as plain values."""
    return dataset.describe_features() | {
        "label_column": columns.label,
        "id_column": columns.ids,
        "dropped": list(columns.drop),
        "split_column": columns.split,
    }


def sentence_on_features(about: dict[str, Any]) -> str:
    """One sentence on the features that were read."""
    from nfl_pruning.data.columns import listed

    shape = about["feature_shape"]
    if len(shape) > 1:
        return f"Features: images of shape {tuple(shape)}."
    names = about["features"]
    return f"Features: {shape[0]}{'' if names is None else f': {listed(names)}'}."


def say(sentences: Iterable[str]) -> None:
    """Notes on standard output."""
    for sentence in sentences:
        click.echo(f"Note: {sentence}")

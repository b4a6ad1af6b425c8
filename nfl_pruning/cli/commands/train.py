"""``nfl-pruning train``: train a network on a pruned data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from nfl_pruning.cli.options.data import (
    WITH_TEST_PART,
    column_options,
    describe_columns,
    say,
    sentence_on_features,
)
from nfl_pruning.cli.options.network import Network, network_options
from nfl_pruning.cli.options.shared import data_argument, json_option, shared

if TYPE_CHECKING:
    from nfl_pruning.data import Columns, Dataset


class Options(TypedDict):
    """All that decides what is trained."""

    data: str
    data_dir: str | None
    columns: Columns
    subset: str | None
    test_data: str | None
    models: int
    budget: str
    seed: int
    network: Network


HELP = """Train networks on the rows and weights of --subset (on all of DATA without it).

The loss is the weighted mean sum w loss / sum w over the kept rows. Tables are standardised with
the moments of all rows of DATA, kept or not, as in nfl-pruning score, and never of --test-data.

Accuracy is read once, after the last epoch: on the test part of data that have one, or on
--test-data, whose columns are matched by name. Data without a test part get the accuracy on the
rows that were dropped, which is no fair test: the rule chose them. To measure what pruning costs,
use nfl-pruning compare, which holds out a test set first.

\b
Examples:
  nfl-pruning train fashion-mnist --subset subset.npz --models 3
  nfl-pruning train own.npz --subset subset.npz --test-data held_out.npz --budget steps
"""


@click.command("train", help=HELP)
@data_argument
@click.option("--subset", metavar="FILE", help="A .npz that nfl-pruning prune wrote.")
@click.option("--test-data", metavar="FILE", help="Own file to test on.")
@shared("--models")
@shared("--budget")
@column_options
@network_options
@json_option
def command(as_json: bool, **options: Unpack[Options]) -> None:
    """Train, evaluate once, report."""
    found = _run(**options)
    if as_json:
        from nfl_pruning.cli.output.tables import print_json

        print_json(found)
        return
    click.echo(
        f"Trained {found['models']} x {found['model']} on {found['n_kept']} of "
        f"{found['n_samples']} samples, {found['steps']} steps, {found['seconds']:.1f} s."
    )
    click.echo(sentence_on_features(found))
    say(found["warnings"])
    if found["diverged"]:
        click.echo(f"{found['diverged']} of {found['models']} diverged and are left out.")
    if found["accuracy"] is None and found["tested_on"] is not None:
        return  # said already: all of them diverged
    if found["accuracy"] is None:
        click.echo("Nothing to test on: no test part, no --test-data, no dropped rows.")
        return
    each = ", ".join("diverged" if a is None else f"{100 * a:.2f}" for a in found["each_accuracy"])
    click.echo(f"Accuracy on {found['tested_on']}: {100 * found['accuracy']:.2f} % ({each}).")


def _run(
    *,
    data: str,
    data_dir: str | None,
    columns: Columns,
    subset: str | None,
    test_data: str | None,
    models: int,
    budget: str,
    seed: int,
    network: Network,
) -> dict[str, Any]:
    """Everything that the report says."""
    from nfl_pruning.data import load_dataset, load_test_data
    from nfl_pruning.data.side_files.subset_file import read_subset
    from nfl_pruning.experiments.progress import shown
    from nfl_pruning.networks.train import train

    training = network.training(budget)
    dataset = load_dataset(data, data_dir=data_dir, columns=columns)
    kept = None if subset is None else read_subset(Path(subset), dataset)
    test: Dataset | None = None
    if test_data is not None:
        test = load_test_data(test_data, dataset, columns)
    elif data in WITH_TEST_PART:
        test = load_dataset(data, data_dir=data_dir, part="test")
    with shown("training") as progress:
        found = train(
            dataset,
            seed=seed,
            subset=kept,
            test=test,
            n_networks=models,
            model=network.model,
            training=training,
            progress=progress,
        )
    said = found.to_dict() | describe_columns(dataset, columns)
    if test is not None:
        said["tested_on"] = "the test part" if test_data is None else test_data
    return said

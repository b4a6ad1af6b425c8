"""``nfl-pruning score``: score every sample of a data set by trained networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from nfl_pruning.cli.options.data import (
    column_options,
    describe_columns,
    input_files,
    say,
    sentence_on_features,
)
from nfl_pruning.cli.options.network import Network, check_gradient, network_options
from nfl_pruning.cli.options.own_logits import own_model_options, score_outputs
from nfl_pruning.cli.options.shared import data_argument, json_option, shared
from nfl_pruning.cli.options.types import ListOf, Real, Whole

if TYPE_CHECKING:
    from nfl_pruning.data import Columns
    from nfl_pruning.networks.score import NetworkScores


class Options(TypedDict):
    """All that decides the scores of trained networks."""

    data: str
    data_dir: str | None
    columns: Columns
    score: str
    epoch: list[int] | None
    models: int
    gradient: str
    check_share: float
    seed: int
    network: Network


HELP = """Score every sample of DATA by networks trained on DATA; larger = harder.

Each of --models networks trains on all samples, from its own start and in its own order, and scores
the same samples after --epoch passes; the scores are averaged over the networks, and over epochs
where a list is given. Data augmentation, if any, is off while scoring. A network that diverges is
reported and left out of the average. One more network, trained without --check of the rows, shows
on these what such networks learn beside the largest class's share. The output (.npz) holds scores
in data-set order, data_hash, ids where the data have them, and config: model, training, epochs, the
optimiser steps themselves, number of networks, and which gradient GraNd means.

\b
Examples:
  nfl-pruning score digits --score el2n --epoch 5 --models 5 --out scores.npz
  nfl-pruning score fashion-mnist --model mlp --score grand --gradient last-layer --out s.npz
  nfl-pruning score own.csv --logits logits.npy --score margin --out scores.npz
  nfl-pruning prune digits --scores scores.npz --keep-fraction 0.1 --out subset.npz
"""


@click.command("score", help=HELP)
@data_argument
@shared("--score", help="One score.")
@click.option(
    "--epoch",
    metavar="N,...",
    type=ListOf(Whole()),
    help="Passes before scoring; --epochs by default.",
)
@shared("--models", help="Networks averaged.")
@shared("--gradient")
@click.option(
    "--check",
    "check_share",
    default="0.2",
    show_default=True,
    metavar="SHARE",
    type=Real(),
    help="Rows held out from one more network, to see what it has learned; 0: none.",
)
@own_model_options
@column_options
@network_options
@click.option("--out", metavar="FILE", help="Where to write (.npz); nowhere by default.")
@shared("--force")
@json_option
def command(
    as_json: bool,
    out: str | None,
    force: bool,
    logits: str | None,
    embeddings: str | None,
    **options: Unpack[Options],
) -> None:
    """Check, train, score, write, report."""
    if logits is not None or embeddings is not None:
        score_outputs(
            data=options["data"],
            data_dir=options["data_dir"],
            columns=options["columns"],
            score=options["score"],
            seed=options["seed"],
            logits=logits,
            embeddings=embeddings,
            as_json=as_json,
            out=out,
            force=force,
        )
        return
    from nfl_pruning.archive import check_output

    inputs = input_files(options["data"])
    if out is not None:
        check_output(out, force=force, inputs=inputs)
    found = _run(**options)
    written = None if out is None else str(found.save(out, force=force, inputs=inputs))
    if as_json:
        from nfl_pruning.cli.output.tables import print_json

        print_json(found.to_dict() | {"out": written})
        return
    _show(found, written)


def _show(found: NetworkScores, written: str | None) -> None:
    from nfl_pruning.pruning.plausible import accuracy_sentence

    config = found.config
    networks = "1 network" if config["models"] == 1 else f"{config['models']} networks"
    epochs, steps = (", ".join(map(str, config[name])) for name in ("epochs", "steps"))
    click.echo(
        f"{config['score']} of {len(found.values)} samples by {networks} ({config['model']}) after "
        f"epoch {epochs} of {config['training']['epochs']}, step {steps}."
    )
    if config["diverged"]:
        click.echo(f"{config['diverged']} of them diverged and are left out of the average.")
    if config["check"]:
        accuracy, largest = config["check"]["accuracy"], config["check"]["largest_class"]
        click.echo(accuracy_sentence("Such a network", accuracy, largest))
    click.echo(sentence_on_features(config))
    low, middle, high = found.quartiles
    click.echo(f"Larger = harder; quartiles {low:.4g}, {middle:.4g}, {high:.4g}.")
    click.echo(f"Training and scoring took {found.seconds:.1f} s.")
    say(found.warnings)
    click.echo(f"Written to {written}." if written else "Nothing written; --out FILE.npz does.")


def _run(
    *,
    data: str,
    data_dir: str | None,
    columns: Columns,
    score: str,
    epoch: list[int] | None,
    models: int,
    gradient: str,
    check_share: float,
    seed: int,
    network: Network,
) -> NetworkScores:
    """Check everything that needs no data first, then train and score."""
    from dataclasses import replace

    from nfl_pruning.data import load_dataset
    from nfl_pruning.experiments.progress import shown
    from nfl_pruning.networks.score import ScoringPlan
    from nfl_pruning.networks.score import score as score_by_networks
    from nfl_pruning.scores import SCORES

    member = SCORES[score]
    plan = ScoringPlan(
        seed=seed,
        score=member,
        epochs=epoch,
        n_networks=models,
        model=network.model,
        gradient=check_gradient(gradient, [member]),
        check_share=check_share,
        training=network.training(),
    )
    dataset = load_dataset(data, data_dir=data_dir, columns=columns)
    with shown("training") as progress:
        found = score_by_networks(dataset, plan, progress=progress)
    return replace(found, config=found.config | describe_columns(dataset, columns))

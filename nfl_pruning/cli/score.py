"""``nfl-pruning score``: score every sample of a data set by trained networks."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nfl_pruning.cli.data_options import (
    column_options,
    columns_from,
    describe_columns,
    input_files,
    say,
    sentence_on_features,
)
from nfl_pruning.cli.network_options import (
    check_gradient,
    network_options,
    training_from,
)
from nfl_pruning.cli.options import entries, json_option, real, seed_of, whole
from nfl_pruning.cli.own_logits import own_model_options, score_outputs

if TYPE_CHECKING:
    from nfl_pruning.data import Dataset
    from nfl_pruning.networks.scoring import Look
    from nfl_pruning.networks.training import Training
    from nfl_pruning.scores import Score

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
@click.argument("data", default="digits")
@click.option("--score", default="el2n", show_default=True, metavar="NAME", help="One score.")
@click.option("--epoch", metavar="N,...", help="Passes before scoring; --epochs by default.")
@click.option("--models", default="1", show_default=True, metavar="N", help="Networks averaged.")
@click.option(
    "--gradient",
    default="full",
    show_default=True,
    metavar="SCOPE",
    help="Gradient that grand means: full, last-layer or logits.",
)
@click.option(
    "--check",
    "check_share",
    default="0.2",
    show_default=True,
    metavar="SHARE",
    help="Rows held out from one more network, to see what it has learned; 0: none.",
)
@own_model_options
@column_options
@network_options
@click.option("--out", metavar="FILE", help="Where to write (.npz); nowhere by default.")
@click.option("--force", is_flag=True, help="Replace an existing output.")
@json_option
def command(as_json: bool, out: str | None, force: bool, **options: Any) -> None:
    """Check, train, score, write, report."""
    if options["logits"] is not None or options["embeddings"] is not None:
        score_outputs(as_json=as_json, out=out, force=force, **options)
        return
    del options["logits"], options["embeddings"]
    from nfl_pruning.archive import check_output, write_archive

    inputs = input_files(options["data"])
    if out is not None:
        check_output(out, force=force, inputs=inputs)
    found = _run(**options)
    written = None
    if out is not None:
        arrays = {"scores": found.values} | ({} if found.ids is None else {"ids": found.ids})
        stated = {"data_hash": found.data_hash, "config": found.config}
        written = str(write_archive(out, arrays, **stated, force=force, inputs=inputs))
    if as_json:
        from nfl_pruning.cli.output import print_json

        about = {"data_hash": found.data_hash, "seconds": found.seconds, "out": written}
        print_json(found.config | {"warnings": found.notes} | about)
        return
    _show(found, written)


class _Found(NamedTuple):
    """Scores of the data in their order, how they were computed, and what to say about them."""

    values: Any
    ids: Any
    data_hash: str
    config: dict[str, Any]
    seconds: float
    notes: list[str]


def _show(found: _Found, written: str | None) -> None:
    from nfl_pruning.plausible import accuracy_sentence

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
    low, middle, high = (float(q) for q in _quantiles(found.values))
    click.echo(f"Larger = harder; quartiles {low:.4g}, {middle:.4g}, {high:.4g}.")
    click.echo(f"Training and scoring took {found.seconds:.1f} s.")
    say(found.notes)
    click.echo(f"Written to {written}." if written else "Nothing written; --out FILE.npz does.")


def _quantiles(values: Any) -> Any:
    import numpy as np

    return np.quantile(values, [0.25, 0.5, 0.75])


def _run(
    *,
    data: str,
    data_dir: str | None,
    score: str,
    epoch: str | None,
    models: str,
    model: str,
    gradient: str,
    seed: str,
    check_share: str,
    **options: Any,
) -> _Found:
    """Check everything that needs no data first, then train and score."""
    import jax
    import jax.numpy as jnp

    from nfl_pruning.data import load_dataset
    from nfl_pruning.networks.learned import check_learning
    from nfl_pruning.networks.models import make_model
    from nfl_pruning.networks.scoring import Look, check_epoch
    from nfl_pruning.networks.splits import network_inputs
    from nfl_pruning.plausible import chance_notes, far_out_notes
    from nfl_pruning.records import plain, settings_of_jax, software
    from nfl_pruning.scores import SCORES
    from nfl_pruning.validation import check_number

    columns = columns_from(options)
    share = check_number("check", real(check_share), "[0, 0.5]")
    training, member = training_from(options), SCORES[score]
    check_gradient(gradient, [member])
    count, start_seed = whole("models", models, 1), seed_of(seed)
    when = [training.epochs]
    if epoch is not None:
        when = sorted(whole("epoch", part) for part in entries("epoch", epoch))
    look = Look((member,), gradient, seed=start_seed)
    look.check()
    for one in when:
        check_epoch(one, training, member)
    asked = _Asked(member, when, count, start_seed, look, training)
    dataset = load_dataset(data, data_dir=data_dir, columns=columns)
    network = make_model(model, len(dataset.classes), dataset.shape)
    x = jnp.asarray(network_inputs(dataset.x, is_image=dataset.is_image))
    start = time.perf_counter()
    values, diverged, steps = _score(asked, network, x, dataset)
    checked = check_learning(
        jax.random.fold_in(jax.random.key(start_seed), count),
        (x, dataset.y),
        share=share,
        model=network,
        training=training,
        until=when[-1],
        shape=dataset.shape,
    )
    notes = [*dataset.notes, *far_out_notes(dataset)]
    if checked is not None:
        notes += chance_notes(checked["accuracy"], checked["largest_class"], checked["rows"])
    config = {
        "data": dataset.name,
        "score": score,
        "direction": "larger = harder",
        "model": model,
        "models": count,
        "diverged": diverged,
        "epochs": when,
        "steps": steps,
        "gradient": gradient if score == "grand" else None,
        "augmentation": "off",
        "seed": start_seed,
        "training": asdict(training),
        "check": checked,
        **describe_columns(dataset, columns),
        "software": software(),
        "random_generator": settings_of_jax()["random_generator"],
    }
    seconds = time.perf_counter() - start
    return _Found(values, dataset.ids, dataset.hash, plain(config), seconds, notes)


class _Asked(NamedTuple):
    """Which score, after which epochs, by how many networks."""

    member: Score
    when: list[int]
    networks: int
    seed: int
    look: Look
    training: Training


def _score(asked: _Asked, network: Any, x: Any, dataset: Dataset) -> tuple[Any, int, list[int]]:
    """Scores averaged over networks and epochs, networks that diverged, and steps."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from nfl_pruning.cli.output import progress
    from nfl_pruning.networks.scoring import train_and_score
    from nfl_pruning.networks.training import make_samples
    from nfl_pruning.validation import InvalidArgumentError

    name, rows = asked.member.name, np.tile(np.arange(len(dataset)), (asked.networks, 1))
    with progress(asked.when[-1], "training") as advance:
        recorder, _ = train_and_score(
            jax.random.split(jax.random.key(asked.seed), asked.networks),
            make_samples(x, rows, dataset.y[rows]),
            model=network,
            training=asked.training,
            look=asked.look,
            epochs={name: asked.when},
            on_epoch=lambda done, state: advance(completed=done),
            shape=dataset.shape,
        )
    keys = np.stack([recorder.of(name, one) for one in asked.when])
    finite = np.isfinite(keys).all(axis=(0, 2))
    if not finite.any():
        raise InvalidArgumentError(
            "learning_rate must be small enough for training to converge: all "
            f"{asked.networks} networks diverged at {asked.training.learning_rate:g}."
        )
    with jax.enable_x64(True):
        values = np.asarray(asked.member.publish(jnp.asarray(keys[:, finite]))).mean(axis=(0, 1))
    return values, int((~finite).sum()), [recorder.steps[one] for one in asked.when]

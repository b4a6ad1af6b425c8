"""``nfl-pruning score``: score every sample of a data set by trained networks."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import click

from nfl_pruning.cli.network_options import (
    check_gradient,
    network_options,
    training_from,
)
from nfl_pruning.cli.options import entries, json_option, seed_of, whole

HELP = """Score every sample of DATA by networks trained on DATA; larger = harder.

Each of --models networks trains on all samples, from its own start and in its own order, and scores
the same samples after --epoch passes; the scores are averaged over the networks, and over epochs
where a list is given. Data augmentation, if any, is off while scoring. A network that diverges is
reported and left out of the average. The output (.npz) holds scores in data-set order, data_hash,
and config: model, training, epochs, the optimiser steps themselves, number of networks, and which
gradient GraNd means.

\b
Examples:
  nfl-pruning score digits --score el2n --epoch 5 --models 5 --out scores.npz
  nfl-pruning score fashion-mnist --model mlp --score grand --gradient last-layer --out s.npz
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
@network_options
@click.option("--out", metavar="FILE", help="Where to write (.npz); nowhere by default.")
@click.option("--force", is_flag=True, help="Replace an existing output.")
@json_option
def command(as_json: bool, out: str | None, force: bool, **options: Any) -> None:
    """Check, train, score, write, report."""
    from nfl_pruning.archive import check_output, write_archive

    if out is not None:
        check_output(out, force=force)
    values, data_hash, config, seconds = _run(**options)
    written = None
    if out is not None:
        written = str(
            write_archive(out, {"scores": values}, data_hash=data_hash, config=config, force=force)
        )
    if as_json:
        from nfl_pruning.records import to_json

        click.echo(to_json(config | {"data_hash": data_hash, "seconds": seconds, "out": written}))
        return
    networks = "1 network" if config["models"] == 1 else f"{config['models']} networks"
    epochs, steps = (", ".join(map(str, config[name])) for name in ("epochs", "steps"))
    click.echo(
        f"{config['score']} of {len(values)} samples by {networks} ({config['model']}) after epoch "
        f"{epochs} of {config['training']['epochs']}, step {steps}."
    )
    if config["diverged"]:
        click.echo(f"{config['diverged']} of them diverged and are left out of the average.")
    low, middle, high = (float(q) for q in _quantiles(values))
    click.echo(f"Larger = harder; quartiles {low:.4g}, {middle:.4g}, {high:.4g}.")
    click.echo(f"Training and scoring took {seconds:.1f} s.")
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
    **options: Any,
) -> tuple[Any, str, dict[str, Any], float]:
    """Scores, the data's hash, the contract, and seconds."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from nfl_pruning.cli.output import progress
    from nfl_pruning.data import load_dataset
    from nfl_pruning.networks.models import make_model
    from nfl_pruning.networks.scoring import Look, check_epoch, train_and_score
    from nfl_pruning.networks.splits import network_inputs
    from nfl_pruning.networks.training import make_samples
    from nfl_pruning.scores import SCORES
    from nfl_pruning.validation import InvalidArgumentError

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
    dataset = load_dataset(data, data_dir=data_dir)
    network = make_model(model, len(dataset.classes), dataset.shape)
    x = jnp.asarray(network_inputs(dataset.x, is_image=dataset.is_image))
    rows = np.tile(np.arange(len(dataset)), (count, 1))
    start = time.perf_counter()
    with progress(when[-1], "training") as advance:
        recorder, _ = train_and_score(
            jax.random.split(jax.random.key(start_seed), count),
            make_samples(x, rows, dataset.y[rows]),
            model=network,
            training=training,
            look=look,
            epochs={score: when},
            on_epoch=lambda done, state: advance(completed=done),
            shape=dataset.shape,
        )
    keys = np.stack([recorder.of(score, one) for one in when])
    finite = np.isfinite(keys).all(axis=(0, 2))
    if not finite.any():
        raise InvalidArgumentError(
            f"learning_rate must be small enough for training to converge: all {count} networks "
            f"diverged at {training.learning_rate:g}."
        )
    with jax.enable_x64(True):
        values = np.asarray(member.publish(jnp.asarray(keys[:, finite]))).mean(axis=(0, 1))
    config = {
        "data": dataset.name,
        "score": score,
        "direction": "larger = harder",
        "model": model,
        "models": count,
        "diverged": int((~finite).sum()),
        "epochs": when,
        "steps": [recorder.steps[one] for one in when],
        "gradient": gradient if score == "grand" else None,
        "augmentation": "off",
        "seed": start_seed,
        "training": asdict(training),
    }
    return values, dataset.hash, config, time.perf_counter() - start

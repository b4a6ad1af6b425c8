"""``nfl-pruning train``: train a network on a pruned data set."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nfl_pruning.cli.data_options import (
    column_options,
    columns_from,
    describe_columns,
    say,
    sentence_on_features,
)
from nfl_pruning.cli.network_options import WITH_TEST_PART, network_options, training_from
from nfl_pruning.cli.options import json_option, seed_of, whole

if TYPE_CHECKING:
    from nfl_pruning.data import Columns, Dataset

HELP = """Train networks on the rows and weights of --subset (on all of DATA without it).

The loss is the weighted mean sum w loss / sum w over the kept rows. Tables are standardised with
the moments of all rows of DATA, kept or not, as in nfl-pruning score, and never of --test-data.

Accuracy is read once, after the last epoch: on the test part of data that have one, or on --test-
data, whose columns are matched by name. Data without a test part get the accuracy on the rows that
were dropped, which is no fair test: the rule chose them. To measure what pruning costs, use nfl-
pruning compare, which holds out a test set first.

\b
Examples:
  nfl-pruning train fashion-mnist --subset subset.npz --models 3
  nfl-pruning train own.npz --subset subset.npz --test-data held_out.npz --budget steps
"""


@click.command("train", help=HELP)
@click.argument("data", default="digits")
@click.option("--subset", metavar="FILE", help="A .npz that nfl-pruning prune wrote.")
@click.option("--test-data", metavar="FILE", help="Own .npz or .csv to test on.")
@click.option("--models", default="1", show_default=True, metavar="N", help="Networks to train.")
@click.option(
    "--budget",
    default="epochs",
    show_default=True,
    metavar="X",
    help="epochs: passes over the kept rows; steps: as many steps as all of DATA would get.",
)
@column_options
@network_options
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Train, evaluate once, report."""
    found = _run(**options)
    if as_json:
        from nfl_pruning.cli.output import print_json

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
    subset: str | None,
    test_data: str | None,
    models: str,
    model: str,
    budget: str,
    seed: str,
    **options: Any,
) -> dict[str, Any]:
    """Everything that the report says."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from nfl_pruning.cli.output import progress
    from nfl_pruning.data import load_dataset
    from nfl_pruning.data.files import load_subset
    from nfl_pruning.networks.measuring import measure_rows
    from nfl_pruning.networks.models import make_model
    from nfl_pruning.networks.splits import network_inputs
    from nfl_pruning.networks.training import is_finite, make_samples, train

    columns, training = columns_from(options), training_from(options, budget)
    count, start_seed = whole("models", models, 1), seed_of(seed)
    dataset = load_dataset(data, data_dir=data_dir, columns=columns)
    n = len(dataset)
    kept, weights = np.arange(n), np.ones(n)
    if subset is not None:
        kept, weights = load_subset(Path(subset), dataset.hash, n)
    test, tested_on = _test_set((data, data_dir, test_data), dataset, columns, kept=kept)
    network = make_model(model, len(dataset.classes), dataset.shape)
    table = dataset.x if test is None else np.concatenate([dataset.x, test.x])
    x = jnp.asarray(network_inputs(table, is_image=dataset.is_image, fitted=dataset.x))
    rows = np.tile(kept, (count, 1))
    plan, start = training.plan(len(kept), n), time.perf_counter()
    with progress(plan.epochs, "training") as advance:
        state = train(
            jax.random.split(jax.random.key(start_seed), count),
            make_samples(x, rows, dataset.y[rows], weights=np.tile(weights, (count, 1))),
            model=network,
            training=training,
            n_all=n,
            on_epoch=lambda done, state: advance(completed=done),
            shape=dataset.shape,
        )
    finite = is_finite(state.params)
    each: list[float | None] = []
    if test is not None:
        places = np.tile(np.arange(n, n + len(test)), (count, 1))
        labels = np.tile(test.y, (count, 1))
        found = measure_rows(network, state.params, x, rows=places, labels=labels)
        finite = np.array([np.isfinite(loss) for _, loss in found])
        each = [right if ok else None for (right, _), ok in zip(found, finite, strict=True)]
    valid = [value for value in each if value is not None]
    return {
        "data": dataset.name,
        "model": model,
        "models": count,
        "n_samples": n,
        "n_kept": len(kept),
        "steps": int(np.asarray(state.step)[0]),
        "tested_on": tested_on,
        "accuracy": float(np.mean(valid)) if valid else None,
        "each_accuracy": each,
        "diverged": int((~finite).sum()),
        "seconds": time.perf_counter() - start,
        "warnings": [*dataset.notes, *(test.notes if test is not None and test_data else ())],
        **describe_columns(dataset, columns),
    }


def _test_set(
    said: tuple[str, str | None, str | None], dataset: Dataset, columns: Columns, *, kept: Any
) -> tuple[Any, str | None]:
    """What to test on, with the class codes of the training data, and its name for people."""
    import numpy as np

    from nfl_pruning.data import load_dataset, load_test_data

    data, data_dir, test_data = said
    if test_data is not None:
        return load_test_data(test_data, dataset, columns), test_data
    if data in WITH_TEST_PART:
        return load_dataset(data, data_dir=data_dir, part="test"), "the test part"
    dropped = np.setdiff1d(np.arange(len(dataset)), kept)
    text = "the dropped rows, which is no fair test"
    return (dataset.take(dropped), text) if len(dropped) else (None, None)

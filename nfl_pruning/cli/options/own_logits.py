"""``nfl-pruning score --logits FILE``: scores from the outputs of the user's own model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nfl_pruning.data import Columns

_OPTIONS = (
    click.option(
        "--logits",
        metavar="FILE",
        help="Logits of your own model, shape (n, classes): .npy, .npz with logits, or a table "
        "with a column a class; or (epochs, n, classes) for forgetting, aum and averages. No "
        "network is trained.",
    ),
    click.option(
        "--embeddings",
        metavar="FILE",
        help="What its last layer reads, shape (n, width): for prototypicality, and for grand, "
        "which then is that of the last layer.",
    ),
)
MODEL = "logits embeddings score seed data data_dir label_column id_column drop split_column"
KEPT = {*MODEL.split(), "out", "force", "as_json"}  # what means something without training


def own_model_options(function: Callable) -> Callable:
    """Add the options that name outputs of the user's own model."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def score_outputs(
    *,
    data: str,
    data_dir: str | None,
    columns: Columns,
    score: str,
    seed: int,
    logits: str | None,
    embeddings: str | None,
    as_json: bool,
    out: str | None,
    force: bool,
) -> None:
    """Read, score, write, report."""
    from nfl_pruning.archive import check_output, write_archive
    from nfl_pruning.cli.options.data import input_files, say
    from nfl_pruning.cli.options.problem import refuse_given
    from nfl_pruning.data import load_dataset
    from nfl_pruning.data.side_files.outputs_file import read_outputs
    from nfl_pruning.pruning.own_logits import describe_outputs, score_logits

    named = {"logits": logits, "embeddings": embeddings}
    files = {name: path for name, path in named.items() if path is not None}
    inputs = input_files(data, *files.values())
    if out is not None:
        check_output(out, force=force, inputs=inputs)
    others = set(click.get_current_context().params) - KEPT
    refuse_given(sorted(others), "logits" if "logits" in files else "embeddings")
    dataset = load_dataset(data, data_dir=data_dir, columns=columns)
    read = {name: read_outputs(path, name, dataset) for name, path in files.items()}
    notes = [*dataset.notes, *(note for found in read.values() for note in found.notes)]
    held = {name: found.values for name, found in read.items()}
    of_model, layer = held.get("logits"), held.get("embeddings")
    scored = score_logits(dataset, of_model, embeddings=layer, score=score, seed=seed)
    config = describe_outputs(score, of_model, layer)
    config |= {"data": dataset.name, "seed": seed, "files": files}
    written = None
    if out is not None:
        arrays = {"scores": scored.values}
        arrays |= {} if dataset.ids is None else {"ids": dataset.ids}
        stated = {"data_hash": dataset.hash, "config": config}
        written = str(write_archive(out, arrays, **stated, force=force, inputs=inputs))
    if as_json:
        from nfl_pruning.cli.output.tables import print_json

        about = {"data_hash": dataset.hash, "warnings": notes, "out": written}
        print_json(config | about)
        return
    click.echo(f"{score} of {len(dataset)} samples by your own model; larger = harder.")
    say(notes)
    click.echo(f"Written to {written}." if written else "Nothing written; --out FILE.npz does.")

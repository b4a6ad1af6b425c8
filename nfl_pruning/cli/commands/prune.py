"""``nfl-pruning prune``: choose which samples of a real data set to keep."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from nfl_pruning.cli.options.data import (
    column_options,
    describe_columns,
    input_files,
    sentence_on_features,
)
from nfl_pruning.cli.options.problem import refuse_given
from nfl_pruning.cli.options.shared import data_argument, json_option, seed_option, shared
from nfl_pruning.cli.options.types import Real
from nfl_pruning.cli.output.subsets import (
    check_out,
    part_options,
    protected_rows,
    resized,
    save,
)

if TYPE_CHECKING:
    from nfl_pruning.data import Columns
    from nfl_pruning.pruning.run import Pruned

DECIDED = (
    "score",
    "keep",
    "protocol",
    "exploit",
    "balance",
    "probe",
    "probe_ridge",
    "scale",
    "seed",
)


class Ranked(TypedDict):
    """Arguments of :func:`nfl_pruning.prune` whose options have their names."""

    score: str
    keep: str
    keep_fraction: float
    exploit: float
    seed: int


class Outcome(Ranked):
    """All that decides which rows stay."""

    protocol: str
    balance: str
    probe: str
    probe_ridge: float
    scale: str
    data: str
    data_dir: str | None
    columns: Columns
    group_column: str | None
    protect: str | None
    scores_file: str | None
    resized_file: str | None


class Options(Outcome):
    """All that decides what is written."""

    weights: str
    out: str | None
    force: bool


@click.command("prune")
@data_argument
@shared("--score")
@shared("--keep")
@shared("--keep-fraction")
@click.option(
    "--protocol",
    default="exact",
    show_default=True,
    metavar="RULE",
    help="threshold, random, exact, soft:S, clipped:CAP, middle:OFFSET:S, stratified:K, "
    "neyman:K:EQUAL, power:A, window:OFFSET or coverage:CUT.",
)
@shared("--exploit")
@shared("--balance")
@click.option(
    "--probe",
    default="pilot",
    show_default=True,
    metavar="HOW",
    help="The model that scores: pilot[:FRACTION] (fraction 0.2 by default) or in-sample.",
)
@click.option(
    "--probe-ridge",
    default="0.01",
    show_default=True,
    metavar="X",
    type=Real(),
    help="Its penalty, > 0.",
)
@shared("--scale")
@click.option(
    "--scores",
    "scores_file",
    metavar="FILE",
    help="Take these scores (.npz with scores, .npy, or a table with a column scores; larger = "
    "harder) instead of a probe.",
)
@column_options
@part_options
@seed_option
@click.option(
    "--out",
    metavar="FILE",
    help="Where to write: .npz, or a table (.csv, .csv.gz, .parquet, .arrow); nowhere by default.",
)
@shared("--force")
@shared("--data-dir")
@json_option
def command(as_json: bool, **options: Unpack[Options]) -> None:
    """Prune DATA: a data set by name (digits by default), or a file.

    Files are .npz with x and y, .npy (features; --label-column names a file of labels), and tables:
    .csv, .csv.gz, .parquet and .arrow.

    By default half of the budget goes to the hardest samples, and the other half is drawn from the
    rest and weighted (exact calibration), so that the weighted kept samples stand for all of them.
    Hard rules such as --protocol threshold change what the data say: on Fashion-MNIST, keeping only
    the hardest 30 % or less lost up to 67 points of accuracy to random pruning (docs/networks.md).
    nfl-pruning compare measures a rule against random pruning on your own data.

    A table has a header, a column named label (--label-column), and numbers elsewhere. A first
    column without a name, or one named id or index, is taken for the rows' ids and never for a
    feature (--id-column, --drop); the features that were read are listed. The labels may be text,
    and there may be any number of classes.

    The probe is a multinomial logistic regression. With --probe pilot:FRACTION it is fitted on that
    share of each class. Pilot rows stay part of the data and may be kept: they are scored by a
    second probe, fitted on another split of the same size, so that no sample is scored by a model
    that has seen it. With --probe in-sample one probe is fitted on all samples and scores them.

    Features are centred and scaled with moments of all rows, never labels: images by one common
    number, tables by each column's standard deviation (--scale).

    Scores of --scores are matched by id where a table has columns id and scores and the data have
    ids, else taken in the order of the data.

    An output that ends in .csv, .parquet or .arrow is the table of DATA (or the rows' ids) with the
    columns score, rank, keep, weight and keep_probability, and provenance beside it, in
    OUT.provenance.json. A .npz holds indices (rows kept, in the order of the data), weights (one a
    row, 0 where dropped; refit with weights[indices]), scores, keep_probabilities, ids where the
    data have them, data_hash (SHA-256 of the content) and config (JSON text). What the file of
    --scores says of its scores (network, epochs, steps, number of networks, gradient) is in config,
    under scores_config.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that stops early is said in the output's own words
        pruned, written = _run(**options)
    if as_json:
        from nfl_pruning.cli.output.tables import print_json

        print_json({**pruned.summary(), "out": written})
    else:
        _show(pruned, written)


def _run(
    *, out: str | None, force: bool, weights: str, **options: Unpack[Outcome]
) -> tuple[Pruned, str | None]:
    """Check everything that needs no data first, prune, and write at the very end."""
    from nfl_pruning.adapters.weights import normalised

    read = (options["scores_file"], options["resized_file"], options["protect"])
    inputs = input_files(options["data"], *read)
    if out is not None:
        check_out(out, force=force, inputs=inputs)
    pruned = normalised(_pruned(**options), weights)
    return pruned, None if out is None else save(pruned, out, force=force, inputs=inputs)


def _pruned(
    *,
    data: str,
    data_dir: str | None,
    columns: Columns,
    group_column: str | None,
    protect: str | None,
    scores_file: str | None,
    resized_file: str | None,
    protocol: str,
    balance: str,
    probe: str,
    probe_ridge: float,
    scale: str,
    **ranked: Unpack[Ranked],
) -> Pruned:
    """The outcome: of an earlier one by another budget, or of the rule."""
    from nfl_pruning.data import load_dataset
    from nfl_pruning.data.side_files.scores_file import read_scores
    from nfl_pruning.pruning.probing import parse_data_probe
    from nfl_pruning.pruning.rule import check_rule
    from nfl_pruning.pruning.run import prune

    columns = replace(columns, group=group_column)
    if resized_file is not None:
        refuse_given((*DECIDED, "scores"), "resize")
    if scores_file is not None:
        refuse_given(("score", "probe", "probe_ridge", "scale"), "scores")
    model = parse_data_probe(probe, ridge=probe_ridge, scale=scale)
    check_rule(given=scores_file is not None, selection=protocol, **ranked)
    rows = protected_rows(protect)
    dataset = load_dataset(data, data_dir=data_dir, columns=columns, protect=rows)
    if resized_file is not None:
        return resized(resized_file, dataset, ranked["keep_fraction"])
    given = None if scores_file is None else read_scores(Path(scores_file), dataset)
    pruned = prune(
        dataset,
        selection=protocol,
        probe=model,
        scores=None if given is None else given.values,
        scores_config=None if given is None else given.contract,
        balance=balance,
        **ranked,
    )
    config = {**pruned.config, **describe_columns(dataset, columns)}
    notes = () if given is None else given.notes
    return replace(pruned, config=config, warnings=(*pruned.warnings, *notes))


def _show(pruned: Pruned, written: str | None) -> None:
    """Tables and sentences for people."""
    from nfl_pruning.cli.output.tables import plain_console
    from nfl_pruning.pruning.notes import HARD_RULES
    from nfl_pruning.pruning.plausible import accuracy_sentence

    config, console = pruned.config, plain_console()
    console.print(_class_table(pruned))
    console.print(
        f"Effective sample size of the weights: {pruned.effective_sample_size:.1f} of "
        f"{len(pruned.indices)} kept."
    )
    console.print(sentence_on_features(dict(config)))
    times = pruned.seconds
    console.print(f"Scoring took {times['scoring']:.2f} s, selecting {times['selecting']:.2f} s.")
    if config["score"] == "given":
        console.print(f"Scores: from the given file{_origin(config)}, larger = harder.")
    elif config["probe"]:
        console.print(f"Probe: {config['probe_note']}")
        console.print(accuracy_sentence("It", pruned.probe_accuracy, pruned.largest_class))
    else:
        console.print("Probe: none, the rule does not need one.")
    if HARD_RULES not in pruned.warnings:
        console.print(HARD_RULES)
    for sentence in pruned.warnings:
        console.print(f"Note: {sentence}", style="yellow")
    console.print(f"Written to {written}." if written else "Nothing written; --out FILE.npz does.")


def _class_table(pruned: Pruned) -> Any:
    """Rows and kept rows of each class, protected rows left out."""
    from rich.table import Table

    config = pruned.config
    rule = (
        config["protocol"] if config["keep"] is None else f"{config['protocol']}, {config['keep']}"
    )
    if config["balance"] != "none":
        rule += f", {config['balance']} class quotas,"
    table = Table(title=f"{config['data']}: {rule} by {config['score']}", title_justify="left")
    table.add_column("class")
    for name in ("samples", "kept", "kept share"):
        table.add_column(name, justify="right")
    rows = [(name, *counts) for name, counts in pruned.class_counts.items()]
    for name, total, kept in [*rows, ("all", pruned.n_candidates, len(pruned.indices))]:
        share = f"{100 * kept / total:.2f} %" if total else "-"
        table.add_row(name, str(total), str(kept), share, end_section=name == rows[-1][0])
    return table


def _origin(config: Mapping[str, Any]) -> str:
    """How the given scores were computed, where the file says it as ``score`` does."""
    known = config["scores_config"] or {}
    if not known.keys() >= {"score", "model", "models", "epochs", "steps", "gradient"}:
        return ""
    gradient = f" ({known['gradient']} gradient)" if known["gradient"] else ""
    epochs, steps = (str(known[name]).strip("[]") for name in ("epochs", "steps"))
    return (
        f": {known['score']}{gradient} by {known['models']} x {known['model']} after epoch "
        f"{epochs}, step {steps}"
    )

"""``nfl-pruning advise``: should these data be pruned, by which score, how much?"""

from __future__ import annotations

import textwrap
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from nfl_pruning.cli.options.data import column_options, input_files
from nfl_pruning.cli.options.shared import data_argument, json_option, list_of, seed_option, shared
from nfl_pruning.cli.options.types import ListOf, OneOf, Real, Whole

if TYPE_CHECKING:
    from nfl_pruning.data import Columns
    from nfl_pruning.realdata.advice import Advice


class Question(TypedDict):
    """Arguments of :func:`nfl_pruning.advise` whose options have their names."""

    scores: list[str]
    target: str
    tolerance: float
    probe: str
    ridge: float
    scale: str
    components: int | None
    checks: str
    seed: int


class Options(Question):
    """All that decides the advice and what is written."""

    data: str
    data_dir: str | None
    columns: Columns
    logits_file: str | None
    test_data: str | None
    report: str | None
    out: str | None
    force: bool
    keep_fraction: list[float]
    exploit: list[float]


HELP = """Say whether to prune DATA, by which score, how much, and what it will cost.

DATA is a data set by name (digits by default), or a file that nfl-pruning prune reads: embeddings
of your own model, or any features.

A Gaussian mixture is fitted to the features; every policy is carried out on rows drawn from it, as
many as the data have; real refits at a few cells, tested on held-out rows, say how far the data
depart from the mixture, and correct the rest. The answer has a 90 % interval for every policy and
keep fraction: the policy for each budget, the smallest budget within --tolerance of all data, what
random pruning would need for the same, and which classes lose. Where the mixture does not describe
the data (heavy tails, copies, leaks, labels without a pattern, refits that depart too far) no
advice is given; the reason is, and what to do instead. The exit code is then 1.

The model is softmax regression on the features: what a linear probe, or a network's last layer,
makes of the rows. How a whole network fares when it is trained on the kept rows is for
nfl-pruning compare.

\b
Examples:
  nfl-pruning advise features.npz
  nfl-pruning advise features.npz --keep-fraction 0.1,0.3,0.5 --out subset.npz
  nfl-pruning advise table.csv --target worst-class --tolerance 2 --report advice.html
  nfl-pruning advise features.npz --logits logits.npy --scores el2n,entropy --json
"""


@click.command("advise", help=HELP)
@data_argument
@list_of(
    "--keep-fraction",
    default="0.1,0.2,0.3,0.5,0.7,0.9",
    metavar="R,...",
    help="Budgets, each in (0, 1).",
)
@click.option(
    "--scores",
    default="el2n,margin",
    show_default=True,
    metavar="NAME,...",
    type=ListOf(click.STRING),
    help="Scores of logits and labels.",
)
@list_of(
    "--exploit",
    default="0.25,0.5,0.75",
    metavar="SHARE,...",
    help="Shares by score of the calibrated policies.",
)
@click.option(
    "--target",
    default="accuracy",
    show_default=True,
    metavar="WHAT",
    type=OneOf("realdata.targets:TARGETS"),
    help="accuracy, worst-class or loss.",
)
@click.option(
    "--tolerance",
    default="1",
    show_default=True,
    metavar="POINTS",
    type=Real(),
    help="What may be lost against all data.",
)
@click.option(
    "--probe",
    default="pilot:0.2",
    show_default=True,
    metavar="HOW",
    help="pilot:SHARE, cross-fit:FOLDS or in-sample.",
)
@click.option(
    "--logits",
    "logits_file",
    metavar="FILE",
    help="Your own model's logits, one row a sample: .npy, .npz with logits, or a table with a "
    "column a class.",
)
@click.option(
    "--ridge", default="0.01", show_default=True, metavar="X", type=Real(), help="Penalty, > 0."
)
@shared("--scale", help="Feature scaling: auto, common, per-feature or none.")
@click.option(
    "--components",
    metavar="N",
    type=Whole(1),
    help="Gaussian components a class; chosen by default.",
)
@click.option(
    "--checks",
    default="few",
    show_default=True,
    metavar="HOW",
    type=OneOf("realdata.asked:CHECKS"),
    help="Real refits: few, or all cells.",
)
@click.option(
    "--test-data",
    metavar="FILE",
    help="Rows you test on elsewhere: copies of them in DATA are looked for.",
)
@column_options
@seed_option
@shared("--data-dir")
@click.option("--report", metavar="FILE", help="Write a page (.html) with curves and a map.")
@click.option(
    "--out",
    metavar="FILE",
    help="Write the recommended subset, at the smallest fraction in tolerance: .npz, or a table "
    "(.csv, .parquet, .arrow).",
)
@shared("--force", help="Replace existing outputs.")
@json_option
def command(as_json: bool, **options: Unpack[Options]) -> int:
    """Advise, write what was asked for, and say it."""
    found, written, seconds = _run(**options)
    if as_json:
        from nfl_pruning.cli.output.tables import print_json

        print_json({**found.to_dict(), "written": written, "seconds": seconds})
    else:
        _show(found, written, seconds)
    return 1 if found.refused else 0


def _run(
    *,
    data: str,
    data_dir: str | None,
    columns: Columns,
    logits_file: str | None,
    test_data: str | None,
    report: str | None,
    out: str | None,
    force: bool,
    keep_fraction: list[float],
    exploit: list[float],
    **question: Unpack[Question],
) -> tuple[Advice, dict[str, str | None], float]:
    """Check outputs first, then advise."""
    from nfl_pruning.cli.output.subsets import check_out, save
    from nfl_pruning.data import load_dataset, load_test_data
    from nfl_pruning.data.side_files.outputs_file import read_outputs
    from nfl_pruning.experiments.progress import steps
    from nfl_pruning.realdata.advise import advise
    from nfl_pruning.realdata.report.page import check_page

    inputs = input_files(data, test_data, logits_file)
    if out is not None:
        check_out(out, force=force, inputs=inputs)
    if report is not None:
        check_page(report, force=force, inputs=inputs)
    dataset = load_dataset(data, data_dir=data_dir, columns=columns)
    test = None if test_data is None else load_test_data(test_data, dataset, columns)
    own = None if logits_file is None else read_outputs(logits_file, "logits", dataset)
    logits, notes = (None, ()) if own is None else (own.values, own.notes)
    start = time.perf_counter()
    with steps("advice: rounds") as tell:
        found = advise(
            dataset,
            test=test,
            logits=logits,
            progress=tell,
            keep_fractions=keep_fraction,
            exploits=exploit,
            **question,
        )
    found = replace(found, notes=(*found.notes, *dataset.notes, *notes))
    written: dict[str, str | None] = {"out": None, "report": None}
    if report is not None:
        written["report"] = str(found.report(report, force=force))
    if out is not None and not found.refused and found.smallest is not None:
        written["out"] = save(found.apply(), out, force=force, inputs=inputs)
    return found, written, time.perf_counter() - start


def _show(found: Advice, written: dict[str, str | None], seconds: float) -> None:
    """The answer first, then the table, then how."""
    for sentence in found.sentences():
        click.echo(_wrapped(sentence))
    if not found.refused:
        click.echo()
        _table(found)
    for note in (*found.flags, *found.notes):
        click.echo(_wrapped(f"Note: {note}"))
    click.echo(f"It took {seconds:.0f} s.")
    for name in ("out", "report"):
        if written[name]:
            click.echo(f"Written: {written[name]}.")


def _wrapped(sentence: str) -> str:
    """Lines that fit a terminal, the later ones set in."""
    from nfl_pruning.cli.output.tables import WIDTH

    return textwrap.fill(sentence, WIDTH, subsequent_indent="  ")


def _table(found: Advice) -> None:
    """One row a budget."""
    from nfl_pruning.cli.output.tables import print_table

    digits = 3 if found.target == "loss" else 1
    rows = []
    for fraction in found.keep_fractions:
        one, random = found.recommended(fraction), found.random_at(fraction)
        rows.append(
            (
                f"{100 * fraction:g} %",
                one.policy.label + " *" * (one.beats_random and not one.policy.is_random),
                f"{one.value:.{digits}f}",
                f"{one.low:.{digits}f} to {one.high:.{digits}f}",
                f"{random.value:.{digits}f}",
                f"{100 * found.random_needs(one):.0f} %",
                "yes" if found.within(one) else "no",
            )
        )
    whole = found.all_data
    interval = f"{whole.low:.{digits}f} to {whole.high:.{digits}f}"
    rows.append(("100 %", "all data", f"{whole.value:.{digits}f}", interval, "", "", ""))
    print_table(
        ("kept", "by", found.target, "90 % interval", "random", "random\nneeds", "in\ntolerance"),
        rows,
        left=("by",),
        note="* better than random pruning by more than its 90 % interval",
    )

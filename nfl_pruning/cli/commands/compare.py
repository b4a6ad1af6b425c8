"""``nfl-pruning compare``: does pruning by a score beat random pruning on this data set?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from nfl_pruning.cli.options.data import (
    WITH_TEST_PART,
    column_options,
    describe_columns,
    input_files,
    say,
    sentence_on_features,
)
from nfl_pruning.cli.options.network import Network, check_gradient, network_options
from nfl_pruning.cli.options.shared import data_argument, json_option, list_of, shared
from nfl_pruning.cli.options.types import ListOf, Real, Whole
from nfl_pruning.cli.output.verdicts import draw, report_losses, report_settings, show

if TYPE_CHECKING:
    from nfl_pruning.data import Columns
    from nfl_pruning.networks.comparison.plan import ComparisonPlan
    from nfl_pruning.networks.comparison.result import Comparison


class Same(TypedDict):
    """Options that a :class:`ComparisonPlan` calls as the command line does."""

    keep: list[str]
    exploit: float
    repeats: int
    epoch: int | None
    label_noise: float
    n_train: int | None
    balance: str
    imbalance: float
    validation: float
    seed: int


class Planned(Same):
    """All that a plan is made of."""

    score: list[str] | None
    policy: tuple[str, ...]
    protocol: list[str]
    keep_fraction: list[float]
    gradient: str
    budget: str
    network: Network


class Options(Planned):
    """All that decides the comparison."""

    data: str
    data_dir: str | None
    columns: Columns
    records: str | None
    fresh: bool
    scores_file: str | None
    subset_files: tuple[str, ...]
    test_data: str | None


HELP = """Compare pruning rules with random pruning on DATA, over paired repeats.

Each repeat splits off a test set (30 %, or --test-data, or the test part of data that have one),
trains one probe on the training set, scores that set, prunes it by each rule, and trains a fresh
network on what is kept. Tables are standardised with the moments of the repeat's training rows. The
test set is read once: after the last epoch or, with --validation, at the epoch that the held-out
rows chose. All rules of a repeat share split, probe, initialisation and order.

The verdict is a paired t test over repeats of accuracy against plain random pruning; with
--balance, random pruning with the same class quotas is a rule of its own. Holm's correction runs
over all comparisons at keep fractions up to 0.3. Balanced accuracy (the mean over classes) and the
accuracy of the worst class stand beside it: the answer can turn with the measure. A network whose
loss becomes NaN is reported and left out. The exit code is 0 whatever the verdict.

With --scores the rules rank by the scores in a file, one a row of DATA and matched as in
nfl-pruning prune, and by networks' scores only where --score is given as well. Scores that were
computed on all of DATA have seen the rows that a repeat tests on; --test-data tests on others.

With --policy single rules are compared, each in words: a score, an end, a protocol, its exploit and
class quotas, such as "el2n hardest exact 0.05"; with --subset what another tool keeps: a list of
row numbers or ids, perhaps with weights. A subset is compared with as many random rows; the
interval is then over splits and networks, and the tool has seen the rows that a repeat tests on
unless --test-data tests on others.

Finished repeats are recorded (--records): a run that was stopped goes on where it was when the same
command is given again.

\b
Examples:
  nfl-pruning compare digits --score el2n,grand --keep-fraction 0.1,0.3 --repeats 10
  nfl-pruning compare fashion-mnist --n-train 5000 --score forgetting --label-noise 0.15
  nfl-pruning compare own.csv --test-data held_out.csv --scores scores.csv
  nfl-pruning compare own.csv --policy "el2n hardest exact 0.05" --subset theirs=kept_ids.csv
"""


@click.command("compare", help=HELP)
@data_argument
@list_of(
    "--score",
    default=None,
    metavar="NAME,...",
    help="Scores; el2n where no other rule is given.",
)
@click.option("--scores", "scores_file", metavar="FILE", help="Scores of DATA's rows, as in prune.")
@click.option("--policy", multiple=True, metavar="WORDS", help="A single rule; may be repeated.")
@click.option(
    "--subset",
    "subset_files",
    multiple=True,
    metavar="NAME=FILE",
    help="What another tool keeps (.npz, .npy, .txt, or a table); may be repeated.",
)
@click.option("--test-data", metavar="FILE", help="Own file to test on in every repeat.")
@click.option(
    "--protocol",
    default="threshold,exact",
    show_default=True,
    metavar="RULE,...",
    type=ListOf(click.STRING),
    help="threshold, exact, soft:S, clipped:CAP, middle:OFFSET:S, stratified:K, neyman:K:EQUAL, "
    "window:OFFSET or coverage:CUT.",
)
@list_of("--keep", metavar="END,...", help="Ends.")
@list_of("--keep-fraction", default="0.1,0.3", metavar="R,...", help="(0, 1]")
@shared("--exploit", help="For those that explore.")
@click.option(
    "--repeats", default="10", show_default=True, metavar="N", type=Whole(2), help="At least 2."
)
@click.option(
    "--epoch",
    metavar="N",
    type=Whole(),
    help="Epoch of the scores; half of --epochs by default.",
)
@shared("--gradient", help="For grand.")
@click.option(
    "--label-noise", default="0", show_default=True, metavar="P", type=Real(), help="Wrong labels."
)
@click.option(
    "--n-train", metavar="N", type=Whole(1), help="Training samples in a repeat; all by default."
)
@shared("--budget", help="Equal epochs or steps.")
@shared("--balance", help="Class quotas, as in prune.")
@click.option(
    "--imbalance",
    default="1",
    show_default=True,
    metavar="F",
    type=Real(),
    help="Thin the training classes until the first is F times the last.",
)
@click.option(
    "--validation",
    default="0",
    show_default=True,
    metavar="SHARE",
    type=Real(),
    help="Hold out this share of the training rows to choose the epoch.",
)
@column_options
@network_options
@click.option("--records", metavar="DIR", help="Finished repeats; the user's cache by default.")
@click.option("--fresh", is_flag=True, help="Compute all repeats again.")
@click.option("--plot", metavar="FILE", help="Draw the differences (.png or .pdf).")
@shared("--force", help="Replace an existing plot.")
@json_option
def command(as_json: bool, plot: str | None, force: bool, **options: Unpack[Options]) -> None:
    """Run the repeats, then say what they show."""
    if plot is not None:
        from nfl_pruning.archive import PLOTS, check_output

        paths = [path for _, path in _named_files(options["subset_files"])]
        read = (options["data"], options["scores_file"], options["test_data"])
        inputs = input_files(*read, *paths)
        check_output(plot, name="plot", endings=PLOTS, force=force, inputs=inputs)
    found = _run(**options)
    if plot is not None:
        draw(found.verdicts["accuracy"], plot)
    if as_json:
        from nfl_pruning.cli.output.tables import print_json

        print_json(found.to_dict())
        return
    show(found.verdicts, found.measures)
    report_settings(found.about)
    click.echo(sentence_on_features(found.about))
    report_losses(found.measures["accuracy"])
    click.echo(found.probe_sentence)
    say(found.notes)
    seconds = found.seconds
    click.echo(f"Probing took {seconds['probing']:.0f} s, refitting {seconds['refitting']:.0f} s.")
    if found.reused:
        again = "(--fresh computes all again)"
        click.echo(f"Repeats taken from an earlier run: {found.reused} {again}.")


def _run(
    *,
    data: str,
    data_dir: str | None,
    columns: Columns,
    records: str | None,
    fresh: bool,
    scores_file: str | None,
    subset_files: tuple[str, ...],
    test_data: str | None,
    **planned: Unpack[Planned],
) -> Comparison:
    """Check everything that needs no data first, then compute or recall every repeat."""
    from nfl_pruning.data import load_dataset, load_test_data
    from nfl_pruning.data.side_files.scores_file import read_scores
    from nfl_pruning.data.side_files.subset_file import read_subset
    from nfl_pruning.experiments.progress import shown
    from nfl_pruning.networks.comparison.compare import compare

    files = _named_files(subset_files)
    plan = _plan(given=scores_file is not None, others=bool(files), **planned)
    folder = _folder(records)
    dataset = load_dataset(data, data_dir=data_dir, columns=columns)
    test = given = None
    if test_data is not None:
        test = load_test_data(test_data, dataset, columns)
    elif data in WITH_TEST_PART:
        test = load_dataset(data, data_dir=data_dir, part="test")
    if scores_file is not None:
        given = read_scores(Path(scores_file), dataset)
    subsets = {name: read_subset(Path(path), dataset) for name, path in files}
    with shown("repeats") as progress:
        found = compare(
            dataset,
            plan,
            test=test,
            given=None if given is None else given.values,
            subsets=subsets,
            folder=folder,
            fresh=fresh,
            progress=progress,
        )
    notes = found.notes if given is None else (*found.notes, *given.notes)
    return replace(found, about=found.about | describe_columns(dataset, columns), notes=notes)


def _named_files(said: tuple[str, ...]) -> list[tuple[str, str]]:
    """Names and paths of subsets, from NAME=FILE."""
    from nfl_pruning.errors import InvalidArgumentError

    found = [text.partition("=") for text in said]
    names = [name for name, _, _ in found]
    if any(not name or not path for name, _, path in found) or len(set(names)) < len(names):
        raise InvalidArgumentError(
            f"subset must be NAME=FILE, each name once; got {', '.join(said)}."
        )
    return [(name, path) for name, _, path in found]


def _plan(
    *,
    given: bool,
    others: bool,
    score: list[str] | None,
    policy: tuple[str, ...],
    protocol: list[str],
    keep_fraction: list[float],
    gradient: str,
    budget: str,
    network: Network,
    **same: Unpack[Same],
) -> ComparisonPlan:
    """What the options ask for, checked; the others are called as the plan calls them."""
    from nfl_pruning.networks.comparison.plan import ComparisonPlan
    from nfl_pruning.scores import SCORES

    names = score or []
    if score is None and not (given or others or policy):
        names = ["el2n"]
    scores = [SCORES[name] for name in names]
    return ComparisonPlan(
        scores=scores,
        given=given,
        policies=policy,
        selections=protocol,
        keep_fractions=keep_fraction,
        gradient=check_gradient(gradient, scores),
        model=network.model,
        training=network.training(budget),
        **same,
    )


def _folder(records: str | None) -> Path:
    """Where finished repeats are kept."""
    from nfl_pruning.experiments.compilation import cache_folder
    from nfl_pruning.validation import check_folder

    return check_folder(
        "records", cache_folder().parent / "compare" if records is None else records
    )

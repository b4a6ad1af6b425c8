"""``nfl-pruning compare``: does pruning by a score beat random pruning on this data set?"""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path
from typing import Any

import click

from nfl_pruning.cli.network_options import (
    WITH_TEST_PART,
    names,
    network_options,
    real,
    training_from,
    whole,
)
from nfl_pruning.cli.options import json_option

HELP = """Compare pruning rules with random pruning on DATA, over paired repeats.

Each repeat splits off a test set (30 %, or the test part of data that have one), trains one
probe on the training set, scores that set, prunes it by each rule, and trains a fresh network on
what is kept; the test set is read once, after the last epoch. All rules of a repeat share split,
probe, initialisation and order. The verdict is a paired t test over repeats; Holm's correction runs
over all comparisons at keep fractions up to 0.3. The exit code is 0 whatever the verdict.

\b
Examples:
  nfl-pruning compare digits --score el2n,grand --keep-fraction 0.1,0.3 --repeats 10
  nfl-pruning compare fashion-mnist --n-train 5000 --score forgetting --label-noise 0.15
"""


@click.command("compare", help=HELP)
@click.argument("data", default="digits")
@click.option("--score", default="el2n", show_default=True, metavar="NAME,...", help="Scores.")
@click.option(
    "--protocol", default="threshold,exact", show_default=True, metavar="RULE,...", help="Rules."
)
@click.option("--keep", default="hardest", show_default=True, metavar="END,...", help="Ends.")
@click.option(
    "--keep-fraction", default="0.1,0.3", show_default=True, metavar="R,...", help="(0, 1]"
)
@click.option(
    "--exploit", default="0.5", show_default=True, metavar="SHARE", help="For exact, soft."
)
@click.option("--repeats", default="10", show_default=True, metavar="N", help="At least 2.")
@click.option("--epoch", metavar="N", help="Epoch of the scores; half of --epochs by default.")
@click.option("--gradient", default="full", show_default=True, metavar="SCOPE", help="For grand.")
@click.option("--label-noise", default="0", show_default=True, metavar="P", help="Wrong labels.")
@click.option("--n-train", metavar="N", help="Training samples in a repeat; all by default.")
@click.option(
    "--budget", default="epochs", show_default=True, metavar="X", help="Equal epochs or steps."
)
@network_options
@click.option("--plot", metavar="FILE", help="Draw the differences (.png or .pdf).")
@json_option
def command(as_json: bool, plot: str | None, **options: Any) -> None:
    """Run the repeats, then say what they show."""
    from nfl_pruning.validation import InvalidArgumentError

    if plot is not None and (
        Path(plot).suffix not in (".png", ".pdf") or not Path(plot).parent.is_dir()
    ):
        raise InvalidArgumentError(
            f"plot must be a .png or .pdf file in a folder that exists; got {plot!r}."
        )
    found, accuracy, seconds = _run(**options)
    if plot is not None:
        _draw(found, plot)
    if as_json:
        from nfl_pruning.records import to_json

        rows = [verdict.to_dict() for verdict in found]
        click.echo(to_json({"verdicts": rows, "accuracy": accuracy, "seconds": seconds}))
    else:
        _show(found, accuracy, seconds)


def _run(
    *,
    data: str,
    data_dir: str | None,
    score: str,
    protocol: str,
    keep: str,
    keep_fraction: str,
    exploit: str,
    repeats: str,
    epoch: str | None,
    gradient: str,
    label_noise: str,
    n_train: str | None,
    model: str,
    budget: str,
    seed: str,
    **options: Any,
) -> tuple[list[Any], dict[float, dict[str, Any]], dict[str, float]]:
    """Verdicts, accuracies by keep fraction and rule, and seconds spent."""
    import jax

    from nfl_pruning.cli.output import progress
    from nfl_pruning.data import load_dataset
    from nfl_pruning.networks.experiment import check_counts, make_split, probe_scores, refit
    from nfl_pruning.networks.gradients import SCOPES
    from nfl_pruning.networks.models import make_model
    from nfl_pruning.networks.verdicts import verdicts
    from nfl_pruning.scores import SCORES
    from nfl_pruning.validation import check_choice, check_number

    training = training_from(options, budget)
    check_choice("gradient", gradient, SCOPES)
    fractions = [
        check_number("keep_fraction", real(part), "(0, 1]")
        for part in names("keep_fraction", keep_fraction)
    ]
    scores = [SCORES[name] for name in names("score", score)]
    arms = _arms(scores, names("protocol", protocol), names("keep", keep), real(exploit))
    count, start_seed = whole("repeats", repeats, 2), whole("seed", seed)
    when = max(training.epochs // 2, 1) if epoch is None else whole("epoch", epoch)
    noise = check_number("label_noise", real(label_noise), "[0, 1]")
    dataset = load_dataset(data, data_dir=data_dir)
    test = None
    if data in WITH_TEST_PART:
        test = load_dataset(data, data_dir=data_dir, part="test")
    root_split, root = jax.random.split(jax.random.key(start_seed))
    size = None if n_train is None else whole("n_train", n_train, 1)
    split = make_split(root_split, dataset, test, repeats=count, n_train=size, label_noise=noise)
    for fraction in fractions:
        check_counts(arms, fraction, split.train_rows.shape[1])
    network = make_model(model, split.n_classes, split.shape)
    start = time.perf_counter()
    with progress(when, "probes") as advance:
        keys = probe_scores(
            root,
            split,
            scores=scores,
            model=network,
            training=training,
            epochs={member.name: when for member in scores},
            scope=gradient,
            on_epoch=lambda done, state: advance(completed=done),
        )
    probing, accuracy = time.perf_counter() - start, {}
    with progress(len(fractions), "refits") as advance:
        for fraction in fractions:
            outcomes = refit(
                root,
                split,
                keys,
                arms=arms,
                keep_fraction=fraction,
                model=network,
                training=training,
            )
            accuracy[fraction] = {name: found.accuracy for name, found in outcomes.items()}
            advance()
    seconds = {"probing": probing, "refitting": time.perf_counter() - start - probing}
    return verdicts(accuracy), accuracy, seconds


def _arms(scores: list[Any], protocols: list[str], ends: list[str], exploit: Any) -> list[Any]:
    """Random, and every combination of score, end and protocol."""
    from nfl_pruning.networks.experiment import Arm
    from nfl_pruning.selections import make_selection
    from nfl_pruning.validation import check_choice, check_number

    check_number("exploit", exploit, "[0, 1]")
    found = [Arm("random", make_selection("random"))]
    for text, end, score in product(protocols, ends, scores):
        check_choice("keep", end, ("hardest", "easiest"))
        rule = make_selection(text, exploit=exploit)
        if text != "random":
            found.append(Arm(f"{score.name} {end} {rule.label}", rule, score, end))
    return found


def _show(found: list[Any], accuracy: dict[float, dict[str, Any]], seconds: dict) -> None:
    """The verdict table."""
    import numpy as np

    from nfl_pruning.cli.output import number, print_table, with_error

    rows = []
    for fraction, rules in sorted(accuracy.items()):
        values = 100 * np.asarray(rules["random"])
        rows.append((f"{fraction:g}", "random", f"{np.nanmean(values):.2f}", "", "", ""))
        for verdict in (v for v in found if v.keep_fraction == fraction):
            mean = 100 * np.nanmean(rules[verdict.rule])
            p = verdict.p_value if verdict.p_holm is None else verdict.p_holm
            gap = with_error(verdict.difference, verdict.half_width)
            text = verdict.text + (f", {verdict.failed} diverged" if verdict.failed else "")
            rows.append((f"{fraction:g}", verdict.rule, f"{mean:.2f}", gap, number(p, 2), text))
    print_table(
        ("keep_fraction", "rule", "accuracy", "minus random", "p", "verdict"),
        rows,
        left=("rule", "verdict"),
        note="Accuracy in per cent; differences in points with 95 % half widths over repeats;\n"
        "p after Holm's correction at keep fractions up to 0.3, uncorrected above.",
    )
    click.echo(f"Probing took {seconds['probing']:.0f} s, refitting {seconds['refitting']:.0f} s.")


def _draw(found: list[Any], path: str) -> None:
    """Difference from random against keep fraction, one line a rule."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for rule in dict.fromkeys(verdict.rule for verdict in found):
        own = [
            verdict for verdict in found if verdict.rule == rule and verdict.half_width is not None
        ]
        axes.errorbar(
            [v.keep_fraction for v in own],
            [v.difference for v in own],
            [v.half_width for v in own],
            label=rule,
            marker="o",
            capsize=2,
        )
    axes.axhline(0, color="black", linestyle="--", label="random")
    axes.set(xlabel="keep fraction", ylabel="accuracy minus random (points)", xscale="log")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=150)

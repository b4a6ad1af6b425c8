"""``nfl-pruning compare``: does pruning by a score beat random pruning on this data set?"""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import click

from nfl_pruning.cli.network_options import (
    WITH_TEST_PART,
    check_gradient,
    network_options,
    training_from,
)
from nfl_pruning.cli.options import entries, json_option, real, seed_of, whole
from nfl_pruning.cli.verdict_table import draw, report_losses, report_settings, show

HELP = """Compare pruning rules with random pruning on DATA, over paired repeats.

Each repeat splits off a test set (30 %, or the test part of data that have one), trains one probe
on the training set, scores that set, prunes it by each rule, and trains a fresh network on what is
kept. Tables are standardised with the moments of the repeat's training rows. The test set is read
once: after the last epoch or, with --validation, at the epoch that the held-out rows chose. All
rules of a repeat share split, probe, initialisation and order. The verdict is a paired t test over
repeats; Holm's correction runs over all comparisons at keep fractions up to 0.3. A network whose
loss becomes NaN is reported and left out. The exit code is 0 whatever the verdict.

Finished repeats are recorded (--records): a run that was stopped goes on where it was when the same
command is given again.

\b
Examples:
  nfl-pruning compare digits --score el2n,grand --keep-fraction 0.1,0.3 --repeats 10
  nfl-pruning compare fashion-mnist --n-train 5000 --score forgetting --label-noise 0.15
"""


@click.command("compare", help=HELP)
@click.argument("data", default="digits")
@click.option("--score", default="el2n", show_default=True, metavar="NAME,...", help="Scores.")
@click.option(
    "--protocol",
    default="threshold,exact",
    show_default=True,
    metavar="RULE,...",
    help="threshold, exact, soft:S, window:OFFSET or coverage:CUT.",
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
@click.option(
    "--balance", default="none", show_default=True, metavar="HOW", help="Class quotas, as in prune."
)
@click.option(
    "--imbalance",
    default="1",
    show_default=True,
    metavar="F",
    help="Thin the training classes until the first is F times the last.",
)
@click.option(
    "--validation",
    default="0",
    show_default=True,
    metavar="SHARE",
    help="Hold out this share of the training rows to choose the epoch.",
)
@network_options
@click.option("--records", metavar="DIR", help="Finished repeats; the user's cache by default.")
@click.option("--fresh", is_flag=True, help="Compute all repeats again.")
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
    found, accuracy, seconds, reused, about = _run(**options)
    if plot is not None:
        draw(found, plot)
    if as_json:
        from nfl_pruning.records import to_json

        rows = [verdict.to_dict() for verdict in found]
        report = {"verdicts": rows, "accuracy": accuracy, "seconds": seconds, "reused": reused}
        click.echo(to_json({"config": about} | report))
        return
    show(found, accuracy)
    report_settings(about)
    report_losses(accuracy)
    click.echo(f"Probing took {seconds['probing']:.0f} s, refitting {seconds['refitting']:.0f} s.")
    if reused:
        click.echo(f"Repeats taken from an earlier run: {reused} (--fresh computes all again).")


def _run(
    *,
    data: str,
    data_dir: str | None,
    epoch: str | None,
    repeats: str,
    seed: str,
    n_train: str | None,
    records: str | None,
    fresh: bool,
    model: str,
    **options: Any,
) -> tuple[list[Any], dict[float, dict[str, Any]], dict[str, float], int, dict[str, Any]]:
    """Verdicts, accuracies by keep fraction and rule, seconds, repeats reused, and settings."""
    import jax

    from nfl_pruning.cli.output import progress
    from nfl_pruning.data import load_dataset
    from nfl_pruning.networks.augmentation import make_augment
    from nfl_pruning.networks.experiment import check_counts
    from nfl_pruning.networks.models import make_model
    from nfl_pruning.networks.repeat import gathered, run_repeat
    from nfl_pruning.networks.splits import make_split
    from nfl_pruning.networks.verdicts import verdicts
    from nfl_pruning.records import RecordStore, source_hash

    said = options | {"model": model, "n_train": n_train}
    count, start_seed = whole("repeats", repeats, 2), seed_of(seed)
    plan, store = _plan(epoch, options), RecordStore(_folder(records))
    dataset = load_dataset(data, data_dir=data_dir)
    test = None
    if data in WITH_TEST_PART:
        test = load_dataset(data, data_dir=data_dir, part="test")
    root_split, root = jax.random.split(jax.random.key(start_seed))
    size = None if n_train is None else whole("n_train", n_train, 1)
    split = make_split(root_split, dataset, test, repeats=count, n_train=size, **plan.pop("split"))
    for fraction in plan["fractions"]:
        check_counts(plan["arms"], fraction, split.train_labels)
    network = make_model(model, split.n_classes, split.shape)
    make_augment(plan["training"].augmentation, split.shape)
    config = said | {"epoch": epoch, "seed": start_seed, "repeats": count}
    config |= {"data_hash": dataset.hash, "test_hash": test.hash if test else None}
    config |= {"kind": "compare", "source": source_hash()}
    results, reused = [], 0
    with progress(count, "repeats") as advance:
        for number in range(count):
            own = config | {"repeat": number}
            found = None if fresh else store.get(own)
            reused += found is not None
            if found is None:
                found = run_repeat(root, split.only(number), model=network, **plan)
                store.put(own, found)
            results.append(found)
            advance()
    accuracy = gathered(results)
    seconds = {
        name: float(sum(result["seconds"][name] for result in results))
        for name in ("probing", "refitting")
    }
    about = _settings(plan) | {"model": model, "seed": start_seed, "repeats": count}
    about |= {"data": dataset.name, "data_hash": dataset.hash}
    return verdicts(accuracy), accuracy, seconds, reused, about


def _settings(plan: dict[str, Any]) -> dict[str, Any]:
    """What the scores of a plan mean, and how its networks are trained."""
    by_gradient = any(score.name == "grand" for score in plan["scores"])
    return {
        "score_epochs": plan["epochs"],
        "gradient": plan["scope"] if by_gradient else None,
        "training": asdict(plan["training"]),
    }


def _plan(epoch: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """What every repeat does, and under ``split`` what rows it gets; all checked."""
    from nfl_pruning.networks.scoring import Look, check_epoch
    from nfl_pruning.scores import SCORES
    from nfl_pruning.validation import InvalidArgumentError, check_number

    options = dict(options)
    training = training_from(options, options["budget"])
    fractions = [
        check_number("keep_fraction", real(part), "(0, 1]")
        for part in entries("keep_fraction", options["keep_fraction"])
    ]
    if len(set(fractions)) < len(fractions):
        raise InvalidArgumentError(
            f"keep_fraction must be a list of distinct entries; got {options['keep_fraction']!r}."
        )
    scores = [SCORES[name] for name in entries("score", options["score"])]
    when = max(training.epochs // 2, 1) if epoch is None else whole("epoch", epoch)
    scope = check_gradient(options["gradient"], scores)
    Look(tuple(scores), scope).check()
    for score in scores:
        check_epoch(when, training, score)
    return {
        "arms": _arms(scores, options),
        "fractions": fractions,
        "scores": scores,
        "epochs": {score.name: when for score in scores},
        "training": training,
        "scope": scope,
        "split": {
            "label_noise": check_number("label_noise", real(options["label_noise"]), "[0, 1]"),
            "imbalance": check_number("imbalance", real(options["imbalance"]), "[1, inf)"),
            "validation": check_number("validation", real(options["validation"]), "[0, 1)"),
        },
    }


def _folder(records: str | None) -> Path:
    """Where finished repeats are kept."""
    from nfl_pruning.cli.cache import cache_folder
    from nfl_pruning.validation import check_folder

    if records is None:
        return cache_folder().parent / "compare"
    return check_folder("records", records)


def _arms(scores: list[Any], options: dict[str, Any]) -> list[Any]:
    """Random, and every combination of score, end and protocol that differs."""
    from nfl_pruning.networks.experiment import Arm
    from nfl_pruning.selections import make_selection
    from nfl_pruning.selections.balanced import BALANCES
    from nfl_pruning.validation import check_choice, check_number

    exploit = check_number("exploit", real(options["exploit"]), "[0, 1]")
    balance = check_choice("balance", options["balance"], BALANCES)
    ends = [
        check_choice("keep", end, ("hardest", "easiest"))
        for end in entries("keep", options["keep"])
    ]
    found = {"random": Arm("random", make_selection("random"), balance=balance)}
    for text, end, score in product(entries("protocol", options["protocol"]), ends, scores):
        rule = make_selection(text, exploit=exploit)
        if "score" not in rule.uses:
            if text != "random":
                Arm(text, rule)  # refuses what keeps no fixed count
            continue
        parts = [score.name, end if "keep" in rule.uses else "", rule.label]
        name = " ".join(part for part in parts if part)
        found.setdefault(name, Arm(name, rule, score, end, balance))
    return list(found.values())

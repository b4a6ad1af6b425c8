"""What ``compare`` is asked to do, checked: rules, training, splits."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from typing import Any

from nfl_pruning.cli.network_options import check_gradient, training_from
from nfl_pruning.cli.options import entries, real, whole
from nfl_pruning.scores.base import Score

GIVEN = Score("given", lambda logits, labels, context: logits[..., 0], label_aware=False)
"""Stands for scores of a file, which no network computes."""


def settings_of(plan: dict[str, Any]) -> dict[str, Any]:
    """What the scores of a plan mean, and how its networks are trained."""
    by_gradient = any(score.name == "grand" for score in plan["scores"])
    return {
        "score_epochs": plan["epochs"],
        "gradient": plan["scope"] if by_gradient else None,
        "training": asdict(plan["training"]),
    }


def plan_from(epoch: str | None, options: dict[str, Any], *, given: bool) -> dict[str, Any]:
    """What every repeat does, and under ``split`` what rows it gets; all checked.

    Args:
        epoch: when networks score.
        options: of the command line.
        given: whether scores of a file are compared as well.
    """
    from nfl_pruning.errors import InvalidArgumentError
    from nfl_pruning.networks.scoring import Look, check_epoch
    from nfl_pruning.scores import SCORES
    from nfl_pruning.validation import check_number

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
    asked = options["score"]
    scores = [] if asked is None else [SCORES[name] for name in entries("score", asked)]
    when = max(training.epochs // 2, 1) if epoch is None else whole("epoch", epoch)
    scope = check_gradient(options["gradient"], scores)
    Look(tuple(scores), scope).check()
    for score in scores:
        check_epoch(when, training, score)
    return {
        "arms": _arms([*scores, *([GIVEN] if given else [])], options),
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
    found = {"random": Arm("random", make_selection("random"))}
    if balance != "none":  # a rule of its own: what any rule has to beat is plain random pruning
        name = f"random {balance}"
        found[name] = Arm(name, make_selection("random"), balance=balance)
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

"""What the simulations of networks share: settings, rules, data, and one repeat."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax

from nfl_pruning.data import Dataset, load_dataset
from nfl_pruning.networks.comparison.arms import Arm, make_arm
from nfl_pruning.networks.comparison.repeat import run_repeat
from nfl_pruning.networks.comparison.splits import Split, make_split
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.training import Training
from nfl_pruning.scores import SCORES

FRACTIONS = [0.03, 0.1, 0.3, 0.7, 1.0]
FOUR = ["el2n", "grand", "margin", "forgetting"]

BASE: dict[str, Any] = {
    "model": "mlp",
    "label_noise": 0.0,
    "budget": "epochs",
    "scores": FOUR,
    "fractions": FRACTIONS,
}
DIGITS = BASE | {"data": "digits", "n_train": None, "batch_size": 64}
FASHION = BASE | {
    "data": "fashion-mnist",
    "n_train": 60000,
    "batch_size": 128,
    "epochs": 10,
    "score_epoch": 5,
    "repeats": 10,
}


def arms(scores: list[str]) -> list[Arm]:
    """Random, and for each score keep hardest, keep easiest and exact calibration at 0.5."""
    found = [make_arm("random", protocol="random")]
    for score in scores:
        found += [
            make_arm(f"{score} {keep}", score=score, keep=keep) for keep in ("hardest", "easiest")
        ]
        found.append(make_arm(f"{score} exact", score=score, protocol="exact", exploit=0.5))
    return found


@cache
def loaded(data: str) -> tuple[Dataset, Dataset | None]:
    """A data set and its test part, if it has one."""
    return load_dataset(data), None if data == "digits" else load_dataset(data, part="test")


@cache
def split_of(data: str, repeats: int, n_train: int | None, label_noise: float) -> Split:
    """The rows of all repeats of a setting."""
    root = jax.random.split(jax.random.key(0))[0]
    sizes = {"repeats": repeats, "n_train": n_train, "label_noise": label_noise}
    return make_split(root, *loaded(data), **sizes)


def compute(config: dict[str, Any], chosen: list[Arm] | None = None) -> dict[str, Any]:
    """Accuracy and test loss of every rule at every keep fraction, in one repeat.

    Args:
        config: a record's configuration.
        chosen: the rules; those of :func:`arms` by default.
    """
    split = split_of(*(config[name] for name in ("data", "repeats", "n_train", "label_noise")))
    scores = [SCORES[name] for name in config["scores"]]
    late = {score.name for score in scores if "trajectory" in score.needs}
    return run_repeat(
        jax.random.split(jax.random.key(0))[1],
        split.only(config["repeat"]),
        arms=chosen or arms(config["scores"]),
        fractions=config["fractions"],
        scores=scores,
        epochs={
            score.name: config["epochs" if score.name in late else "score_epoch"]
            for score in scores
        },
        model=make_model(config["model"], split.n_classes, split.shape),
        training=Training(config["epochs"], config["batch_size"], budget=config["budget"]),
    )

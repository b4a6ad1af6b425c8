"""Networks: accuracy and test loss of refits against keep fraction, scores as people use them.

Every repeat trains one probe on its training set, which scores that same set; every rule prunes it
and a fresh network is trained on what is kept. The test samples are read once, after the last
epoch. One record holds all rules and keep fractions of one repeat.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jax

from _cells import Progress
from nfl_pruning.cli.scripts import run_alone
from nfl_pruning.data import Dataset, load_dataset
from nfl_pruning.networks.experiment import Arm, make_arm
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.repeat import run_repeat
from nfl_pruning.networks.splits import Split, make_split
from nfl_pruning.networks.training import Training
from nfl_pruning.records import RecordStore
from nfl_pruning.scores import SCORES
from nfl_pruning.validation import InvalidArgumentError

NAME = "networks"

FRACTIONS = [0.03, 0.1, 0.3, 0.7, 1.0]
FOUR = ["el2n", "grand", "margin", "forgetting"]
OTHERS = ["loss", "entropy", "aum", "deepfool", "prototypicality"]

BASE: dict[str, Any] = {
    "kind": NAME,
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
CNN = FASHION | {
    "model": "cnn",
    "n_train": 6000,
    "batch_size": 64,
    "epochs": 3,
    "score_epoch": 2,
    "budget": "steps",
    "repeats": 5,
}

PRESETS: dict[str, list[dict[str, Any]]] = {
    "quick": [DIGITS | {"epochs": 20, "score_epoch": 10, "repeats": 5}],
    "paper": [FASHION, CNN, FASHION | {"n_train": 12000, "label_noise": 0.15}],
}
MORE: list[dict[str, Any]] = [
    FASHION | {"label_noise": 0.15},
    FASHION | {"n_train": 12000, "budget": "steps"},
    FASHION | {"scores": OTHERS, "fractions": [0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0]},
    CNN | {"n_train": 60000, "label_noise": 0.15},
    DIGITS | {"epochs": 30, "score_epoch": 10, "repeats": 20},
]
"""Hours of work, that anyone may add to ``PRESETS`` and stop and resume at will."""


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


def configs(preset: str) -> list[dict[str, Any]]:
    """The configuration of every record; a data set that is not on this machine is left out."""
    found = []
    for setting in PRESETS[preset]:
        try:
            data_hash = loaded(setting["data"])[0].hash
        except InvalidArgumentError:
            continue
        found += [
            setting | {"data_hash": data_hash, "repeat": repeat}
            for repeat in range(setting["repeats"])
        ]
    return found


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


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing, one repeat after another."""
    wanted = configs(preset)
    store.forget_others(wanted)
    progress(0, len(wanted))
    for done, config in enumerate(wanted, 1):
        if store.get(config) is None:
            store.put(config, compute(config))
        progress(done, len(wanted))
    split_of.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run)

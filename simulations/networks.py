"""Networks: accuracy and test loss of refits against keep fraction, scores as people use them.

Every repeat trains one probe on its training set, which scores that same set; every rule prunes it
and a fresh network is trained on what is kept. The test samples are read once, after the last
epoch. One record holds all rules and repeats at one keep fraction.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import jax
import numpy as np

from _cells import Progress
from nfl_pruning.cli.scripts import run_alone
from nfl_pruning.data import load_dataset
from nfl_pruning.networks.experiment import Arm, Split, make_arm, make_split, probe_scores, refit
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.training import Training
from nfl_pruning.records import RecordStore
from nfl_pruning.scores import SCORES
from nfl_pruning.validation import InvalidArgumentError

NAME = "networks"

SCORED = ("el2n", "grand", "margin", "forgetting")

DIGITS = {"data": "digits", "model": "mlp", "batch_size": 64, "n_train": None, "label_noise": 0.0}
FASHION = DIGITS | {"data": "fashion-mnist", "batch_size": 128}

FRACTIONS = [0.03, 0.1, 0.3, 0.7, 1.0]
SOME = FASHION | {"n_train": 12000, "epochs": 10, "score_epoch": 5, "repeats": 10}

PRESETS: dict[str, list[dict[str, Any]]] = {
    "quick": [DIGITS | {"epochs": 20, "score_epoch": 10, "repeats": 5, "fractions": FRACTIONS}],
    "paper": [
        SOME | {"fractions": FRACTIONS},
        SOME | {"label_noise": 0.15, "fractions": FRACTIONS},
        SOME | {"n_train": None, "fractions": FRACTIONS},
        DIGITS | {"epochs": 30, "score_epoch": 10, "repeats": 20, "fractions": FRACTIONS},
    ],
}


def arms() -> list[Arm]:
    """Random, and for each score keep hardest, keep easiest and exact calibration at 0.5."""
    found = [make_arm("random", protocol="random")]
    for score in SCORED:
        found += [
            make_arm(f"{score} {keep}", score=score, keep=keep) for keep in ("hardest", "easiest")
        ]
        found.append(make_arm(f"{score} exact", score=score, protocol="exact", exploit=0.5))
    return found


def configs(preset: str) -> list[dict[str, Any]]:
    """The configuration of every record; a data set that is not on this machine is left out."""
    found = []
    for setting in PRESETS[preset]:
        try:
            data_hash = load_dataset(setting["data"]).hash
        except InvalidArgumentError:
            continue
        base = {key: value for key, value in setting.items() if key != "fractions"}
        base |= {"kind": NAME, "data_hash": data_hash, "rules": [arm.name for arm in arms()]}
        found += [base | {"keep_fraction": fraction} for fraction in setting["fractions"]]
    return found


def training_of(config: dict[str, Any]) -> Training:
    """The training that probe and refits share."""
    return Training(epochs=config["epochs"], batch_size=config["batch_size"])


@cache
def prepared(items: tuple[tuple[str, Any], ...]) -> tuple[Split, dict[str, np.ndarray], float]:
    """Rows, probes' rank keys, and the seconds that probing took; once for all keep fractions."""
    config = dict(items)
    test = None
    if config["data"] != "digits":
        test = load_dataset(config["data"], part="test")
    root_split, root = jax.random.split(jax.random.key(0))
    split = make_split(
        root_split,
        load_dataset(config["data"]),
        test,
        repeats=config["repeats"],
        n_train=config["n_train"],
        label_noise=config["label_noise"],
    )
    start = time.perf_counter()
    keys = probe_scores(
        root,
        split,
        scores=[SCORES[name] for name in SCORED],
        model=make_model(config["model"], split.n_classes, split.shape),
        training=training_of(config),
        epochs={
            name: config["epochs" if name == "forgetting" else "score_epoch"] for name in SCORED
        },
    )
    return split, keys, time.perf_counter() - start


def compute(config: dict[str, Any]) -> dict[str, Any]:
    """Accuracy and test loss of every rule in every repeat at one keep fraction."""
    shared = {k: v for k, v in config.items() if k not in ("keep_fraction", "rules")}
    split, keys, probing = prepared(tuple(shared.items()))
    start = time.perf_counter()
    fraction = config["keep_fraction"]
    rules = arms() if fraction < 1 else arms()[:1]  # keeping all, every rule is the same
    found = refit(
        jax.random.split(jax.random.key(0))[1],
        split,
        keys,
        arms=rules,
        keep_fraction=fraction,
        model=make_model(config["model"], split.n_classes, split.shape),
        training=training_of(config),
    )
    return {
        "accuracy": {name: outcome.accuracy for name, outcome in found.items()},
        "loss": {name: outcome.loss for name, outcome in found.items()},
        "kept": found["random"].kept,
        "diverged": {name: int(np.isnan(outcome.loss).sum()) for name, outcome in found.items()},
        "seconds": {"probing": probing, "refitting": time.perf_counter() - start},
    }


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing, one after another."""
    wanted = configs(preset)
    store.forget_others(wanted)
    progress(0, len(wanted))
    for done, config in enumerate(wanted, 1):
        if store.get(config) is None:
            store.put(config, compute(config))
        progress(done, len(wanted))
    prepared.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run)

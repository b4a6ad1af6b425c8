"""Pictures: which images each rule keeps and which it drops, with wrong labels marked."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import numpy as np

from _cells import Job, Progress, run_jobs
from _networks import DIGITS, FASHION, arms, loaded, split_of
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.networks.comparison.experiment import probe_scores, repeat_keys
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.training import Training
from nfl_pruning.records import RecordStore
from nfl_pruning.scores import SCORES

NAME = "pictures"

SHARED = {"kind": NAME, "scores": ["el2n"], "label_noise": 0.05, "keep_fraction": 0.1, "shown": 12}
PRESETS: dict[str, dict[str, Any]] = {
    "quick": DIGITS | SHARED | {"n_train": 1200, "epochs": 10, "score_epoch": 5},
    "paper": FASHION | SHARED | {"n_train": 12000},
}


def configs(preset: str) -> list[dict[str, Any]]:
    """The configuration of the one record; nothing where the data are not on this machine."""
    setting = PRESETS[preset]
    try:
        return [setting | {"data_hash": loaded(setting["data"])[0].content_hash, "repeats": 1}]
    except InvalidArgumentError:
        return []


def compute(config: dict[str, Any]) -> dict[str, Any]:
    """Images of a random few of the kept and of the dropped samples, as grey levels 0 to 255."""
    data, _ = loaded(config["data"])
    split = split_of(config["data"], 1, config["n_train"], config["label_noise"])
    root, score = jax.random.split(jax.random.key(0))[1], SCORES["el2n"]
    keys = probe_scores(
        root,
        split,
        scores=[score],
        model=make_model(config["model"], split.n_classes, split.shape),
        training=Training(config["epochs"], config["batch_size"]),
        epochs={"el2n": config["score_epoch"]},
    )
    values, labels = {"el2n": keys["el2n"][0]}, split.train_labels[0]
    rng, found = np.random.default_rng(0), {}
    for arm in arms(["el2n"]):
        key = repeat_keys(root, split.numbers)["select"][0]
        chosen = arm.choose(key, values, labels, config["keep_fraction"])
        dropped = np.setdiff1d(np.arange(len(labels)), chosen.indices)
        found[arm.name] = {
            "kept": _shown(data, split, rng.permutation(chosen.indices)[: config["shown"]]),
            "dropped": _shown(data, split, rng.permutation(dropped)[: config["shown"]]),
            "wrong_share": float(
                (data.y[split.train_rows[0][chosen.indices]] != labels[chosen.indices]).mean()
            ),
        }
    return {"rules": found, "shape": list(data.shape)}


def _shown(data: Any, split: Any, places: np.ndarray) -> list[dict[str, Any]]:
    """Pixels, given label, and whether the label is wrong."""
    rows, labels = split.train_rows[0][places], split.train_labels[0][places]
    return [
        {
            "pixels": np.round(255 * data.x[row]).astype(int),
            "label": data.classes[label],
            "wrong": bool(data.y[row] != label),
        }
        for row, label in zip(rows, labels, strict=True)
    ]


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the record if it is missing."""
    jobs = [Job(config, partial(compute, config)) for config in configs(preset)]
    run_jobs(jobs, store, progress, workers=1)
    split_of.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run)

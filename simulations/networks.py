"""Networks: accuracy and test loss of refits against keep fraction, scores as people use them.

Every repeat trains one probe on its training set, which scores that same set; every rule prunes it
and a fresh network is trained on what is kept. The test samples are read once, after the last
epoch. One record holds all rules and keep fractions of one repeat.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from _cells import Job, Progress, run_jobs
from _networks import DIGITS, FASHION, compute, loaded, split_of
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.records import RecordStore

NAME = "networks"

OTHERS = ["loss", "entropy", "aum", "deepfool", "prototypicality"]

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
# Hours of work each, that stop and resume at will.
PRESETS |= {
    "noise": [FASHION | {"label_noise": 0.15}],
    "steps": [FASHION | {"n_train": 12000, "budget": "steps"}],
    "scores": [
        FASHION | {"scores": OTHERS, "fractions": [0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0]}
    ],
    "cnn": [CNN | {"n_train": 60000, "label_noise": 0.15}],
    "digits": [DIGITS | {"epochs": 30, "score_epoch": 10, "repeats": 20}],
}


def configs(preset: str) -> list[dict[str, Any]]:
    """The configuration of every record; a data set that is not on this machine is left out."""
    found = []
    for setting in PRESETS[preset]:
        try:
            data_hash = loaded(setting["data"])[0].content_hash
        except InvalidArgumentError:
            continue
        found += [
            setting | {"kind": NAME, "data_hash": data_hash, "repeat": repeat}
            for repeat in range(setting["repeats"])
        ]
    return found


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing, one repeat after another."""
    jobs = [Job(config, partial(compute, config)) for config in configs(preset)]
    run_jobs(jobs, store, progress, workers=1)
    split_of.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run, presets=PRESETS)

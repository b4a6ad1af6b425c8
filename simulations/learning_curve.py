"""Learning curve: test error of refits against the number of images, at a fixed keep fraction.

Where a rule is not valid the curve flattens; otherwise it follows a power law like random's. Refits
train for as many steps as all the data would get, so that small subsets are not cut short.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from _cells import Job, Progress, run_jobs
from _networks import DIGITS, FASHION, compute, loaded, split_of
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.records import RecordStore

NAME = "learning_curve"

SHARED = {"kind": NAME, "scores": ["el2n"], "budget": "steps"}

PRESETS: dict[str, dict[str, Any]] = {
    "quick": DIGITS
    | SHARED
    | {"epochs": 15, "score_epoch": 7, "repeats": 3, "fractions": [0.3, 1.0]}
    | {"sizes": [160, 320, 640, 1250]},
    "paper": FASHION
    | SHARED
    | {"repeats": 5, "fractions": [0.3, 1.0], "sizes": [1500, 3000, 6000, 12000, 24000, 60000]},
}


def configs(preset: str) -> list[dict[str, Any]]:
    """One record a size and repeat, the small sizes first."""
    setting = {name: value for name, value in PRESETS[preset].items() if name != "sizes"}
    try:
        setting |= {"data_hash": loaded(setting["data"])[0].content_hash}
    except InvalidArgumentError:
        return []
    return [
        setting | {"n_train": size, "repeat": repeat}
        for size in PRESETS[preset]["sizes"]
        for repeat in range(setting["repeats"])
    ]


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    jobs = [Job(config, partial(compute, config)) for config in configs(preset)]
    run_jobs(jobs, store, progress, workers=1)
    split_of.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run)

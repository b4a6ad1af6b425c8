"""Real data: accuracy of a refit on the kept part of digits and of Fashion-MNIST.

Every repeat draws its own training and test samples, fits the probe on training samples alone, and
lets every rule prune the same training set by the same probe: differences between rules are paired.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from _cells import Job, Progress, run_jobs
from nfl_pruning.data import Dataset, load_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.pruning.multinomial import fit_multinomial, fit_scaling
from nfl_pruning.pruning.probing import DataProbe, score_dataset
from nfl_pruning.records import RecordStore
from nfl_pruning.scores import SCORES
from nfl_pruning.selections import select

NAME = "real_data"

RULES: dict[str, dict[str, Any]] = {
    "random": {"selection": "random"},
    "aware-hardest": {"keep": "hardest"},
    "aware-easiest": {"keep": "easiest"},
    "exact": {"keep": "hardest", "selection": "exact", "exploit": 0.5},
}

FRACTIONS = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]

PRESETS = {
    "quick": [
        {"data": "digits", "pool": 1, "n_train": 1257, "n_test": 540, "repeats": 20},
        {"data": "fashion-mnist", "pool": 4, "n_train": 3000, "n_test": 10000, "repeats": 20},
    ],
    "paper": [
        {"data": "digits", "pool": 1, "n_train": 1257, "n_test": 540, "repeats": 100},
        {"data": "fashion-mnist", "pool": 1, "n_train": 12000, "n_test": 10000, "repeats": 20},
    ],
}

COMMON = {"score": "el2n", "probe": "pilot:0.2", "ridge": 0.01, "fractions": FRACTIONS}


def pooled(dataset: Dataset, pool: int) -> Dataset:
    """Images whose pixels are means over blocks of ``pool`` x ``pool`` pixels."""
    if pool == 1:
        return dataset
    height, width = (size // pool for size in dataset.shape)
    blocks = dataset.x.reshape(len(dataset), height, pool, width, pool).mean(axis=(2, 4))
    return replace(dataset, x=blocks.reshape(len(dataset), -1), shape=(height, width))


def parts(config: dict[str, Any]) -> tuple[Dataset, Dataset] | None:
    """The sets that training and test samples are drawn from: one and the same for digits.

    None where the data are not on this machine.
    """
    name, pool = config["data"], config["pool"]
    try:
        train = pooled(load_dataset(name), pool)
        test = train if name == "digits" else pooled(load_dataset(name, part="test"), pool)
    except InvalidArgumentError:
        return None
    return train, test


def split(
    key: jax.Array, source: tuple[Dataset, Dataset], n_train: int, n_test: int
) -> tuple[Dataset, Dataset]:
    """Training and test samples of one repeat; disjoint, also when both come from one set."""
    train, test = source
    order = np.asarray(jax.random.permutation(key, len(train)))
    if train is test:
        return train.take(order[:n_train]), train.take(order[n_train : n_train + n_test])
    return train.take(order[:n_train]), test.take(np.arange(n_test))


def repeat(config: dict[str, Any], source: tuple[Dataset, Dataset]) -> dict[str, Any]:
    """Test accuracy and effective sample size of every rule at every keep fraction."""
    root = jax.random.fold_in(jax.random.key(0), config["repeat"])
    key_split, key_probe, key_select = jax.random.split(root, 3)
    train, test = split(key_split, source, config["n_train"], config["n_test"])
    ridge = config["ridge"]
    probe = DataProbe(fraction=float(config["probe"].split(":")[1]), ridge=ridge)
    scored = score_dataset(key_probe, train, score=SCORES[config["score"]], probe=probe)
    scaling = fit_scaling(train.x, is_image=True)
    x, x_test = scaling(train.x), scaling(test.x)
    found: dict[str, Any] = {"accuracy": {}, "effective_sample_size": {}, "unconverged": 0}
    full = None
    for rule, choice in RULES.items():
        accuracy, sizes = [], []
        for fraction in config["fractions"]:
            kept = select(key_select, scored.rank_key, fraction, **choice)
            weights = kept.weights[kept.indices]
            sizes.append(float(weights.sum() ** 2 / (weights**2).sum()))
            if fraction == 1 and full is not None:  # every rule keeps everything with weight 1
                accuracy.append(full)
                continue
            model = fit_multinomial(
                x[kept.indices],
                train.y[kept.indices],
                n_classes=len(train.classes),
                ridge=ridge,
                weights=weights,
            )
            found["unconverged"] += not model.converged
            accuracy.append(float((model.logits(x_test).argmax(axis=1) == test.y).mean()))
            if fraction == 1:
                full = accuracy[-1]
        found["accuracy"][rule] = accuracy
        found["effective_sample_size"][rule] = sizes
    return found


def jobs(preset: str) -> list[Job]:
    """One record a repeat; a data set that is not on this machine is left out."""
    listed = []
    for setting in PRESETS[preset]:
        source = parts(setting)
        if source is None:
            continue
        base = {key: value for key, value in setting.items() if key != "repeats"}
        base |= COMMON | {"data_hash": source[0].content_hash, "rules": RULES}
        for i in range(setting["repeats"]):
            config = {"kind": NAME, **base, "repeat": i}
            listed.append(Job(config, lambda config=config, source=source: repeat(config, source)))
    return listed


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing."""
    run_jobs(jobs(preset), store, progress)


if __name__ == "__main__":
    run_alone(__file__, run)

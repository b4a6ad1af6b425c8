"""Ranking of models: whether pruned data choose the same network as all data.

Every repeat scores its images by one probe, prunes them by each rule, and trains every
configuration on all images and on each subset. Half of the test images say which configuration a
subset would choose, the other half what that configuration, trained on all images, is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from _cells import Job, Progress, run_jobs
from _search import FRESH, Bench, candidate, split_of
from _search import arm as arm_of
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.networks.comparison.experiment import repeat_keys
from nfl_pruning.networks.measuring import evaluate_rows
from nfl_pruning.networks.models import CNN, MLP
from nfl_pruning.networks.training import Training, make_samples, train_replicas
from nfl_pruning.records import RecordStore
from nfl_pruning.validation import format_number

NAME = "networks_ranking"

MLPS = [
    {"model": "mlp", "widths": widths, "learning_rate": rate, "weight_decay": decay}
    for widths, rate, decay in product([[32], [256], [64, 64]], [0.02, 0.1], [5e-4, 5e-3])
]
CNNS = [
    {"model": "cnn", "widths": widths, "learning_rate": rate, "weight_decay": 5e-4}
    for widths, rate in product([[4, 8], [8, 16]], [0.02, 0.1])
]

BASE: dict[str, Any] = {
    "data": "fashion-mnist",
    "n_train": 6000,
    "label_noise": 0.0,
    "model": "mlp",
    "budget": "epochs",
    "epochs": 10,
    "score_epoch": 5,
    "batch_size": 32,
    "score": "el2n",
    "calibrated": ["middle:0.3:0", 0.5],
    "fractions": [0.03, 0.1, 0.3],
    "configurations": [*MLPS, *CNNS],
    "repeats": 5,
}
PRESETS: dict[str, dict[str, Any]] = {
    "quick": BASE
    | {"data": "digits", "n_train": None, "repeats": 2, "fractions": [0.1, 0.3]}
    | {"configurations": MLPS[:4], "epochs": 5},
    "paper": BASE,
    "large": BASE | {"n_train": 60000, "batch_size": 128, "repeats": 10},
}


def rules(setting: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rules that are compared, by the name that figures know."""
    score, (protocol, exploit) = setting["score"], setting["calibrated"]
    return {
        "random": {"name": "random", "protocol": "random"},
        "hardest": candidate(score, "threshold", 1.0),
        "easiest": candidate(score, "threshold", 1.0, keep="easiest"),
        "exact": candidate(score, "exact", 0.5),
        "searched": candidate(score, protocol, exploit),
    }


def network(choice: dict[str, Any], n_classes: int, shape: tuple[int, ...]) -> nn.Module:
    """The network of a configuration."""
    if choice["model"] == "mlp":
        return MLP(n_classes, tuple(choice["widths"]))
    return CNN(n_classes, shape, tuple(choice["widths"]), hidden=32)


@dataclass(frozen=True)
class Kept:
    """What each rule keeps of one repeat: rows and weights, shape (rules, kept)."""

    places: np.ndarray
    weights: np.ndarray


def subsets(bench: Bench, fraction: float) -> Kept:
    """The subsets of every rule."""
    key = repeat_keys(bench.root, bench.split.numbers)["select"][0]
    keys = {name: values[0] for name, values in bench.keys.items()}
    labels = bench.split.train_labels[0]
    picks = [
        arm_of(rule).choose(key, keys, labels, fraction) for rule in rules(bench.setting).values()
    ]
    places = np.array([pick.indices for pick in picks])
    return Kept(places, np.array([pick.weights[pick.indices] for pick in picks]))


def compute(config: dict[str, Any]) -> dict[str, Any]:
    """Accuracies of every configuration, trained on all images and on every subset.

    Returns:
        ``accuracy``: keep fraction -> rule -> configuration -> accuracies on the two halves of the
        test images; ``1`` holds all images, under the name random.
    """
    setting = {name: value for name, value in config.items() if name not in ("kind", "repeat")}
    bench = Bench(setting, FRESH, config["repeat"], config["repeats"])
    bench.score({setting["score"]})
    names = list(rules(setting))
    found: dict[str, dict[str, list[Any]]] = {}
    n = bench.split.train_rows.shape[1]
    whole = Kept(np.arange(n)[None], np.ones((1, n)))
    cases = {format_number(r): subsets(bench, r) for r in setting["fractions"]} | {"1": whole}
    for fraction, kept in cases.items():
        tested = [trained(bench, kept, choice) for choice in setting["configurations"]]
        found[fraction] = {
            name: [one[i] for one in tested] for i, name in enumerate(names[: len(kept.places)])
        }
    return {"accuracy": found}


def trained(bench: Bench, kept: Kept, choice: dict[str, Any]) -> list[list[float]]:
    """Accuracies of one configuration on both halves of the test images, one pair a subset."""
    split, setting = bench.split, bench.setting
    model = network(choice, split.n_classes, split.shape)
    training = Training(
        setting["epochs"],
        setting["batch_size"],
        learning_rate=choice["learning_rate"],
        weight_decay=choice["weight_decay"],
        budget=setting["budget"],
    )
    count = len(kept.places)
    keys = repeat_keys(bench.root, split.numbers)["refit"]
    rows, labels = split.train_rows[0][kept.places], split.train_labels[0][kept.places]
    state = train_replicas(
        jax.numpy.repeat(keys, count),
        make_samples(split.x, rows, labels, weights=kept.weights),
        model=model,
        training=training,
        n_all=split.train_rows.shape[1],
        shape=split.shape,
    )
    halves = []
    for half in (slice(0, None, 2), slice(1, None, 2)):
        rows, labels = (
            np.tile(a[:, half], (count, 1)) for a in (split.test_rows, split.test_labels)
        )
        found = evaluate_rows(model, state.params, split.x, rows=rows, labels=labels)
        halves.append([one.accuracy for one in found])
    return [list(pair) for pair in zip(*halves, strict=True)]


def configs(preset: str) -> list[dict[str, Any]]:
    """The configuration of every record; none where the data are not on this machine."""
    setting = PRESETS[preset]
    try:
        split_of(setting["data"], setting["n_train"], setting["label_noise"], FRESH, 1)
    except InvalidArgumentError:
        return []
    repeats = range(setting["repeats"])
    return [{"kind": NAME, **setting, "repeat": repeat} for repeat in repeats]


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing, one repeat after another."""
    jobs = [Job(config, partial(compute, config)) for config in configs(preset)]
    run_jobs(jobs, store, progress, workers=1)
    split_of.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run, presets=PRESETS)

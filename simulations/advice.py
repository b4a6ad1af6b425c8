"""Advice against the truth: every policy's real accuracy on real tasks, predicted beforehand.

A task is a data set's rows seen through some features. ``advise`` is given n of them; the truth are
refits of all its cells to those very rows, over several probes and draws, tested on rows that it
never saw. Numbers of the prior, the rule and limits of refusals were set on the tasks marked
``tuning``. Those marked ``held-back`` were written down before any of them was computed, when all
that was fixed, with the order in which they are computed: where a run ends early, those that it did
not reach are missing by lot. Those marked ``earlier`` were held back from the method before it was
changed; their regrets were seen when its rule was. Planted cases break an assumption each and must
be refused or flagged.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from _advice import MANY
from _cells import Job, Progress, run_jobs
from nfl_pruning.data import Dataset, load_dataset
from nfl_pruning.data.dataset import make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.standardising import network_inputs
from nfl_pruning.networks.training import Training, make_samples, replica, train_replicas
from nfl_pruning.realdata.advice import Advice
from nfl_pruning.realdata.advise import advise
from nfl_pruning.realdata.rounds.refits import Cell, Outcome, Rows, Setting, run_cells
from nfl_pruning.records import RecordStore

NAME = "advice"

FRACTIONS = [0.1, 0.3, 0.5, 0.7]
SCORES = ["el2n", "margin"]
TEST_ROWS, REPEATS = 20_000, 3
REPEATS_OF_FEW = 24  # below ``MANY`` rows, where refits scatter more and cost less
LITTLE, MORE = 0.2, 9  # fractions up to which refits scatter so much that more are needed
EVERY = list(range(10))


def _task(
    features: str,
    classes: list[int],
    n: int,
    *,
    noise: float = 0,
    imbalance: float = 1,
    seed: int = 0,
) -> dict[str, Any]:
    data = "digits" if features == "digits" else "fashion-mnist"
    return {
        "data": data,
        "features": features,
        "classes": classes,
        "n": n,
        "noise": noise,
        "imbalance": imbalance,
        "seed": seed,
    }


TUNING = [
    _task("digits", EVERY, 1200),
    _task("mlp", [0, 2, 4], 1000),
    _task("mlp", [0, 6], 600, noise=0.1),
    _task("mlp", EVERY, 2500),
    _task("pixels", EVERY, 3000),
    _task("pixels", [2, 4], 1000, imbalance=10),
    _task("random", [5, 7, 9], 2000),
    _task("cnn", EVERY, 2000, noise=0.1),
]
TUNING += [task | {"seed": 1} for task in TUNING if task["n"] != 3000]
TUNING += [
    _task("mlp", [0, 2, 4], 5000, seed=2),
    _task("random", [5, 7, 9], 6000, seed=2),
    _task("cnn", EVERY, 6000, noise=0.1, seed=2),
    _task("pixels", [2, 4], 4000, imbalance=10, seed=2),
]
EARLIER = [
    _task("mlp", [2, 6], 500),
    _task("mlp", [2, 4, 6], 1500, noise=0.1),
    _task("mlp", [1, 3, 8], 1500, imbalance=10),
    _task("random", [0, 3, 6], 1500),
    _task("random", [5, 7], 800, noise=0.1),
    _task("pixels", [0, 3, 6], 800),
    _task("pixels", [5, 9], 1000, noise=0.1),
    _task("cnn", [0, 6], 1000),
    _task("cnn", [2, 3, 4], 2000),
    _task("digits", [1, 3, 5, 8], 500),
    _task("digits", EVERY, 1000, noise=0.1),
    _task("mlp", EVERY, 5000),
    _task("cnn", EVERY, 3000, imbalance=10),
    _task("random", EVERY, 4000),
    _task("pixels", EVERY, 4000),
]
HELD_BACK = [
    _task("mlp", [4, 6], 500, seed=11),
    _task("mlp", [1, 3], 1500, imbalance=10, seed=11),
    _task("mlp", [3, 4, 6], 2000, noise=0.1, seed=11),
    _task("mlp", [0, 3], 4000, seed=11),
    _task("mlp", EVERY, 20_000, seed=11),
    _task("cnn", [2, 6, 8], 1000, imbalance=10, seed=11),
    _task("cnn", [0, 4, 6], 4000, seed=11),
    _task("cnn", [3, 4], 3000, noise=0.1, seed=11),
    _task("cnn", EVERY, 10_000, seed=11),
    _task("pixels", [2, 3], 500, noise=0.1, seed=11),
    _task("pixels", [7, 9], 2000, seed=11),
    _task("pixels", [5, 8, 9], 3000, imbalance=10, seed=11),
    _task("pixels", EVERY, 8000, seed=11),
    _task("random", [0, 2], 1000, seed=11),
    _task("random", [2, 5, 7], 2500, imbalance=10, seed=11),
    _task("random", [0, 1, 2], 10_000, noise=0.1, seed=11),
    _task("random", EVERY, 6000, noise=0.1, seed=11),
    _task("random", EVERY, 1000, imbalance=10, seed=11),
    _task("digits", EVERY, 700, seed=11),
    _task("digits", EVERY, 1000, noise=0.1, seed=11),
]
PLANTED = ["student-t", "shuffled", "copies", "leak"]

PARTS = {"held-back": HELD_BACK, "earlier": EARLIER, "tuning": TUNING}
ORDER = 20261129  # of the lots that say which task is computed next

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"held-back": [], "earlier": [EARLIER[9]], "tuning": [], "planted": PLANTED},
    "paper": PARTS | {"planted": PLANTED},
}


@cache
def network_features(model: str) -> tuple[np.ndarray, np.ndarray]:
    """Last hidden layer of a network trained on one half of Fashion-MNIST, over the other half."""
    data = load_dataset("fashion-mnist")
    key_order, key_train, _ = jax.random.split(jax.random.key(0), 3)
    order = np.asarray(jax.random.permutation(key_order, len(data)))
    size, epochs = {"mlp": (15000, 8), "cnn": (4000, 2)}[model]
    own, others = order[: len(order) // 2][:size], order[len(order) // 2 :]
    x = jnp.asarray(network_inputs(data.x, is_image=True))
    network = make_model(model, len(data.classes), data.shape)
    state = train_replicas(
        jax.random.split(key_train, 1),
        make_samples(x, own[None], data.y[own][None]),
        model=network,
        training=Training(epochs=epochs, batch_size=128),
    )
    parameters = replica(state.params, 0)
    blocks = np.array_split(others, 10)
    found = [np.asarray(network.apply(parameters, x[rows])[1]) for rows in blocks]  # pyright: ignore[reportIndexIssue]
    return np.concatenate(found).astype(np.float32), data.y[others]


@cache
def features_of(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows that tasks are drawn from, seen through some features, and their labels."""
    if kind in ("mlp", "cnn"):
        return network_features(kind)
    data = load_dataset("digits" if kind == "digits" else "fashion-mnist")
    pixels = data.x.reshape(len(data), -1)
    if kind == "random":  # a fixed random layer
        rng = np.random.default_rng(0)
        directions = rng.normal(size=(pixels.shape[1], 200)) / np.sqrt(pixels.shape[1])
        centred = (pixels - pixels.mean(axis=0)) / pixels.std()
        return np.maximum(centred @ directions + 0.3, 0).astype(np.float32), data.y
    return pixels.astype(np.float32), data.y


def make_task(task: dict[str, Any]) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """The rows to advise on, and rows to test on with their codes."""
    x, y = features_of(task["features"])
    rng = np.random.default_rng([7, task["seed"]])
    rows = rng.permutation(np.flatnonzero(np.isin(y, task["classes"])))
    codes = np.searchsorted(np.sort(task["classes"]), y[rows])
    if task["imbalance"] > 1:  # the first class stays, the last keeps one in `imbalance`
        share = task["imbalance"] ** (-codes / max(len(task["classes"]) - 1, 1))
        keep = rng.random(len(rows)) < share
        rows, codes = rows[keep], codes[keep]
    if task["noise"]:
        wrong = rng.random(len(codes)) < task["noise"]
        codes = np.where(wrong, rng.integers(len(task["classes"]), size=len(codes)), codes)
    n = task["n"]
    rest = slice(n, n + TEST_ROWS)
    data = make_dataset(task["features"], x[rows[:n]], codes[:n])
    return data, x[rows[rest]], codes[rest]


def repeats(n: int) -> list[int]:
    """Refits of every cell to n rows, and how many more of those that keep little."""
    return [REPEATS_OF_FEW, 0] if n < MANY else [REPEATS, MORE]


def truth(
    advice: Advice, x: np.ndarray, y: np.ndarray, counts: list[int]
) -> list[dict[Cell, Outcome]]:
    """Refits of every predicted cell to the rows advised on, tested on others; see ``repeats``."""
    source = advice.source
    setting = Setting(len(source.dataset.classes), source.probe.ridge, source.probe)
    cells = [(one.policy, one.keep_fraction) for one in advice.predictions]
    own = Rows(source.space(source.dataset.x), source.dataset.y)
    test = Rows(source.space(x), y)
    little = [cell for cell in cells if cell[1] <= LITTLE]
    rounds = [cells] * counts[0] + [little] * (counts[1] if little else 0)
    return [
        run_cells(np.random.default_rng([99, i]), own, test, some, setting)
        for i, some in enumerate(rounds)
    ]


def compute(config: dict[str, Any]) -> dict[str, Any]:
    """One task: advice, and the truth of every cell."""
    data, x, y = make_task(config)
    found = advise(
        data, keep_fractions=config["fractions"], scores=config["scores"], scale="common"
    )
    said = found.to_dict()
    result = {name: said[name] for name in ("refused", "reasons", "flags", "diagnostics")}
    result |= {name: said["config"].get(name) for name in ("surprise", "spread_factors")}
    result["recommended"] = {f: one["policy"] for f, one in said["recommended"].items()}
    if found.refused:
        return result
    rounds = truth(found, x, y, config["repeats"])
    cells = []
    for one in found.predictions:
        cell = (one.policy, one.keep_fraction)
        own = np.array([100 * r[cell].accuracy for r in rounds if cell in r])
        cells.append(
            {
                "policy": one.policy.label,
                "keep_fraction": one.keep_fraction,
                "predicted": one.value,
                "low": one.low,
                "high": one.high,
                "by_mixture": one.by_mixture,
                "measured": one.measured,
                "truth": float(np.mean(own)),
                "scatter": float(np.std(own, ddof=1)),
                "refits": len(own),
                "refits_inside": int(((own >= one.low) & (own <= one.high)).sum()),
            }
        )
    return result | {"cells": cells, "test_rows": len(y)}


def planted(config: dict[str, Any]) -> dict[str, Any]:
    """One case that breaks an assumption: what the advice says of it."""
    rng, case = np.random.default_rng(5), config["case"]
    x, y = features_of("digits")
    rows = rng.permutation(len(y))
    x, y = x[rows[:1200]].astype(float), y[rows[:1200]]
    test = None
    if case == "student-t":
        means = 1.2 * rng.normal(size=(4, 30))
        y = rng.integers(4, size=1200)
        x = means[y] + rng.standard_t(3, size=(1200, 30))
    elif case == "shuffled":
        y = rng.permutation(y)
    elif case == "copies":
        x, y = np.repeat(x[:400], 5, axis=0), np.repeat(y[:400], 5)
    elif case == "leak":
        test = (x[:200], y[:200])
    found = advise(x, y, keep_fractions=[0.1, 0.3], scores=["el2n"], scale="common", test=test)
    return {"refused": found.refused, "reasons": list(found.reasons), "flags": list(found.flags)}


def jobs(preset: str) -> list[Job]:
    """One record a task; Fashion-MNIST's are left out where it is not on this machine."""
    setting, listed = PRESETS[preset], []
    for case in setting["planted"]:
        config = {"kind": NAME, "part": "planted", "data": "digits", "case": case}
        listed.append(Job(config, partial(planted, config)))
    for part in PARTS:
        for place in np.random.default_rng(ORDER).permutation(len(setting[part])):
            task = setting[part][place]
            try:
                data_hash = load_dataset(task["data"]).content_hash
            except InvalidArgumentError:
                continue
            config = {"kind": NAME, "part": part, **task, "data_hash": data_hash}
            config |= {"fractions": FRACTIONS, "scores": SCORES, "repeats": repeats(task["n"])}
            config["test_rows"] = TEST_ROWS
            listed.append(Job(config, partial(compute, config)))
    return listed


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing, one after another: an advice uses all cores."""
    run_jobs(jobs(preset), store, progress, workers=1)
    features_of.cache_clear()
    network_features.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run)

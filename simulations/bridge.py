"""Bridge to the theory: pruning real features, measured against the limit of a fitted mixture.

Images of one half of Fashion-MNIST are seen through a network trained on the other half (the last
hidden layer of an MLP or of a CNN), or through the principal components of their pixels. Gaussian
components fitted to these features, one, three, five or as many a class as held-out rows prefer,
give the limit's test error of a refit to the kept samples; nothing is fitted to the outcome. A
control draws rows from the same mixture at the data's size: it tells what a finite size does from
what Gaussian components leave out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from _cells import Job, Progress, run_jobs
from nfl_pruning import Problem, solve
from nfl_pruning.data import load_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.standardising import network_inputs
from nfl_pruning.networks.training import Training, make_samples, replica, train_replicas
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.realdata.fitted.fitting import FittedMixture, fit_components
from nfl_pruning.realdata.fitted.space import fit_space
from nfl_pruning.realdata.policies import RANDOM, Policy
from nfl_pruning.realdata.rounds.probing import RowsProbe
from nfl_pruning.realdata.rounds.refits import Cell, Rows, Setting, run_cells
from nfl_pruning.realdata.rounds.softmax import Fit, fit_softmax
from nfl_pruning.records import RecordStore

NAME = "bridge"

POLICIES = {
    policy.label: policy
    for policy in (
        RANDOM,
        Policy("el2n", "hardest"),
        Policy("el2n", "easiest"),
        Policy("margin", "hardest"),
        Policy("margin", "easiest"),
        Policy("el2n", "hardest", 0.5),
    )
}
SHIRTS, COATS, ALL = [0, 6], [2, 4], list(range(10))  # t-shirt or shirt, pullover or coat
CHOSEN = 0  # components a class: as many as held-out rows prefer
RIDGE, TESTED = 0.01, 4000
PAIR = {"n_samples": 1000, "pilot": 300}
TEN = {"n_samples": 5000, "pilot": 1000}
BASE = {"kind": NAME, "data": "fashion-mnist", "ridge": RIDGE, "directions": 100}

PRESETS: dict[str, list[dict[str, Any]]] = {
    "quick": [
        BASE | PAIR
        | {"view": "pixels", "directions": 20, "classes": SHIRTS, "n_network": 6000, "epochs": 0}
        | {"components": [1, 3], "policies": ["random", "el2n hardest", "el2n easiest"]}
        | {"fractions": [0.3], "trials": 10}
    ],
    "paper": [
        BASE | size
        | {"view": view, "classes": classes, "n_network": 30000}
        | {"epochs": 0 if view == "pixels" else 10, "components": components}
        | {"policies": list(POLICIES), "fractions": [0.1, 0.3, 0.6], "trials": trials}
        for classes, size, components, trials in (
            (SHIRTS, PAIR, [1, 3, 5, CHOSEN], 40),
            (COATS, PAIR, [1, 3, 5, CHOSEN], 40),
            (ALL, TEN, [1, CHOSEN], 8),
        )
        for view in ("mlp", "cnn", "pixels")
    ],
}  # fmt: skip


class Task(NamedTuple):
    """Features of the half that the network has not seen, in random order, and the probe."""

    rows: Rows
    probe: Fit
    n_classes: int


def jobs(preset: str) -> list[Job]:
    """Trials on real features, trials on each mixture, and the limits, one record a policy."""
    found = []
    for setting in PRESETS[preset]:
        try:
            data_hash = load_dataset(setting["data"]).content_hash
        except InvalidArgumentError:  # the data are not on this machine
            continue
        shared = {k: v for k, v in setting.items() if k not in ("components", "policies")}
        shared |= {"data_hash": data_hash}
        trials = shared | {"policies": setting["policies"]}
        found.append(_job(trials | {"part": "real"}, real))
        for number in setting["components"]:
            own = {"components": number}
            found.append(_job(trials | own | {"part": "drawn"}, drawn))
            for policy in setting["policies"]:
                limits = {k: v for k, v in shared.items() if k != "trials"} | own
                found.append(_job(limits | {"part": "limit", "policy": policy}, limit))
    return found


def _job(config: dict[str, Any], compute: Any) -> Job:
    return Job(config, partial(compute, config))


@cache
def views(view: str, n_network: int, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """What images of the unseen half look like, shape (n, width), and their places in the data."""
    data = load_dataset("fashion-mnist")
    key_order, key_train = jax.random.split(jax.random.key(0))
    order = np.asarray(jax.random.permutation(key_order, len(data)))
    own, others = order[: len(order) // 2][:n_network], order[len(order) // 2 :]
    if view == "pixels":
        return data.x[others].reshape(len(others), -1), others
    x = jnp.asarray(network_inputs(data.x, is_image=True))
    model = make_model(view, len(data.classes), data.shape)
    state = train_replicas(
        jax.random.split(key_train, 1),
        make_samples(x, own[None], data.y[own][None]),
        model=model,
        training=Training(epochs=epochs, batch_size=128),
    )
    parameters, found = replica(state.params, 0), []
    for start in range(0, len(others), 1000):  # a CNN's activations are large
        rows: Any = model.apply(parameters, x[others[start : start + 1000]])[1]
        found.append(np.asarray(rows))
    return np.concatenate(found), others


@cache
def _task(
    view: str, classes: tuple[int, ...], n_network: int, epochs: int, directions: int, pilot: int
) -> Task:
    features, places = views(view, n_network, epochs)
    labels = load_dataset("fashion-mnist").y[places]
    mine = np.isin(labels, classes)
    rng = np.random.default_rng(0)
    space = fit_space(features[mine], scale="none", most=directions, rng=rng)
    x = space(features[mine])
    x /= np.sqrt((x**2).mean())  # so that a ridge means the same to every view
    y = np.searchsorted(classes, labels[mine])
    order = rng.permutation(len(y))
    x, y = x[order], y[order]
    probe = fit_softmax(x[:pilot], y[:pilot], len(classes), ridge=RIDGE)
    return Task(Rows(x, y, probe.logits(x)), probe, len(classes))


def task_of(config: dict[str, Any]) -> Task:
    """The task of a record: rows, the probe fitted to the first of them, classes."""
    view, classes = config["view"], tuple(config["classes"])
    numbers = (config[name] for name in ("n_network", "epochs", "directions", "pilot"))
    return _task(view, classes, *numbers)


@cache
def _mixture(
    view: str, classes: tuple[int, ...], numbers: tuple[int, ...], components: int
) -> FittedMixture:
    task = _task(view, classes, *numbers)
    return fit_components(
        task.rows.x,
        task.rows.y,
        task.n_classes,
        rng=np.random.default_rng(1),
        components=None if components == CHOSEN else components,
        wrong_labels=False,
    )


def mixture_of(config: dict[str, Any]) -> FittedMixture:
    """Components fitted to all rows of the task: they stand for the population."""
    names = ("n_network", "epochs", "directions", "pilot")
    numbers = tuple(config[name] for name in names)
    return _mixture(config["view"], tuple(config["classes"]), numbers, config["components"])


def real(config: dict[str, Any]) -> dict[str, Any]:
    """Test errors of refits to real rows: samples without the pilot's rows, tested on the rest."""
    task, n = task_of(config), config["n_samples"]
    found = []
    for trial in range(config["trials"]):
        rng = np.random.default_rng([2, trial])
        order = config["pilot"] + rng.permutation(len(task.rows.y) - config["pilot"])
        train, test = (task.rows.take(part) for part in (order[:n], order[n : n + TESTED]))
        found.append(_errors(config, rng, train, test))
    return _summary(config, found)


def drawn(config: dict[str, Any]) -> dict[str, Any]:
    """The same on rows drawn from the mixture, with the same probe."""
    task, mixture = task_of(config), mixture_of(config)
    found = []
    for trial in range(config["trials"]):
        rng = np.random.default_rng([3, trial])
        parts = [mixture.draw(rng, size) for size in (config["n_samples"], TESTED)]
        train, test = (Rows(x, y, task.probe.logits(x)) for x, y in parts)
        found.append(_errors(config, rng, train, test))
    return _summary(config, found) | {
        "components": [mixture.per_class, len(mixture.components)],
        "held_out": mixture.held_out,
    }


def _errors(
    config: dict[str, Any], rng: np.random.Generator, train: Rows, test: Rows
) -> list[float]:
    setting = Setting(config_classes(config), config["ridge"], RowsProbe("given"))
    found = run_cells(rng, train, test, cells(config), setting)
    return [1 - found[cell].accuracy for cell in cells(config)]


def config_classes(config: dict[str, Any]) -> int:
    """Number of classes K."""
    return len(config["classes"])


def cells(config: dict[str, Any]) -> list[Cell]:
    """Every policy at every keep fraction, policies first."""
    return [(POLICIES[name], r) for name in config["policies"] for r in config["fractions"]]


def _summary(config: dict[str, Any], errors: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Mean and standard error by policy, one entry a keep fraction."""
    shape = (len(errors), len(config["policies"]), len(config["fractions"]))
    table = np.reshape(errors, shape)
    spread = table.std(axis=0, ddof=1) / np.sqrt(len(table))
    return {
        name: {"mean": table[:, i].mean(axis=0), "standard_error": spread[i]}
        for i, name in enumerate(config["policies"])
    }


def problem_of(config: dict[str, Any], fraction: float) -> Problem:
    """The mixture's problem for one policy."""
    task, policy = task_of(config), POLICIES[config["policy"]]
    weights, offsets = task.probe.weights.T, task.probe.intercepts
    if task.n_classes == 2:
        weights, offsets = weights[1] - weights[0], float(offsets[1] - offsets[0])
    inputs = mixture_of(config).mixture()
    return Problem(
        samples_per_feature=config["n_samples"] / inputs.n_features,
        keep_fraction=fraction,
        score=policy.score if not policy.is_random else "el2n",
        keep=policy.keep,
        selection=policy.selection,
        inputs=inputs,
        probe=WeightsProbe(weights, offsets),
        ridge=config["ridge"],
        intercept=True,
    )


def limit(config: dict[str, Any]) -> dict[str, Any]:
    """The limit's test error at every keep fraction."""
    tolerance = 2e-3 if config_classes(config) > 2 else None
    found = [solve(problem_of(config, r), tolerance=tolerance) for r in config["fractions"]]
    return {
        "test_error": [one.test_error for one in found],
        "status": [one.status for one in found],
        "error_estimate": [one.error_estimate for one in found],
    }


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing, one after another."""
    run_jobs(jobs(preset), store, progress, workers=1)
    for kept in (views, _task, _mixture):
        kept.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run)

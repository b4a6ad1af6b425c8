"""Bridge to the theory: pruning frozen features of a network, measured against the limit.

A network is trained on one half of Fashion-MNIST; two classes of the other half, seen through its
last hidden layer, make a binary task. Signal, alignment, samples per feature and spectrum are
measured on it; the spectrum solver then predicts the test error of a logistic refit on the kept
samples, with nothing fitted. A control draws Gaussian inputs of the same spectrum, teacher and
probe: it tells a wrong prediction from wrong assumptions.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from _cells import Job, Progress, run_jobs
from nfl_pruning import Problem, Student, Teacher, make_selection, select, solve
from nfl_pruning.data import load_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import run_alone
from nfl_pruning.networks.frozen import Measured, Pool, fit_logistic, make_pool, measure_task
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.standardising import network_inputs
from nfl_pruning.networks.training import Training, make_samples, replica, train_replicas
from nfl_pruning.probes import FixedProbe
from nfl_pruning.records import RecordStore
from nfl_pruning.rules import RULES

NAME = "bridge"

CHOICES: dict[str, dict[str, Any]] = RULES | {
    "exact": {"score": "el2n", "keep": "hardest", "selection": "exact"}
}
PILOT, RIDGE = 300, 0.01
BASE = {"kind": NAME, "data": "fashion-mnist", "n_samples": 1000, "pilot": PILOT, "ridge": RIDGE}
SHIRTS, COATS = [0, 6], [2, 4]  # t-shirt or shirt, pullover or coat

PRESETS: dict[str, list[dict[str, Any]]] = {
    "quick": [
        BASE
        | {"classes": SHIRTS, "n_network": 6000, "epochs": 3, "trials": 20}
        | {"fractions": [0.1, 0.3, 0.7], "rules": ["random", "aware-hardest", "aware-easiest"]}
    ],
    "paper": [
        BASE
        | {"classes": classes, "n_network": 30000, "epochs": 10, "trials": 60}
        | {"fractions": [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9], "rules": list(CHOICES)}
        for classes in (SHIRTS, COATS)
    ],
}


def configs(preset: str) -> list[dict[str, Any]]:
    """One record a task and rule; nothing where the data are not on this machine."""
    found = []
    for setting in PRESETS[preset]:
        try:
            data_hash = load_dataset(setting["data"]).content_hash
        except InvalidArgumentError:
            continue
        shared = {name: value for name, value in setting.items() if name != "rules"}
        shared |= {"data_hash": data_hash}
        found += [shared | {"rule": rule} for rule in setting["rules"]]
    return found


@cache
def task(
    classes: tuple[int, int], n_network: int, epochs: int
) -> tuple[Pool, np.ndarray, Measured]:
    """The pool of frozen features, the probe, fitted to the pool's first rows, and their measure.

    The rows are in random order; trials leave the pilot's rows alone.
    """
    data = load_dataset("fashion-mnist")
    key_order, key_train, key_pool = jax.random.split(jax.random.key(0), 3)
    order = np.asarray(jax.random.permutation(key_order, len(data)))
    own, others = order[: len(order) // 2][:n_network], order[len(order) // 2 :]
    x = jnp.asarray(network_inputs(data.x, is_image=True))
    model = make_model("mlp", len(data.classes), data.shape)
    state = train_replicas(
        jax.random.split(key_train, 1),
        make_samples(x, own[None], data.y[own][None]),
        model=model,
        training=Training(epochs=epochs, batch_size=128),
    )
    rows = others[np.isin(data.y[others], classes)]
    rows = rows[np.asarray(jax.random.permutation(key_pool, len(rows)))]
    features: Any = model.apply(replica(state.params, 0), x[rows])[1]
    pool = make_pool(np.asarray(features), data.y[rows])
    probe = fit_logistic(pool.x[:PILOT], pool.y[:PILOT], ridge=RIDGE)
    return pool, probe, measure_task(pool, probe)


def problem_of(config: dict[str, Any], measured: Measured, fraction: float) -> Problem:
    """The theory's problem with the measured numbers."""
    choice = CHOICES[config["rule"]]
    return Problem(
        samples_per_feature=config["n_samples"] / measured.spectrum.n_features,
        keep_fraction=fraction,
        score=choice.get("score", "el2n"),
        keep=choice.get("keep", "hardest"),
        selection=make_selection(choice.get("selection", "threshold"), exploit=0.5),
        teacher=Teacher(signal=measured.signal),
        probe=FixedProbe(measured.alignment, measured.probe_norm),
        student=Student(ridge=config["ridge"]),
    )


def difficulty(problem: Problem, margin: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What the rule ranks by: EL2N falls with y times the margin, the margin score with its size.

    Order is all that matters here.
    """
    return -y * margin if problem.score.label_aware else -np.abs(margin)


def trial(key: Any, problem: Problem, sample: Pool, test: Pool, probe: np.ndarray) -> float:
    """Test error of one refit on the kept part of a sample."""
    chosen = select(
        key,
        difficulty(problem, sample.x @ probe, sample.y),
        problem.keep_fraction,
        keep=problem.keep,
        selection=problem.selection,
    )
    kept = chosen.indices
    theta = fit_logistic(
        sample.x[kept],
        sample.y[kept],
        ridge=problem.student.ridge,
        weights=chosen.weights[kept],
        n=len(sample.y),
    )
    return float((np.sign(test.x @ theta) != test.y).mean())


def gaussian(rng: np.random.Generator, measured: Measured, n: int) -> Pool:
    """Gaussian inputs of the same spectrum, labels by the logistic law of the same teacher."""
    spectrum = measured.spectrum
    x = rng.normal(size=(n, spectrum.n_features)) * np.sqrt(spectrum.eigenvalues)
    probability = expit(measured.signal * (x @ spectrum.teacher))
    return Pool(x, np.where(rng.random(n) < probability, 1, -1))


def compute(config: dict[str, Any]) -> dict[str, Any]:
    """Prediction, errors on real features and errors on Gaussian ones, at every keep fraction."""
    classes, n = tuple(config["classes"]), config["n_samples"]
    pool, probe, measured = task(classes, config["n_network"], config["epochs"])
    own_probe = measured.probe_norm * np.asarray(measured.spectrum.probe)
    rng, key = np.random.default_rng(0), jax.random.key(0)
    orders = [PILOT + rng.permutation(len(pool.y) - PILOT) for _ in range(config["trials"])]
    errors: dict[str, list[list[float]]] = {"real": [], "gaussian": []}
    theory = []
    for fraction in config["fractions"]:
        problem = problem_of(config, measured, fraction)
        found = solve(problem.replace(inputs=measured.spectrum))
        theory.append({"test_error": found.test_error, "status": found.status})
        real, control = [], []
        for i, order in enumerate(orders):
            own, draws = jax.random.fold_in(key, i), np.random.default_rng([1, i])
            sample, test = (gaussian(draws, measured, size) for size in (n, 4000))
            drawn, held = (Pool(pool.x[rows], pool.y[rows]) for rows in (order[:n], order[n:]))
            real.append(trial(own, problem, drawn, held, probe))
            control.append(trial(own, problem, sample, test, own_probe))
        errors["real"].append(real)
        errors["gaussian"].append(control)
    summary = {
        name: {
            "mean": np.mean(values, axis=1),
            "standard_error": np.std(values, axis=1, ddof=1) / np.sqrt(len(orders)),
        }
        for name, values in errors.items()
    }
    return summary | {
        "theory": theory,
        "signal": measured.signal,
        "alignment": measured.alignment,
        "probe_norm": measured.probe_norm,
        "kurtosis": measured.kurtosis,
        "misfit": measured.misfit,
        "n_features": measured.spectrum.n_features,
        "samples_per_feature": n / measured.spectrum.n_features,
        "eigenvalues": measured.spectrum.eigenvalues,
        "pool": len(pool.y),
    }


def run(preset: str, store: RecordStore, progress: Progress) -> None:
    """Compute the records that are missing, one rule after another."""
    jobs = [Job(config, partial(compute, config)) for config in configs(preset)]
    run_jobs(jobs, store, progress, workers=1)
    task.cache_clear()


if __name__ == "__main__":
    run_alone(__file__, run)

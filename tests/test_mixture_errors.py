"""The error that a limit of three classes or more states, beside what it is off by."""

import jax
import numpy as np
import pytest

from nfl_pruning import Problem, solve
from nfl_pruning.inputs import Mixture
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.theory.mixture.many_classes import corrected, many
from nfl_pruning.theory.mixture.many_classes.many import Level, Warm, runs_at

SEEDS = 16


def _problem(keep_fraction, *, dense):
    rng, d = np.random.default_rng(6), 40
    means = 2.5 * rng.normal(size=(4, d)) / np.sqrt(d)
    factors = rng.normal(size=(4, d, d)) / np.sqrt(d)
    full = factors @ factors.transpose(0, 2, 1) + 0.1 * np.eye(d)
    covariances = full if dense else np.array([0.8, 1.0, 1.2, 0.6])
    weights = means + 0.3 * rng.normal(size=(4, d)) / np.sqrt(d)
    return Problem(
        samples_per_feature=20,
        keep_fraction=keep_fraction,
        score="margin",
        inputs=Mixture(np.full(4, 0.25), means, covariances, np.arange(4)),
        probe=WeightsProbe(weights - weights.mean(axis=0)),
        ridge=0.02,
        intercept=True,
    )


def test_the_stated_error_reads_luck_and_bias():
    wide, close = Level(512, 0.2, 4e-6), Level(1024, 0.2, 1e-8)
    assert many._error([wide, close]) > 10 * close.variance**0.5  # close together by luck
    moved = many._error([Level(512, 0.21, 1e-8), close])
    assert 0.009 < moved < 0.011  # what points still change
    assert many._error([close]) == pytest.approx(close.variance**0.5)


@pytest.mark.slow
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("keep_fraction", [0.15, 0.6])
def test_limits_are_off_by_what_they_state(keep_fraction, dense, monkeypatch):
    monkeypatch.setattr(corrected, "DEAR", 0.0)
    problem = _problem(keep_fraction, dense=dense)
    with jax.enable_x64(True):
        runs = runs_at(problem, 2**13, 1e-4, Warm())
    truth = np.mean([run["test_error"] for run in runs])
    off = []
    for seed in range(SEEDS):
        monkeypatch.setattr(many, "ENTROPY", 100 + seed)
        found = solve(problem, tolerance=1e-3)
        assert found.status == "certified"
        off.append((float(found.test_error) - truth) / found.error_estimate)
    size = np.sqrt(np.mean(np.square(off)))
    assert 0.3 < size < 1.4
    assert 3 * size > 1.4 and size / 3 < 0.6  # controls: errors stated three times off

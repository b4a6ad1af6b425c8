"""The real-data experiment: splits, pairing, resuming, and the drawn bands."""

import importlib
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.stats import t as student_t

from nfl_pruning.data import load_dataset, make_dataset
from nfl_pruning.experiments.scripts import load
from nfl_pruning.records import RecordStore

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def simulation():
    return load(ROOT / "simulations" / "real_data.py")


@pytest.fixture(scope="module")
def figure():
    return load(ROOT / "figures" / "real_data.py")


@pytest.fixture
def small(simulation, monkeypatch):
    """A preset of seconds: few fractions and repeats, digits only."""
    setting = {"data": "digits", "pool": 1, "n_train": 600, "n_test": 500, "repeats": 6}
    monkeypatch.setitem(simulation.PRESETS, "quick", [setting])
    monkeypatch.setitem(simulation.COMMON, "fractions", [0.05, 0.3, 1.0])
    return simulation


def test_split_is_disjoint_and_differs_between_repeats(simulation):
    digits = load_dataset("digits")
    marked = make_dataset("marked", np.arange(1797.0)[:, None], digits.y)
    seen = []
    for i in range(2):
        train, test = simulation.split(jax.random.key(i), (marked, marked), 1000, 700)
        assert len(set(train.x[:, 0]) | set(test.x[:, 0])) == 1700
        seen.append(set(train.x[:, 0]))
    assert seen[0] != seen[1]


def test_pooling_averages_blocks(simulation):
    image = np.arange(32.0).reshape(2, 4, 4)
    pooled = simulation.pooled(make_dataset("pair", image, [0, 1]), 2)
    np.testing.assert_allclose(pooled.x[0], [2.5, 4.5, 10.5, 12.5])
    assert pooled.shape == (2, 2)


def test_presets_have_enough_repeats(simulation):
    for settings in simulation.PRESETS.values():
        assert all(setting["repeats"] >= 20 for setting in settings)
    assert simulation.FRACTIONS[0] == 0.01
    assert simulation.FRACTIONS[-1] == 1


def test_run_resumes_pairs_and_draws(small, figure, tmp_path):
    store, calls = RecordStore(tmp_path / "records"), []
    small.run("quick", store, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (6, 6)
    victim = store.select(kind="real_data", repeat=2)[0]
    store.path(victim["config"]).unlink()
    calls.clear()
    small.run("quick", store, lambda done, total: calls.append((done, total)))
    assert calls == [(5, 6), (6, 6)]
    again = store.select(kind="real_data", repeat=2)[0]
    assert again["result"] == victim["result"]

    records = store.all()
    accuracy = {rule: figure.accuracies(records, rule) for rule in small.RULES}
    for rule, values in accuracy.items():
        assert values.shape == (6, 3)
        np.testing.assert_array_equal(values[:, -1], accuracy["random"][:, -1], err_msg=rule)
    sizes = records[0]["result"]["effective_sample_size"]
    assert sizes["aware-hardest"] == [30, 180, 600]
    assert sizes["exact"][0] < 30
    # At 5 % kept the hardest are far worse than random: a swapped direction would show here.
    assert (accuracy["aware-hardest"][:, 0] < accuracy["random"][:, 0]).all()
    assert (accuracy["aware-hardest"][:, 0] < accuracy["aware-easiest"][:, 0]).all()

    paths = figure.draw(store, tmp_path / "out")
    assert {path.suffix for path in paths} == {".pdf", ".png"}
    assert all(path.stat().st_size > 5000 for path in paths)


def test_band_is_a_t_interval(figure):
    values = np.random.default_rng(0).normal(size=(7, 2))
    mean, width = figure.band(values)
    for column in range(2):
        low, high = student_t.interval(
            0.95, 6, values[:, column].mean(), values[:, column].std(ddof=1) / np.sqrt(7)
        )
        assert mean[column] - width[column] == pytest.approx(low)
        assert mean[column] + width[column] == pytest.approx(high)


def test_absent_data_are_left_out(simulation, monkeypatch):
    data = importlib.import_module("nfl_pruning.data.builtin")
    monkeypatch.setattr(data, "FASHION_MNIST_FOLDER", Path("/nowhere"))
    assert {job.config["data"] for job in simulation.jobs("quick")} == {"digits"}

"""The experiment on networks: records, resuming, and the drawn intervals."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student_t

from nfl_pruning.cli.scripts import load
from nfl_pruning.records import RecordStore

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def figure():
    return load(ROOT / "figures" / "networks.py")


def test_run_resumes_and_draws(figure, monkeypatch, tmp_path):
    simulation = load(ROOT / "simulations" / "networks.py")
    tiny = {"model": "logistic", "n_train": 150, "epochs": 3, "score_epoch": 2, "repeats": 3}
    setting = simulation.DIGITS | tiny | {"fractions": [0.2, 1.0]}
    monkeypatch.setitem(simulation.PRESETS, "quick", [setting])
    store, calls = RecordStore(tmp_path / "records"), []
    simulation.run("quick", store, lambda done, total: calls.append((done, total)))
    assert calls == [(0, 2), (1, 2), (2, 2)]
    (victim,) = store.select(keep_fraction=0.2)
    store.path(victim["config"]).unlink()
    simulation.run("quick", store, lambda done, total: None)
    (again,) = store.select(keep_fraction=0.2)
    for part in ("accuracy", "loss", "kept", "diverged"):
        assert again["result"][part] == victim["result"][part]
    assert again["result"]["kept"] == 30
    assert len(again["result"]["accuracy"]) == 13
    differing = {tuple(values) for values in again["result"]["loss"].values()}
    assert len(differing) > 8  # rules keep different samples
    (full,) = store.select(keep_fraction=1.0)
    assert list(full["result"]["accuracy"]) == ["random"]
    paths = figure.draw(store, tmp_path / "out")
    assert sorted(path.suffix for path in paths) == [".pdf", ".png"]


def test_intervals_leave_out_diverged_runs(figure):
    values = [0.5, 0.6, None, 0.8]
    record = {
        "config": {"keep_fraction": 0.1},
        "result": {"accuracy": {"rule": values}, "loss": {"rule": values}},
    }
    x, mean, low, high = figure.curve([record], "rule", "accuracy")
    known = 100 * np.array([0.5, 0.6, 0.8])
    wanted = student_t.interval(0.95, 2, known.mean(), known.std(ddof=1) / np.sqrt(3))
    np.testing.assert_allclose([x[0], mean[0], low[0], high[0]], [0.1, known.mean(), *wanted])
    _, mean, low, high = figure.curve([record], "rule", "loss")
    assert mean[0] == pytest.approx((0.5 * 0.6 * 0.8) ** (1 / 3))
    assert 0 < low[0] < mean[0] < high[0]

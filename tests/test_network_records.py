"""The experiment on networks: records, resuming, and the drawn intervals."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student_t

from nfl_pruning.experiments.scripts import load
from nfl_pruning.records import RecordStore

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def figure():
    return load(ROOT / "figures" / "networks.py")


def test_run_resumes_and_draws(figure, monkeypatch, tmp_path):
    simulation = load(ROOT / "simulations" / "networks.py")
    tiny = {"model": "logistic", "n_train": 150, "epochs": 3, "score_epoch": 2, "repeats": 2}
    setting = simulation.DIGITS | tiny | {"fractions": [0.2, 1.0]}
    monkeypatch.setitem(simulation.PRESETS, "quick", [setting])
    store, calls = RecordStore(tmp_path / "records"), []
    simulation.run("quick", store, lambda done, total: calls.append((done, total)))
    assert calls == [(0, 2), (1, 2), (2, 2)]
    (victim,) = store.select(repeat=1)
    store.path(victim["config"]).unlink()
    simulation.run("quick", store, lambda done, total: None)
    (again,) = store.select(repeat=1)
    for part in ("accuracy", "loss", "kept", "diverged"):
        assert again["result"][part] == victim["result"][part]
    assert again["result"]["kept"] == {"0.2": 30, "1": 150}
    losses = again["result"]["loss"]
    assert len(losses["0.2"]) == 13
    assert len(set(losses["0.2"].values())) > 8  # rules keep different samples
    assert list(losses["1"]) == ["random"]
    paths = figure.draw(store, tmp_path / "out")
    assert sorted(path.suffix for path in paths) == [".pdf", ".png"]


def test_intervals_leave_out_diverged_runs(figure):
    values = [0.5, 0.6, None, 0.8]
    records = [
        {"result": {name: {"0.1": {"random": v, "rule": v}} for name in ("accuracy", "loss")}}
        for v in values
    ]
    x, mean, low, high = figure.curve(records, "rule", "accuracy")
    known = 100 * np.array([0.5, 0.6, 0.8])
    wanted = student_t.interval(0.95, 2, known.mean(), known.std(ddof=1) / np.sqrt(3))
    np.testing.assert_allclose([x[0], mean[0], low[0], high[0]], [0.1, known.mean(), *wanted])
    _, mean, low, high = figure.curve(records, "rule", "loss")
    assert mean[0] == pytest.approx((0.5 * 0.6 * 0.8) ** (1 / 3))
    assert 0 < low[0] < mean[0] < high[0]


@pytest.mark.parametrize(
    "name", [pytest.param("learning_curve", marks=pytest.mark.slow), "pictures"]
)
def test_other_figures_from_digits(name, monkeypatch, tmp_path):
    simulation, drawing = (load(ROOT / part / f"{name}.py") for part in ("simulations", "figures"))
    tiny = {"model": "logistic", "epochs": 2, "score_epoch": 1, "n_train": 120}
    tiny |= {"repeats": 2, "sizes": [60, 120]} if name == "learning_curve" else {"shown": 3}
    monkeypatch.setitem(simulation.PRESETS, "quick", simulation.PRESETS["quick"] | tiny)
    store = RecordStore(tmp_path / "records")
    simulation.run("quick", store, lambda done, total: None)
    paths = drawing.draw(store, tmp_path / "out")
    assert sorted(path.suffix for path in paths) == [".pdf", ".png"]
    if name == "pictures":
        (record,) = store.all()
        for rule in record["result"]["rules"].values():
            assert len(rule["kept"]) == len(rule["dropped"]) == 3
            assert 0 <= rule["wrong_share"] <= 1

"""The bridge's figure and section say what its records hold."""

import numpy as np
import pytest

import bridge_section
from generated import ROOT
from nfl_pruning.experiments.scripts import experiments, load
from nfl_pruning.records import RecordStore

SCRIPT = {found.name: found for found in experiments(ROOT)}["bridge"]
FRACTIONS = [0.1, 0.6]


def records(folder, real_shift=0.0):
    """One pair of classes: the limit 10 %, drawn rows 12 % there, real ones 15 %."""
    store = RecordStore(folder)
    base = {"kind": "bridge", "view": "mlp", "classes": [0, 6], "fractions": FRACTIONS, "trials": 4}
    policies = ["random", "el2n hardest"]
    for policy in policies:
        for components, error in ((1, 0.2), (0, 0.1)):
            config = base | {"part": "limit", "components": components, "policy": policy}
            store.put(config, {"test_error": [error, error]})
    trials = base | {"policies": policies}
    drawn = {name: {"mean": [0.12, 0.10], "standard_error": [0.01, 0.01]} for name in policies}
    store.put(trials | {"part": "drawn", "components": 0}, drawn | {"components": [3, 6]})
    mean = [0.15 + real_shift, 0.104 + real_shift]
    real = {name: {"mean": mean, "standard_error": [0.01, 0.01]} for name in policies}
    store.put(trials | {"part": "real"}, real)
    return store


def test_the_section_splits_a_departure_into_finite_size_and_the_rest(tmp_path):
    records(tmp_path)
    text = bridge_section.section(tmp_path)
    assert "20.0 / 10.0 / 12.0 ± 1.0 / 15.0 ± 1.0" in text
    assert "3 components a class chosen" in text
    assert "points: 9.6 (2 cells) with one" in text and "0.4 (2 cells) with the chosen" in text
    assert "off by 5.0 (2 cells); the finite size" in text
    assert "by 2.0, and" in text and "is off by 3.0 (2 cells)" in text


def test_other_measurements_make_another_section(tmp_path):
    """The control."""
    records(tmp_path, real_shift=0.05)
    assert "0.4 (2 cells) with the chosen" not in bridge_section.section(tmp_path)


def test_nothing_is_said_without_records(tmp_path):
    assert bridge_section.section(tmp_path) == ""


def test_the_figure_draws_them(tmp_path):
    store = records(tmp_path / "records")
    written = load(SCRIPT.figure).draw(store, tmp_path / "out")
    assert [path.suffix for path in written] == [".pdf", ".png"]
    assert all(path.stat().st_size > 5000 for path in written)


def test_trials_on_drawn_rows_are_the_mixtures_own(tmp_path):
    """Errors on rows drawn from well-separated components are small, and large ones are not."""
    script = load(SCRIPT.simulation)
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=400)
    found = {}
    for distance in (0.0, 4.0):
        x = rng.normal(size=(400, 3)) + distance * (y[:, None] - 0.5)
        probe = script.fit_softmax(x, y, 2, ridge=0.01)
        rows = script.Rows(x, y, probe.logits(x))
        config = {"classes": [0, 1], "ridge": 0.01, "policies": ["random"], "fractions": [0.5]}
        (found[distance],) = script._errors(config, rng, rows.take(y >= 0), rows)
    assert found[0.0] > 0.35 > 0.05 > found[4.0]


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_every_record_has_a_name_of_its_own(preset, tmp_path):
    jobs = load(SCRIPT.simulation).jobs(preset)
    store = RecordStore(tmp_path)
    assert len({store.path(job.config) for job in jobs}) == len(jobs)

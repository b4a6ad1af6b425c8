"""The numbers behind a figure come as a table, and one number can be changed from outside."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments import overrides
from nfl_pruning.experiments.overrides import changed, folder_name, parse_changes
from nfl_pruning.experiments.record_tables import rows_of_records
from nfl_pruning.experiments.scripts import experiments, load

SIMULATION = '''"""Toy: twice a signal."""
from _helper import SIGNAL
import _helper

NAME, SHIFT = "toy", 1.0

def run(preset, store, progress):
    for r in (0.1, 0.2):
        config = {"keep_fraction": r, "signal": _helper.SIGNAL, "shift": SHIFT}
        store.put(config, {"value": 2 * _helper.SIGNAL + SHIFT, "curve": [r, 2 * r]})
        progress(1, 1)
'''
FIGURE = '''"""Toy."""
NAME = "toy"

def draw(store, out):
    (out / "toy.txt").write_text(str(len(store.all())))
    return [out / "toy.txt"]
'''


@pytest.fixture
def root(tmp_path):
    for folder, text in (("simulations", SIMULATION), ("figures", FIGURE)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "toy.py").write_text(text)
    (tmp_path / "simulations" / "_helper.py").write_text("SIGNAL = 2.0\n")
    yield tmp_path
    __import__("sys").modules.pop("_helper", None)


def run(root, *arguments):
    how = ("reproduce", "--root", root, "--only", "toy", "--jobs", 1, *arguments)
    return CliRunner().invoke(main, [str(part) for part in how])


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_numbers_and_changed_numbers(root):
    assert run(root, "--table", root / "own.csv").exit_code == 0
    found = rows(root / "own.csv")
    assert len(found) == 4
    assert {float(row["result.value"]) for row in found} == {5.0}
    assert sorted(float(row["result.curve"]) for row in found) == [0.1, 0.2, 0.2, 0.4]
    manifest = (root / "figures" / "output" / "manifest.json").read_text()
    done = run(root, "--set", "signal=3", "--set", "shift=0", "--table", root / "other.csv")
    assert done.exit_code == 0, done.output
    assert {float(row["result.value"]) for row in rows(root / "other.csv")} == {6.0}
    assert (root / "figures" / "output" / "toy+shift=0+signal=3" / "toy.txt").is_file()
    assert (root / "figures" / "output" / "manifest.json").read_text() == manifest
    assert run(root, "--table", root / "again.csv").exit_code == 0  # the script's own numbers stay
    assert rows(root / "again.csv") == found


def test_what_does_not_fit_is_refused(root):
    refused = run(root, "--set", "gamma=3")
    assert refused.exit_code == 2 and "shift, signal" in refused.output
    for bad in ("signal", "signal=big", "=3"):
        assert run(root, "--set", bad).exit_code == 2
    assert ".csv" in run(root, "--table", root / "t.txt").output
    with pytest.raises(InvalidArgumentError, match="once"):
        parse_changes(["signal=1", "signal=2"])
    assert folder_name("toy", {"signal": (3.0,)}) == "toy+signal=3"


ROOT = Path(__file__).resolve().parents[1]
NUMBERS = {
    "advice": "fractions=0.2,0.6",
    "bridge": "trials=3",
    "calibration": "signal=3",
    "distribution_shift": "signal=3",
    "existence": "signal=3",
    "learning_curve": "epochs=3",
    "mixtures": "distance=3",
    "networks": "label_noise=0.3",
    "networks_ranking": "epochs=3",
    "no_free_lunch": "signal=3",
    "optimal_rule": "signal=3",
    "phase_diagrams": "signal=3",
    "pictures": "shown=6",
    "real_data": "fractions=0.1,1",
    "scaling": "kept=0.2",
    "spectrum": "signal=3",
    "universality": "samples_per_feature=4",
}
UNLISTED = {"networks_search"}  # which records it needs follows from the ones before


def configs(script):
    return overrides._configs(script, "quick")


def test_a_new_experiment_has_a_number_to_change():
    assert {found.name for found in experiments(ROOT)} == NUMBERS.keys() | UNLISTED


@pytest.mark.parametrize("name", NUMBERS)
def test_every_experiment_takes_a_number(name, monkeypatch):
    script = load(ROOT / "simulations" / f"{name}.py")
    if name == "existence":  # which trials it lists follows from thresholds, of no concern here
        monkeypatch.setattr(script, "existence_threshold", lambda problem: 10.0)
    plain = configs(script)
    assert plain
    with changed(script, parse_changes([NUMBERS[name]])):
        assert configs(script) != plain
    assert configs(script) == plain


def test_a_number_that_changes_nothing_is_refused():
    script = load(ROOT / "simulations" / "universality.py")
    with (
        pytest.raises(InvalidArgumentError, match=r"'signal' changes none.*samples_per_feature"),
        changed(script, parse_changes(["signal=3"])),
    ):
        pass
    for text, words in (("n_trials=2.5", "whole"), ("samples_per_feature=1,2", "one number")):
        with (
            pytest.raises(InvalidArgumentError, match=words),
            changed(script, parse_changes([text])),
        ):
            pass


def test_rows_hold_everything():
    record = {"config": {"a": {"b": 1}, "c": [1, 2]}, "result": {"d": [3, 4, 5], "e": None}}
    found = rows_of_records([record])
    assert [row["result.d"] for row in found] == [3, 4, 5]
    assert found[0]["config.a.b"] == 1 and json.loads(found[0]["config.c"]) == [1, 2]
    assert found[2]["result.e"] is None

"""What a comparison is against, by which measure, and what names its records."""

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main
from nfl_pruning.data import make_dataset
from nfl_pruning.networks.comparison.arms import Arm
from nfl_pruning.networks.comparison.compare import record_key
from nfl_pruning.networks.comparison.plan import ComparisonPlan
from nfl_pruning.networks.comparison.result import turned
from nfl_pruning.networks.comparison.subsets import Subset
from nfl_pruning.networks.comparison.verdicts import AccuracyVerdict
from nfl_pruning.networks.measuring import _by_class
from nfl_pruning.networks.training import Training
from nfl_pruning.records import config_hash

RNG = np.random.default_rng(0)
Y = np.repeat([0, 1, 2], [70, 20, 10])
X = RNG.normal(size=(100, 4)) + 1.5 * np.eye(3, 4)[Y]
QUICK = ("--model", "logistic", "--epochs", "2", "--repeats", "2", "--keep-fraction", "0.3")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def compare(path, *options):
    ran = CliRunner().invoke(main, ["compare", str(path), *QUICK, *options, "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def test_verdicts_are_against_plain_random(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    plain = compare(tmp_path / "d.npz", "--protocol", "exact")
    equal = compare(tmp_path / "d.npz", "--protocol", "exact", "--balance", "equal")
    assert equal["accuracy"]["0.3"]["random"] == plain["accuracy"]["0.3"]["random"]
    assert list(equal["accuracy"]["0.3"]) == ["random", "random equal", "el2n hardest exact"]
    rules = [row["rule"] for row in equal["verdicts"]]
    assert rules == ["random equal", "el2n hardest exact"]
    for measure in ("accuracy", "balanced_accuracy", "worst_class_accuracy"):
        rows = equal["verdicts" if measure == "accuracy" else f"{measure}_verdicts"]
        for row in rows:
            ours, random = (equal[measure]["0.3"][name] for name in (row["rule"], "random"))
            assert row["difference"] == pytest.approx(100 * np.mean(np.subtract(ours, random)))
    text = CliRunner().invoke(
        main, ["compare", str(tmp_path / "d.npz"), *QUICK, "--balance", "equal"]
    )
    for word in ("balanced", "worst class", "random equal", "against plain random"):
        assert word in " ".join(text.output.split())


def test_accuracy_by_class():
    right = np.array([1, 1, 0, 1, 0, 0, 1], bool)
    codes = np.array([0, 0, 0, 2, 2, 2, 2])
    assert _by_class(right, codes) == pytest.approx(((2 / 3 + 1 / 2) / 2, 1 / 2))


def test_an_answer_that_turns_with_the_measure_is_said():
    won = AccuracyVerdict("rule", 0.1, 3.0, 1.0, 0.001)
    lost = replace(won, difference=-3.0)
    (sentence,) = turned({"accuracy": [lost], "balanced_accuracy": [won]})
    assert "loses to random by accuracy" in sentence
    assert "beats random by balanced accuracy" in sentence
    assert turned({"accuracy": [won], "balanced_accuracy": [won]}) == []


def test_every_input_of_a_record_is_in_its_name(monkeypatch):
    """Each input is varied once; all keys differ."""
    image = make_dataset("d", X.reshape(100, 2, 2), Y)
    moved = X.copy()
    moved[3, 1] += 1e-9
    plan = ComparisonPlan(seed=0, repeats=3, training=Training(epochs=4))
    base: dict[str, Any] = {"dataset": image}
    reads = [
        base,
        {"dataset": make_dataset("d", X, Y)},
        {"dataset": make_dataset("d", X.reshape(100, 4, 1), Y)},
        {"dataset": make_dataset("d", moved.reshape(100, 2, 2), Y)},
        {"dataset": make_dataset("d", X.reshape(100, 2, 2), Y[::-1])},
        {"dataset": replace(image, classes=("a", "b", "c"))},
        {"dataset": replace(image, x=image.x.astype(np.float32))},
        base | {"test": image},
        base | {"test": make_dataset("d", X, Y)},
        base | {"scores": {"given": np.arange(100.0)}},
        base | {"scores": {"given": np.arange(100.0)[::-1]}},
        base | {"subsets": {"a": Subset(np.arange(3), np.ones(3), 0.03)}},
        base | {"subsets": {"a": Subset(np.arange(3), np.full(3, 2.0), 0.03)}},
        base | {"subsets": {"b": Subset(np.arange(3), np.ones(3), 0.03)}},
    ]
    other = {
        "seed": 1, "scores": ("grand",), "given": True, "selections": ("exact",),
        "keep": ("easiest",), "keep_fractions": (0.2,), "exploit": 0.4, "balance": "equal",
        "policies": ("el2n hardest exact 0.1",), "repeats": 4, "epoch": 1, "n_train": 50,
        "label_noise": 0.1, "imbalance": 2.0,
        "validation": 0.2, "model": "logistic", "training": Training(epochs=5),
    }  # fmt: skip
    assert other.keys() == {field.name for field in fields(plan)} - {"gradient"}
    plans = [replace(plan, **{name: value}) for name, value in other.items()]
    grand = replace(plan, scores=("grand",))
    plans.append(replace(grand, gradient="logits"))
    keys = [config_hash(record_key(plan, **read)) for read in reads]
    keys += [config_hash(record_key(one, **base)) for one in plans]
    for name in ("software", "settings_of_jax", "source_hash"):
        monkeypatch.setattr(f"nfl_pruning.records.{name}", lambda: {"other": 1})
        keys.append(config_hash(record_key(plan, **base)))
        monkeypatch.undo()
    keys.append(config_hash(record_key(plan, **base) | {"repeat": 1}))
    assert len(set(keys)) == len(keys) == 14 + len(plans) + 4
    assert config_hash(record_key(plan, dataset=replace(image, name="e"))) == keys[0]


def test_codes_in_another_order_are_other_data():
    data = make_dataset("d", X, Y)
    turned_codes = replace(data, y=2 - data.y, classes=data.classes[::-1])
    assert turned_codes.hash == data.hash  # the same rows with the same names
    keys = {config_hash(record_key(ComparisonPlan(seed=0), one)) for one in (data, turned_codes)}
    assert len(keys) == 2


def test_records_are_not_shared_by_shapes(tmp_path):
    grey = RNG.random((100, 4))
    np.savez(tmp_path / "hw.npz", x=grey.reshape(100, 2, 2), y=Y)
    np.savez(tmp_path / "flat.npz", x=grey, y=Y)
    assert compare(tmp_path / "hw.npz")["reused"] == 0
    assert compare(tmp_path / "flat.npz")["reused"] == 0
    assert compare(tmp_path / "hw.npz")["reused"] == 2


def test_scores_and_test_data_from_files(tmp_path):
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    np.savez(tmp_path / "test.npz", x=X[::2], y=Y[::2])
    np.save(tmp_path / "s.npy", np.arange(100.0))
    found = compare(tmp_path / "d.npz", "--scores", str(tmp_path / "s.npy"))
    assert set(found["accuracy"]["0.3"]) == {
        "random",
        "given hardest threshold",
        "given hardest exact",
    }
    assert found["probe"]["accuracy"] is None
    both = compare(
        tmp_path / "d.npz",
        *("--scores", str(tmp_path / "s.npy"), "--score", "el2n"),
        *("--test-data", str(tmp_path / "test.npz"), "--protocol", "threshold"),
    )
    assert {"given hardest threshold", "el2n hardest threshold"} < set(both["accuracy"]["0.3"])
    assert both["probe"]["largest_class"] == pytest.approx(0.7)


def test_given_scores_rank_the_rows_they_are_of(tmp_path, monkeypatch):
    """Scores that mark one class as hardest leave that class alone, in every repeat's own rows."""
    kept, plain = [], Arm.choose

    def watch(arm, key, rank_keys, labels, share):
        found = plain(arm, key, rank_keys, labels, share)
        kept.extend(labels[found.indices] if arm.name.startswith("given") else [])
        return found

    monkeypatch.setattr(Arm, "choose", watch)
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    np.save(tmp_path / "s.npy", (Y == 0) + np.arange(100) / 1000)
    compare(tmp_path / "d.npz", "--scores", str(tmp_path / "s.npy"), "--protocol", "threshold")
    assert len(kept) == 42 and set(kept) == {0}

"""Records: what is written is read back, whole or not at all, by any number of processes."""

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.numerics.status import Status
from nfl_pruning.records import RecordStore, config_hash, plain, to_json

CONFIG = {"rule": "hardest", "keep_fraction": 0.3, "n_features": 400}


def test_a_result_is_read_back(tmp_path):
    store = RecordStore(tmp_path / "deep" / "folder")
    assert store.get(CONFIG) is None
    path = store.put(CONFIG, {"cosine": np.float32(0.5), "trials": np.arange(3)})
    assert store.get(CONFIG) == {"cosine": 0.5, "trials": [0, 1, 2]}
    assert store.get(CONFIG | {"keep_fraction": 0.4}) is None
    record = json.loads(path.read_text())
    assert set(record) == {"config", "result", "provenance"}
    assert record["config"] == CONFIG
    assert {"source", "time", "software", "machine"} <= set(record["provenance"])


def test_the_name_depends_on_values_not_on_order_or_number_type():
    assert config_hash({"a": 1, "b": [2.0]}) == config_hash({"b": (2,), "a": np.float64(1)})
    assert config_hash({"a": 1}) != config_hash({"a": 1.5})
    assert config_hash({"a": True}) != config_hash({"a": 1})


def test_json_is_strict():
    text = to_json({"x": [np.nan, np.inf, 1.5], "status": Status.SEPARABLE, "n": np.int64(3)})
    assert json.loads(text, parse_constant=pytest.fail) == {
        "x": [None, None, 1.5],
        "status": "separable",
        "n": 3,
    }
    with pytest.raises(InvalidArgumentError, match="got object"):
        plain({"x": object()})


def test_select_filters_by_config(tmp_path):
    store = RecordStore(tmp_path)
    for rule in ("hardest", "easiest"):
        store.put(CONFIG | {"rule": rule}, {"rule": rule})
    assert [r["result"]["rule"] for r in store.select(rule="easiest", n_features=400)] == [
        "easiest"
    ]
    assert store.select(rule="neither") == [] and len(store.all()) == 2


def test_forget_others_spares_what_it_is_told_to(tmp_path):
    store = RecordStore(tmp_path)
    absent = CONFIG | {"data": "absent"}
    for config in (CONFIG, absent):
        store.put(config, {"x": 1})
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{")
    store.forget_others([], spare=lambda config: config.get("data") == "absent")
    assert store.get(CONFIG) is None and store.get(absent) == {"x": 1}
    assert not damaged.exists()


def test_forget_others_leaves_the_grid_alone(tmp_path):
    store = RecordStore(tmp_path)
    for rule in ("hardest", "easiest", "random"):
        store.put(CONFIG | {"rule": rule}, {"rule": rule})
    store.forget_others([CONFIG, CONFIG | {"rule": "random"}])
    assert sorted(r["config"]["rule"] for r in store.all()) == ["hardest", "random"]


def test_a_damaged_file_is_computed_again_and_named(tmp_path):
    store = RecordStore(tmp_path)
    path = store.put(CONFIG, {"cosine": 0.5})
    path.write_text(path.read_text()[:40])
    assert store.get(CONFIG) is None
    with pytest.raises(InvalidArgumentError, match=path.name):
        store.all()
    store.put(CONFIG, {"cosine": 0.5})
    assert store.get(CONFIG) == {"cosine": 0.5}


def test_nothing_half_written_when_writing_fails(tmp_path, monkeypatch):
    store = RecordStore(tmp_path)
    store.put(CONFIG, {"cosine": 0.5})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        store.put(CONFIG, {"cosine": 0.7})
    assert store.get(CONFIG) == {"cosine": 0.5}
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(InvalidArgumentError):
        store.put(CONFIG | {"x": object()}, {})
    assert len(list(tmp_path.iterdir())) == 1


def _write_many(folder: Path, writer: int) -> None:
    store = RecordStore(folder)
    for i in range(60):
        store.put({"i": i % 20}, {"filler": [i % 20] * 2000})
        found = store.get({"i": (i * 7 + writer) % 20})
        assert found is None or len(set(found["filler"])) == 1


def test_two_processes_share_a_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(tmp_path, k)) for k in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    records = RecordStore(tmp_path).all()
    assert len(records) == 20 == len(list(tmp_path.iterdir()))
    assert all(record["result"]["filler"] == [record["config"]["i"]] * 2000 for record in records)

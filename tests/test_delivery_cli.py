"""The command line reads and writes what people have: tables out, other budgets, own logits."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main
from nfl_pruning.data import load_dataset
from nfl_pruning.pruning.own_logits import score_logits

RNG = np.random.default_rng(2)
N = 40
X, Y = RNG.normal(size=(N, 2)).round(3), np.arange(N) % 2
LOGITS = RNG.normal(size=(N, 2))


def run(*arguments):
    return CliRunner().invoke(main, [str(part) for part in arguments])


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.csv"
    lines = ["id,a,b,part,label"]
    for i, ((a, b), y) in enumerate(zip(X, Y, strict=True)):
        lines.append(f"r{i},{a},{b},{'test' if i < 10 else 'train'},{y}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_with_a_split_column(own, tmp_path):
    out = tmp_path / "subset.csv"
    done = run("prune", own, "--split-column", "part", "--keep-fraction", 0.4, "--out", out)
    assert done.exit_code == 0, done.output
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(N)]
    assert all(row["keep"] == "True" and row["rank"] == "0" for row in rows[:10])
    assert sum(row["keep"] == "True" for row in rows[10:]) == 12
    stated = json.loads((tmp_path / "subset.csv.provenance.json").read_text())
    assert stated["n_protected"] == 10
    again = run("prune", own, "--split-column", "part", "--out", out)
    assert again.exit_code == 2 and "--force" in again.output


def test_resizing(own, tmp_path):
    large, small = tmp_path / "large.npz", tmp_path / "small.npz"
    assert (
        run("prune", own, "--drop", "part", "--keep-fraction", 0.5, "--out", large).exit_code == 0
    )
    how = ("prune", own, "--drop", "part", "--resize", large, "--keep-fraction", 0.2)
    assert run(*how, "--out", small).exit_code == 0
    with np.load(large) as one, np.load(small) as two:
        assert set(two["indices"]) < set(one["indices"])
        assert len(two["indices"]) == 8
    refused = run(*how, "--score", "entropy")
    assert refused.exit_code == 2 and "resize" in refused.output


def test_a_npy_file_with_labels_beside_it(tmp_path):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "labels.txt").write_text("\n".join(map(str, Y)))
    done = run("prune", tmp_path / "x.npy", "--label-column", tmp_path / "labels.txt", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["data_hash"] == load_dataset(X, label=Y).hash


def test_own_logits(own, tmp_path):
    np.save(tmp_path / "l.npy", LOGITS)
    how = ("score", own, "--drop", "part", "--logits", tmp_path / "l.npy", "--score", "margin")
    done = run(*how, "--out", tmp_path / "s.npz")
    assert done.exit_code == 0, done.output
    data = load_dataset(own, drop=["part"])
    with np.load(tmp_path / "s.npz") as found:
        np.testing.assert_array_equal(
            found["scores"], score_logits(data, LOGITS, score="margin").values
        )
        assert str(found["data_hash"]) == data.hash
    pruned = run("prune", own, "--drop", "part", "--scores", tmp_path / "s.npz")
    assert pruned.exit_code == 0, pruned.output
    refused = run(*how, "--models", 3)
    assert refused.exit_code == 2 and "--models" in refused.output

"""Rows of a test part are never pruned, scored or trained on, whichever way one goes."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.adapters import kept_weights, result_columns
from nfl_pruning.cli.main import main
from nfl_pruning.data import load_dataset
from nfl_pruning.data.side_files.scores_file import read_scores
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.comparison.compare import compare
from nfl_pruning.networks.comparison.plan import ComparisonPlan
from nfl_pruning.networks.score import ScoringPlan, score
from nfl_pruning.networks.train import train
from nfl_pruning.networks.training import Training
from nfl_pruning.pruning.resizing import load_pruned, resize
from nfl_pruning.pruning.run import prune
from nfl_pruning.realdata import advise as advising
from nfl_pruning.realdata.apply import apply_policy
from nfl_pruning.realdata.policies import Policy

RNG = np.random.default_rng(4)
N = 60
X = RNG.normal(size=(N, 3)).round(3)
Y = (X[:, 0] + 0.4 * RNG.normal(size=N) > 0).astype(int)
SAFE = np.arange(0, N, 3)
PART = np.where(np.isin(np.arange(N), SAFE), "test", "train")
OTHERS = np.setdiff1d(np.arange(N), SAFE)
DATA = load_dataset(X, label=Y, split=PART)
PLAIN = load_dataset(X, label=Y)
SPOILT = X.copy()
SPOILT[SAFE] = 1e6  # what no fit may notice
QUICK = Training(epochs=2)


def spoilt():
    return load_dataset(SPOILT, label=Y, split=PART)


def run(*arguments):
    return CliRunner().invoke(main, [str(part) for part in arguments])


@pytest.fixture
def table(tmp_path):
    rows = zip(range(N), *X.T, PART, Y, strict=True)
    lines = ["id,a,b,c,part,label", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "own.csv"


def test_another_budget_protects_the_same_rows(tmp_path):
    small = resize(prune(DATA, seed=0, keep_fraction=0.5), 0.2)
    assert len(small.indices) == 8 and not set(small.indices) & set(SAFE)
    path = small.save(tmp_path / "s.npz")
    for dataset in (DATA, PLAIN):  # the file remembers what the caller may have forgotten
        again = resize(load_pruned(path, dataset), 0.4)
        assert set(small.indices) < set(again.indices)
        assert len(again.indices) == 16 and not set(again.indices) & set(SAFE)
        assert result_columns(again)["keep"][SAFE].all()
        np.testing.assert_allclose(kept_weights(again, "sum-n").sum(), len(OTHERS))
    other = load_dataset(X, label=Y, protect=[1, 2])
    with pytest.raises(InvalidArgumentError, match="protected rows must be those"):
        load_pruned(path, other)
    assert set(prune(PLAIN, seed=0, keep_fraction=0.5).indices) & set(SAFE)


def test_scores_of_all_rows_or_none():
    values = np.arange(float(N))
    holes = np.where(PART == "test", np.nan, values)
    plain, found = (prune(DATA, seed=0, scores=one, keep_fraction=0.5) for one in (values, holes))
    np.testing.assert_array_equal(found.indices, plain.indices)
    assert np.isnan(found.scores[SAFE]).all()
    with pytest.raises(InvalidArgumentError, match=f"{N} real numbers"):
        prune(DATA, seed=0, scores=values[OTHERS])
    with pytest.raises(InvalidArgumentError, match="must not be masked"):
        prune(DATA, seed=0, scores=np.ma.array(values, mask=values == OTHERS[0]))
    with pytest.raises(InvalidArgumentError, match="finite"):
        prune(DATA, seed=0, scores=np.where(values == OTHERS[0], np.nan, values))


def test_advice_does_not_look_at_protected_rows(monkeypatch):
    monkeypatch.setattr(advising.Advising, "run", lambda self: self.source)
    policy = Policy("el2n", "hardest", 1.0)
    outcomes = []
    for dataset in (DATA, spoilt()):
        source: object = advising.advise(dataset, seed=1)
        found = apply_policy(source, policy, 0.25)  # pyright: ignore[reportArgumentType]
        outcomes.append(found)
        assert len(found.indices) == 10 and not set(found.indices) & set(SAFE)
        assert found.data_hash == dataset.hash and len(found.weights) == N
    np.testing.assert_array_equal(outcomes[0].indices, outcomes[1].indices)
    np.testing.assert_array_equal(outcomes[0].scores[OTHERS], outcomes[1].scores[OTHERS])
    unguarded: object = advising.advise(load_dataset(SPOILT, label=Y), seed=1)
    other = apply_policy(unguarded, policy, 0.25)  # pyright: ignore[reportArgumentType]
    assert not np.array_equal(other.scores[OTHERS], outcomes[0].scores[OTHERS])


def test_networks_do_not_see_protected_rows(tmp_path):
    plan = ScoringPlan(seed=0, check_share=0, training=QUICK)
    one, two = score(DATA, plan), score(spoilt(), plan)
    np.testing.assert_array_equal(one.values, two.values)
    assert np.isnan(one.values[SAFE]).all() and np.isfinite(one.values[OTHERS]).all()
    assert one.data_hash == DATA.hash and np.isfinite(one.quartiles).all()
    path = one.save(tmp_path / "s.npz")
    given = read_scores(path, DATA).values
    pruned = prune(DATA, seed=0, scores=given, keep_fraction=0.3, selection="threshold")
    hardest = OTHERS[np.argsort(given[OTHERS])[-12:]]
    np.testing.assert_array_equal(pruned.indices, np.sort(hardest))
    with pytest.raises(InvalidArgumentError, match="20 of 60"):
        read_scores(path, PLAIN)


def test_networks_are_tested_on_protected_rows():
    pruned = prune(DATA, seed=0, keep_fraction=0.5)
    whole = train(DATA, seed=0, training=QUICK)
    part = train(DATA, seed=0, subset=pruned, training=QUICK)
    for found, kept in ((whole, 40), (part, 20)):
        assert found.n_kept == kept and found.n_samples == 40
        assert found.tested_on == "the 20 protected rows of array"
    for mine, theirs in zip(
        *(train(d, seed=0, training=QUICK).params.values() for d in (DATA, spoilt())), strict=True
    ):
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
    with pytest.raises(InvalidArgumentError, match="protected row"):
        train(DATA, seed=0, subset=(np.array([1, 3]), np.ones(2)), training=QUICK)
    plan = ComparisonPlan(seed=0, repeats=2, keep_fractions=[0.5], training=QUICK)
    found = compare(DATA, plan)
    assert found.about["data"] == "array"
    assert compare(DATA, plan).measures.keys() == found.measures.keys()


def test_the_command_line(table, tmp_path):
    how = ("prune", table, "--keep-fraction", 0.3, "--json")
    split = json.loads(run(*how, "--split-column", "part").output)
    assert split["n_protected"] == 20 and split["n_kept"] == 12
    np.save(tmp_path / "rows.npy", SAFE)
    (tmp_path / "rows.txt").write_text("\n".join(map(str, SAFE)))
    for name in ("rows.npy", "rows.txt"):
        out = tmp_path / f"{name}.npz"
        arguments = (*how, "--drop", "part", "--protect", tmp_path / name, "--out", out)
        found = json.loads(run(*arguments).output)
        assert found["n_protected"] == 20
        with np.load(out) as saved:
            assert not set(saved["indices"]) & set(SAFE)
    (tmp_path / "rows.txt").write_text("1\nsecond\n")
    refused = run(*how, "--drop", "part", "--protect", tmp_path / "rows.txt")
    assert refused.exit_code == 2 and "'second'" in refused.output
    done = run("score", table, "--split-column", "part", "--epochs", 1, "--check", 0,
               "--out", tmp_path / "s.npz")  # fmt: skip
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "s.npz") as saved:
        assert np.isnan(saved["scores"]).sum() == 20
    again = run(*how, "--split-column", "part", "--scores", tmp_path / "s.npz")
    assert json.loads(again.output)["n_protected"] == 20

"""Subsets that other tools made: how they are read, and what they are compared with."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main
from nfl_pruning.data import make_dataset
from nfl_pruning.data.side_files.subset_file import make_subset, read_subset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.comparison.arms import parse_policy
from nfl_pruning.networks.comparison.compare import compare
from nfl_pruning.networks.comparison.plan import ComparisonPlan
from nfl_pruning.networks.comparison.splits import make_split
from nfl_pruning.networks.comparison.subsets import (
    Subset,
    among_candidates,
    arms_of,
    baseline_of,
)
from nfl_pruning.networks.training import Training
from nfl_pruning.pruning.run import prune
from nfl_pruning.scores import SCORES
from nfl_pruning.selections import make_selection

RNG = np.random.default_rng(0)
Y = np.arange(200) % 2
X = RNG.normal(size=(200, 4)) + 2.5 * np.eye(2, 4)[Y]
IDS = np.array([f"s{row}" for row in range(200)])
NAMED = replace(make_dataset("d", X, Y), ids=IDS)
PLAIN = make_dataset("d", X, Y)
ROWS = np.array([7, 3, 11])
PLAN = ComparisonPlan(
    seed=0, scores=(), repeats=6, keep_fractions=(0.2,), model="logistic",
    training=Training(epochs=20, batch_size=8, learning_rate=0.1),
)  # fmt: skip


def files(folder):
    """The same rows, 3, 7 and 11 with weights 2, 1 and 3, in every form that has weights."""
    full = np.zeros(200)
    full[[3, 7, 11]] = 2, 1, 3
    np.savez(folder / "a.npz", indices=ROWS, weights=[1.0, 2, 3])
    np.savez(folder / "b.npz", ids=IDS[ROWS], weights=[1.0, 2, 3])
    np.savez(folder / "c.npz", indices=ROWS, weights=full, data_hash=NAMED.hash)
    (folder / "d.csv").write_text("id,weight\ns7,1\ns3,2\ns11,3\n")
    (folder / "e.csv").write_text("weight,index\n1,7\n2,3\n3,11\n")
    return [folder / name for name in ("a.npz", "b.npz", "c.npz", "d.csv", "e.csv")]


def test_every_form_says_the_same(tmp_path):
    for path in files(tmp_path):
        rows, weights = read_subset(path, NAMED)
        np.testing.assert_array_equal(rows, [3, 7, 11])
        np.testing.assert_array_equal(weights, [2, 1, 3])
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "mask.npy", np.isin(np.arange(200), ROWS))
    (tmp_path / "rows.txt").write_text("7\n3\n\n11\n")
    (tmp_path / "ids.txt").write_text("s7\ns3\ns11\n")
    for name in ("rows.npy", "mask.npy", "rows.txt", "ids.txt"):
        rows, weights = read_subset(tmp_path / name, NAMED)
        np.testing.assert_array_equal(rows, [3, 7, 11])
        np.testing.assert_array_equal(weights, 1)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("x.csv", "s1\ns999\n", "1 of 2 are not: s999"),
        ("x.csv", "s1\ns1\n", "repeats a row"),
        ("x.csv", "id,weight\ns1,0\n", "positive"),
        ("x.csv", "id,weight\ns1,heavy\n", "numbers"),
        ("x.csv", "a,b,c\n1,2,3\n", "one row number or id a line"),
        ("x.csv", "", "is empty"),
        ("x.txt", "200\n", "rows from 0 to 199; got 200"),
        ("x.json", "[1]", r"must be a .npz, .npy, .txt, .csv, .*got"),
    ],
)
def test_refusals(tmp_path, name, text, word):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidArgumentError, match=word):
        read_subset(tmp_path / name, NAMED)


def test_refusals_of_arrays(tmp_path):
    np.savez(tmp_path / "other.npz", indices=ROWS, data_hash="0" * 64)
    with pytest.raises(InvalidArgumentError, match="other data"):
        read_subset(tmp_path / "other.npz", NAMED)
    np.savez(tmp_path / "scores.npz", ids=IDS, scores=np.ones(200))
    with pytest.raises(InvalidArgumentError, match="it holds scores"):
        read_subset(tmp_path / "scores.npz", NAMED)
    for values, word in ((ROWS / 2, "list of row numbers"), (np.ones(3, bool), "mask of 200")):
        with pytest.raises(InvalidArgumentError, match=word):
            make_subset(values, NAMED)
    with pytest.raises(InvalidArgumentError, match="the data have no ids"):
        make_subset(["s1"], PLAIN)
    for name in ("random", ""):
        with pytest.raises(InvalidArgumentError, match="name other than random"):
            compare(PLAIN, PLAN, subsets={name: ROWS})
    plan = ComparisonPlan(seed=0, scores=(), policies=["el2n easiest"])
    with pytest.raises(InvalidArgumentError, match="name of a rule"):
        compare(PLAIN, plan, subsets={"el2n easiest": ROWS})
    with pytest.raises(InvalidArgumentError, match="one rule to compare at least"):
        compare(PLAIN, PLAN)
    rows = np.arange(200)
    split = make_split(jax.random.key(0), PLAIN, repeats=1, n_train=20).only(0)
    absent = np.setdiff1d(rows, split.train_rows[0])[:5]
    with pytest.raises(InvalidArgumentError, match="repeat 0 trains on none of its 5"):
        arms_of("theirs", Subset(absent, np.ones(5), 0.02), split)


def test_a_repeat_trains_on_the_subset_s_rows_that_it_does_not_test_on():
    rows = np.arange(0, 200, 2)
    split = make_split(jax.random.key(0), PLAIN, repeats=2).only(1)
    (random, ours), share = arms_of("theirs", Subset(rows, rows + 1.0, 0.5), split)
    mine = np.isin(split.train_rows[0], rows)
    picks = [
        arm.choose(jax.random.key(1), {}, split.train_labels[0], share) for arm in (random, ours)
    ]
    np.testing.assert_array_equal(picks[1].indices, np.flatnonzero(mine))
    np.testing.assert_array_equal(picks[1].weights[mine], split.train_rows[0][mine] + 1)
    assert len(picks[0].indices) == len(picks[1].indices) == mine.sum()
    assert set(picks[0].indices) != set(picks[1].indices)


def test_verdicts_are_against_as_many_random_rows():
    """A good subset is not beaten, one of a single class loses; shares name the rows."""
    one_class, half = np.flatnonzero(Y == 0)[:40], np.arange(60)
    kept = {"one class": one_class, "half": half, "pruned": prune(PLAIN, seed=0, keep_fraction=0.2)}
    found = compare(PLAIN, PLAN, subsets=kept)
    text = {v.rule: v.text for v in found.verdicts["accuracy"]}
    assert text.keys() == kept.keys()
    assert text["one class"] == "loses to random" and text["half"] == "undecided"
    accuracy = found.measures["accuracy"]
    assert set(accuracy) == {0.2, 0.3}  # no fraction of the plan: no rule needs one
    for verdict in found.verdicts["accuracy"]:
        ours, theirs = (
            accuracy[verdict.keep_fraction][name]
            for name in (verdict.rule, baseline_of(verdict.rule))
        )
        assert verdict.difference == pytest.approx(100 * np.mean(ours - theirs))


def test_protected_rows_are_no_part_of_a_subset():
    protected = np.array([True, False, False, True, False])
    found = among_candidates(Subset(np.array([0, 2, 4]), np.array([1.0, 2, 3]), 0.6), protected)
    np.testing.assert_array_equal(found.rows, [1, 2])
    np.testing.assert_array_equal(found.weights, [2, 3])
    assert found.share == pytest.approx(2 / 3, abs=1e-4)


def test_policies_in_words():
    arm = parse_policy("el2n hardest exact 0.05 explored")
    assert arm.selection == make_selection("exact", exploit=0.05)
    assert (arm.score, arm.keep, arm.balance) == (SCORES["el2n"], "hardest", "explored")
    assert parse_policy("grand easiest").selection.name == "threshold"
    for words, sentence in (
        ("el3n", "nearest: el2n"),
        ("el2n exact soft:0.5", "one protocol at most"),
        ("el2n threshold 0.5", "threshold has no exploit"),
        ("el2n coverage:0.1 easiest", "no keep"),
        ("el2n exact 2", "exploit"),
        ("el2n random", "uses a score"),
        ("el2n threshold explored", "explored part"),
        ("", "score"),
    ):
        with pytest.raises(InvalidArgumentError, match=sentence):
            parse_policy(words)
    plan = ComparisonPlan(seed=0, scores=(), policies=["el2n hardest exact 0.1", "loss easiest"])
    assert [score.name for score in plan.members] == ["el2n", "loss"]
    assert [arm.name for arm in plan.arms] == ["random", "el2n hardest exact 0.1", "loss easiest"]


def test_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    np.savez(tmp_path / "d.npz", x=X, y=Y, ids=IDS)
    (tmp_path / "kept.txt").write_text("\n".join(IDS[:60]))
    arguments = ["compare", str(tmp_path / "d.npz"), "--model", "logistic", "--epochs", "2"]
    arguments += ["--repeats", "2", "--keep-fraction", "0.3", "--policy", "el2n easiest exact 0.2"]
    subset = ["--subset", f"theirs={tmp_path / 'kept.txt'}"]
    ran = CliRunner().invoke(main, [*arguments, *subset, "--json"])
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    assert set(report["accuracy"]["0.3"]) == {
        "random", "el2n easiest exact 0.2", "theirs", baseline_of("theirs"),
    }  # fmt: skip
    assert [row["rule"] for row in report["verdicts"]] == ["el2n easiest exact 0.2", "theirs"]
    shown = CliRunner().invoke(main, [*arguments, *subset]).output
    assert "taken from an earlier run: 2" in shown and "random, as many as" in shown
    (tmp_path / "kept.txt").write_text("\n".join(IDS[:59]))
    other = json.loads(CliRunner().invoke(main, [*arguments, *subset, "--json"]).stdout)
    assert other["reused"] == 0
    for bad in ("theirs", "=x.csv", "theirs=", "theirs=nowhere.csv"):
        refused = CliRunner().invoke(main, [*arguments, "--subset", bad])
        assert refused.exit_code == 2 and len(refused.stderr.splitlines()) == 1

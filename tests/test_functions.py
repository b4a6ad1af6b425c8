"""What the commands do, called from Python: the same numbers, nothing printed, refusals."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from nfl_pruning import (
    ComparisonPlan,
    InvalidArgumentError,
    ScoringPlan,
    Training,
    compare,
    load_dataset,
    make_dataset,
    prune,
    score,
    train,
    verify,
)
from nfl_pruning.errors import OutputExistsError
from nfl_pruning.experiments.scripts import load
from shell import shell

QUICK = Training(epochs=2, batch_size=16)
RNG = np.random.default_rng(0)
Y = np.arange(90) % 3
X = RNG.normal(size=(90, 4)) + 1.5 * np.eye(3, 4)[Y]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.npz"
    np.savez(path, x=X, y=Y)
    return path


def plan(**changes):
    return ScoringPlan(**{"seed": 0, "model": "logistic", "training": QUICK} | changes)


def test_score_is_what_the_command_writes(table, tmp_path, capsys):
    found = score(load_dataset(table), plan())
    assert capsys.readouterr() == ("", "")
    out = tmp_path / "scores.npz"
    options = ("--model", "logistic", "--epochs", "2", "--batch-size", "16", "--out", str(out))
    assert shell(capsys, "score", str(table), *options).code == 0
    with np.load(out) as archive:
        np.testing.assert_array_equal(archive["scores"], found.values)
        config = json.loads(str(archive["config"]))
    assert config.items() >= found.config.items()
    other = score(load_dataset(table), plan(seed=1))
    assert np.abs(other.values - found.values).max() > 1e-6
    with pytest.raises(OutputExistsError, match=r"exists already.*force replaces it\.$"):
        found.save(out)
    assert found.save(out, force=True) == out


def test_train_takes_what_prune_returns(table):
    data = load_dataset(table)
    kept = prune(data, seed=0, keep_fraction=0.5, selection="exact")
    how = {"seed": 0, "model": "logistic", "training": QUICK}
    found = train(data, subset=kept, **how)
    assert found.n_kept == len(kept.indices) == 45
    assert found.tested_on is not None and "no fair test" in found.tested_on
    pair = train(data, subset=(kept.indices, kept.weights[kept.indices]), **how)
    assert pair.accuracies == found.accuracies
    unweighted = train(data, subset=(kept.indices, np.ones(45)), **how)
    gap = [np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in leaves(unweighted, found)]
    assert max(gap) > 1e-4  # the weights matter
    assert train(data, **how).accuracy is None  # nothing is left to test on


def leaves(one, other):
    import jax

    return zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True)


def test_a_subset_of_other_data_is_refused(table):
    data = load_dataset(table)
    kept = prune(data, seed=0, keep_fraction=0.5)
    other = make_dataset("other", X + 1, Y)
    with pytest.raises(InvalidArgumentError, match="data_hash"):
        train(other, seed=0, subset=kept)
    with pytest.raises(InvalidArgumentError, match="row numbers below 90"):
        train(data, seed=0, subset=(np.array([90]), np.ones(1)))
    with pytest.raises(InvalidArgumentError, match="positive weights"):
        train(data, seed=0, subset=(np.array([3]), np.zeros(1)))


def test_compare_keeps_its_repeats(table, tmp_path):
    data = load_dataset(table)
    asked = ComparisonPlan(
        seed=0, model="logistic", training=QUICK, repeats=2, keep_fractions=(0.3,),
        selections=("exact",),
    )  # fmt: skip
    seen = []
    first = compare(data, asked, folder=tmp_path / "r", progress=lambda *at: seen.append(at))
    again = compare(data, asked, folder=tmp_path / "r")
    assert seen == [(1, 2), (2, 2)] and (first.reused, again.reused) == (0, 2)
    for name, values in first.measures["accuracy"][0.3].items():
        np.testing.assert_array_equal(values, again.measures["accuracy"][0.3][name])
    with pytest.raises(InvalidArgumentError, match="given must be scores"):
        compare(data, asked, given=np.arange(90.0))


DATA = make_dataset("small", X, Y)


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: plan(epochs=[3]), "epoch"), (lambda: plan(epochs=[]), "epochs"),
        (lambda: plan(gradient="logits"), "grand alone"), (lambda: plan(n_networks=0), "models"),
        (lambda: plan(score="el2m"), "el2n"), (lambda: plan(check_share=0.9), "check"),
        (lambda: ComparisonPlan(seed=0, keep_fractions=(0.1, 0.1)), "distinct"),
        (lambda: ComparisonPlan(seed=0, repeats=1), "repeats"),
        (lambda: ComparisonPlan(seed=0, selections=("power:1",)), "fixed count"),
        (lambda: compare(DATA, ComparisonPlan(seed=0, scores=())), "one rule"),
        (lambda: verify(["calibrations"]), "calibration"), (lambda: verify(jobs=0), "jobs"),
    ],
)  # fmt: skip
def test_refusals_are_sentences_without_flags(build, word):
    with pytest.raises(InvalidArgumentError) as refused:
        build()
    text = str(refused.value)
    assert word in text and "--" not in text and text.endswith(".")


def test_verify_returns_what_it_found(capsys):
    found = verify(["grand-el2n"])
    assert capsys.readouterr() == ("", "")
    assert found.as_expected and found.checked[0].control_refuted
    assert found.to_dict()["statements"][0]["verdict"] == "supported"


def test_scripts_are_loaded_with_their_neighbours(tmp_path):
    """Python's path stays as it is, and a neighbour of another folder is not taken for one."""
    before = list(sys.path)
    for name, value in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "_beside.py").write_text(f"VALUE = {value}\n")
        (folder / "script.py").write_text("from _beside import VALUE\n")
        assert value == load(folder / "script.py").VALUE
    assert sys.path == before
    sys.modules.pop("_beside")

"""The practitioner's path: score, prune by the scores, train on the subset, compare."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main
from nfl_pruning.data import load_dataset

SMALL = ("--epochs", "3", "--batch-size", "16", "--model", "logistic")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Finished repeats stay out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.normal(size=(90, 4)) + 1.5 * np.eye(3, 4)[y]
    path = tmp_path_factory.mktemp("data") / "table.npz"
    np.savez(path, x=x, y=np.array(["ant", "bee", "cat"])[y])
    return path


def run(*arguments):
    return CliRunner().invoke(main, [str(part) for part in arguments])


def refused(result, *words):
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


def test_score_prune_train(table, tmp_path):
    scores, subset = tmp_path / "scores.npz", tmp_path / "subset.npz"
    found = run(
        "score", table, *SMALL, "--score", "grand", "--epoch", 2, "--models", 2, "--out", scores
    )
    assert found.exit_code == 0, found.output
    with np.load(scores, allow_pickle=False) as archive:
        config, values = json.loads(str(archive["config"])), archive["scores"]
        assert str(archive["data_hash"]) == load_dataset(table).hash
    assert values.shape == (90,)
    assert {key: config[key] for key in ("score", "models", "epochs", "steps", "gradient")} == {
        "score": "grand",
        "models": 2,
        "epochs": [2],
        "steps": [10],
        "gradient": "full",
    }
    how = ("--keep-fraction", 0.5, "--protocol", "threshold", "--out", subset)
    pruned = run("prune", table, "--scores", scores, *how)
    assert pruned.exit_code == 0, pruned.output
    with np.load(subset) as archive:
        kept = archive["indices"]
        assert json.loads(str(archive["config"]))["scores_config"] == config
    assert values[kept].min() >= np.delete(values, kept).max()
    said = " ".join(pruned.output.split())
    assert "grand (full gradient) by 2 x logistic after epoch 2, step 10" in said
    shown = json.loads(run("prune", table, "--scores", scores, "--json").stdout)
    assert shown["config"]["scores_config"] == config
    trained = json.loads(run("train", table, *SMALL, "--subset", subset, "--json").stdout)
    assert trained["n_kept"] == 45
    assert trained["steps"] == 6
    assert "no fair test" in trained["tested_on"]
    tested = json.loads(
        run("train", table, *SMALL, "--test-data", table, "--models", 2, "--json").stdout
    )
    assert tested["n_kept"] == 90
    assert len(tested["each_accuracy"]) == 2
    assert tested["accuracy"] > 0.6
    other = tmp_path / "other.npz"
    np.savez(other, x=np.ones((90, 4)), y=np.arange(90) % 3)
    refused(run("train", other, *SMALL, "--subset", subset), "other data")
    refused(
        run("train", table, *SMALL, "--subset", scores),
        "indices or ids of the kept rows; it holds scores",
    )
    refused(run("train", table, *SMALL, "--test-data", other), "unknown classes")


def test_scores_average_over_networks_and_epochs(table, tmp_path):
    """Averages of several are those of runs that computed one each."""
    found = {}
    for epochs in ("1", "3", "3,1"):
        out = tmp_path / f"{epochs}.npz"
        done = run("score", table, *SMALL, "--epoch", epochs, "--models", 2, "--out", out)
        assert done.exit_code == 0, done.output
        with np.load(out) as archive:
            found[epochs] = archive["scores"]
    np.testing.assert_allclose(found["3,1"], (found["1"] + found["3"]) / 2, rtol=1e-6)
    assert np.abs(found["1"] - found["3"]).max() > 1e-3


@pytest.mark.slow
def test_networks_that_diverge_are_reported(table):
    hot = ("--epochs", "40", "--batch-size", "16", "--model", "mlp", "--learning-rate", "1e30")
    refused(run("score", table, *hot), "diverged", "learning_rate")
    trained = json.loads(run("train", table, *hot, "--test-data", table, "--json").stdout)
    assert trained["diverged"] == 1
    assert trained["accuracy"] is None
    assert trained["each_accuracy"] == [None]
    assert "1 of 1 diverged" in run("train", table, *hot, "--test-data", table).output
    compared = run("compare", table, *hot, "--repeats", 2, "--keep-fraction", 0.5)
    assert compared.exit_code == 0, compared.output
    assert "2 diverged" in compared.output
    assert "6 of 6 networks diverged" in " ".join(compared.output.split())


def test_finite_parameters_with_an_infinite_loss_have_diverged(table):
    """After one epoch the parameters are huge but finite, and the logits are not."""
    hot = ("--epochs", "1", "--model", "mlp", "--learning-rate", "1e20", "--models", 2)
    trained = run("train", table, *hot, "--test-data", table, "--json")
    found = json.loads(trained.stdout)
    assert found["diverged"] == 2
    assert found["accuracy"] is None
    assert found["each_accuracy"] == [None, None]


def test_train_sees_the_inputs_that_score_saw(table, tmp_path, monkeypatch):
    """Rows far away in --test-data do not move the inputs of the training rows."""
    from nfl_pruning.networks import standardising

    seen = []
    plain = standardising.network_inputs

    def watched(x, **how):
        seen.append(plain(x, **how))
        return seen[-1]

    monkeypatch.setattr(standardising, "network_inputs", watched)
    far = tmp_path / "far.npz"
    np.savez(far, x=np.full((30, 4), 50.0), y=np.array(["ant", "bee", "cat"])[np.arange(30) % 3])
    assert run("score", table, *SMALL).exit_code == 0
    assert run("train", table, *SMALL, "--test-data", far).exit_code == 0
    scored, trained = seen
    np.testing.assert_array_equal(scored, trained[:90])
    assert trained[90:].min() > 10


@pytest.mark.slow
def test_a_killed_comparison_goes_on(table, tmp_path):
    """Killed without warning after its first repeat, it computes only the others."""
    store = tmp_path / "repeats"
    command = ["compare", table, *SMALL, "--repeats", 3, "--keep-fraction", 0.5]
    command += ["--records", store, "--json"]
    code = (
        "import os, signal, sys\n"
        "from nfl_pruning.records import RecordStore\n"
        "put = RecordStore.put\n"
        "def put_and_die(*parts):\n"
        "    put(*parts)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "RecordStore.put = put_and_die\n"
        "from nfl_pruning.cli.main import main\n"
        f"main({[str(part) for part in command]!r})\n"
    )
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(list(store.glob("*.json"))) == 1
    resumed = json.loads(run(*command).stdout)
    assert resumed["reused"] == 1
    fresh = json.loads(run(*command, "--fresh").stdout)
    assert fresh["reused"] == 0
    assert fresh["accuracy"] == resumed["accuracy"]
    again = run(*command[:-1])
    assert "taken from an earlier run: 3" in again.output
    other = json.loads(run(*command, "--label-noise", 0.1).stdout)
    assert other["reused"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra",
    [
        ("--protocol", "window:0.1,coverage:0.1", "--keep", "hardest,easiest"),
        ("--balance", "equal", "--imbalance", "4"),
        ("--validation", "0.2", "--label-noise", "0.1"),
        ("--score", "forgetting,prototypicality", "--budget", "steps"),
    ],
)
def test_compare_settings(table, extra):
    arguments = ("compare", table, *SMALL, "--repeats", 2, "--keep-fraction", 0.3, "--json")
    found = run(*arguments, *extra)
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert report["verdicts"]
    assert all(0 <= a <= 1 for rule in report["accuracy"]["0.3"].values() for a in rule)


def test_compare_ends_with_verdicts(table, tmp_path):
    plot = tmp_path / "plot.png"
    arguments = ("compare", table, *SMALL, "--repeats", 3, "--keep-fraction", "0.2,0.6")
    found = run(*arguments, "--score", "el2n,margin", "--plot", plot, "--json")
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout, parse_constant=pytest.fail)
    rules = {(row["rule"], row["keep_fraction"]) for row in report["verdicts"]}
    names = {f"{s} hardest {p}" for s in ("el2n", "margin") for p in ("threshold", "exact")}
    assert rules == {(name, r) for name in names for r in (0.2, 0.6)}
    for row in report["verdicts"]:
        ours, theirs = (
            report["accuracy"][f"{row['keep_fraction']:g}"][name]
            for name in (row["rule"], "random")
        )
        assert row["difference"] == pytest.approx(100 * np.mean(np.subtract(ours, theirs)))
        assert (row["p_holm"] is None) == (row["keep_fraction"] > 0.3 or row["p_value"] is None)
        assert row["verdict"] in ("beats random", "loses to random", "undecided")
    assert plot.stat().st_size > 5000
    about, data_hash = report["config"], load_dataset(table).hash
    assert (about["model"], about["seed"], about["gradient"]) == ("logistic", 0, None)
    assert about["score_epochs"] == {"el2n": 1, "margin": 1}
    assert about["data_hash"] == data_hash
    extra = ("--score", "grand", "--gradient", "logits", "--seed", 3, "--epoch", 2)
    text = run(*arguments, *extra, "--protocol", "threshold").output
    stated = (
        f"logistic, seed 3; scores after epoch 2 of 3, logits gradient; data_hash {data_hash[:12]}"
    )
    for word in ("verdict", "grand hardest", "Holm", "Probing took", stated):
        assert word in text


def test_fractions_that_look_alike_stay_apart(table):
    fractions = "0.3000001,0.3000002"
    extra = ("--repeats", 2, "--protocol", "threshold", "--keep-fraction", fractions)
    found = run("compare", table, *SMALL, *extra, "--json")
    report = json.loads(found.stdout)
    assert list(report["accuracy"]) == fractions.split(",")
    assert [row["keep_fraction"] for row in report["verdicts"]] == [0.3000001, 0.3000002]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "--score", "el3n"], ["nearest: el2n"]),
        (["score", "--epoch", "9", "--epochs", "4"], ["at most 4", "9"]),
        (["score", "--score", "forgetting", "--epoch", "0"], ["at least 1"]),
        (["score", "--model", "mpl"], ["nearest: mlp"]),
        (["score", "--gradient", "all"], ["last-layer"]),
        (["score", "--models", "0"], ["models", "at least 1"]),
        (["score", "--learning-rate", "0"], ["learning_rate", "(0, inf)"]),
        (["score", "--out", "x.txt"], [".npz"]),
        (["train", "--subset", "nowhere.npz"], ["nowhere.npz"]),
        (["train", "--budget", "time"], ["epochs, steps"]),
        (["train", "--epochs", "x"], ["epochs", "'x'"]),
        (["compare", "--keep-fraction", "0.1,2"], ["keep_fraction", "2.0"]),
        (["compare", "--keep-fraction", "0.1,0.1"], ["distinct"]),
        (["compare", "--keep-fraction", "0.0001"], ["fewer than one"]),
        (["compare", "--protocol", "power:1"], ["fixed count"]),
        (["compare", "--repeats", "1"], ["repeats", "at least 2"]),
        (["compare", "--label-noise", "1.5"], ["label_noise"]),
        (["compare", "--plot", "x.txt"], ["plot"]),
        (["compare", "--score", ""], ["score"]),
        (["compare", "--balance", "fair"], ["balance"]),
        (["compare", "--imbalance", "0.5"], ["imbalance", "[1, inf)"]),
        (["compare", "--validation", "1"], ["validation"]),
        (["compare", "--validation", "0.001"], ["validation", "63 training rows", "0.001"]),
        (["compare", "--validation", "0.9999"], ["validation", "63 training rows", "0.9999"]),
        (["compare", "--records", __file__], ["records must be a folder", "is a file"]),
        (["compare", "--records", ""], ["records must be a folder"]),
        (["compare", "--protocol", "window:0.9"], ["window offset", "0.9"]),
        (["compare", "--protocol", "coverage:0.95", "--keep-fraction", "0.3"], ["coverage cut"]),
        (["compare", "--protocol", "coverage:0", "--balance", "equal"], ["by rank"]),
        (["compare", "--augmentation", "flip-crop"], ["augmentation", "images"]),
        (["compare", "--epoch", "9"], ["at most 3", "9"]),
        (["train", "--augmentation", "flip-crop"], ["images"]),
        (["score", "--augmentation", "mixup"], ["flip-crop"]),
    ],
)
def test_bad_input_is_one_sentence(table, arguments, words):
    command, *rest = arguments
    refused(run(command, table, *SMALL, *rest), *words)

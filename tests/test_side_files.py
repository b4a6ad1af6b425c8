"""Files beside the data, in every format: scores, logits, labels, subsets; rows known by id."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.adapters import kept_weights, normalised, save_table
from nfl_pruning.cli.main import main
from nfl_pruning.data import load_dataset, make_dataset
from nfl_pruning.data.side_files.outputs_file import read_outputs
from nfl_pruning.data.side_files.scores_file import read_scores
from nfl_pruning.data.side_files.subset_file import read_subset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.run import prune

RNG = np.random.default_rng(4)
N, CLASSES = 60, ("cat", "dog", "emu")
Y = np.arange(N) % 3
X = (RNG.normal(size=(N, 3)) + 2 * np.eye(3)[Y]).round(4)
IDS = np.array([f"{i:03d}" for i in RNG.permutation(N)])  # as texts: 007 is not 7
DATA = replace(make_dataset("mine", X, np.array(CLASSES)[Y]), ids=IDS)
SCORES = RNG.random(N).round(5)
LOGITS = (RNG.normal(size=(N, 3)) + 3 * np.eye(3)[Y]).round(4)
ENDINGS = (".csv", ".csv.gz", ".parquet", ".arrow", ".feather")
OTHER_ORDER = RNG.permutation(N)


def write(path, columns, rows=None):
    """A table in the format of its ending, rows in another order where given."""
    columns = {name: values if rows is None else values[rows] for name, values in columns.items()}
    if ".csv" in path.name:
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values()))]  # noqa: B905
        text = "\n".join(lines) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
        return path
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({name: values.tolist() for name, values in columns.items()})
    if path.suffix == ".parquet":
        __import__("pyarrow.parquet").parquet.write_table(table, path)
    else:
        with __import__("pyarrow.ipc").ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    return path


def run(*arguments):
    return CliRunner().invoke(main, [str(part) for part in arguments])


@pytest.fixture
def own(tmp_path):
    """The data as a file of their own."""
    columns = {"id": IDS, **{name: X[:, i] for i, name in enumerate("abc")}}
    return write(tmp_path / "own.csv", {**columns, "label": np.array(CLASSES)[Y]})


@pytest.mark.parametrize("ending", ENDINGS)
def test_scores_are_matched_by_id(tmp_path, ending):
    path = write(tmp_path / f"s{ending}", {"id": IDS, "score": SCORES}, OTHER_ORDER)
    np.testing.assert_array_equal(read_scores(path, DATA).values, SCORES)
    alone = write(tmp_path / f"alone{ending}", {"score": SCORES}, OTHER_ORDER)
    found = read_scores(alone, DATA)
    np.testing.assert_array_equal(found.values, SCORES[OTHER_ORDER])  # no ids: in their order
    assert any("no ids" in note for note in found.notes)
    short = write(tmp_path / f"short{ending}", {"id": IDS, "score": SCORES}, OTHER_ORDER[1:])
    with pytest.raises(InvalidArgumentError, match=f"missing: {IDS[OTHER_ORDER[0]]}"):
        read_scores(short, DATA)


def test_protected_rows_need_no_score(tmp_path):
    some = replace(DATA, protected=np.arange(N) < 6)
    path = write(tmp_path / "s.csv", {"id": IDS, "score": SCORES}, np.arange(6, N))
    assert np.isnan(read_scores(path, some).values[:6]).all()
    np.testing.assert_array_equal(read_scores(path, some).values[6:], SCORES[6:])
    written = save_table(prune(some, seed=0, scores=SCORES), tmp_path / "own_output.csv")
    np.testing.assert_array_equal(read_scores(written, some).values[6:], SCORES[6:])
    with pytest.raises(InvalidArgumentError, match=r"finite; 6 of 60"):
        read_scores(written, DATA)


LOGIT_NAMES = {
    "classes": {name: LOGITS[:, i] for i, name in enumerate(CLASSES)},
    "prefixed": {f"logit_{name}": LOGITS[:, i] for i, name in enumerate(CLASSES)},
    "turned": {name: LOGITS[:, i] for i, name in reversed(list(enumerate(CLASSES)))},
    "counted": {str(i): LOGITS[:, i] for i in range(3)},
}


@pytest.mark.parametrize("names", LOGIT_NAMES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_logits_are_matched_by_id_and_class(tmp_path, ending, names):
    columns = {"id": IDS, **LOGIT_NAMES[names]}
    found = read_outputs(write(tmp_path / f"l{ending}", columns, OTHER_ORDER), "logits", DATA)
    np.testing.assert_array_equal(found.values, LOGITS)
    assert (names == "counted") == any("in their order" in note for note in found.notes)


def test_logits_of_arrays_vectors_and_bare_numbers(tmp_path):
    np.save(tmp_path / "l.npy", LOGITS)
    np.savez(tmp_path / "l.npz", logits=LOGITS, data_hash=DATA.hash)
    np.savetxt(tmp_path / "l.csv", LOGITS, delimiter=",")
    names = ["l.npy", "l.npz", "l.csv"]
    for name in names:
        found = read_outputs(tmp_path / name, "logits", DATA)
        np.testing.assert_allclose(found.values, LOGITS)
    np.savez(tmp_path / "other.npz", logits=LOGITS, data_hash="0" * 64)
    with pytest.raises(InvalidArgumentError, match="other data"):
        read_outputs(tmp_path / "other.npz", "logits", DATA)
    with pytest.raises(InvalidArgumentError, match="embeddings"):
        read_outputs(tmp_path / "l.npz", "embeddings", DATA)
    vectors = {"id": IDS, "logits": LOGITS}
    found = read_outputs(write(tmp_path / "l.parquet", vectors, OTHER_ORDER), "logits", DATA)
    np.testing.assert_array_equal(found.values, LOGITS)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"cat": LOGITS[:, 0], "dog": LOGITS[:, 1]}, "lacks emu"),
        ({**LOGIT_NAMES["classes"], "yak": LOGITS[:, 0]}, "yak are no class"),
        ({"id": IDS, **LOGIT_NAMES["classes"], "dog": IDS.astype("U9")}, None),
        ({**LOGIT_NAMES["classes"], "dog": np.array(["high"] * N)}, "column 'dog'; got 'high'"),
        ({"id": np.repeat(IDS[:1], N), **LOGIT_NAMES["classes"]}, "occurs twice"),
    ],
)
def test_logits_that_do_not_fit(tmp_path, columns, words):
    path = write(tmp_path / "l.csv", columns)
    if words is None:  # the control: digits are numbers, whatever they were
        assert read_outputs(path, "logits", DATA).values.shape == (N, 3)
        return
    with pytest.raises(InvalidArgumentError, match=words):
        read_outputs(path, "logits", DATA)


def test_logits_of_labels_that_are_numbers(tmp_path):
    gaps = make_dataset("gaps", X, np.array([0, 2, 3])[Y])
    wide = {f"logit {k}": RNG.normal(size=N) for k in (3, 1, 0, 2)}
    found = read_outputs(write(tmp_path / "l.csv", wide), "logits", gaps).values
    np.testing.assert_array_equal(found, np.stack([wide[f"logit {k}"] for k in range(4)], 1))


@pytest.mark.parametrize("ending", [".npy", ".txt", *ENDINGS])
def test_labels_beside_a_npy(tmp_path, ending):
    np.save(tmp_path / "x.npy", X)
    labels, path = np.array(CLASSES)[Y], tmp_path / f"y{ending}"
    if ending == ".npy":
        np.save(path, labels)
    elif ending == ".txt":
        path.write_text("\n".join(labels))
    else:
        write(path, {"species": labels})
    assert load_dataset(tmp_path / "x.npy", label=str(path)).hash == DATA.hash
    if ending in ENDINGS:
        both = write(tmp_path / f"both{ending}", {"id": IDS, "label": labels})
        found = load_dataset(tmp_path / "x.npy", label=str(both), ids=str(both))
        assert found.hash == DATA.hash and found.ids is not None
        assert found.ids.tolist() == IDS.tolist()
        with pytest.raises(InvalidArgumentError, match="one named group"):
            load_dataset(tmp_path / "x.npy", label=labels, group=str(both))


@pytest.mark.parametrize("role", ["label", "ids", "split", "group"])
def test_a_file_that_is_not_there_is_not_passed_over(tmp_path, role):
    np.save(tmp_path / "x.npy", X)
    how = {"label": Y, role: "no_such.npy"}
    with pytest.raises(InvalidArgumentError, match=rf"{role} must be a file.*no_such"):
        load_dataset(tmp_path / "x.npy", **how)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_table_of_pruning_is_a_subset(tmp_path, own, ending):
    if ".csv" not in ending:
        pytest.importorskip("pyarrow")
    data = replace(load_dataset(own), protected=np.arange(N) < 6)
    pruned = prune(data, seed=1, keep_fraction=0.4)
    written = save_table(pruned, tmp_path / f"kept{ending}")
    turned = data.take(OTHER_ORDER)
    for one in (data, turned):
        rows, weights = read_subset(written, one)
        assert one.ids is not None and data.ids is not None and turned.ids is not None
        assert set(one.ids[rows]) == set(data.ids[pruned.indices])
        by_id = dict(zip(data.ids, pruned.weights, strict=True))
        np.testing.assert_allclose(weights, [by_id[name] for name in one.ids[rows]])
    nameless = replace(data, ids=None)
    np.testing.assert_array_equal(read_subset(written, nameless)[0], pruned.indices)
    with pytest.raises(InvalidArgumentError, match="other data"):  # in another order, without ids
        read_subset(written, replace(turned, ids=None, source=None))
    lost = turned.take(np.flatnonzero(~np.isin(turned.ids, data.ids[pruned.indices[:2]])))
    with pytest.raises(InvalidArgumentError, match=r"2 of \d+ ids in column 'id'"):
        read_subset(written, lost)


def test_tables_that_are_no_subset(tmp_path):
    for column, words in (
        ({"keep": np.array(["maybe"] * N)}, "True or False"),
        ({"keep": np.zeros(N, bool)}, "keeps none"),
        ({"keep": np.ones(N, bool), "weight": np.zeros(N)}, "positive"),
    ):
        path = write(tmp_path / "k.csv", {"id": IDS, **column})
        with pytest.raises(InvalidArgumentError, match=words):
            read_subset(path, DATA)


def test_names_that_look_like_numbers_stay_names(tmp_path, own):
    pytest.importorskip("pyarrow")
    written = save_table(prune(load_dataset(own), seed=0), tmp_path / "out.parquet")
    table = __import__("pyarrow.parquet").parquet.read_table(written)
    assert table["id"].to_pylist() == IDS.tolist()
    assert table["a"].to_pylist() == X[:, 0].tolist()


def test_two_tables_of_one_name_keep_their_provenance(tmp_path, own):
    pytest.importorskip("pyarrow")
    for ending, fraction in ((".csv", 0.2), (".parquet", 0.5)):
        out = tmp_path / f"out{ending}"
        assert run("prune", own, "--keep-fraction", fraction, "--out", out).exit_code == 0
    for ending, fraction in ((".csv", 0.2), (".parquet", 0.5)):
        stated = json.loads((tmp_path / f"out{ending}.provenance.json").read_text())
        assert stated["config"]["keep_fraction"] == fraction
        assert stated["table"] == f"out{ending}"


def test_weights_are_normalised_as_asked(tmp_path, own):
    sums = {"as-is": None, "sum-n": N, "mean-one": 24}
    for how, wanted in sums.items():
        out = tmp_path / f"{how}.npz"
        command = ("prune", own, "--keep-fraction", 0.4, "--exploit", 0.3, "--weights", how)
        done = run(*command, "--out", out, "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.output)["config"]["weight_normalisation"] == how
        with np.load(out) as found:
            weights = found["weights"][found["indices"]]
            assert json.loads(str(found["config"]))["weight_normalisation"] == how
        assert weights.sum() == pytest.approx(N if wanted is None else wanted)
        assert weights.max() > 1.1 * weights.min()
        resized = run("prune", own, "--resize", out, "--keep-fraction", 0.2, "--json")
        assert json.loads(resized.output)["config"]["weight_normalisation"] == "as-is"
    assert run("prune", own, "--weights", "loud").exit_code == 2
    pruned = prune(DATA, seed=0, keep_fraction=0.4, balance="equal", selection="threshold")
    for how in sums:
        np.testing.assert_allclose(
            normalised(pruned, how).weights[pruned.indices], kept_weights(pruned, how)
        )


def test_one_hot_columns_of_the_command_line(tmp_path):
    columns = {name: X[:, i] for i, name in enumerate("abc")}
    path = write(tmp_path / "t.csv", columns | dict(zip(CLASSES, np.eye(3, dtype=int)[Y].T)))  # noqa: B905
    done = run("prune", path, "--label-column", "cat,dog,emu", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["data_hash"] == DATA.hash
    assert run("prune", path, "--label-column", "cat,dog", "--drop", "emu").exit_code == 2


def test_the_commands_take_such_files(tmp_path, own):
    scores = write(tmp_path / "s.csv.gz", {"id": IDS, "score": SCORES}, OTHER_ORDER)
    out = tmp_path / "kept.csv.gz"
    done = run("prune", own, "--scores", scores, "--keep-fraction", 0.5, "--out", out)
    assert done.exit_code == 0, done.output
    how = ("--model", "logistic", "--epochs", 1, "--json")
    done = run("train", own, "--subset", out, *how)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["n_kept"] == 30
    logits = write(tmp_path / "l.csv", {"id": IDS, **LOGIT_NAMES["turned"]}, OTHER_ORDER)
    written = []
    np.save(tmp_path / "l.npy", LOGITS)
    for path in (logits, tmp_path / "l.npy"):
        assert run("score", own, "--logits", path, "--out", tmp_path / "s.npz", "--force",
                   ).exit_code == 0  # fmt: skip
        with np.load(tmp_path / "s.npz") as found:
            written.append(found["scores"])
    np.testing.assert_array_equal(*written)
    refused = run("prune", own, "--out", tmp_path / "out.xlsx")
    assert refused.exit_code == 2 and ".npz or .csv or .csv.gz or .parquet" in refused.output

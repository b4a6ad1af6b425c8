"""Columns mean what their names say: ids are no features, and order does not matter."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main
from nfl_pruning.data import Columns, load_dataset, load_test_data
from nfl_pruning.data.side_files.scores_file import read_scores
from nfl_pruning.errors import InvalidArgumentError

RNG = np.random.default_rng(0)
N = 30
NUMBERS = RNG.normal(size=(N, 3)).round(3)
LABELS = np.array(["ant", "bee"])[np.arange(N) % 2]


def table(path, columns):
    """A .csv of columns: name -> values."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def plain(**more):
    return {"a": NUMBERS[:, 0], "b": NUMBERS[:, 1], "c": NUMBERS[:, 2], "label": LABELS, **more}


def run(*arguments):
    return CliRunner().invoke(main, [str(part) for part in arguments])


IDS = {
    "nameless": ("", np.arange(N)),
    "text": ("id", [f"img{i}" for i in range(N)]),
    "named": ("Index", RNG.permutation(N) + 7),
    "pandas": ("Unnamed: 0", np.arange(N)),
    "row": ("row_id", np.arange(N)[::-1]),
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_are_no_features(tmp_path, kind):
    name, values = IDS[kind]
    data = load_dataset(table(tmp_path / "t.csv", {name: values, **plain()}))
    bare = load_dataset(table(tmp_path / "bare.csv", plain()))
    assert data.features == ("a", "b", "c")
    assert data.hash == bare.hash
    assert data.ids is not None
    assert list(data.ids) == list(map(str, values))
    assert any("ids, not for a feature" in note for note in data.notes)
    assert bare.notes == ()


def test_the_reader_decides(tmp_path):
    path = table(tmp_path / "t.csv", {"id": np.arange(N), **plain(key=np.arange(N) * 3 % 31)})
    assert load_dataset(path, columns=Columns(ids="none", drop=("key",))).features == (
        "id", "a", "b", "c",
    )  # fmt: skip
    chosen = load_dataset(path, columns=Columns(ids="key"))
    assert chosen.features == ("a", "b", "c")
    assert chosen.ids is not None
    assert chosen.ids[1] == "3"
    other = load_dataset(path, columns=Columns(label="key", drop=("label",)))
    assert len(other.classes) == N


@pytest.mark.parametrize(
    ("columns", "how", "words"),
    [
        (plain(id=[1] * N), Columns(ids="id"), ["distinct", "'1'", "30 times"]),
        ({"a": range(N), "": range(N), "label": LABELS}, None, ["column 2", "name"]),
        ({"": range(N), **plain()}, Columns(ids="none"), ["column 1", "name"]),
        (plain(), Columns(label="target"), ["'target'", "a, b, c, label"]),
        (plain(), Columns(drop=("d",)), ["drop", "'d'", "nearest"]),
        (plain(), Columns(drop=("label",)), ["drop", "labels"]),
        (plain(), Columns(drop=("a", "b", "c")), ["at least one column of features"]),
        ({"id": range(N), "label": LABELS}, None, ["at least one column of features"]),
        (plain(), Columns(ids="label"), ["id_column", "labels"]),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, columns, how, words):
    with pytest.raises(InvalidArgumentError) as refused:
        load_dataset(table(tmp_path / "t.csv", columns), columns=how)
    for word in words:
        assert word in str(refused.value)


def test_a_repeated_name_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,a,label\n1,2,x\n3,4,y\n")
    with pytest.raises(InvalidArgumentError, match="'a' more than once"):
        load_dataset(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("t", np.arange(N)),
        ("t", RNG.permutation(N) + 100),
        ("t", np.cumsum(RNG.integers(1, 9, N))),
        ("customer_id", RNG.integers(0, 9, N)),
        ("customerId", RNG.integers(0, 9, N)),
    ],
)
def test_what_looks_like_an_id_is_named(tmp_path, name, values):
    data = load_dataset(table(tmp_path / "t.csv", plain(**{name: values})))
    assert data.features == ("a", "b", "c", name)
    (note,) = data.notes
    assert repr(name) in note and "looks like an id" in note
    np.savez(tmp_path / "t.npz", x=np.column_stack([NUMBERS, np.arange(N)]), y=LABELS)
    assert "3 of x" in load_dataset(tmp_path / "t.npz").notes[0]


@pytest.mark.parametrize("values", [RNG.integers(0, 5, N), np.arange(N) / 2, np.zeros(N)])
def test_other_numbers_are_not(tmp_path, values):
    assert load_dataset(table(tmp_path / "t.csv", plain(size=values))).notes == ()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["cat", "NaN"], ["'NaN' looks like a missing label"]),
        (["0", "1", "?", ""], []),
        (["0", "1", "n/a"], ["'n/a' looks like a missing label"]),
        (["1", "1.0", "cat"], ["'1' and '1.0'", "one class written in 2 ways"]),
        (["ant", "Ant ", "bee"], ["'Ant' and 'ant'", "are read as 2 classes"]),
        (["1e3", "1000.0", "1000", "cat"], ["written in 3 ways"]),
        (["inf", "-inf", "0x1", "1"], []),
        ([str(2**60), str(2**60 + 1)], []),
        (["true", "false"], []),
    ],
)
def test_labels_that_look_like_something_else_are_named(tmp_path, names, words):
    labels = np.array(names, object)[np.arange(N) % len(names)]
    path = table(tmp_path / "t.csv", plain() | {"label": labels})
    if "" in names:
        with pytest.raises(InvalidArgumentError, match="needs a label"):
            load_dataset(path)
        return
    data = load_dataset(path)
    assert len(data.classes) == len(names)
    assert len(data.notes) == bool(words)
    for word in words:
        assert word in data.notes[0]
    np.savez(tmp_path / "t.npz", x=NUMBERS, y=np.char.strip(labels.astype(str)))
    assert load_dataset(tmp_path / "t.npz").notes == data.notes


def test_a_copy_of_the_labels_is_named(tmp_path):
    """One value a class: whatever the order of the classes; not where a row differs."""
    codes = np.array([7, -2, 3])[np.arange(N) % 3]
    near = codes.copy()
    near[-1] = 3 if near[-1] == 7 else 7
    merged = np.minimum(codes, 3)
    for own, told in ((codes, True), (near, False), (merged, False)):
        labels = np.array(["x", "y", "z"])[np.arange(N) % 3]
        path = table(tmp_path / "t.csv", plain(target=own) | {"label": labels})
        notes = load_dataset(path).notes
        assert [("'target'" in note, "copy of the labels" in note) for note in notes] == [
            (True, True)
        ] * told
        assert load_dataset(path, columns=Columns(drop=("target",))).notes == ()
        np.savez(tmp_path / "t.npz", x=np.column_stack([NUMBERS, own]), y=labels)
        assert len(load_dataset(tmp_path / "t.npz").notes) == told


def test_test_data_are_matched_by_name(tmp_path):
    data = load_dataset(table(tmp_path / "train.csv", {"id": range(N), **plain()}))
    turned = {"": range(N)} | dict(reversed(plain().items()))
    test = load_test_data(table(tmp_path / "test.csv", turned), data)
    np.testing.assert_array_equal(test.x, data.x)
    np.testing.assert_array_equal(test.y, data.y)
    more = load_test_data(table(tmp_path / "more.csv", plain(d=range(N))), data)
    assert more.x.shape == (N, 3)
    assert "ignored: d" in " ".join(more.notes)
    lacking = {name: values for name, values in plain().items() if name != "b"}
    with pytest.raises(InvalidArgumentError, match="lacks b"):
        load_test_data(table(tmp_path / "few.csv", lacking), data)
    np.savez(tmp_path / "t.npz", x=NUMBERS, y=LABELS)
    assert "in their order" in " ".join(load_test_data(tmp_path / "t.npz", data).notes)
    np.savez(tmp_path / "n.npz", x=NUMBERS[:, ::-1], y=LABELS, feature_names=["c", "b", "a"])
    named = load_test_data(tmp_path / "n.npz", data)
    np.testing.assert_array_equal(named.x, data.x)


def test_complaints_name_line_and_column(tmp_path):
    path = tmp_path / "t.csv"
    for text, words in (
        ('a,label\n1,"x\ny"\n\n2,y\nfoo,x\n', ["line 6", "'a'", "'foo'"]),
        ("a,label\n1,x\n\n2,y\ninf,x\n", ["line 5", "'a'", "inf"]),
        ("a,label\n1,x\n2,y,3\n", ["line 3", "3 cells"]),
        ("a,label\n1,x\n2,\n", ["line 3", "empty"]),
    ):
        path.write_text(text)
        with pytest.raises(InvalidArgumentError) as refused:
            load_dataset(path)
        for word in words:
            assert word in str(refused.value)


def test_ids_survive_and_features_are_listed(tmp_path):
    path = table(tmp_path / "t.csv", {"": [f"r{i}" for i in range(N)], **plain()})
    out = tmp_path / "s.npz"
    shown = run("prune", path, "--keep-fraction", 0.5, "--out", out)
    assert shown.exit_code == 0, shown.output
    assert "Features: 3: a, b, c." in shown.output
    with np.load(out) as archive:
        assert list(archive["ids"]) == [f"r{i}" for i in range(N)]
        config = json.loads(str(archive["config"]))
    assert config["features"] == ["a", "b", "c"]
    assert {"python", "numpy", "jax", "nfl-pruning"} <= set(config["software"])
    assert config["random_generator"]
    scored = run("score", path, "--epochs", 1, "--model", "logistic", "--out", tmp_path / "o.npz")
    assert "Features: 3: a, b, c." in scored.output
    with np.load(tmp_path / "o.npz") as archive:
        assert archive["ids"][2] == "r2"
    dropped = json.loads(run("prune", path, "--drop", "b", "--json").stdout)
    assert dropped["config"]["features"] == ["a", "c"]
    refused = run("prune", "digits", "--drop", "a")
    assert refused.exit_code == 2 and "data in a file" in refused.stderr


class TestScores:
    @pytest.fixture
    def data(self, tmp_path):
        ids = {"id": [f"img{i}" for i in range(N)]}
        return load_dataset(table(tmp_path / "t.csv", ids | plain()))

    def test_are_matched_by_id(self, data, tmp_path):
        order, values = RNG.permutation(N), RNG.normal(size=N)
        columns = {"id": [f"img{i}" for i in order], "scores": values[order]}
        found = read_scores(table(tmp_path / "s.csv", columns), data)
        np.testing.assert_allclose(found.values, values)
        np.savez(tmp_path / "s.npz", scores=values[order], ids=data.ids[order])
        np.testing.assert_allclose(read_scores(tmp_path / "s.npz", data).values, values)

    def test_ids_that_do_not_fit_are_refused(self, data, tmp_path):
        names = [f"img{i}" for i in range(N)]
        for ids, words in ((["img0", *names[:-1]], "twice"), (["x", *names[1:]], "img0")):
            path = table(tmp_path / "s.csv", {"id": ids, "score": range(N)})
            with pytest.raises(InvalidArgumentError, match=words):
                read_scores(path, data)

    def test_without_ids_the_order_counts_and_is_said(self, data, tmp_path):
        (tmp_path / "s.csv").write_text("score\n" + "\n".join(map(str, range(N))))
        assert "order of the data" in read_scores(tmp_path / "s.csv", data).notes[0]
        bare = load_dataset(table(tmp_path / "bare.csv", plain()))
        path = table(tmp_path / "ids.csv", {"id": np.arange(N)[::-1], "scores": range(N)})
        np.testing.assert_array_equal(read_scores(path, bare).values, np.arange(N)[::-1])
        path = table(tmp_path / "ids.csv", {"id": data.ids, "scores": range(N)})
        assert "no ids" in read_scores(path, bare).notes[0]

    def test_counts_of_0_and_1_are_scores_where_they_are_called_so(self, data, tmp_path):
        counts = np.arange(N) % 2
        found = read_scores(table(tmp_path / "s.csv", {"scores": counts}), data)
        np.testing.assert_array_equal(found.values, counts)
        assert any("no mask" in note for note in found.notes)
        np.save(tmp_path / "s.npy", counts)
        with pytest.raises(InvalidArgumentError, match="column is named scores"):
            read_scores(tmp_path / "s.npy", data)

    def test_ties_are_said(self, data, tmp_path):
        path = table(tmp_path / "s.csv", {"id": data.ids, "scores": np.arange(N) % 2})
        said = run("prune", tmp_path / "t.csv", "--scores", path, "--protocol", "threshold")
        assert "drawn by lot" in " ".join(said.output.split())
        path = table(tmp_path / "s.csv", {"id": data.ids, "scores": np.arange(N)})
        said = run("prune", tmp_path / "t.csv", "--protocol", "random")
        assert "drawn by lot" not in " ".join(said.output.split())  # of course, and by no score
        said = run("prune", tmp_path / "t.csv", "--scores", path, "--protocol", "threshold")
        assert "drawn by lot" not in " ".join(said.output.split())

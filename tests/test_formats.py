"""Whichever way data come in, they are the same data, with the same rows kept."""

import gzip

import numpy as np
import pytest
from scipy import sparse

from nfl_pruning.data import Columns, load_dataset, make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.run import prune

RNG = np.random.default_rng(3)
N = 40
X = RNG.normal(size=(N, 3)).round(3)
LABELS = np.array(["ant", "bee"])[(X[:, 0] + 0.3 * RNG.normal(size=N) > 0).astype(int)]
IDS = np.array([f"row-{i}" for i in RNG.permutation(N)])
GROUPS = np.array(["north", "south"])[np.arange(N) % 2]
NAMES = ("a", "b", "c")
REFERENCE = make_dataset("mine", X, LABELS)
ARCHIVE = {"x": X, "y": LABELS, "ids": IDS, "group": GROUPS, "feature_names": np.array(NAMES)}


def columns():
    features = {name: X[:, i] for i, name in enumerate(NAMES)}
    return {"id": IDS, **features, "group": GROUPS, "label": LABELS}


def write_csv(path):
    lines = [",".join(columns()), *(",".join(map(str, row)) for row in zip(*columns().values()))]  # noqa: B905
    text = "\n".join(lines) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return load_dataset(path, group="group")


def write_npz(path):
    np.savez(path, **ARCHIVE)
    return load_dataset(path, group="group")


def write_npy(path):
    np.save(path, X)
    np.save(path.with_name("labels.npy"), LABELS)
    found = load_dataset(path, label=str(path.with_name("labels.npy")), ids=IDS, group=GROUPS)
    assert isinstance(found.x.base, np.memmap)
    return found


def write_structured(path):
    kinds = [(name, values.dtype) for name, values in columns().items()]
    table = np.empty(N, kinds)
    for name, values in columns().items():
        table[name] = values
    np.save(path, table)
    return load_dataset(path, group="group")


def arrow():
    return pytest.importorskip("pyarrow").table(columns())


def write_parquet(path):
    table = arrow()
    __import__("pyarrow.parquet").parquet.write_table(table, path)
    return load_dataset(path, group="group")


def write_arrow(path, opener="new_file"):
    table = arrow()
    ipc = __import__("pyarrow.ipc").ipc
    with getattr(ipc, opener)(str(path), table.schema) as writer:
        writer.write_table(table)
    return load_dataset(path, group="group")


def from_pandas(path):
    pandas = pytest.importorskip("pandas")
    return load_dataset(pandas.DataFrame(columns()), group="group")


def from_pandas_index(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns()).set_index("id")
    return load_dataset(frame.astype({"label": "category"}), group="group")


def from_polars(path):
    return load_dataset(pytest.importorskip("polars").DataFrame(columns()), group="group")


def from_hugging_face(path):
    datasets = pytest.importorskip("datasets")
    return load_dataset(datasets.Dataset.from_dict(columns()), group="group")


def from_shuffled_hugging_face(path):
    datasets = pytest.importorskip("datasets")
    turned = {name: values[::-1] for name, values in columns().items()}
    data = datasets.Dataset.from_dict(turned).select(range(N - 1, -1, -1))
    return load_dataset(data, group="group")


def from_vectors(path):
    table = arrow().select(["id", "group", "label"])
    vectors = __import__("pyarrow").array(X.tolist())
    found = load_dataset(table.append_column("embedding", vectors), group="group")
    assert found.features == ("embedding[0]", "embedding[1]", "embedding[2]")
    return found


def from_torch(path):
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, requires_grad=True)
    return load_dataset(x, label=LABELS, ids=IDS, group=GROUPS)


def from_jax(path):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        return load_dataset(jax.numpy.asarray(X), label=LABELS, ids=IDS, group=GROUPS)


def from_sparse(path):
    return load_dataset(sparse.csr_array(X), label=LABELS, ids=IDS, group=GROUPS)


WAYS = {
    "csv": ("t.csv", write_csv),
    "csv.gz": ("t.csv.gz", write_csv),
    "npz": ("t.npz", write_npz),
    "npy": ("t.npy", write_npy),
    "structured": ("t.npy", write_structured),
    "parquet": ("t.parquet", write_parquet),
    "arrow": ("t.arrow", write_arrow),
    "arrow-stream": ("t.arrow", lambda path: write_arrow(path, "new_stream")),
    "mapping": ("", lambda path: load_dataset(columns(), group="group")),
    "arrow-table": ("", lambda path: load_dataset(arrow(), group="group")),
    "pandas": ("", from_pandas),
    "pandas-index": ("", from_pandas_index),
    "polars": ("", from_polars),
    "hugging-face": ("", from_hugging_face),
    "hugging-face-shuffled": ("", from_shuffled_hugging_face),
    "vectors": ("", from_vectors),
    "torch": ("", from_torch),
    "jax": ("", from_jax),
    "sparse": ("", from_sparse),
}


@pytest.fixture(scope="module")
def kept():
    return REFERENCE, set(IDS[prune(REFERENCE, seed=1, keep_fraction=0.4).indices])


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same_data_and_the_same_subset(way, tmp_path, kept):
    name, read = WAYS[way]
    found = read(tmp_path / name)
    assert found.hash == kept[0].hash
    assert found.ids is not None and list(found.ids) == IDS.tolist()
    assert found.group is not None and list(found.group) == GROUPS.tolist()
    pruned = prune(found, seed=1, keep_fraction=0.4)
    assert pruned.ids is not None
    assert set(pruned.ids[pruned.indices]) == kept[1]


def test_other_data_have_another_hash_and_subset(kept):
    turned = load_dataset(X[::-1].copy(), label=LABELS, ids=IDS)
    assert turned.hash != kept[0].hash
    assert set(IDS[prune(turned, seed=1, keep_fraction=0.4).indices]) != kept[1]


CODES = (LABELS == "bee").astype(int)
LABEL_FORMS = {
    "strings": LABELS,
    "objects": LABELS.astype(object),
    "booleans": CODES.astype(bool),
    "whole-floats": CODES.astype(float),
    "gaps": np.array([-3, 70])[CODES],
    "one-hot": np.eye(2)[CODES],
    "one-hot-integers": np.eye(2, dtype=int)[CODES],
    "bytes": LABELS.astype("S3"),
    "one-column": CODES[:, None],
    "list": LABELS.tolist(),
}


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_labels_of_every_form_mean_the_same_classes(form):
    found = load_dataset(X, label=LABEL_FORMS[form])
    np.testing.assert_array_equal(found.y, CODES)
    assert len(found.classes) == 2


def test_one_hot_columns_name_the_classes(tmp_path):
    table = {"a": X[:, 0], "ant": 1 - CODES, "bee": CODES}
    found = load_dataset(table, label=["ant", "bee"])
    assert found.classes == ("ant", "bee") and found.features == ("a",)
    np.testing.assert_array_equal(found.y, CODES)
    lines = ["a,ant,bee", *(f"{a},{1 - code},{code}" for a, code in zip(X[:, 0], CODES))]  # noqa: B905
    (tmp_path / "t.csv").write_text("\n".join(lines))
    read = load_dataset(tmp_path / "t.csv", columns=Columns(label=("ant", "bee")))
    assert read.hash == found.hash


def test_whole_floats_of_a_text_table_are_numbers(tmp_path):
    lines = ["a,label", *(f"{a},{code}.0" for a, code in zip(X[:, 0], CODES))]  # noqa: B905
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert load_dataset(tmp_path / "t.csv").hash == load_dataset(X[:, :1], label=CODES).hash


ID_FORMS = {
    "a list of texts": (IDS.tolist(), IDS.tolist()),
    "bytes": (np.char.encode(IDS), IDS.tolist()),
    "whole floats": (np.arange(N) * 2.0, list(range(0, 2 * N, 2))),
    "dates": (np.arange(N).astype("M8[D]"), np.arange(N).astype("M8[D]").astype(str).tolist()),
}


@pytest.mark.parametrize("form", ID_FORMS)
def test_ids_of_every_form_name_the_rows(form):
    given, wanted = ID_FORMS[form]
    found = load_dataset(X, label=LABELS, ids=given)
    assert found.ids is not None and found.ids.tolist() == wanted


def test_pandas_own_kinds_of_columns_are_read():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns())
    for kinds in ({"id": "string", "label": "string"}, {"label": "category"}):
        found = load_dataset(frame.astype(kinds), group="group")
        assert found.hash == REFERENCE.hash and found.ids is not None
    with_gap = frame.astype({"label": "string", "a": "Float64"})
    with_gap.loc[3, "label"] = pandas.NA
    with pytest.raises(InvalidArgumentError, match=r"label in the table; 1 are None or NaN.*row 3"):
        load_dataset(with_gap, group="group")
    with_gap = frame.astype({"a": "Float64"})
    with_gap.loc[5, "a"] = pandas.NA
    with pytest.raises(InvalidArgumentError, match=r"column 'a' has 1 .* row 5"):
        load_dataset(with_gap, group="group")


def test_rows_without_an_id_are_no_ids():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns()).drop(columns="group")
    frame.loc[2, "id"] = None
    found = load_dataset(frame)
    assert found.ids is None and any("have gaps" in note for note in found.notes)
    with pytest.raises(InvalidArgumentError, match=r"every row needs an id.*'id'.*row 2"):
        load_dataset(frame, ids="id")
    levels = frame.drop(columns="id").set_index(["a", "b"])
    found = load_dataset(levels)
    assert found.ids is None and any("several levels" in note for note in found.notes)


def test_lazy_tables_are_collected():
    polars = pytest.importorskip("polars")
    found = load_dataset(polars.DataFrame(columns()).lazy(), group="group")
    assert found.hash == REFERENCE.hash


def test_data_in_several_parts_are_refused():
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(columns())
    with pytest.raises(
        InvalidArgumentError, match=r"parts train, test: choose one, as data\['train"
    ):
        load_dataset(datasets.DatasetDict(train=rows, test=rows))
    with pytest.raises(InvalidArgumentError, match="IterableDataset"):
        load_dataset(rows.to_iterable_dataset())


def test_class_names_of_hugging_face_are_kept():
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features(
        {
            "v": datasets.List(datasets.Value("float64")),
            "label": datasets.ClassLabel(names=["z", "a"]),
        }
    )
    data = datasets.Dataset.from_dict({"v": X.tolist(), "label": CODES.tolist()}, features=kinds)
    found = load_dataset(data)
    assert found.classes == ("z", "a")
    np.testing.assert_array_equal(found.y, CODES)


def test_tensors_of_every_precision():
    torch = pytest.importorskip("torch")
    half = load_dataset(torch.tensor(X, dtype=torch.bfloat16), label=torch.tensor(CODES))
    np.testing.assert_allclose(half.x, X, rtol=1e-2)
    np.testing.assert_array_equal(half.y, CODES)


def test_identity_survives_shuffling_and_filtering():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns()).drop(columns="id").set_index(IDS)
    turned = frame.sample(frac=1, random_state=0)
    part = turned[turned["a"] > -0.5].drop(columns="group")
    found = load_dataset(part)
    pruned = prune(found, seed=0, keep_fraction=0.5, selection="threshold")
    assert found.ids is not None
    kept = frame.loc[found.ids[pruned.indices]]
    np.testing.assert_array_equal(kept[list(NAMES)].to_numpy(), found.x[pruned.indices])


def test_protected_rows_are_never_pruned():
    rows = np.arange(0, N, 4)
    split = np.where(np.isin(np.arange(N), rows), "test", "Train")
    plain = prune(REFERENCE.take(np.setdiff1d(np.arange(N), rows)), seed=2, keep_fraction=0.3)
    for found in (
        load_dataset(X, label=LABELS, split=split),
        load_dataset(X, label=LABELS, protect=rows),
        load_dataset({**columns(), "part": split}, split="part", drop=["group"]),
    ):
        pruned = prune(found, seed=2, keep_fraction=0.3)
        others = np.setdiff1d(np.arange(N), rows)
        np.testing.assert_array_equal(pruned.indices, others[plain.indices])
        assert not np.isin(pruned.indices, rows).any()
        assert (pruned.weights[rows] == 0).all()
        assert pruned.protected is not None and set(np.flatnonzero(pruned.protected)) == set(rows)
        assert pruned.data_hash == REFERENCE.hash
    assert set(prune(REFERENCE, seed=2, keep_fraction=0.9).indices) & set(rows)


REFUSED = [
    (lambda: load_dataset({"a": X[:, 0], "text": IDS, "label": LABELS}), ["'text'", "drop it"]),
    (lambda: load_dataset({"a": [1, np.nan, 2], "label": [0, 1, 0]}), ["'a'", "row 1"]),
    (lambda: load_dataset({"a": [[1], [2, 3]], "label": [0, 1]}), ["a", "array"]),
    (lambda: load_dataset({"a": [1, 2], "label": [0]}), ["one length", "label: 1"]),
    (lambda: load_dataset({"a": X[:, 0], "label": LABELS}, label="target"), ["'target'"]),
    (lambda: load_dataset(X), ["label="]),
    (lambda: load_dataset({"a": X[:0, 0], "label": LABELS[:0]}), ["2 samples", "has 0"]),
    (lambda: load_dataset(X, label=LABELS, ids=np.zeros(N)), ["ids", "distinct", "'0' occurs 40"]),
    (lambda: load_dataset(X, label=LABELS, ids=[None, *IDS[1:]]), ["id", "missing", "row 0"]),
    (lambda: load_dataset(X, label=LABELS, ids=IDS[:3]), ["ids", "(3,)"]),
    (lambda: load_dataset(X, label=LABELS, split=["dev"] * N), ["split", "train", "dev"]),
    (lambda: load_dataset(X, label=LABELS, protect=[N]), ["protect", str(N)]),
    (lambda: load_dataset(X, label=LABELS, protect=np.arange(N - 1)), ["2 rows"]),
    (lambda: load_dataset(X, label=np.ones((N, 2))), ["one-hot", "single 1", "soft"]),
    (lambda: load_dataset(X, label=np.eye(2)[CODES] * 0.9), ["one-hot"]),
    (lambda: load_dataset(X, label=[None, *LABELS[1:]]), ["label", "row 0"]),
    (lambda: load_dataset(object()), ["object"]),
    (lambda: load_dataset(sparse.csr_array((2**20, 2**16)), label=[0]), ["sparse", "TruncatedSVD"]),
    (lambda: load_dataset("digits", label=LABELS), ["digits"]),
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_does_not_fit_is_refused_in_a_sentence(case):
    call, words = REFUSED[case]
    with pytest.raises(InvalidArgumentError) as refused:
        call()
    text = str(refused.value)
    assert all(word in text for word in words), text
    assert "\n" not in text and text.endswith(".")


@pytest.mark.parametrize("ending", ["npy", "parquet", "arrow", "csv.gz", "npz"])
def test_damaged_files_are_refused(tmp_path, ending):
    if ending in ("parquet", "arrow"):
        pytest.importorskip("pyarrow")
    path = tmp_path / f"t.{ending}"
    path.write_bytes(b"no such file at all" * 3)
    with pytest.raises(InvalidArgumentError, match=r"cannot be read"):
        load_dataset(path, label=LABELS if ending == "npy" else None)


def test_a_missing_library_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InvalidArgumentError, match=r"pyarrow.*nfl-pruning\[tables\]"):
        load_dataset(tmp_path / "t.parquet")

"""Data sets: what is read, how labels are coded, what the hash promises, and what is refused."""

import gzip
import json
import shutil
import struct
import tarfile
from typing import Any

import numpy as np
import pytest

from nfl_pruning.data import load_dataset, make_dataset
from nfl_pruning.data.readers.cifar import FILES
from nfl_pruning.data.readers.files import load_contract, load_scores
from nfl_pruning.data.readers.idx import read_idx
from nfl_pruning.errors import InvalidArgumentError

X = np.array([[0.5, 1.0], [2.0, -3.0], [4.0, 0.0], [1.0, 1.0]])


def write_idx(path, array, *, compress=True):
    codes = {"uint8": 0x08, "int32": 0x0C, "float32": 0x0D}
    header = struct.pack(">HBB", 0, codes[str(array.dtype)], array.ndim)
    raw = header + struct.pack(f">{array.ndim}I", *array.shape)
    raw += array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(raw) if compress else raw)


def refused(action, *words):
    with pytest.raises(InvalidArgumentError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    for word in words:
        assert word in message


def test_digits_are_the_bundled_images():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    dataset = load_dataset("digits")
    np.testing.assert_array_equal(dataset.x * 16, x)
    np.testing.assert_array_equal(dataset.y, y)
    assert dataset.classes == tuple("0123456789")
    assert dataset.shape == (8, 8)
    assert dataset.is_image


@pytest.mark.parametrize(
    ("labels", "classes", "codes"),
    [
        ([7, -1, 7, 10], ("-1", "7", "10"), [1, 0, 1, 2]),
        (["cat", "dog", "cat", "ant"], ("ant", "cat", "dog"), [1, 2, 1, 0]),
        (["10", "2", "10", "1"], ("1", "2", "10"), [2, 1, 2, 0]),
        ([1.0, -1.0, 1.0, 1.0], ("-1", "1"), [1, 0, 1, 1]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
    ],
)
def test_labels_are_coded_in_order_and_keep_their_names(labels, classes, codes):
    dataset = make_dataset("mine", X, labels)
    assert dataset.classes == classes
    np.testing.assert_array_equal(dataset.y, codes)


def test_hash_follows_the_content_and_nothing_else(tmp_path):
    labels = np.array(["a", "b", "a", "b"])
    original = make_dataset("one", X, labels)
    np.savez(tmp_path / "two.npz", x=X.astype(np.float32), y=labels)
    (tmp_path / "three.csv").write_text("p,label,q\n.5,a,1\n2,b,-3\n4,a,0\n1,b,1\n")
    assert load_dataset(tmp_path / "two.npz").hash == original.hash
    assert load_dataset(tmp_path / "three.csv").hash == original.hash
    moved = X.copy()
    moved[2, 1] += 1e-9
    others = [
        make_dataset("x", moved, labels),
        make_dataset("y", X, ["a", "b", "b", "a"]),
        make_dataset("names", X, ["a", "c", "a", "c"]),
        original.take(np.array([1, 0, 2, 3])),
    ]
    assert len({original.hash, *(other.hash for other in others)}) == 5


def test_images_are_flattened_and_remember_their_shape(tmp_path):
    np.savez(tmp_path / "images.npz", x=np.arange(48).reshape(4, 2, 6), y=[0, 1, 1, 0])
    dataset = load_dataset(tmp_path / "images.npz")
    assert dataset.x.shape == (4, 12)
    assert dataset.shape == (2, 6)


@pytest.mark.parametrize("compress", [True, False])
def test_idx_folder(tmp_path, compress):
    rng = np.random.default_rng(0)
    ending = ".gz" if compress else ""
    images, labels = rng.integers(0, 256, (20, 5, 4), np.uint8), np.arange(20, dtype=np.uint8) % 10
    for stem in ("train", "t10k"):
        write_idx(tmp_path / f"{stem}-images-idx3-ubyte{ending}", images, compress=compress)
        write_idx(tmp_path / f"{stem}-labels-idx1-ubyte{ending}", labels, compress=compress)
    dataset = load_dataset("fashion-mnist", data_dir=tmp_path)
    np.testing.assert_allclose(dataset.x, images.reshape(20, 20) / 255, rtol=1e-6)
    assert dataset.classes[9] == "ankle boot"
    assert load_dataset("mnist", data_dir=tmp_path, part="test").classes[9] == "9"


def test_idx_reads_signed_and_real_entries(tmp_path):
    for array in (np.array([[1, -2]], np.int32), np.array([0.25, -8.0], np.float32)):
        write_idx(tmp_path / "file", array)
        np.testing.assert_array_equal(read_idx(tmp_path / "file"), array)


@pytest.mark.parametrize("packed", ["files", "folder", "archive"])
@pytest.mark.parametrize("name", ["cifar-10", "cifar-100"])
def test_cifar_binaries(tmp_path, name, packed):
    """Red, green, blue planes by row; CIFAR-100 has a coarse label before the fine one."""
    rng, layout = np.random.default_rng(0), FILES[name]
    place = tmp_path if packed == "files" else tmp_path / layout["folder"]
    place.mkdir(exist_ok=True)
    images = rng.integers(0, 256, (6, 32, 32, 3), np.uint8)
    labels = np.array([3, 0, 2, 1, 2, 0], np.uint8)
    coarse = [np.full(6, 9, np.uint8)[:, None]] * (layout["label_bytes"] - 1)
    planes = images.transpose(0, 3, 1, 2).reshape(6, -1)
    raw = np.hstack([*coarse, labels[:, None], planes]).tobytes()
    for file in layout["train"] + layout["test"]:
        (place / file).write_bytes(raw)
    (place / layout["names"]).write_text("ant\nbee\ncat\ndog\n\n")
    if packed == "archive":
        with tarfile.open(tmp_path / layout["archive"], "w:gz") as archive:
            archive.add(place, layout["folder"])
        shutil.rmtree(place)
    train = load_dataset(name, data_dir=tmp_path)
    assert len(train) == 6 * len(layout["train"])
    assert train.shape == (32, 32, 3)
    assert train.classes == ("ant", "bee", "cat", "dog")
    np.testing.assert_allclose(train.x[:6], images.reshape(6, -1) / 255, rtol=1e-6)
    np.testing.assert_array_equal(load_dataset(name, data_dir=tmp_path, part="test").y, labels)
    if packed == "files":
        (place / layout["test"][0]).write_bytes(raw[:-1])
        refused(lambda: load_dataset(name, data_dir=tmp_path, part="test"), "whole records")
        (place / layout["names"]).write_text("ant\nbee\n")
        refused(lambda: load_dataset(name, data_dir=tmp_path), "below 2", "3")
        (place / layout["names"]).unlink()
        refused(lambda: load_dataset(name, data_dir=tmp_path), layout["names"])


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / FILES["cifar-10"]["archive"]).write_bytes(b"not an archive")
    refused(lambda: load_dataset("cifar-10", data_dir=tmp_path), "no tar archive")
    refused(lambda: load_dataset("cifar-100", data_dir=tmp_path), "packed or unpacked")
    refused(lambda: load_dataset("cifar-100"), "data_dir")


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "cut-gzip", "missing"])
def test_damaged_idx_is_refused(tmp_path, damage):
    path = tmp_path / "file"
    write_idx(path, np.arange(6, dtype=np.uint8), compress=damage == "cut-gzip")
    raw = path.read_bytes()
    cuts = {"cut": raw[:-1], "empty": b"", "other": b"hello, world", "cut-gzip": raw[:-9]}
    path.unlink() if damage == "missing" else path.write_bytes(cuts[damage])
    refused(lambda: read_idx(path), str(path))


def test_absent_data_say_how_to_get_them(tmp_path):
    refused(lambda: load_dataset("fashion-mnist", data_dir=tmp_path), "dataset-fashion-mnist")
    refused(lambda: load_dataset("mnist"), "data_dir")
    refused(lambda: load_dataset("fashion-mnist", data_dir=tmp_path / "no"), "folder")
    refused(lambda: load_dataset("fashionmnist"), "'fashionmnist'", "nearest: fashion-mnist")
    refused(lambda: load_dataset(tmp_path / "none.csv"), "no file")
    refused(lambda: load_dataset(tmp_path), ".npz")


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (X, [1, 1, 1, 1], ["at least 2 values"]),
        (X, [1, 2, 1], ["4 and 3"]),
        (X[0], [1, 2], ["(2,)"]),
        (X, [1, 2, 1.5, 1], ["whole numbers or text"]),
        (X, [1, 2, np.nan, 1], ["every sample needs a label", "row 2"]),
        (X, ["a", "", "b", "a"], ["empty"]),
        (np.where(X == 4, np.nan, X), [1, 2, 1, 2], ["finite", "1 of 4", "row 2"]),
        (np.where(X == 4, np.inf, X), [1, 2, 1, 2], ["finite"]),
        (X.astype(complex), [1, 2, 1, 2], ["real numbers"]),
        (X.astype(str), [1, 2, 1, 2], ["real numbers"]),
        (X[:1], [1], ["at least 2 samples"]),
    ],
)
def test_unfit_arrays_are_refused(x, y, words):
    refused(lambda: make_dataset("mine", x, y), *words)


def test_unfit_npz_is_refused(tmp_path):
    path = tmp_path / "file.npz"
    path.write_bytes(b"")
    refused(lambda: load_dataset(path), "empty")
    path.write_bytes(b"not an archive")
    refused(lambda: load_dataset(path), "truncated or of another kind")
    np.savez(path, x=X, y=np.array([1, "a", None, 2], object), allow_pickle=True)
    refused(lambda: load_dataset(path), "pickled")
    np.savez(path, x=X, labels=[1, 2, 1, 2])
    refused(lambda: load_dataset(path), "x and y", "labels")
    np.savez(path, x=X, y=[1, 2, 1, 2])
    path.write_bytes(path.read_bytes()[:-40])
    refused(lambda: load_dataset(path), "truncated")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "column 'label'"),
        ("label,a,label\n1,2,3\n", "column 'label'"),
        ("label\n1\n", "column 'label'"),
        ("label,a\n", "0 rows"),
        ("label,a\n1,2\n2,x\n", "'x'"),
        ("label,a\n1,2\n2,\n", "number"),
        ("label,a,b\n1,2,3\n2,4\n", "columns"),
        ("label,a\n1,2,5\n2,4,5\n", "3 cells"),
        ("label,a\n1,2\n2,nan\n", "finite"),
        ("label,a\n1,2\n,3\n", "empty"),
        ("label,a\n1,2\n1,3\n", "at least 2 values"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_unfit_csv_is_refused(tmp_path, text, word):
    path = tmp_path / "table.csv"
    path.write_text(text)
    refused(lambda: load_dataset(path), word, "table.csv")


def test_csv_takes_quotes_and_text_labels(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('\ufeff"width",label\n"1.5","a, b"\n2,c\n-3e1,"a, b"\n', encoding="utf-8")
    dataset = load_dataset(path)
    assert dataset.classes == ("a, b", "c")
    np.testing.assert_array_equal(dataset.x, [[1.5], [2], [-30]])
    assert not dataset.is_image


def test_scores_of_every_format_agree(tmp_path):
    values = np.array([0.25, -1.0, 3.0])
    np.save(tmp_path / "s.npy", values)
    np.savez(tmp_path / "s.npz", scores=values, data_hash="abc")
    (tmp_path / "s.csv").write_text("score\n0.25\n-1\n3\n")
    for ending in ("npy", "npz", "csv"):
        np.testing.assert_array_equal(load_scores(tmp_path / f"s.{ending}", "abc", 3), values)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.arange(4.0), ["3 numbers", "(4,)"]),
        (np.ones((3, 10)), ["3 numbers", "(3, 10)"]),
        (np.array([True, False, True]), ["mask"]),
        (np.array([1.0, 0.0, 1.0]), ["mask"]),
        (np.array(["a", "b", "c"]), ["text"]),
        (np.array([1.0, np.nan, 2.0]), ["finite", "1 of 3"]),
    ],
)
def test_unfit_scores_are_refused(tmp_path, content, words):
    np.save(tmp_path / "s.npy", content)
    refused(lambda: load_scores(tmp_path / "s.npy", "abc", 3), *words)


def test_zeros_and_ones_of_a_known_score_are_scores(tmp_path):
    """What score writes is no mask, however coarse; a hash or a text alone proves nothing."""
    values = np.array([1.0, 0.0, 1.0])
    stated: dict[str, Any] = {"data_hash": "abc", "config": json.dumps({"score": "forgetting"})}
    np.savez(tmp_path / "s.npz", scores=values, **stated)
    np.testing.assert_array_equal(load_scores(tmp_path / "s.npz", "abc", 3), values)
    assert load_contract(tmp_path / "s.npz") == {"score": "forgetting"}
    bare = {"data_hash": "abc"}
    others: list[dict[str, Any]] = [{}, bare, bare | {"config": "{"}, bare | {"config": "[NaN]"}]
    for other in others:
        np.savez(tmp_path / "s.npz", scores=values, **other)
        refused(lambda: load_scores(tmp_path / "s.npz", "abc", 3), "mask")


def test_scores_of_other_data_or_kind_are_refused(tmp_path):
    np.savez(tmp_path / "s.npz", scores=np.arange(3.0), data_hash="other")
    refused(lambda: load_scores(tmp_path / "s.npz", "abc", 3), "other data")
    np.savez(tmp_path / "s.npz", mask=np.arange(3.0))
    refused(lambda: load_scores(tmp_path / "s.npz", "abc", 3), "scores", "mask")
    (tmp_path / "s.npy").write_bytes(b"junk")
    refused(lambda: load_scores(tmp_path / "s.npy", "abc", 3), "cannot be read")
    (tmp_path / "s.csv").write_text("1\ntwo\n3\n")
    refused(lambda: load_scores(tmp_path / "s.csv", "abc", 3), "two")
    (tmp_path / "s.txt").write_text("1\n")
    refused(lambda: load_scores(tmp_path / "s.txt", "abc", 3), "s.txt")
    refused(lambda: load_scores(tmp_path / "gone.npy", "abc", 3), "no file")

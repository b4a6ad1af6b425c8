"""The data sets that are known by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.readers.idx import read_idx
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.registry import Registry
from nfl_pruning.validation import check_choice

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist
FASHION_MNIST_CLASSES = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

Loader = Callable[[Path | None, str], Dataset]
DATASETS: Registry[Loader] = Registry("data set")


@DATASETS.decorator("digits")
def digits(folder: Path | None = None, part: str = "all") -> Dataset:
    """1,797 images of 8 x 8 pixels in 10 classes, part of scikit-learn; grey levels 0 to 1."""
    from sklearn.datasets import load_digits

    if part != "all":
        raise InvalidArgumentError("digits come without a test part; split them by a seed.")
    x, y = load_digits(return_X_y=True)
    return make_dataset("digits", (x / 16).astype(np.float32).reshape(-1, 8, 8), y)


@DATASETS.decorator("fashion-mnist")
def fashion_mnist(folder: Path | None = None, part: str = "train") -> Dataset:
    """70,000 images of 28 x 28 pixels in 10 classes of clothing; grey levels 0 to 1.

    ``part`` is ``"train"`` (60,000 images, what is pruned) or ``"test"`` (10,000).
    """
    how = (
        "install Debian's package dataset-fashion-mnist, or name as data_dir a folder that "
        "holds its four IDX files"
    )
    return idx_pair(
        "fashion-mnist", folder or FASHION_MNIST_FOLDER, part, how, FASHION_MNIST_CLASSES
    )


@DATASETS.decorator("mnist")
def mnist(folder: Path | None = None, part: str = "train") -> Dataset:
    """70,000 images of 28 x 28 pixels, handwritten digits; parts as for Fashion-MNIST."""
    how = "name as data_dir a folder that holds its four IDX files"
    if folder is None:
        raise InvalidArgumentError(f"mnist does not come with this package; {how}.")
    return idx_pair("mnist", folder, part, how)


def idx_pair(
    name: str, folder: Path, part: str, how: str, classes: tuple[str, ...] | None = None
) -> Dataset:
    """Images and labels from the usual pair of IDX files, compressed or not.

    Args:
        name: the data set's name.
        folder: where the files are.
        part: ``"train"``, ``"test"`` or ``"all"`` (treated as ``"train"``).
        how: how to get the files, for the message when they are missing.
        classes: names of the classes.
    """
    part = "train" if part == "all" else check_choice("part", part, ("train", "test"))
    stem = {"train": "train", "test": "t10k"}[part]
    arrays = []
    for content in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        options = [folder / f"{stem}-{content}{ending}" for ending in (".gz", "")]
        found = next((path for path in options if path.is_file()), None)
        if found is None:
            raise InvalidArgumentError(f"{name} is not in {folder}: {how}.")
        arrays.append(read_idx(found))
    images, labels = arrays
    if classes is not None and labels.size and labels.max() >= len(classes):
        raise InvalidArgumentError(
            f"labels of {name} must be below {len(classes)} in {folder}; got {labels.max()}."
        )
    scaled = images.astype(np.float32) / 255
    return make_dataset(name, scaled, labels, classes=classes, where=str(folder))

"""CIFAR-10 and CIFAR-100 from their binary archives, which hold bytes and no pickles."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nfl_pruning.data.builtin import DATASETS
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_choice

PIXELS = 3 * 32 * 32
FILES = {
    "cifar-10": {
        "folder": "cifar-10-batches-bin",
        "archive": "cifar-10-binary.tar.gz",
        "train": [f"data_batch_{i}.bin" for i in range(1, 6)],
        "test": ["test_batch.bin"],
        "names": "batches.meta.txt",
        "label_bytes": 1,
    },
    "cifar-100": {
        "folder": "cifar-100-binary",
        "archive": "cifar-100-binary.tar.gz",
        "train": ["train.bin"],
        "test": ["test.bin"],
        "names": "fine_label_names.txt",
        "label_bytes": 2,  # coarse, then fine
    },
}


@DATASETS.decorator("cifar-10")
def cifar_10(folder: Path | None = None, part: str = "train") -> Dataset:
    """60,000 colour images of 32 x 32 pixels in 10 classes; by ``data_dir``."""
    return load_cifar("cifar-10", folder, part)


@DATASETS.decorator("cifar-100")
def cifar_100(folder: Path | None = None, part: str = "train") -> Dataset:
    """60,000 colour images of 32 x 32 pixels in 100 classes; by ``data_dir``."""
    return load_cifar("cifar-100", folder, part)


def load_cifar(name: str, folder: Path | None, part: str) -> Dataset:
    """Images (height, width, channel) with values 0 to 1, and fine labels.

    Args:
        name: ``"cifar-10"`` or ``"cifar-100"``.
        folder: holds the binary archive, its unpacked folder, or the files themselves.
        part: ``"train"`` (or ``"all"``: the same) or ``"test"``.

    Raises:
        InvalidArgumentError: files are missing, truncated or of another kind.
    """
    layout = FILES[name]
    how = f"name as data_dir a folder that holds {layout['archive']}, packed or unpacked"
    if folder is None:
        raise InvalidArgumentError(f"{name} does not come with this package; {how}.")
    part = "train" if part == "all" else check_choice("part", part, ("train", "test"))
    wanted = [*layout[part], layout["names"]]
    found = dict(_contents(folder, layout, wanted))
    missing = [file for file in wanted if file not in found]
    if missing:
        raise InvalidArgumentError(f"{missing[0]} of {name} is not in {folder}: {how}.")
    size, blocks = layout["label_bytes"] + PIXELS, []
    for file in layout[part]:
        raw = found[file]
        if not raw or len(raw) % size:
            raise InvalidArgumentError(
                f"{file} in {folder} must hold whole records of {size} bytes; it holds {len(raw)}."
            )
        blocks.append(np.frombuffer(raw, np.uint8).reshape(-1, size))
    table = np.concatenate(blocks)
    classes = found[layout["names"]].decode().split()
    labels = table[:, layout["label_bytes"] - 1]
    if labels.max() >= len(classes):
        raise InvalidArgumentError(
            f"labels of {name} must be below {len(classes)} in {folder}; got {labels.max()}."
        )
    images = table[:, layout["label_bytes"] :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    scaled = images.astype(np.float32) / 255
    return make_dataset(name, scaled, labels, classes=classes, where=str(folder))


def _contents(folder: Path, layout: dict, wanted: list[str]) -> Iterator[tuple[str, bytes]]:
    """(file name, bytes) of those wanted files that the folder, or the archive in it, holds."""
    for place in (folder, folder / layout["folder"]):
        if (place / wanted[0]).is_file():
            yield from (
                (name, (place / name).read_bytes()) for name in wanted if (place / name).is_file()
            )
            return
    archive = folder / layout["archive"]
    if not archive.is_file():
        return
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                name = Path(member.name).name
                content = opened.extractfile(member) if name in wanted else None
                if content is not None:
                    yield name, content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        raise InvalidArgumentError(f"{archive} is truncated or no tar archive.") from None

"""A labelled data set in memory: checked once, with a hash of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.data.arrays import as_array
from nfl_pruning.data.labels import from_one_hot, plain_labels
from nfl_pruning.data.remarks import remarks_on_classes
from nfl_pruning.errors import InvalidArgumentError

ROWS_PER_CHUNK = 4096
LARGEST_LABEL = 2.0**53  # beyond it floats skip whole numbers


@dataclass(frozen=True)
class Dataset:
    """n labelled samples with d features; build one with :func:`make_dataset`.

    Attributes:
        name: what the data are called in listings and records.
        x: features, shape (n, d), float32 or float64, all finite.
        y: class codes 0 .. C - 1, int64, shape (n,); every class occurs in the original data.
        classes: the original name of each class, length C.
        shape: shape of one input before flattening: (28, 28) for an image, (d,) for a table.
        features: names of a table's columns, in the order of ``x``, where they have names.
        ids: what the rows are called, distinct whole numbers or texts, shape (n,), if anything.
        notes: sentences on how the data were read.
        source: the file that they were read from.
        group: what each row belongs to beside its class, shape (n,), where the reader names it.
        protected: rows that are never pruned, as those of a test part, boolean of shape (n,).
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    features: tuple[str, ...] | None = None
    ids: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    source: Path | None = None
    group: np.ndarray | None = None
    protected: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def is_image(self) -> bool:
        """Whether the features are pixels, which share one unit."""
        return len(self.shape) > 1

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of n, d, features as little-endian float64, and class names, by row.

        It does not depend on the file format, on the stored precision of numbers that float32
        holds exactly, on the shape of an image, or on the data set's name.
        """
        digest = hashlib.sha256(f"{self.x.shape[0]} {self.x.shape[1]}\n".encode())
        for start in range(0, len(self), ROWS_PER_CHUNK):
            chunk = self.x[start : start + ROWS_PER_CHUNK]
            digest.update(np.ascontiguousarray(chunk, dtype="<f8").tobytes())
        names = "\0".join(self.classes[code] for code in self.y)
        digest.update(names.encode(errors="surrogatepass"))
        return digest.hexdigest()

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content and of an image's shape: the same pixels in a row differ."""
        if not self.is_image:
            return self.content_hash
        return hashlib.sha256(f"{self.content_hash} {self.shape}".encode()).hexdigest()

    def take(self, rows: np.ndarray) -> Dataset:
        """The samples in ``rows``, in that order, with the same class codes."""
        more = {
            name: None if (held := getattr(self, name)) is None else held[rows]
            for name in ("ids", "group", "protected")
        }
        return replace(self, x=self.x[rows], y=self.y[rows], source=None, **more)

    @property
    def candidates(self) -> Dataset:
        """The rows that may be pruned, as a data set of their own."""
        if self.protected is None:
            return self
        return replace(self.take(np.flatnonzero(~self.protected)), protected=None)

    @property
    def protected_part(self) -> Dataset | None:
        """The rows that are never pruned, as a data set to test on; None without any."""
        if self.protected is None:
            return None
        found = replace(self.take(np.flatnonzero(self.protected)), protected=None)
        return replace(found, name=f"the {len(found)} protected rows of {self.name}", notes=())

    def name_of_row(self, row: int) -> str:
        """A row as people find it: its id, the line of its file, or its number."""
        if self.ids is not None:
            return f"id {self.ids[row]}"
        if self.source is not None and self.source.suffix.lower() == ".csv":
            from nfl_pruning.data.readers.tables import line_of

            return f"line {line_of(self.source, row)}"
        return f"row {row}"

    def describe_features(self) -> dict[str, Any]:
        """What was read of each sample, as plain values."""
        return {
            "features": None if self.features is None else list(self.features),
            "feature_shape": list(self.shape),
        }

    def class_counts(self) -> np.ndarray:
        """Samples of each class, shape (C,)."""
        return np.bincount(self.y, minlength=len(self.classes))


def make_dataset(
    name: str, x: Any, y: Any, *, classes: Sequence[str] | None = None, where: str = ""
) -> Dataset:
    """Check features and labels and code the labels as 0 .. C - 1.

    Args:
        name: what the data are called.
        x: real numbers, shape (n, ...): an array of any library, or a SciPy sparse matrix;
            trailing axes are flattened. A memory-mapped array of floats is not read into memory.
        y: labels, shape (n,): whole numbers or text; or one-hot, shape (n, C). Codes follow the
            order of the numbers, or of the text where a label is not a whole number.
        classes: names for the labels 0 .. C - 1, in place of the labels themselves.
        where: the source, used in messages; the name by default.

    Raises:
        InvalidArgumentError: features are not finite numbers, labels are constant, missing or of
            another length, or fewer than two samples are given.
    """
    where = where or name
    features, labels = as_array("x", x, where), plain_labels(as_array("y", y, where), where)
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = from_one_hot(labels, where)
    if features.ndim < 2 or labels.ndim != 1:
        raise InvalidArgumentError(
            f"x must have shape (n, features...) and y shape (n,) in {where}; got shapes "
            f"{features.shape} and {labels.shape}."
        )
    if len(features) != len(labels):
        raise InvalidArgumentError(
            f"x and y must have as many rows as each other in {where}; got {len(features)} and "
            f"{len(labels)}."
        )
    codes, names = code_labels(labels, where)
    _check_layout(features.shape[1:], where)
    width = int(np.prod(features.shape[1:], dtype=int))
    flat = _real_features(features.reshape(len(features), width), where)
    if classes is not None:
        names = _renamed(names, tuple(map(str, classes)), where)
    notes = tuple(remarks_on_classes(names))
    return Dataset(name, flat, codes, names, tuple(features.shape[1:]), notes=notes)


def _renamed(labels: tuple[str, ...], classes: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The names of the labels, which number them from 0."""
    known = {str(code): name for code, name in enumerate(classes)}
    strange = [label for label in labels if label not in known]
    if strange or len(set(classes)) < len(classes):
        raise InvalidArgumentError(
            f"classes must be distinct names of the labels 0 to {len(classes) - 1} in {where}; got "
            f"{', '.join(classes)}{f' and the label {strange[0]}' if strange else ''}."
        )
    return tuple(known[label] for label in labels)


def _check_layout(shape: tuple[int, ...], where: str) -> None:
    """Refuse images whose channels come first, which would be read as a height."""
    first = len(shape) == 3 and shape[0] in (1, 3, 4) and min(shape[1:]) > 4
    if first:
        raise InvalidArgumentError(
            f"images must have shape (height, width) or (height, width, channels) in {where}; got "
            f"{shape}, which looks like channels first: numpy.moveaxis(x, 1, -1) puts them last."
        )


def _real_features(x: np.ndarray, where: str) -> np.ndarray:
    """Features as float32 (small integers, float32) or float64, all finite; shape is kept."""
    if x.dtype.kind not in "biuf" or not x.shape[1]:
        raise InvalidArgumentError(
            f"x must hold real numbers, at least one a sample, in {where}; got type {x.dtype} and "
            f"shape {x.shape}."
        )
    exact_in_float32 = x.dtype.kind == "b" or x.dtype.itemsize <= (4 if x.dtype.kind == "f" else 2)
    wanted = np.dtype(np.float32 if exact_in_float32 else np.float64)
    mapped = isinstance(x, np.memmap) and x.dtype == wanted
    with np.errstate(over="ignore"):
        values = np.asarray(x) if mapped else x.astype(wanted)
    chunks = range(0, len(x), ROWS_PER_CHUNK)
    fine = [np.isfinite(values[start : start + ROWS_PER_CHUNK]).all(axis=1) for start in chunks]
    bad = np.flatnonzero(~np.concatenate(fine)) if fine else []
    if len(bad):
        raise InvalidArgumentError(
            f"features must be finite numbers in {where}; {len(bad)} of {len(x)} rows are not, the "
            f"first is row {bad[0]}."
        )
    return values


def code_labels(labels: np.ndarray, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class codes 0 .. C - 1, shape (n,), and the names of the C classes."""
    if len(labels) < 2:
        raise InvalidArgumentError(
            f"a data set must have at least 2 samples; {where} has {len(labels)}."
        )
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
            bad = labels[~(np.isfinite(labels) & (labels == np.round(labels)))][0]
            raise InvalidArgumentError(
                f"labels must be whole numbers or text in {where}; some are not, such as {bad}."
            )
        if np.abs(labels).max() > LARGEST_LABEL:
            raise InvalidArgumentError(
                f"labels must be whole numbers below 2^53 or text in {where}; got "
                f"{labels[np.abs(labels).argmax()]}."
            )
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "biuU":
        raise InvalidArgumentError(
            f"labels must be whole numbers or text in {where}; got type {labels.dtype}, such as "
            f"{labels.reshape(-1)[0]!r}."
        )
    found, codes = np.unique(labels, return_inverse=True)
    names = [str(name) for name in found]
    if labels.dtype.kind == "U":
        if "" in names:
            raise InvalidArgumentError(f"every sample needs a label in {where}; some are empty.")
        order = _number_order(names)
        codes, names = np.argsort(order)[codes], [names[i] for i in order]
    if len(names) < 2:
        raise InvalidArgumentError(
            f"labels must take at least 2 values in {where}; all {len(labels)} are of the class "
            f"{names[0]!r}."
        )
    return codes.astype(np.int64), tuple(names)


def _number_order(names: list[str]) -> np.ndarray:
    """Order of class names: by value when all are whole numbers (2 before 10), else as text."""
    try:
        return np.argsort([int(name) for name in names], kind="stable")
    except ValueError:
        return np.arange(len(names))

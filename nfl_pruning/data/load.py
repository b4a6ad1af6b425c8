"""From what the user types to a data set."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from nfl_pruning.data import cifar as cifar  # registers its data sets
from nfl_pruning.data.builtin import DATASETS
from nfl_pruning.data.columns import Columns, listed
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.data.files import load_csv, load_npz
from nfl_pruning.data.remarks import remarks_on_test_data
from nfl_pruning.validation import InvalidArgumentError, check_choice

READERS = {".npz": load_npz, ".csv": load_csv}


def load_dataset(
    data: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    part: str = "all",
    columns: Columns | None = None,
) -> Dataset:
    """A data set by name or from a file.

    Args:
        data: a registered name (``digits``, ``fashion-mnist``, ``mnist``, ``cifar-10``,
            ``cifar-100``), or the path of a .npz file with arrays ``x`` and ``y``, or of a .csv
            file with a column ``label``.
        data_dir: folder of the files of a named data set; its usual place by default. None for a
            file.
        part: ``"train"`` or ``"test"`` for data that come with a test part; ``"all"`` is what one
            would prune: everything, or the training part.
        columns: which columns of a file are labels, ids and features.

    Raises:
        InvalidArgumentError: unknown name, or a file that is missing, damaged or does not fit.
    """
    if not isinstance(data, (str, os.PathLike)):
        raise InvalidArgumentError(
            f"data must be a name or a file; got {type(data).__name__}: make_dataset(name, x, y) "
            "takes arrays."
        )
    text, path = os.fspath(data), Path(data)
    if text in DATASETS:
        folder = None if data_dir is None else Path(data_dir)
        if folder is not None and not folder.is_dir():
            raise InvalidArgumentError(
                f"data_dir must be a folder that exists; got {str(folder)!r}."
            )
        if columns is not None and columns != Columns():
            raise InvalidArgumentError(
                "label_column, id_column and drop are for data in a file; got the data set "
                f"{text!r}."
            )
        return DATASETS[text](folder, part)
    if path.suffix.lower() in READERS:
        if data_dir is not None:
            raise InvalidArgumentError(
                f"data_dir is for a data set with a name, not for {text!r}; got "
                f"{os.fspath(data_dir)!r}."
            )
        return READERS[path.suffix.lower()](path, columns)
    if os.path.exists(path):
        raise InvalidArgumentError(f"data files must end in {' or '.join(READERS)}; got {text!r}.")
    check_choice("data set", text, DATASETS)
    raise AssertionError("unreachable: the name is unknown")


def load_test_data(
    data: str | os.PathLike[str], dataset: Dataset, columns: Columns | None = None
) -> Dataset:
    """Data to test on what was fitted to ``dataset``: columns by name, labels in its codes.

    Args:
        data: a file.
        dataset: what is trained on.
        columns: as for the training data.

    Raises:
        InvalidArgumentError: a feature is missing, the shapes differ, or a class is unknown.
    """
    columns = columns or Columns()
    by_name = replace(columns, features=dataset.features, drop=(), ids=None)
    test = load_dataset(data, columns=by_name)
    notes = list(test.notes)
    if (dataset.features is None) != (test.features is None):
        notes.append(
            f"Not both the data and {data} name their features: they are taken in their order."
        )
    unknown = sorted(set(test.classes) - set(dataset.classes))
    if test.shape != dataset.shape or unknown:
        raise InvalidArgumentError(
            f"test_data must have the data's {dataset.x.shape[1]} features of shape "
            f"{dataset.shape} and its classes; got shape {test.shape} and {len(unknown)} unknown "
            f"classes{': ' * bool(unknown)}{listed(unknown, 5)}."
        )
    notes += remarks_on_test_data(dataset.x, test.x, dataset.features, pooled=test.is_image)
    codes = np.array([dataset.classes.index(name) for name in test.classes])
    return replace(test, y=codes[test.y], classes=dataset.classes, notes=tuple(notes))

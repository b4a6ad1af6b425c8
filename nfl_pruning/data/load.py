"""From what the user types to a data set."""

from __future__ import annotations

import os
from pathlib import Path

from nfl_pruning.data import cifar as cifar  # registers its data sets
from nfl_pruning.data.builtin import DATASETS
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.data.files import load_csv, load_npz
from nfl_pruning.validation import InvalidArgumentError, check_choice

READERS = {".npz": load_npz, ".csv": load_csv}


def load_dataset(
    data: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    part: str = "all",
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

    Raises:
        InvalidArgumentError: unknown name, or a file that is missing, damaged or does not fit.
    """
    text, path = os.fspath(data), Path(data)
    if text in DATASETS:
        folder = None if data_dir is None else Path(data_dir)
        if folder is not None and not folder.is_dir():
            raise InvalidArgumentError(
                f"data_dir must be a folder that exists; got {str(folder)!r}."
            )
        return DATASETS[text](folder, part)
    if path.suffix.lower() in READERS:
        if data_dir is not None:
            raise InvalidArgumentError(
                f"data_dir is for a data set with a name, not for {text!r}; got "
                f"{os.fspath(data_dir)!r}."
            )
        return READERS[path.suffix.lower()](path)
    if path.exists():
        raise InvalidArgumentError(f"data files must end in {' or '.join(READERS)}; got {text!r}.")
    check_choice("data set", text, DATASETS)
    raise AssertionError("unreachable: the name is unknown")

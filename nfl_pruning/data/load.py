"""From what people have to a data set: a name, a file, a table or arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.data.arrays import as_array, as_vector, is_array, is_sparse, plain_ids
from nfl_pruning.data.builtin import DATASETS
from nfl_pruning.data.columns import Columns, listed
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.parts import with_parts
from nfl_pruning.data.readers import cifar as cifar  # registers its data sets
from nfl_pruning.data.readers.arrow_files import load_arrow
from nfl_pruning.data.readers.endings import COLUMNAR, TABLES, TEXT, ending_of
from nfl_pruning.data.readers.files import load_csv, load_npz
from nfl_pruning.data.readers.foreign_tables import as_frame
from nfl_pruning.data.readers.frames import Frame, from_frame
from nfl_pruning.data.readers.npy import load_npy, map_npy, read_vector
from nfl_pruning.data.remarks import remarks_on_test_data
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_choice

READERS = {
    ".npz": load_npz,
    ".npy": load_npy,
    **dict.fromkeys(TEXT, load_csv),
    **dict.fromkeys(COLUMNAR, load_arrow),
}
VALUES = ("label", "ids", "group", "split")  # may be given as a column's name or as values


def load_dataset(
    data: Any,
    *,
    label: Any = None,
    ids: Any = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    group: Any = None,
    split: Any = None,
    protect: Any = None,
    data_dir: str | os.PathLike[str] | None = None,
    part: str = "all",
    columns: Columns | None = None,
) -> Dataset:
    """A data set by name, from a file, from a table of another library, or from arrays.

    Args:
        data: a registered name (``digits``, ``fashion-mnist``, ``mnist``, ``cifar-10``,
            ``cifar-100``); the path of a .npz (arrays ``x`` and ``y``), .npy (features, mapped and
            not read), .csv, .csv.gz, .parquet or .arrow file; a DataFrame of pandas or polars, an
            Arrow table, a Hugging Face ``Dataset`` or a mapping of columns; or features: an array
            of any library, a torch tensor, or a SciPy sparse matrix, shape (n, ...).
        label: the column of the labels (``label`` by default; in a .npz the array ``y``), several
            one-hot columns, or the labels themselves: shape (n,), or one-hot, shape (n, C). For a
            .npy file also a file with one label a row.
        ids: the column of the rows' ids, or the ids themselves; ``"none"`` for no such column.
            By default a column that is named as one, or a DataFrame's own index.
        features: columns to read as features, in this order; all others by default.
        drop: columns to leave out.
        group: the column of groups, or the groups themselves; no feature.
        split: the column of parts, or the parts themselves: rows that are not in ``train`` are
            never pruned.
        protect: rows that are never pruned, as numbers or as a mask.
        data_dir: folder of the files of a named data set; its usual place by default. None for
            anything else.
        part: ``"train"`` or ``"test"`` for data that come with a test part; ``"all"`` is what one
            would prune: everything, or the training part.
        columns: label, ids, drop, features, group and split in one object, in place of these.

    Raises:
        InvalidArgumentError: unknown name, or data that are missing, damaged or do not fit.
    """
    columns, given = _asked(
        columns,
        {"label": label, "ids": ids, "features": features, "drop": drop, "group": group}
        | {"split": split},
    )
    if isinstance(data, str | os.PathLike):
        found = _from_text(data, columns, given, data_dir=data_dir, part=part)
    elif data_dir is not None:
        raise InvalidArgumentError(f"data_dir is for a data set with a name; got {data_dir!r}.")
    else:
        found = _from_object(data, columns, given)
    return with_parts(found, protect=protect) if protect is not None else found


def _asked(columns: Columns | None, said: dict[str, Any]) -> tuple[Columns, dict[str, Any]]:
    """Which columns are what, and what is given as values and not as a column's name."""
    said = {name: value for name, value in said.items() if value is not None}
    if columns is not None and said:
        raise InvalidArgumentError(
            f"columns must not be given together with {' and '.join(sorted(said))}."
        )
    given = {
        n: said.pop(n) for n in VALUES if n in said and not _names(said[n], several=n == "label")
    }
    for name in ("features", "drop", "label"):
        if name in said and not isinstance(said[name], str):
            said[name] = tuple(said[name])
        elif name in said and name != "label":
            said[name] = (said[name],)
    return columns or Columns(**said), given


def _names(value: Any, *, several: bool) -> bool:
    """Whether this is a column's name, or ``several`` one-hot columns' names."""
    if isinstance(value, str) or not several:
        return isinstance(value, str)
    few = isinstance(value, list | tuple) and len(value) > 1 and len(set(map(str, value))) > 1
    return few and all(isinstance(name, str) for name in value) and len(set(value)) == len(value)


def _from_text(
    data: str | os.PathLike[str],
    columns: Columns,
    given: dict[str, Any],
    *,
    data_dir: str | os.PathLike[str] | None,
    part: str,
) -> Dataset:
    text, path = os.fspath(data), Path(data)
    if text in DATASETS:
        _refuse_columns(columns, given, text)
        folder = None if data_dir is None else Path(data_dir)
        if folder is not None and not folder.is_dir():
            raise InvalidArgumentError(
                f"data_dir must be a folder that exists; got {str(folder)!r}."
            )
        return DATASETS[text](folder, part)
    ending = ending_of(path, READERS)
    if ending is None:
        if os.path.exists(path):
            endings = " or ".join(READERS)
            raise InvalidArgumentError(f"data files must end in {endings}; got {text!r}.")
        check_choice("data set", text, DATASETS)
    if data_dir is not None:
        raise InvalidArgumentError(
            f"data_dir is for a data set with a name, not for {text!r}; got "
            f"{os.fspath(data_dir)!r}."
        )
    if ending == ".npy":
        return _from_npy(path, columns, given)
    if given and ending in TABLES:
        name = next(iter(given))
        raise InvalidArgumentError(
            f"{name} must name a column of {text}; values of {name} go with arrays and tables in "
            "memory."
        )
    return _with_values(READERS[str(ending)](path, columns), given)


def _refuse_columns(columns: Columns, given: dict[str, Any], text: str) -> None:
    if columns != Columns() or given:
        raise InvalidArgumentError(
            f"label_column, id_column and drop are for data in a file; got the data set {text!r}."
        )


def _from_npy(path: Path, columns: Columns, given: dict[str, Any]) -> Dataset:
    """Features of a .npy; what is said by name is a file beside it."""
    n_rows = len(rows) if (rows := map_npy(path)).ndim else None
    for name in VALUES:
        said = getattr(columns, name)
        if isinstance(said, str) and Path(said).is_file():
            given = given | {name: read_vector(Path(said), name, n_rows)}
            columns = replace(columns, **{name: None})
    found = load_npy(path, columns, given.pop("label", None))
    return _with_values(found, given)


def _from_object(data: Any, columns: Columns, given: dict[str, Any]) -> Dataset:
    if isinstance(data, Dataset):
        return _with_values(data, given)
    frame = as_frame(data)
    if frame is None and isinstance(data, np.ndarray) and data.dtype.names:
        frame = Frame({name: data[name] for name in data.dtype.names})
    if frame is not None:
        for name in [name for name in VALUES if name in given]:
            values = given[name]
            frame, own = _with_column(frame, name, values)
            columns = replace(columns, **{name: own})
        return from_frame(frame, columns)
    if not (is_array(data) or is_sparse(data)):
        raise InvalidArgumentError(
            "data must be a data set's name, a file, a table or an array; got "
            f"{type(data).__name__}."
        )
    named = [f.name for f in fields(columns) if getattr(columns, f.name) not in (None, (), "none")]
    if named or "label" not in given:
        raise InvalidArgumentError(
            "an array of features needs label= with the labels, and has no columns to name; got "
            f"{', '.join(named) or 'no labels'}."
        )
    label = given.pop("label")
    return _with_values(make_dataset("array", data, label), given)


def _with_column(frame: Frame, name: str, values: Any) -> tuple[Frame, str]:
    if name == "label":
        return frame.with_column(name, as_array(name, values, frame.where))
    return frame.with_column(name, as_vector(name, values, None, frame.where))


def _with_values(dataset: Dataset, given: dict[str, Any]) -> Dataset:
    """Ids, groups and parts that are given as values."""
    ids = given.pop("ids", None)
    if "label" in given:
        raise InvalidArgumentError("label must name an array of the archive; got values.")
    if ids is not None:
        own = plain_ids(as_vector("ids", ids, len(dataset), dataset.name))
        names, counts = np.unique(own, return_counts=True)
        if own.dtype.kind == "U" and "" in names:
            raise InvalidArgumentError(
                f"every row needs an id in {dataset.name}; {int((own == '').sum())} are missing, "
                f"the first in row {int(np.argmax(own == ''))}."
            )
        if len(names) < len(own):
            raise InvalidArgumentError(
                f"ids must be distinct in {dataset.name}; {str(names[counts.argmax()])!r} occurs "
                f"{counts.max()} times."
            )
        dataset = replace(dataset, ids=own)
    return with_parts(dataset, **given) if given else dataset


def load_test_data(data: Any, dataset: Dataset, columns: Columns | None = None) -> Dataset:
    """Data to test on what was fitted to ``dataset``: columns by name, labels in its codes.

    Args:
        data: as for :func:`load_dataset`, with labels in a column.
        dataset: what is trained on.
        columns: as for the training data.

    Raises:
        InvalidArgumentError: a feature is missing, the shapes differ, or a class is unknown.
    """
    columns = columns or Columns()
    file = Path(data) if isinstance(data, str | os.PathLike) else None
    if file is not None and file.suffix.lower() == ".npy" and map_npy(file).dtype.names is None:
        raise InvalidArgumentError(
            f"test_data must hold labels beside its features, as a .npz or a table does; got "
            f"{os.fspath(data)!r}."
        )
    by_name = replace(columns, features=dataset.features, drop=(), ids=None, split=None)
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

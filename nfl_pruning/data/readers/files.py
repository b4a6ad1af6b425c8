"""Data sets in the user's own archives; tables and scores have modules of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from nfl_pruning.data.columns import NO_IDS, Columns, suspects
from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.data.parts import with_parts
from nfl_pruning.data.readers.archives import read_npz as read_npz
from nfl_pruning.data.readers.tables import load_csv as load_csv
from nfl_pruning.data.remarks import remarks_on_copies
from nfl_pruning.data.side_files.scores_file import load_contract as load_contract
from nfl_pruning.data.side_files.scores_file import load_scores as load_scores
from nfl_pruning.errors import InvalidArgumentError


def load_npz(path: Path, columns: Columns | None = None) -> Dataset:
    """A data set from the arrays ``x`` (n, ...) and ``y`` (n,), perhaps with ``ids`` (n,).

    An array ``feature_names`` (d,) names the columns of a table.
    """
    columns = columns or Columns()
    if columns.drop:
        raise InvalidArgumentError(
            f"drop is for columns of a .csv; {path} is an archive: got {', '.join(columns.drop)}."
        )
    if isinstance(columns.label, tuple):
        raise InvalidArgumentError(f"label must name one array of {path}; got {columns.label!r}.")
    label = columns.label or "y"
    named = columns.ids not in (None, NO_IDS)
    own = str(columns.ids) if named else "ids"
    more = [name for name in (columns.group, columns.split) if name]
    arrays = read_npz(
        path, ("x", label, *([own] if named else []), *more), ("ids", "feature_names")
    )
    found = make_dataset(path.stem, arrays["x"], arrays[label], where=str(path))
    names, notes = None, list(found.notes)
    if not found.is_image:
        names = _feature_names(arrays.get("feature_names"), found.x.shape[1])
        notes += [*suspects(names, found.x), *remarks_on_copies(names, found.x, found.y)]
    ids = None if columns.ids == NO_IDS else arrays.get(own)
    if ids is not None and not _are_ids(ids, len(found)):
        sentence = (
            f"ids in {path} must be {len(found)} distinct whole numbers or texts, one a sample; "
            f"got shape {ids.shape} of type {ids.dtype}."
        )
        if named:
            raise InvalidArgumentError(sentence)
        ids = None
        notes.append(f"The {sentence.removesuffix('.')}; they are not used.")
    found = replace(found, features=names, ids=ids, notes=tuple(notes), source=path)
    parts = {"group": columns.group, "split": columns.split}
    found = with_parts(found, **{part: arrays[name] for part, name in parts.items() if name})
    return found if columns.features is None else _in_order(found, columns.features)


def _in_order(found: Dataset, features: tuple[str, ...]) -> Dataset:
    """The features in the order of other data, by name where both have names."""
    if found.features is None or found.features == features:
        return found
    missing = [name for name in features if name not in found.features]
    if missing:
        raise InvalidArgumentError(
            f"{found.source} must have the data's features; it lacks {missing[0]!r}."
        )
    places = [found.features.index(name) for name in features]
    return replace(found, x=found.x[:, places], features=features, shape=(len(places),))


def _feature_names(found: np.ndarray | None, width: int) -> tuple[str, ...] | None:
    """The names where there is a distinct text a feature, else None."""
    if found is None or found.shape != (width,) or found.dtype.kind != "U":
        return None
    names = tuple(map(str, found.tolist()))
    return names if len(set(names)) == width else None


def _are_ids(ids: np.ndarray, n_samples: int) -> bool:
    fits = ids.shape == (n_samples,) and ids.dtype.kind in "iuU"
    return fits and len(np.unique(ids)) == n_samples

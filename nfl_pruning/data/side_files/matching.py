"""Rows of a file and rows of the data: by id where both have ids, else in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nfl_pruning.data.columns import listed
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError


def match_rows(
    path: Path, ids: np.ndarray, dataset: Dataset, *, what: str, lacking: bool = False
) -> tuple[np.ndarray | None, str]:
    """For each row of the data its place in the file, and what the reader should know about it.

    Args:
        path: the file, for messages.
        ids: of the file's rows.
        dataset: n rows.
        what: stands for a row of the file in messages: ``"score"``.
        lacking: whether protected rows may be missing in the file.

    Returns:
        Places of shape (n,), -1 for a protected row that is missing; None where the rows are in
        order, since one of the two has no ids but numbers.

    Raises:
        InvalidArgumentError: an id occurs twice, or one of the data's is missing.
    """
    own = [str(value).strip() for value in ids.tolist()]
    places = {name: place for place, name in enumerate(own)}
    if len(places) < len(own):
        twice = next(name for place, name in enumerate(own) if places[name] != place)
        raise InvalidArgumentError(f"ids must be distinct in {path}; {twice!r} occurs twice.")
    numbered = [str(row) for row in range(len(dataset))]
    wanted = numbered if dataset.ids is None else [str(value) for value in dataset.ids.tolist()]
    if dataset.ids is None and places.keys() != set(wanted):
        note = f"The data have no ids to match those in {path}: its {what}s are taken in the order"
        return None, f"{note} of the data."
    if own == numbered and not places.keys() & set(wanted):
        note = f"The ids in {path} are row numbers, and none of the data's: its {what}s are taken"
        return None, f"{note} in the order of the data."
    needed = np.ones(len(dataset), bool)
    if lacking and dataset.protected is not None:
        needed = ~dataset.protected
    missing = [name for name, so in zip(wanted, needed, strict=True) if so and name not in places]
    if missing:
        raise InvalidArgumentError(
            f"{path} must have a {what} for every id of the data; {len(missing)} of {len(wanted)} "
            f"are missing: {listed(missing, 3)}."
        )
    extra = len(places.keys() - set(wanted))
    note = f"{extra} ids in {path} are not in the data and are ignored." if extra else ""
    return np.array([places.get(name, -1) for name in wanted]), note

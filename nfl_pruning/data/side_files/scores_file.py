"""Difficulty scores that were computed elsewhere: read, and matched to the data's rows."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.data.arrays import plain_ids
from nfl_pruning.data.columns import listed
from nfl_pruning.data.dataset import Dataset
from nfl_pruning.data.readers.archives import check_hash, read_npz
from nfl_pruning.data.readers.endings import COLUMNAR, TABLES, TEXT, ending_of
from nfl_pruning.data.readers.tables import UNREADABLE, open_text
from nfl_pruning.data.side_files.matching import match_rows
from nfl_pruning.data.side_files.side_tables import is_called_id, read_side_table
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_file, is_number

SCORE_NAMES = ("scores", "score")


@dataclass(frozen=True)
class GivenScores:
    """Scores of a file, in the order of the data.

    Attributes:
        values: float64, finite, shape (n,), larger = harder.
        contract: how they were computed, where the file says it as ``score`` does.
        notes: what the reader should know.
    """

    values: np.ndarray
    contract: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Column:
    """What a file holds: scores, perhaps with ids; ``said`` when it calls them scores."""

    scores: np.ndarray
    ids: np.ndarray | None = None
    said: bool = False
    hashed: bool = False


def read_scores(path: Path, dataset: Dataset) -> GivenScores:
    """Scores of a data set's rows: matched by id where file and data have ids, else in order.

    Reads what :func:`load_scores` does, and a table with a column ``scores`` (or ``score``) beside
    one of ids.

    Raises:
        InvalidArgumentError: see :func:`load_scores`; or the ids do not fit the data's.
    """
    found = _read(path, dataset.hash)
    scores, notes = found.scores, []
    if found.ids is not None:
        scores, note = _matched(path, found, dataset)
        notes += [note] if note else []
    elif dataset.ids is not None and not found.hashed:
        notes.append(f"{path} has no ids: its scores are taken in the order of the data.")
    contract = load_contract(path)
    known = contract is not None or found.said
    values = _checked(path, scores, len(dataset), known=known, protected=dataset.protected)
    if contract is None and np.isin(values, (0, 1)).all():
        notes.append(
            f"The scores in {path} are 0 and 1 alone and are taken for counts, larger = harder: "
            "they are no mask of rows to keep."
        )
    return GivenScores(values, contract, tuple(notes))


def load_scores(path: Path, data_hash: str, n_samples: int) -> np.ndarray:
    """Difficulty scores computed elsewhere, in data-set order, shape (n,), larger = harder.

    Reads a .npz with ``scores`` (its ``data_hash``, when present, must be the data's), a .npy, a
    .csv or .csv.gz of one number a line, where a first line that is no number counts as a header,
    or a .parquet, .arrow or .feather with such a column. Nothing but zeros and ones is taken for a
    mask, unless the file says how the scores were computed (see :func:`load_contract`) or a table
    calls its column scores: a score such as forgetting can be that coarse.

    Raises:
        InvalidArgumentError: unreadable, another length, not finite, or a mask or logits by shape.
    """
    found = _read(path, data_hash)
    known = found.said or load_contract(path) is not None
    return _checked(path, found.scores, n_samples, known=known)


def _read(path: Path, data_hash: str) -> _Column:
    check_file(path)
    kind = ending_of(path, (".npz", ".npy", *TABLES))
    if kind == ".npz":
        arrays = read_npz(path, ("scores",), ("data_hash", "ids"))
        if "data_hash" in arrays:
            check_hash(path, arrays["data_hash"], data_hash)
        ids = arrays.get("ids")
        fits = ids is not None and ids.shape == arrays["scores"].shape and ids.ndim == 1
        return _Column(arrays["scores"], ids if fits else None, hashed="data_hash" in arrays)
    if kind == ".npy":
        return _Column(read_npy(path))
    if kind in TEXT:
        return _read_column(path)
    if kind in COLUMNAR:
        return _of_columns(path)
    raise InvalidArgumentError(
        f"scores must be a .npz, .npy, {', '.join(TABLES[:-1])} or {TABLES[-1]} file; got "
        f"{str(path)!r}."
    )


def _of_columns(path: Path) -> _Column:
    """Scores of a columnar file, and ids where it has them."""
    columns = read_side_table(path).columns
    header = list(columns)
    place, ids = _places(path, header, header)
    return _Column(
        columns[header[place]],
        None if ids is None else plain_ids(columns[header[ids]]),
        said=header[place].lower() in SCORE_NAMES,
    )


def _checked(
    path: Path,
    scores: np.ndarray,
    n_samples: int,
    *,
    known: bool,
    protected: np.ndarray | None = None,
) -> np.ndarray:
    """The scores as float64, where they are as many finite numbers as there are samples.

    Protected rows, which are never ranked, may have none (NaN).
    """
    if scores.ndim != 1 or len(scores) != n_samples:
        raise InvalidArgumentError(
            f"scores in {path} must be {n_samples} numbers, one a sample; got shape {scores.shape}."
        )
    coarse = scores.dtype.kind in "iuf" and np.isin(scores, (0, 1)).all()
    if scores.dtype.kind not in "iuf" or (coarse and not known):
        door = "; counts of 0 and 1 are read from a table whose column is named scores"
        raise InvalidArgumentError(
            f"scores in {path} must be real numbers, larger = harder; these look like "
            f"{f'a mask{door}' if scores.dtype.kind in 'biuf' else 'text'}."
        )
    scores = scores.astype(np.float64)
    ranked = True if protected is None else ~protected
    bad = np.flatnonzero(~np.isfinite(scores) & ranked)
    if len(bad):
        raise InvalidArgumentError(
            f"scores in {path} must be finite; {len(bad)} of {n_samples} are not, the first is "
            f"that of row {bad[0]}."
        )
    return scores


def _matched(path: Path, found: _Column, dataset: Dataset) -> tuple[np.ndarray, str]:
    """The scores in the order of the data, NaN for protected rows without one, and a note."""
    assert found.ids is not None
    places, note = match_rows(path, found.ids, dataset, what="score", lacking=True)
    if places is None:
        return found.scores, note
    scores = found.scores[places]
    lost = places < 0
    return (np.where(lost, np.nan, scores) if lost.any() else scores), note


def load_contract(path: Path) -> dict[str, Any] | None:
    """How the scores in a file were computed: the ``config`` that ``score`` writes.

    None for files that do not hold both ``data_hash`` and ``config``, an object in strict JSON.
    """
    if path.suffix.lower() != ".npz":
        return None
    arrays = read_npz(path, (), ("data_hash", "config"))
    if len(arrays) < 2:
        return None

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        found = json.loads(str(arrays["config"]), parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file, never unpickling."""
    try:
        array = np.load(path, allow_pickle=False)
    except Exception:  # whatever a forged header makes numpy raise
        array = None
    if not isinstance(array, np.ndarray):
        raise InvalidArgumentError(f"{path} cannot be read as a .npy array of numbers.")
    return array


def _read_column(path: Path) -> _Column:
    """Scores, and ids where a header names both."""
    try:
        with open_text(path) as file:
            reader: Any = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except UNREADABLE as error:
        raise InvalidArgumentError(f"{path} must hold one number a line: {error}.") from None
    lines = [(line, cells) for line, cells in lines if any(cells)]
    if not lines:
        raise InvalidArgumentError(f"{path} must hold one number a line; it holds none.")
    header: list[str] = [] if is_number(lines[0][1][-1]) else lines[0][1]
    lines = lines[1:] if header else lines
    place, ids = _places(path, header, lines[0][1] if lines else header)
    width = len(header) or 1
    column = f" in column {header[place]!r}" if width > 1 else ""
    for line, cells in lines:
        empty = width > 1 and len(cells) == width and not cells[place]  # as of protected rows
        if len(cells) != width or not (empty or is_number(cells[place])):
            raise InvalidArgumentError(
                f"{path} must hold one number a line{column}; "
                f"line {line} holds {','.join(cells)!r}."
            )
    return _Column(
        np.array([float(cells[place] or "nan") for _, cells in lines], float),
        None if ids is None else np.array([cells[ids] for _, cells in lines]),
        said=bool(header) and header[place].lower() in SCORE_NAMES,
    )


def _places(path: Path, header: list[str], first: list[str]) -> tuple[int, int | None]:
    """Which column holds the scores, and which the ids."""
    if max(len(header), len(first)) <= 1:
        return 0, None
    lower = [name.lower() for name in header]
    scores = [place for place, name in enumerate(lower) if name in SCORE_NAMES]
    if len(scores) != 1:
        raise InvalidArgumentError(
            f"{path} must hold one number a line, or a header with one column named scores; its "
            f"{len(first)} columns are {listed(header) if header else 'without names'}."
        )
    others = [place for place in range(len(header)) if place != scores[0]]
    known = [place for place in others if is_called_id(header[place])]
    return scores[0], next(iter(known), others[0] if len(others) == 1 else None)

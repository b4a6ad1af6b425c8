"""Data sets and scores in the user's own files, read without executing anything in them."""

from __future__ import annotations

import csv
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.validation import InvalidArgumentError


def read_npz(
    path: Path, wanted: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """The named arrays of a .npz file, never unpickling.

    Raises:
        InvalidArgumentError: the file cannot be read or is truncated, or lacks a wanted array.
    """
    check_file(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InvalidArgumentError(f"{path} is not a .npz archive.")
            missing = [name for name in wanted if name not in archive]
            if missing:
                held = ", ".join(archive.files) or "nothing"
                raise InvalidArgumentError(
                    f"{path} must hold the array{'s' * (len(wanted) > 1)} {' and '.join(wanted)}; "
                    f"it holds {held}."
                )
            return {name: archive[name] for name in (*wanted, *optional) if name in archive}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        pickled = "pickle" in str(error).lower() and zipfile.is_zipfile(path)
        reason = "it holds pickled objects" if pickled else "it is truncated or of another kind"
        raise InvalidArgumentError(f"{path} cannot be read as a .npz archive: {reason}.") from None


def load_npz(path: Path) -> Dataset:
    """A data set from the arrays ``x`` (n, ...) and ``y`` (n,)."""
    arrays = read_npz(path, ("x", "y"))
    return make_dataset(path.stem, arrays["x"], arrays["y"], where=str(path))


def load_csv(path: Path) -> Dataset:
    """A data set from a table with a header: column ``label``, every other column a number."""
    check_file(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = [name.strip() for name in next(csv.reader(file), [])]
            if header.count("label") != 1 or len(header) < 2:
                raise InvalidArgumentError(
                    f"{path} must start with a header that has one column 'label' and at least one "
                    f"column of features; its first line has {len(header)} columns."
                )
            column, seen = header.index("label"), {}
            code = lambda text: float(seen.setdefault(text.strip(), len(seen)))  # noqa: E731
            table = np.loadtxt(
                file,
                delimiter=",",
                quotechar='"',
                comments=None,
                ndmin=2,
                converters={column: code},
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgumentError(f"{path} cannot be read as text: {error}.") from None
    except ValueError as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise InvalidArgumentError(
            f"{path} must hold one number a cell beside the column 'label': {_first_line(error)}."
        ) from None
    if not table.size or table.shape[1] != len(header):
        raise InvalidArgumentError(
            f"{path} must have rows of {len(header)} cells as its header has; got {table.shape[0]} "
            f"rows of {table.shape[1]} cells."
        )
    labels = np.array(list(seen))[table[:, column].astype(int)]
    return make_dataset(path.stem, np.delete(table, column, axis=1), labels, where=str(path))


def load_scores(path: Path, data_hash: str, n_samples: int) -> np.ndarray:
    """Difficulty scores computed elsewhere, in data-set order, shape (n,), larger = harder.

    Reads a .npz with ``scores`` (its ``data_hash``, when present, must be the data's), a .npy, or
    a .csv of one number a line, where a first line that is no number counts as a header. Nothing
    but zeros and ones is taken for a mask, unless the file says how the scores were computed (see
    :func:`load_contract`): a score such as forgetting can be that coarse.

    Raises:
        InvalidArgumentError: unreadable, another length, not finite, or a mask or logits by shape.
    """
    check_file(path)
    kind = path.suffix.lower()
    found_hash = None
    if kind == ".npz":
        arrays = read_npz(path, ("scores",), ("data_hash",))
        scores, found_hash = arrays["scores"], arrays.get("data_hash")
    elif kind == ".npy":
        scores = _read_npy(path)
    elif kind == ".csv":
        scores = _read_column(path)
    else:
        raise InvalidArgumentError(f"scores must be a .npz, .npy or .csv file; got {str(path)!r}.")
    if found_hash is not None:
        check_hash(path, found_hash, data_hash)
    if scores.ndim != 1 or len(scores) != n_samples:
        raise InvalidArgumentError(
            f"scores in {path} must be {n_samples} numbers, one a sample; got shape {scores.shape}."
        )
    coarse = scores.dtype.kind in "iuf" and np.isin(scores, (0, 1)).all()
    if scores.dtype.kind not in "iuf" or (coarse and load_contract(path) is None):
        raise InvalidArgumentError(
            f"scores in {path} must be real numbers, larger = harder; "
            f"these look like {'a mask' if scores.dtype.kind in 'biuf' else 'text'}."
        )
    scores = scores.astype(np.float64)
    bad = int(np.size(scores) - np.isfinite(scores).sum())
    if bad:
        raise InvalidArgumentError(
            f"scores in {path} must be finite; {bad} of {n_samples} are not."
        )
    return scores


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
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def load_subset(path: Path, data_hash: str, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Kept rows and their weights from a file that ``prune`` wrote, shape (kept,) each.

    Raises:
        InvalidArgumentError: unreadable, of other data, or no subset.
    """
    arrays = read_npz(path, ("indices", "weights", "data_hash"))
    rows, weights = arrays["indices"], arrays["weights"]
    check_hash(path, arrays["data_hash"], data_hash)
    fits = rows.ndim == 1 and rows.dtype.kind in "iu" and weights.shape == (n_samples,)
    if not fits or not len(rows) or rows.min() < 0 or rows.max() >= n_samples:
        raise InvalidArgumentError(
            f"{path} must hold row numbers below {n_samples} and as many weights as samples."
        )
    kept = weights[rows].astype(np.float64)
    if not (np.isfinite(kept).all() and (kept > 0).all()):
        raise InvalidArgumentError(f"weights of kept rows in {path} must be positive numbers.")
    return rows, kept


def check_hash(path: Path, found: np.ndarray, wanted: str) -> None:
    """Raise when a file belongs to other data."""
    if str(found) != wanted:
        raise InvalidArgumentError(
            f"{path} belongs to other data: its data_hash starts with {str(found)[:12]}, the "
            f"data's with {wanted[:12]}."
        )


def _read_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError):
        array = None
    if not isinstance(array, np.ndarray):
        raise InvalidArgumentError(f"{path} cannot be read as a .npy array of numbers.")
    return array


def _read_column(path: Path) -> np.ndarray:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        lines = [line for line in lines if line]
        try:
            float(lines[0])
        except ValueError:
            lines = lines[1:]
        return np.array([float(line) for line in lines])
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{path} must hold one number a line: {_first_line(error)}."
        ) from None


def check_file(path: Path) -> None:
    """Raise unless ``path`` is a file with something in it."""
    if not path.exists():
        raise InvalidArgumentError(f"there is no file {str(path)!r}.")
    if not path.is_file():
        raise InvalidArgumentError(f"{str(path)!r} is a folder, not a file.")
    if not path.stat().st_size:
        raise InvalidArgumentError(f"{str(path)!r} is empty.")


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0].split(";")[0].rstrip(".")

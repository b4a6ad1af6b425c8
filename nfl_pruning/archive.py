"""Results for people: archives without pickles, plots, and places where either may be written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from nfl_pruning.errors import InvalidArgumentError, OutputExistsError
from nfl_pruning.records import write_atomically
from nfl_pruning.validation import check_writable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = (".png", ".pdf")


def check_output(
    path: str | os.PathLike[str],
    *,
    name: str = "out",
    endings: Sequence[str] = (".npz",),
    force: bool = False,
    inputs: Iterable[str | os.PathLike[str] | None] = (),
) -> Path:
    """The path of a file that may be written; a link is written through.

    Args:
        path: the output.
        name: of the option or argument that asks for it.
        endings: one of which the file's name must have.
        force: whether a file that exists may be replaced.
        inputs: files that must stay as they are, under whatever name.

    Raises:
        InvalidArgumentError: another ending, no such folder, a folder that cannot be written to,
            one of the inputs, or a file that exists (unless ``force``).
    """
    target = Path(path)
    if target.suffix.lower() not in endings:
        raise InvalidArgumentError(
            f"{name} must be a file name that ends in {' or '.join(endings)}; got {str(path)!r}."
        )
    place = real_place(name, target)
    check_no_input(name, target, inputs)
    if place.exists() and not place.is_file():
        raise InvalidArgumentError(f"{name} must be a file; {str(path)!r} is something else.")
    if place.exists() and not force:
        raise OutputExistsError(f"{name} exists already: {str(path)!r}; force replaces it.")
    check_writable(name, place.parent)
    return target


def real_place(name: str, path: Path) -> Path:
    """Where a file is or will be once links are followed; raises where its folder is not there."""
    try:
        place = Path(os.path.realpath(path))
        lost = place.is_symlink()  # a link that leads back to itself
        known = place.parent.is_dir()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgumentError(
            f"{name} must be a file name; got {str(path)!r}: {reason}."
        ) from None
    if lost:
        raise InvalidArgumentError(f"{name} must not be a link to itself; got {str(path)!r}.")
    if not known:
        raise InvalidArgumentError(f"{name} must lie in a folder that exists; got {str(path)!r}.")
    return place


def check_no_input(name: str, path: Path, inputs: Iterable[str | os.PathLike[str] | None]) -> None:
    """Raise where an output is one of the inputs, by any name, link or hard link."""
    for source in filter(None, inputs):
        try:
            same = os.path.samefile(path, source)
        except (OSError, ValueError):  # one of them is not there
            same = False
        if same:
            raise InvalidArgumentError(
                f"{name} must not be a file that is read; {str(path)!r} is {str(source)!r}."
            )


def write_archive(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    *,
    data_hash: str,
    config: Mapping[str, Any],
    force: bool = False,
    inputs: Iterable[str | os.PathLike[str] | None] = (),
) -> Path:
    """Write a .npz with the arrays, ``data_hash`` and ``config`` (JSON text), whole or not at all.

    Raises:
        InvalidArgumentError: see :func:`check_output`.
    """
    target = check_output(path, force=force, inputs=inputs)
    stated = json.dumps(dict(config), sort_keys=True, allow_nan=False)

    def write(file: IO[bytes]) -> None:
        np.savez_compressed(
            file,
            allow_pickle=False,
            data_hash=np.array(data_hash),
            config=np.array(stated),
            **arrays,
        )

    write_atomically(Path(os.path.realpath(target)), write)
    return target


def write_plot(figure: Figure, path: str | os.PathLike[str], *, dpi: int) -> Path:
    """Write a figure in the format of the file's ending, whole or not at all."""
    target = Path(path)
    form = target.suffix.lower().removeprefix(".")
    write_atomically(
        Path(os.path.realpath(target)),
        lambda file: figure.savefig(file, format=form, dpi=dpi),
    )
    return target

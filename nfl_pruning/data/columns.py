"""What the columns of a table mean: labels, ids, features, and what is left out; and says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np

from nfl_pruning.errors import InvalidArgumentError

NO_IDS = "none"
ID_NAMES = re.compile(r"(row[ _.-]?)?(id|ids|idx|index|uuid|guid|number)|unnamed: ?\d+", re.I)
ID_ENDINGS = re.compile(r".*([ _.-](id|idx|index|uuid|guid|ID|Id|Index)|[a-z](Id|ID))")
FEWEST = 8  # rows from which whole numbers in order look like an index rather than like chance


@dataclass(frozen=True)
class Columns:
    """The reader's word on columns; what is not said is guessed, and the guess is said.

    Attributes:
        label: name of the column (in a .npz: of the array) of labels; ``label`` (``y``) by default.
            Several names: one-hot columns, each a class.
        ids: name of the column (array) of ids; by default a column that has no name or is named as
            an id is taken for it; ``"none"`` takes such a column for a feature.
        drop: columns to leave out.
        features: columns to read as features, in this order; all others by default.
        group: name of the column of groups, which is no feature.
        split: name of the column that says which part a row belongs to, which is no feature: rows
            that are not in the training part are never pruned.
    """

    label: str | tuple[str, ...] | None = None
    ids: str | None = None
    drop: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    group: str | None = None
    split: str | None = None


@dataclass
class Roles:
    """What each column of a header is.

    Attributes:
        label: place of the labels; several where they are one-hot.
        features: places of the features, in the order in which they are to be read.
        ids: places that may be ids, the first that has distinct values is.
        certain: whether the reader named the ids' column.
        notes: what the reader should know.
        group: place of the groups.
        split: place of the parts.
    """

    label: list[int]
    features: list[int]
    ids: list[int] = field(default_factory=list)
    certain: bool = False
    notes: list[str] = field(default_factory=list)
    group: int | None = None
    split: int | None = None


def assign(header: Sequence[str], columns: Columns, where: str) -> Roles:
    """The roles of the columns with these names.

    Raises:
        InvalidArgumentError: a column that is asked for is missing, a name occurs twice, or a
            column has none.
    """
    label = _label(header, columns, where)
    named = [name for name in header if name]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise InvalidArgumentError(f"{where} has the column {twice[0]!r} more than once.")
    for name in columns.drop:
        _known(name, header, "drop", where)
        if header.index(name) in label:
            raise InvalidArgumentError(f"drop must not name the column of labels; got {name!r}.")
    roles = Roles(label, [])
    for option in ("group", "split"):
        name = getattr(columns, option)
        if name is not None:
            setattr(roles, option, _known(name, header, option, where))
    taken = {*label, roles.group, roles.split}
    left = [i for i in range(len(header)) if i not in taken and header[i] not in columns.drop]
    _find_ids(roles, left, header, columns=columns, where=where)
    rest = [i for i in left if i not in roles.ids]
    if columns.features is not None:
        roles.features = _wanted(header, columns.features, where)
        extra = [header[i] for i in rest if i not in roles.features]
        if extra:
            roles.notes.append(f"Columns that are not features are ignored: {listed(extra)}.")
        roles.ids = [i for i in roles.ids if i not in roles.features]
        return roles
    roles.features = rest
    if not rest:
        raise InvalidArgumentError(
            f"{where} must have at least one column of features beside the column "
            f"{header[label[0]]!r}; its columns are {listed(header)}."
        )
    return roles


def _label(header: Sequence[str], columns: Columns, where: str) -> list[int]:
    if isinstance(columns.label, tuple):
        return [_known(name, header, "label", where) for name in columns.label]
    wanted = "label" if columns.label is None else columns.label
    if header.count(wanted) != 1 or len(header) < 2:
        how = "" if columns.label is not None else "; label_column names another"
        raise InvalidArgumentError(
            f"{where} must start with a header that has one column {wanted!r} and at least one "
            f"column of features; its {len(header)} columns are {listed(header)}{how}."
        )
    return [header.index(wanted)]


def _find_ids(
    roles: Roles, left: list[int], header: Sequence[str], *, columns: Columns, where: str
) -> None:
    """Put what is or may be an id into the roles."""
    nameless = [i for i in left if not header[i]]
    if nameless and (nameless != [0] or columns.ids == NO_IDS):
        raise InvalidArgumentError(
            f"every column must have a name in {where}; column {nameless[-1] + 1} has none."
        )
    if columns.ids == NO_IDS:
        return
    if columns.ids is not None:
        own = _known(columns.ids, header, "id_column", where)
        if own in roles.label:
            raise InvalidArgumentError(
                f"id_column must not be the column of labels; got {columns.ids!r}."
            )
        roles.ids, roles.certain = [own], True
    guessed = [i for i in left if not header[i] or ID_NAMES.fullmatch(header[i])]
    roles.ids += [i for i in guessed if i not in roles.ids]


def _known(name: str, header: Sequence[str], option: str, where: str) -> int:
    if name not in header or not name:
        near = get_close_matches(name, list(header), n=1, cutoff=0.0)
        hint = f" (nearest: {near[0]})" if near else ""
        raise InvalidArgumentError(f"{option} must name a column of {where}; got {name!r}{hint}.")
    return header.index(name)


def _wanted(header: Sequence[str], features: Sequence[str], where: str) -> list[int]:
    missing = [name for name in features if name not in header]
    if missing:
        raise InvalidArgumentError(
            f"{where} must have the data's columns; it lacks {listed(missing)}."
        )
    return [header.index(name) for name in features]


def take_ids(
    roles: Roles, header: Sequence[str], values: dict[int, np.ndarray], where: str
) -> np.ndarray | None:
    """The ids, shape (n,), or None; notes what was taken for them and what was left out.

    Args:
        roles: of the columns.
        header: their names.
        values: of the columns that may be ids, as text, by place.
        where: the source, for messages.

    Raises:
        InvalidArgumentError: the column that the reader named has a value twice.
    """
    found = None
    for place in roles.ids:
        name = f"column {header[place]!r}" if header[place] else "first column, which has no name,"
        own, counts = np.unique(values[place], return_counts=True)
        whole = not (own.dtype.kind == "U" and "" in own)
        distinct = whole and len(own) == len(values[place])
        if roles.certain and found is None and not whole:
            empty = np.flatnonzero(values[place] == "")
            raise InvalidArgumentError(
                f"every row needs an id in {where}; {len(empty)} are missing in column "
                f"{header[place]!r}, the first in row {empty[0]}."
            )
        if roles.certain and found is None and not distinct:
            raise InvalidArgumentError(
                f"ids must be distinct in {where}; {str(own[counts.argmax()])!r} occurs "
                f"{counts.max()} times."
            )
        if found is None and distinct:
            found = values[place]
            if not (roles.certain and place == roles.ids[0]):
                roles.notes.append(f"The {name} is taken for the rows' ids, not for a feature.")
        else:
            why = "" if distinct else f", though its values {'repeat' if whole else 'have gaps'}"
            roles.notes.append(f"The {name} is left out as an id{why}.")
    return found


def suspects(names: Sequence[str] | None, x: np.ndarray) -> list[str]:
    """Sentences on features that look like ids: by name, or whole numbers in order.

    Args:
        names: of the features; numbers where None.
        x: features, shape (n, d).
    """
    called = [f"{i} of x" for i in range(x.shape[1])] if names is None else list(map(repr, names))
    n, found = len(x), []
    lows, highs = x.min(axis=0), x.max(axis=0)
    with np.errstate(over="ignore"):
        maybe = highs - lows >= n - 1
    for place in range(x.shape[1]):
        by_name = names is not None and ID_ENDINGS.fullmatch(names[place])
        by_name = by_name or (names is not None and ID_NAMES.fullmatch(names[place]))
        if by_name or (n >= FEWEST and maybe[place] and _is_index(x[:, place])):
            found.append(place)
    return [
        f"Column {called[place]} looks like an id or an index, and is read as a feature; "
        "id_column or drop takes it out."
        for place in found
    ]


def _is_index(values: np.ndarray) -> bool:
    """Whether distinct whole numbers are consecutive, or in the order of the rows."""
    if (values[:FEWEST] != np.round(values[:FEWEST])).any() or (values != np.round(values)).any():
        return False
    steps = np.diff(values.astype(np.float64))
    if (steps > 0).all() or (steps < 0).all():
        return True
    return bool((np.diff(np.sort(values.astype(np.float64))) == 1).all())


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for people, the first ones where they are many."""
    shown = ", ".join(name if name else "(no name)" for name in names[:most])
    more = len(names) - most
    return f"{shown} and {more} more" if more > 0 else shown

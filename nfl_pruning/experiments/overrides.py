"""Numbers of an experiment's scripts, changed from outside for one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.experiments.scripts import neighbours
from nfl_pruning.records import to_json
from nfl_pruning.validation import is_number

Changes = Mapping[str, tuple[float, ...]]


def parse_changes(texts: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Numbers from texts such as ``signal=3`` or ``signals=1,4``, by name.

    Raises:
        InvalidArgumentError: another form, or a name twice.
    """
    found: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        values = numbers.split(",")
        if not name.isidentifier() or not all(map(is_number, values)) or name in found:
            raise InvalidArgumentError(
                f"set must be NAME=NUMBER or NAME=NUMBER,NUMBER..., each name once; got {text!r}."
            )
        found[name] = tuple(map(float, values))
    return found


def folder_name(name: str, changes: Changes) -> str:
    """What records and figures of changed numbers are called: ``NAME+signal=3``."""
    told = ("+" + key + "=" + ",".join(f"{v:g}" for v in changes[key]) for key in sorted(changes))
    return "".join([name, *told])


@contextmanager
def changed(script: ModuleType, changes: Changes, preset: str = "quick") -> Iterator[None]:
    """Numbers of a simulation script, and of the helpers that it imports, moved for a while.

    A name is that of a constant (``signal`` is ``SIGNAL``, or all of ``SIGNALS``), or a key of a
    constant dictionary, such as that of the presets (``trials``); it is changed wherever it occurs.

    Args:
        script: the loaded script, which keeps its own numbers afterwards.
        changes: name in lower case -> its value, or values.
        preset: the one that is run.

    Raises:
        InvalidArgumentError: the experiment has no number of that name, or none of its records
            depends on it.
    """
    modules = [script, *neighbours(Path(str(script.__file__)))]
    before = [(module, name, value) for module in modules for name, value in _constants(module)]
    plain = _configs(script, preset) if changes else []
    try:
        for name, values in changes.items():
            _move(modules, name, values)
            now = _configs(script, preset)
            if now and now == plain:
                raise InvalidArgumentError(
                    f"set must name a number that a record of the experiment depends on; {name!r} "
                    f"changes none, its numbers are {', '.join(_known(modules)) or 'none'}."
                )
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _move(modules: list[ModuleType], name: str, values: tuple[float, ...]) -> None:
    """Change a number in all modules."""
    known = set()
    for module in modules:
        for constant, value in _constants(module):
            new, names = _with(value, constant.lower(), name, values)
            if name in names or name + "s" in names:
                setattr(module, constant, new)
            known |= names
    if name not in known and name + "s" not in known:
        raise InvalidArgumentError(
            f"set must name a number of the experiment; got {name!r}, its numbers are "
            f"{', '.join(_known(modules)) or 'none'}."
        )


def _with(value: Any, own: str, name: str, new: tuple[float, ...]) -> tuple[Any, set[str]]:
    """A constant with a number moved, and the names of all its numbers."""
    if isinstance(value, dict):
        parts = {key: _with(inner, str(key), name, new) for key, inner in value.items()}
        names = set().union(*(found for _, found in parts.values())) if parts else set()
        return {key: inner for key, (inner, _) in parts.items()}, names
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        parts = [_with(part, "", name, new) for part in value]
        return [part for part, _ in parts], set().union(*(found for _, found in parts))
    if not own or not _is_number_or_list(value):
        return value, set()
    return (_like(value, name, new) if own in (name, name + "s") else value), {own}


def _is_number_or_list(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_number(part) for part in value)
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _like(value: Any, name: str, new: tuple[float, ...]) -> Any:
    """The new numbers in the form of the old ones: whole, or a list.

    Raises:
        InvalidArgumentError: several numbers for one, or a broken one for a whole one.
    """
    several = isinstance(value, list | tuple)
    whole = all(isinstance(part, int) for part in (value if several else (value,)))
    told = ", ".join(f"{number:g}" for number in new)
    if len(new) > 1 and not several:
        raise InvalidArgumentError(f"set must give {name} one number, as it has; got {told}.")
    if whole and any(number != round(number) for number in new):
        raise InvalidArgumentError(f"set must give {name} whole numbers, as it has; got {told}.")
    numbers = [int(number) if whole else number for number in new]
    return type(value)(numbers) if several else numbers[0]


def _constants(module: ModuleType) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if name.isupper()]


def _known(modules: list[ModuleType]) -> list[str]:
    """Names of all numbers, in order."""
    return sorted({
        found
        for module in modules
        for name, value in _constants(module)
        for found in _with(value, name.lower(), "", ())[1]
    })  # fmt: skip


class _Listed(Exception):  # noqa: N818
    """Carries the configurations of an experiment out of its script."""


class _Listing:
    """In place of a store: what the experiment would compute, and nothing is computed."""

    def forget_others(self, configs: Iterable[Any], **_: Any) -> None:
        raise _Listed([to_json(config) for config in configs])


def _configs(script: ModuleType, preset: str) -> list[str]:
    """What names the records of a preset; empty where the script does not list them."""
    try:
        script.run(preset, _Listing(), lambda done, total: None)
    except _Listed as listed:
        return sorted(listed.args[0])
    except AttributeError as error:
        if isinstance(error.obj, _Listing):
            return []
        raise
    return []

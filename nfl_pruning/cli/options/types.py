"""Types of options: from text to what the library takes; what it refuses, it says in its words.

Choices come from the library's own registries and tables, which are named here and loaded when an
option is read: help for people starts without JAX.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

import click


def numbers(text: str, kind: type = float) -> list[float | str]:
    """The entries of a comma list; what is no number stays text, for the range check to name."""

    def number(part: str) -> float | str:
        try:
            return kind(part)
        except ValueError:
            return part

    return [number(part.strip()) for part in text.split(",")]


def real(text: Any) -> Any:
    """A float where the text is one, else the text, for the range check to name."""
    try:
        return float(text)
    except ValueError:
        return text


def whole(name: str, text: Any, low: int = 0) -> int:
    """A whole number from the command line, or a sentence."""
    from nfl_pruning.validation import check_integer

    if isinstance(text, str) and "," not in text:
        text = numbers(text, int)[0]
    return check_integer(name, text, low)


def seed_of(text: Any, bits: int = 32) -> int:
    """The seed, or a sentence."""
    from nfl_pruning.validation import check_seed

    if isinstance(text, str) and "," not in text:
        text = numbers(text, int)[0]
    return check_seed(text, bits=bits)


def entries(option: str, text: str) -> list[str]:
    """The entries of a comma list, of which there must be one at least, each once."""
    from nfl_pruning.errors import InvalidArgumentError

    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found or len(set(found)) < len(found):
        raise InvalidArgumentError(f"{option} must be a list of distinct entries; got {text!r}.")
    return found


class Real(click.ParamType):
    """A float; the library knows its range."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return real(value)


class Whole(click.ParamType):
    """A whole number of at least ``low``."""

    name = "whole number"

    def __init__(self, low: int = 0) -> None:
        self.low = low

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        return whole(param.name, value, self.low)


class Seed(click.ParamType):
    """A seed of 32 bits."""

    name = "seed"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        return seed_of(value)


class OneOf(click.ParamType):
    """A name out of a registry or table of the library.

    Args:
        place: ``module:NAME`` of a mapping or collection of names, relative to the package.
    """

    name = "name"

    def __init__(self, place: str) -> None:
        self.place = place

    @property
    def names(self) -> Collection[str]:
        """What may be chosen."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(f"nfl_pruning.{module}"), name)

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        from nfl_pruning.validation import check_choice

        return check_choice(param.name, value, self.names)


class ListOf(click.ParamType):
    """A comma list of distinct entries, each of a type."""

    name = "list"

    def __init__(self, each: click.ParamType) -> None:
        self.each = each

    def convert(self, value: Any, param: Any, ctx: Any) -> list[Any]:
        if isinstance(value, list):
            return value
        return [self.each.convert(part, param, ctx) for part in entries(param.name, value)]

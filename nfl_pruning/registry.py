"""Named collections that scores, selections, links and losses register in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_choice

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A read-mostly mapping from public name to member.

    Looking up an unknown name raises :class:`InvalidArgumentError` with the nearest known one.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._members: dict[str, T] = {}

    def add(self, name: str, member: T, *, replace: bool = False) -> T:
        """Register ``member`` under ``name``; an existing name needs ``replace=True``."""
        if name in self._members and not replace:
            raise InvalidArgumentError(
                f"{self.kind} {name!r} is registered already; pass replace=True to replace it."
            )
        self._members[name] = member
        return member

    def decorator(self, name: str) -> Callable[[T], T]:
        """Register the decorated object under ``name``."""
        return lambda member: self.add(name, member)

    def __getitem__(self, name: str) -> T:
        return self._members[check_choice(self.kind, name, self._members)]

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

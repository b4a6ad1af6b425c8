"""What the package raises on purpose; each message is one sentence for the person who asked."""

from __future__ import annotations


class InvalidArgumentError(ValueError):
    """An argument is outside its documented range."""


class OutputExistsError(InvalidArgumentError):
    """A file would be replaced, which nobody has asked for."""


class UnsupportedProblemError(Exception):
    """The theory cannot treat the problem; the message says why."""


class LostProcessError(RuntimeError):
    """A process that worked on a part was ended from outside."""

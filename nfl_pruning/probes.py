"""Probes: the models that score. A probe is a direction, at a cosine to the teacher, and a norm."""

from __future__ import annotations

from dataclasses import dataclass

from nfl_pruning.validation import InvalidArgumentError, check_number, format_number


@dataclass(frozen=True)
class FixedProbe:
    """A probe that is given, independent of the samples it scores.

    Attributes:
        alignment: cosine between probe and teacher, in [-1, 1].
        norm: size of the probe's parameter, >= 0; its margin is ``norm * u``, u standard normal.
            None means the teacher's signal (1 for a scale-free link).
    """

    alignment: float = 1.0
    norm: float | None = None

    def __post_init__(self) -> None:
        check_number("probe alignment", self.alignment, "[-1, 1]")
        if self.norm is not None:
            check_number("probe norm", self.norm, "[0, inf)")

    @property
    def label(self) -> str:
        """The command line's form."""
        parts = [self.alignment] if self.norm is None else [self.alignment, self.norm]
        return ":".join(["fixed", *(format_number(part) for part in parts)])


Probe = FixedProbe


def parse_probe(text: str | Probe) -> Probe:
    """A probe from its text form ``fixed:COSINE[:NORM]``."""
    if isinstance(text, FixedProbe):
        return text
    kind, *parts = text.split(":")
    try:
        if kind != "fixed" or not 1 <= len(parts) <= 2:
            raise ValueError
        return FixedProbe(*(float(part) for part in parts))
    except InvalidArgumentError:
        raise
    except ValueError:
        raise InvalidArgumentError(
            f"probe must have the form fixed:COSINE[:NORM] with numbers; got {text!r}."
        ) from None

"""Probes, the models that score: a direction at some cosine to the teacher, and a norm."""

from __future__ import annotations

from dataclasses import dataclass

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_number, format_number


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


@dataclass(frozen=True)
class PilotProbe:
    """Ridge-penalised logistic regression on samples of its own, drawn from the same law.

    Attributes:
        samples_per_feature: pilot samples per feature, > 0.
        ridge: the pilot fit's penalty, normalised by the pilot's own sample size, > 0.
    """

    samples_per_feature: float
    ridge: float

    def __post_init__(self) -> None:
        check_number("pilot samples_per_feature", self.samples_per_feature, "(0, inf)")
        check_number("pilot ridge", self.ridge, "(0, inf)")

    @property
    def label(self) -> str:
        """The command line's form."""
        return f"pilot:{format_number(self.samples_per_feature)}:{format_number(self.ridge)}"


@dataclass(frozen=True)
class InSampleProbe:
    """Ridge-penalised logistic regression on the very samples that it then scores.

    Attributes:
        ridge: the probe's penalty, normalised by n before pruning, > 0.
    """

    ridge: float

    def __post_init__(self) -> None:
        check_number("in-sample ridge", self.ridge, "(0, inf)")

    @property
    def label(self) -> str:
        """The command line's form."""
        return f"in-sample:{format_number(self.ridge)}"


Probe = FixedProbe | PilotProbe | InSampleProbe

FORMS = {
    "fixed": (FixedProbe, "COSINE[:NORM]", (1, 2)),
    "pilot": (PilotProbe, "SAMPLES_PER_FEATURE:RIDGE", (2,)),
    "in-sample": (InSampleProbe, "RIDGE", (1,)),
}


def parse_probe(text: str | Probe) -> Probe:
    """A probe from ``fixed:COSINE[:NORM]``, ``pilot:SPF:RIDGE`` or ``in-sample:RIDGE``."""
    if isinstance(text, Probe):
        return text
    kind, *parts = str(text).split(":")
    forms = " or ".join(f"{name}:{form}" for name, (_, form, _) in FORMS.items())
    refusal = InvalidArgumentError(f"probe must have the form {forms} with numbers; got {text!r}.")
    if kind not in FORMS or len(parts) not in FORMS[kind][2]:
        raise refusal
    try:
        values = [float(part) for part in parts]
    except ValueError:
        raise refusal from None
    return FORMS[kind][0](*values)

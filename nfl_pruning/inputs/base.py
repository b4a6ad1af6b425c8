"""The law of the inputs: what theory solves for and what simulation draws."""

from __future__ import annotations

import abc
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.registry import Registry
from nfl_pruning.validation import format_number


@dataclass(frozen=True, eq=False)
class Inputs(abc.ABC):
    """A law of the inputs x; see its subclasses."""

    name: ClassVar[str]
    has_limit: ClassVar[bool] = False  # whether theory solves for it; all laws can be drawn

    @property
    def label(self) -> str:
        """Text form, from which :func:`parse_inputs` makes it again."""
        values = (getattr(self, f.name) for f in fields(self))
        return ":".join(
            [self.name, *(v if isinstance(v, str) else format_number(v) for v in values)]
        )


INPUTS: Registry[type[Inputs]] = Registry("law of the inputs")


def parse_inputs(text: str | Inputs) -> Inputs:
    """A law of the inputs from its text.

    ``gaussian``, ``heavy-tails[:DEGREES]``, ``mixture[:SEPARATION[:DIRECTION]]``,
    ``power:EXPONENT:TEACHER_EXPONENT:N_FEATURES[:OUTSIDE]``, the path of a spectrum's file, or
    ``components:FILE.json`` for a :class:`nfl_pruning.inputs.Mixture`.
    """
    if isinstance(text, Inputs):
        return text
    if not isinstance(text, str):
        raise InvalidArgumentError(f"inputs must be a text or a law; got {text!r}.")
    name, *parts = text.split(":")
    if name == "power" or text.endswith((".npy", ".csv")):
        from nfl_pruning.inputs.spectrum import parse_spectrum

        return parse_spectrum(text)
    if name == "components":
        from nfl_pruning.inputs.mixture import read_mixture

        return read_mixture(text)
    law: type[Any] = INPUTS[name]
    try:
        return law(*(part if part.isalpha() else float(part) for part in parts))
    except InvalidArgumentError:
        raise
    except (TypeError, ValueError):
        forms = [":".join([name, *(f"[{f.name.upper()}]" for f in fields(law))])]
        raise InvalidArgumentError(f"inputs are written {forms[0]}; got {text!r}.") from None

"""What a selection is. Theory, simulation and real data all read the same description.

Three kinds exist. A *rank selection* cuts the samples, ordered by priority (hardest first for
``keep="hardest"``), into strata and keeps a share of each. A *propensity selection* keeps each
sample with a probability proportional, up to clipping at 1, to a function of the probe's output. A
*value selection* looks at the finite sample's scores themselves.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.numerics.arrays import choose
from nfl_pruning.registry import Registry
from nfl_pruning.scores.base import Score
from nfl_pruning.validation import format_number

ENDS = ("hardest", "easiest")
"""Ends of a score's order, of which one has priority."""


@dataclass(frozen=True)
class Stratum:
    """A band of the priority order.

    Its entries are numbers; or arrays of one shape, where many selections are described at once.

    Attributes:
        share: fraction of all samples in the band, in [0, 1].
        keep_probability: chance that a sample of the band is kept, in [0, 1].
        weight_exponent: kept samples weigh ``(1 / keep_probability) ** weight_exponent``: 0 is
            unweighted, 1 inverse-probability weighted (unbiased). Finite samples use real counts.
        factor: multiplies that weight.
    """

    share: Any
    keep_probability: Any
    weight_exponent: Any = 0.0
    factor: Any = 1.0

    @property
    def weight(self) -> Any:
        """Weight of a kept sample in the limit; 0 where nothing is kept."""
        kept = self.keep_probability > 0
        probability = choose(kept, self.keep_probability, 1.0)
        return choose(kept, self.factor * probability**-self.weight_exponent, 0.0)


@dataclass(frozen=True)
class Selection(abc.ABC):
    """A pruning protocol; ``uses`` tells which of score, keep and exploit matter to it."""

    name: ClassVar[str]
    uses: ClassVar[frozenset[str]]

    @property
    def label(self) -> str:
        """Name with parameters, as the command line takes it (``soft:0.5``)."""
        values = [format_number(getattr(self, f.name)) for f in fields(self) if f.name != "exploit"]
        return ":".join([self.name, *values])

    @property
    def numbers(self) -> dict[str, float]:
        """Its parameters that are numbers, by name: what sweeps and derivatives can move."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, int | float)}

    def moved(self, numbers: Mapping[str, Any]) -> Self:
        """A copy with other numbers, which may be arrays or traced values and are not checked."""
        copy = object.__new__(type(self))
        for f in fields(self):
            object.__setattr__(copy, f.name, numbers.get(f.name, getattr(self, f.name)))
        return copy


@dataclass(frozen=True)
class RankSelection(Selection):
    """A selection that looks at ranks alone: monotone transforms of a score change nothing."""

    @property
    def nested_share(self) -> float | None:
        """Share of every budget that goes to the first samples of the priority order.

        For rules that draw the rest of it from the others by lot, and so are nested (see
        :mod:`nfl_pruning.selections.nested`); None for all others.
        """
        return None

    @abc.abstractmethod
    def strata(self, keep_fraction: Any) -> tuple[Stratum, ...]:
        """Bands from first priority to last; shares sum to 1, share * keep to ``keep_fraction``.

        The one statement of the rule: theory, simulation and data read it. Written in arithmetic
        that arrays and traced values allow (``numerics.arrays.choose`` for conditions), it also
        runs in the compiled solver; else problems with it are solved one by one.
        """


@dataclass(frozen=True)
class PropensitySelection(Selection):
    """Bernoulli selection with keep probability ``min(1, c * exp(log_propensity))``.

    ``c`` is set so that the mean keep probability is the keep fraction; kept samples weigh 1.
    """

    base: ClassVar[Score]

    @abc.abstractmethod
    def log_propensity(self, rank_key: Any) -> Any:
        """Unnormalised log keep probability from ``base.rank_key``; shape is kept."""


@dataclass(frozen=True)
class ValueSelection(Selection):
    """A selection that looks at the scores' values, in the units of the literature.

    It keeps a fixed count of finite samples; its limit is not described.
    """

    @abc.abstractmethod
    def choose(
        self, key: Array, values: np.ndarray, keep_fraction: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights (0 where dropped) and keep probabilities of samples with these scores, (n,)."""

    def check_size(self, keep_fraction: float, n_samples: int) -> int:
        """How many of ``n_samples`` are kept; raises where that is none."""
        total = int(np.floor(keep_fraction * n_samples + 0.5 + 1e-9))
        if total < 1:
            raise InvalidArgumentError(
                f"keep_fraction {keep_fraction:g} of {n_samples} samples keeps fewer than one "
                "sample."
            )
        return total


SELECTIONS: Registry[type[Selection]] = Registry("protocol")


def register_selection(name: str, *, uses: tuple[str, ...] = ("score", "keep")) -> Callable:
    """Register the decorated frozen dataclass (a selection's subclass) under ``name``.

    Its fields are the protocol's parameters: a field ``exploit`` is filled from ``--exploit``,
    others are given after the name and colons, as in ``soft:0.5``.
    """

    def wrap(cls: type[Selection]) -> type[Selection]:
        cls.name, cls.uses = name, frozenset(uses)
        return SELECTIONS.add(name, cls)

    return wrap


def make_selection(text: str | Selection, *, exploit: float = 0.5) -> Selection:
    """A selection from its text form: ``threshold``, ``exact``, ``soft:0.5``, ``power:1`` ...

    Args:
        text: a registered name, with its own parameters after colons, or a selection.
        exploit: exploitation share for the protocols that have one.
    """
    if isinstance(text, Selection):
        return text
    if not isinstance(text, str):
        raise InvalidArgumentError(f"protocol must be a text or a selection; got {text!r}.")
    if text.startswith("piecewise:"):  # an optimised rule's own label
        from nfl_pruning.selections.piecewise import parse_piecewise

        return parse_piecewise(text)
    name, *parts = text.split(":")
    cls = SELECTIONS[name]
    own = [f.name for f in fields(cls) if f.name != "exploit"]
    form = ":".join([name, *(part.upper() for part in own)])
    if len(parts) != len(own):
        raise InvalidArgumentError(f"protocol {name} is written {form}; got {text!r}.")
    try:
        arguments = {key: float(part) for key, part in zip(own, parts, strict=True)}
    except ValueError:
        raise InvalidArgumentError(f"protocol {name} is written {form}; got {text!r}.") from None
    if any(f.name == "exploit" for f in fields(cls)):
        arguments["exploit"] = exploit
    return cls(**arguments)

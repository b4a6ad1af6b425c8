"""Which limit ``solve`` takes: many features (isotropic or not), or abundant data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nfl_pruning.cli.options.types import whole

if TYPE_CHECKING:
    from nfl_pruning.inputs import Spectrum

_SPECTRUM = (
    click.option(
        "--spectrum",
        metavar="X",
        help="Covariance of the inputs: power:EXPONENT:TEACHER_EXPONENT:N_FEATURES, or a .npy or "
        ".csv file with columns eigenvalue, teacher and perhaps probe.",
    ),
    click.option(
        "--outside",
        metavar="X",
        help="With --spectrum: share of the teacher's variance outside the features, in [0, 1).",
    ),
)
_OPTIONS = (
    click.option(
        "--abundant",
        is_flag=True,
        help="Infinitely many samples at fixed features: no ridge, samples per feature ignored.",
    ),
    click.option(
        "--n-features",
        metavar="D",
        help="With --abundant: features, >= 3, for scores of the input's norm (GraNd).",
    ),
    click.option(
        "--radius",
        metavar="X",
        help="With --abundant: radius of the ball that holds the parameter, > 0.  [default: 100]",
    ),
    *_SPECTRUM,
)
NAMES = ("abundant", "n_features", "radius", "spectrum", "outside")


def limit_options(function: Callable) -> Callable:
    """Add the options that choose a limit to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def spectrum_options(function: Callable) -> Callable:
    """Add the options that give the inputs a covariance to a command."""
    for option in reversed(_SPECTRUM):
        function = option(function)
    return function


class Asked(NamedTuple):
    """What of a limit the options say: arguments of ``solve``, and the law of the inputs."""

    arguments: dict[str, Any]
    inputs: Spectrum | None

    @property
    def usual(self) -> bool:
        """Whether it is the proportional limit of isotropic inputs."""
        return not self.arguments and self.inputs is None


def limit_of(options: dict[str, Any]) -> Asked:
    """Take the limit's options out of ``options`` and return what they ask for.

    Raises:
        InvalidArgumentError: they contradict each other, or one is out of range.
    """
    from nfl_pruning.errors import InvalidArgumentError
    from nfl_pruning.validation import check_number

    chosen = {name: options.pop(name) for name in NAMES}
    owners = {"n_features": "abundant", "radius": "abundant", "outside": "spectrum"}
    for name, owner in owners.items():
        if chosen[name] is not None and not chosen[owner]:
            flag = name.replace("_", "-")
            raise InvalidArgumentError(f"--{flag} needs --{owner}; got --{flag} {chosen[name]}.")
    if chosen["abundant"] and chosen["spectrum"]:
        raise InvalidArgumentError(
            "--spectrum cannot go with --abundant, whose limit no covariance changes but by a "
            f"change of coordinates; got --spectrum {chosen['spectrum']}."
        )
    if not chosen["abundant"]:
        return Asked({}, spectrum_of(chosen["spectrum"], chosen["outside"]))
    arguments: dict[str, Any] = {"limit": "abundant"}
    if chosen["n_features"] is not None:
        arguments["n_features"] = whole("n_features", chosen["n_features"], 3)
    if chosen["radius"] is not None:
        arguments["radius"] = check_number("radius", chosen["radius"], "(0, inf)")
    return Asked(arguments, None)


def spectrum_of(text: str | None, outside: str | None) -> Spectrum | None:
    """The covariance that the options describe, if any.

    Raises:
        InvalidArgumentError: they contradict each other, or one is out of range.
    """
    from dataclasses import replace

    from nfl_pruning.errors import InvalidArgumentError
    from nfl_pruning.inputs import parse_spectrum
    from nfl_pruning.validation import check_number

    if text is None:
        if outside is not None:
            raise InvalidArgumentError(f"--outside needs --spectrum; got --outside {outside}.")
        return None
    spectrum = parse_spectrum(text)
    if outside is None:
        return spectrum
    return replace(spectrum, outside=check_number("outside", outside, "[0, 1)"))

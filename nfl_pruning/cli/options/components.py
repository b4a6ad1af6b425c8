"""Options of problems whose inputs come in components: their law, intercepts and class quotas."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nfl_pruning.cli.options.problem import refuse_given

if TYPE_CHECKING:
    from nfl_pruning.problem import Problem

_OPTIONS = (
    click.option(
        "--inputs",
        metavar="components:FILE.json",
        help="Gaussian components with their labels, as Mixture.save writes them; the probe is "
        "then weights:FILE.json, pilot:..., in-sample:... or cross-fit:FOLDS:RIDGE.",
    ),
    click.option("--intercept", is_flag=True, help="Free intercepts, without penalty."),
    click.option(
        "--balance",
        default="none",
        show_default=True,
        metavar="X",
        help="Class quotas: none, proportional, equal, or given:R_0,R_1,... for shares of the "
        "classes in these ratios.",
    ),
)
NAMES = ("inputs", "intercept", "balance")


def component_options(function: Callable) -> Callable:
    """Add the options of inputs in components to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class Components(NamedTuple):
    """What of a problem the options say."""

    changes: dict[str, Any]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __call__(self, problem: Problem) -> Problem:
        return problem.replace(**self.changes)

    @property
    def n_features(self) -> int | None:
        """Number of features where the law has one of its own."""
        inputs = self.changes.get("inputs")
        return None if inputs is None or inputs.any_size else inputs.n_features


def components_of(options: dict[str, Any], rivals: tuple[str, ...] = ()) -> Components:
    """Take the options of components out of ``options``.

    Args:
        options: of the command.
        rivals: other options that give the inputs a law.

    Raises:
        InvalidArgumentError: the options contradict each other, or the file holds no mixture.
    """
    from nfl_pruning.errors import InvalidArgumentError
    from nfl_pruning.inputs import Mixture, parse_inputs

    text, intercept, balance = (options.pop(name) for name in NAMES)
    if text is None:
        if not intercept and balance == "none":
            return Components({})
        refuse_given(rivals, "intercept" if intercept else "balance")
        return Components({"intercept": intercept, "balance": balance})
    refuse_given(rivals, "inputs")
    inputs = parse_inputs(text)
    if not isinstance(inputs, Mixture):
        raise InvalidArgumentError(f"inputs must be components:FILE.json; got {text!r}.")
    return Components({"inputs": inputs, "intercept": intercept, "balance": balance})


def limit_value(solution: Any, name: str) -> float:
    """An observable in the limit, by the name that trials give it; NaN where it is not known."""
    value = getattr(solution, name, None)
    return float(getattr(solution, "observables", {}).get(name, "nan") if value is None else value)

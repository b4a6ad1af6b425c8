"""Options that describe a pruning problem, shared by the commands, and their sweeps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nfl_pruning.cli.options.types import numbers

if TYPE_CHECKING:
    from nfl_pruning.problem import Problem

FORMS = ("score", "keep", "protocol", "probe", "loss")
SWEEPS = (*FORMS, "signal", "samples_per_feature", "ridge", "keep_fraction", "exploit")
"""Options that take comma lists, in the order of the loops: the last one varies fastest."""

SWEEP_HELP = """All options of the problem but --link take comma lists and then sweep, as nested
loops in the order score, keep, protocol, probe, loss, signal, samples-per-feature, ridge,
keep-fraction, exploit{more}. Numbers inside a form are listed alike: --probe fixed:0.2,0.5 is
--probe fixed:0.2,fixed:0.5."""

_OPTIONS = (
    (
        "--link",
        "logistic",
        "Label law: logistic, sign, probit, steps:BREAKS:VALUES or flip:PROBABILITY[:LINK] "
        "(labels of LINK, else of sign, turned round at random).",
    ),
    ("--signal", "1", "Norm of the teacher's parameter, >= 0."),
    ("--samples-per-feature", "5", "n / d before pruning, > 0."),
    ("--ridge", "0.01", "Penalty, >= 0, normalised by n before pruning; 0: none."),
    (
        "--loss",
        "logistic",
        "Loss of the fit: logistic, squared, hinge or max-margin (a hard margin of 1: the ridge "
        "does not matter, and the kept samples must be separable).",
    ),
    (
        "--probe",
        "fixed:1",
        "Model that scores: fixed:COSINE[:NORM], pilot:SAMPLES:RIDGE (SAMPLES per feature) or "
        "in-sample:RIDGE; for components also cross-fit:FOLDS:RIDGE or weights:FILE.json.",
    ),
    ("--score", "el2n", "Difficulty score; nfl-pruning list names them."),
    ("--keep", "hardest", "End of the score that stays: hardest or easiest."),
    ("--keep-fraction", "1", "Share of the samples kept, in (0, 1]."),
    (
        "--protocol",
        "threshold",
        "threshold, random, exact, soft:S, power:A, window:OFFSET or verifier:RIGHT:WRONG.",
    ),
    ("--exploit", "0.5", "Budget share by score for exact and soft, in [0, 1]."),
)


def problem_options(function: Callable) -> Callable:
    """Add the options of a problem, all optional, to a command."""
    for name, default, text in reversed(_OPTIONS):
        add = click.option(name, default=default, show_default=True, metavar="X", help=text)
        function = add(function)
    return function


def chosen(only: str, known: Mapping[str, Any]) -> list[Any]:
    """What ``--only`` names of a registry, each once, in the order given; all where it is empty."""
    from nfl_pruning.validation import check_choice

    names = dict.fromkeys(name.strip() for name in only.split(",")) if only else known
    return [known[check_choice("only", name, known)] for name in names]


def refuse_given(names: Iterable[str], owner: str) -> None:
    """Refuse options that were given on the command line beside one that leaves them no meaning.

    Raises:
        InvalidArgumentError: one of them was given.
    """
    from nfl_pruning.errors import InvalidArgumentError

    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = name.replace("_", "-")
            raise InvalidArgumentError(
                f"--{flag} cannot go with --{owner}; got --{flag} {_said(context.params[name])}."
            )


def _said(value: Any) -> str:
    """An option's value as it is written on the command line."""
    from nfl_pruning.validation import format_number

    if isinstance(value, list):
        return ",".join(_said(part) for part in value)
    return format_number(value) if isinstance(value, float) else str(value)


def forms(text: str) -> list[str]:
    """The entries of a comma list of names and forms, each with all lists inside it written out.

    A comma before a letter ends a form; others list one of its numbers.
    """
    found = []
    for form in re.split(r",(?=\s*[a-zA-Z])", text):
        parts = [[value.strip() for value in part.split(",")] for part in form.split(":")]
        found += [":".join(values) for values in product(*parts)]
    return found


def is_sweep(options: dict[str, Any], names: tuple[str, ...] = SWEEPS) -> bool:
    """Whether any option that can sweep was given a list."""
    return any("," in options[name] for name in names)


def swept(options: dict[str, Any], names: tuple[str, ...] = SWEEPS) -> list[str]:
    """The names that were given lists."""
    return [name for name in names if "," in options[name]]


def problems(options: dict[str, Any]) -> list[tuple[dict[str, Any], Problem]]:
    """Every problem that the options describe, each with the values that it takes of a sweep.

    All of them are built, and so checked, before the first is computed.

    Raises:
        InvalidArgumentError: a value is out of range, or no protocol has the exploits listed.
    """
    from nfl_pruning.errors import InvalidArgumentError

    found = [(point, build(options | point)) for point in grid(options, SWEEPS)]
    if "," in options["exploit"] and not any("exploit" in p.selection.uses for _, p in found):
        raise InvalidArgumentError(
            "exploit must be one number where no protocol is exact or soft; got "
            f"{options['exploit']!r}."
        )
    return found


def grid(
    options: dict[str, Any], names: tuple[str, ...], kind: type = float
) -> Iterator[dict[str, Any]]:
    """The combinations of the lists under ``names``, as nested loops in that order."""
    lists = [
        forms(options[name]) if name in FORMS else numbers(options[name], kind) for name in names
    ]
    for values in product(*lists):
        yield dict(zip(names, values, strict=True))


def build(values: dict[str, Any]) -> Problem:
    """One problem from the options' values; raises InvalidArgumentError."""
    from nfl_pruning.links import parse_link
    from nfl_pruning.losses import LOSSES
    from nfl_pruning.probes import parse_probe
    from nfl_pruning.problem import Problem, Student, Teacher
    from nfl_pruning.scores import SCORES
    from nfl_pruning.selections import make_selection
    from nfl_pruning.validation import check_number

    exploit = check_number("exploit", values["exploit"], "[0, 1]")  # even where it is not used
    return Problem(
        samples_per_feature=values["samples_per_feature"],
        keep_fraction=values["keep_fraction"],
        score=SCORES[values["score"]],
        keep=values["keep"],
        selection=make_selection(values["protocol"], exploit=exploit),
        teacher=Teacher(parse_link(values["link"]), values["signal"]),
        probe=parse_probe(values["probe"]),
        student=Student(LOSSES[values["loss"]], values["ridge"]),
    )

"""Options that several commands have: each is defined once, here."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from nfl_pruning.cli.options.types import ListOf, OneOf, Real, Seed, Whole

F = TypeVar("F", bound=Callable[..., Any])
SCORES = "scores:SCORES"
ENDS = "selections.base:ENDS"
BALANCES = "selections.explored_quotas:ALL_BALANCES"

_DEFINED: dict[str, dict[str, Any]] = {
    "--score": {
        "default": "el2n", "metavar": "NAME", "type": OneOf(SCORES), "help": "Difficulty score.",
    },
    "--keep": {
        "default": "hardest", "metavar": "END", "type": OneOf(ENDS), "help": "hardest or easiest.",
    },
    "--keep-fraction": {
        "default": "0.3", "metavar": "R", "type": Real(), "help": "In (0, 1].",
    },
    "--exploit": {
        "default": "0.5", "metavar": "SHARE", "type": Real(),
        "help": "Share of the budget spent by score, in [0, 1]; for protocols that explore.",
    },
    "--balance": {
        "default": "none", "metavar": "HOW", "type": OneOf(BALANCES),
        "help": "Quotas by class: none, proportional (the same share of each), equal counts, or "
        "explored: proportional ones of the explored part.",
    },
    "--scale": {
        "default": "auto", "metavar": "HOW", "type": OneOf("numerics.scaling:SCALES"),
        "help": "Feature scaling before the probe: auto, common, per-feature or none.",
    },
    "--gradient": {
        "default": "full", "metavar": "SCOPE", "type": OneOf("networks.gradients:SCOPES"),
        "help": "Gradient that grand means: full, last-layer or logits.",
    },
    "--models": {
        "default": "1", "metavar": "N", "type": Whole(1), "help": "Networks to train.",
    },
    "--budget": {
        "default": "epochs", "metavar": "X", "type": OneOf("networks.training:BUDGETS"),
        "help": "epochs: passes over the kept rows; steps: as many steps as all of DATA would get.",
    },
    "--preset": {
        "default": "quick", "metavar": "NAME", "type": OneOf("experiments.scripts:PRESETS"),
        "help": "quick: minutes; paper: hours, with larger samples.",
    },
    "--seed": {
        "default": "0", "metavar": "N", "type": Seed(), "help": "Whole number in [0, 2^32).",
    },
    "--data-dir": {"metavar": "DIR", "help": "Folder of a named data set's files."},
    "--force": {"is_flag": True, "help": "Replace an existing output."},
}  # fmt: skip


def shared(name: str, **differences: Any) -> Callable[[F], F]:
    """An option that several commands have, and in what this command's differs, as its help."""
    settings = _DEFINED[name] | differences
    if settings.get("default") is not None:
        settings["show_default"] = True
    return click.option(name, **settings)


def list_of(name: str, **differences: Any) -> Callable[[F], F]:
    """The same option as a comma list of distinct entries."""
    return shared(name, **{"type": ListOf(_DEFINED[name]["type"])} | differences)


data_argument = click.argument("data", default="digits")
seed_option = shared("--seed")
json_option = click.option("--json", "as_json", is_flag=True, help="Strict JSON on stdout only.")


def jobs_option(pieces: str) -> Callable[[F], F]:
    """``--jobs``: how many of the pieces are worked on at a time; None: see ``usual_jobs``."""
    from nfl_pruning.experiments.processes import MOST_JOBS

    return click.option(
        "--jobs",
        type=click.IntRange(1),
        metavar="N",
        help=f"{pieces} at a time, each in a process.  [default: one a core, at most {MOST_JOBS}; "
        "on a GPU or TPU one]",
    )


def gathered(into: Callable[..., Any], keyword: str, names: tuple[str, ...]) -> Callable:
    """A decorator: the command gets one argument, made ``into`` an object of these options."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(*args: Any, **given: Any) -> Any:
            made = into(**{name: given.pop(name) for name in names})
            return command(*args, **given, **{keyword: made})

        return call

    return decorate

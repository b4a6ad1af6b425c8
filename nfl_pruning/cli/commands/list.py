"""``nfl-pruning list``: what is registered, and which experiments the checkout holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from nfl_pruning.cli.options.shared import json_option
from nfl_pruning.experiments.scripts import experiments

HELP = """List scores, protocols, links, losses, data sets, statements and figures by name.

\b
Examples:
  nfl-pruning list
  nfl-pruning list scores
  nfl-pruning list --json
"""

Row = dict[str, Any]


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().split("\n")[0].replace("``", "")


def scores() -> list[Row]:
    """Registered scores, larger = harder."""
    from nfl_pruning.scores import SCORES

    return [
        {
            "name": score.name,
            "labels": "used" if score.label_aware else "ignored",
            "needs": ", ".join(sorted(score.needs)),
            "what": score.summary,
        }
        for score in SCORES.values()
    ]


def protocols() -> list[Row]:
    """Registered protocols in the form that --protocol takes."""
    from nfl_pruning.selections import SELECTIONS

    def form(name: str, cls: type) -> str:
        return ":".join([name, *(f.name.upper() for f in fields(cls) if f.name != "exploit")])

    return [
        {
            "name": form(name, cls),
            "uses": ", ".join(
                option for option in ("score", "keep", "exploit") if option in cls.uses
            ),
            "what": _first_line(cls),
        }
        for name, cls in SELECTIONS.items()
    ]


def links() -> list[Row]:
    """Laws of the label given the teacher margin t."""
    from nfl_pruning.links import LINKS

    what = {True: "P(y = 1 | t) whatever the size of t", False: "P(y = 1 | t), t = signal * z"}
    rows = [{"name": name, "what": what[link.scale_free]} for name, link in LINKS.items()]
    return [
        *rows,
        {"name": "steps:BREAKS:VALUES", "what": "piecewise constant in t"},
        {
            "name": "flip:PROBABILITY[:LINK]",
            "what": "labels of a link (sign) turned round at random",
        },
    ]


def losses() -> list[Row]:
    """Losses of the fit."""
    from nfl_pruning.losses import LOSSES

    return [{"name": name, "what": loss.summary} for name, loss in LOSSES.items()]


def datasets() -> list[Row]:
    """Data sets that prune knows by name."""
    from nfl_pruning.data.builtin import DATASETS

    return [{"name": name, "what": _first_line(load)} for name, load in DATASETS.items()]


def statements() -> list[Row]:
    """Claims that verify checks, as --only takes them."""
    from nfl_pruning.statements import STATEMENTS

    return [{"name": name, "what": statement.title} for name, statement in STATEMENTS.items()]


def figures() -> list[Row]:
    """Figures that reproduce draws, when the current folder is a checkout."""
    return [{"name": found.name, "what": found.summary} for found in experiments(Path("."))]


KINDS: dict[str, Callable[[], list[Row]]] = {
    "scores": scores,
    "protocols": protocols,
    "links": links,
    "losses": losses,
    "datasets": datasets,
    "statements": statements,
    "figures": figures,
}


@click.command("list", help=HELP, short_help="Names of scores, protocols, links, figures ...")
@click.argument("kind", required=False)
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """Print one kind, or all of them."""
    from nfl_pruning.validation import check_choice

    chosen = KINDS if kind is None else {kind: KINDS[check_choice("kind", kind, KINDS)]}
    found = {name: rows() for name, rows in chosen.items()}
    if as_json:
        from nfl_pruning.cli.output.tables import print_json

        print_json(found, indent=2)
        return
    from nfl_pruning.cli.output.tables import print_table

    for name, rows in found.items():
        if rows:
            columns = [key for key in rows[0] if any(row[key] for row in rows)]
            title = f"{name}: {_first_line(KINDS[name])}"
            print_table(
                columns,
                [[row[key] for key in columns] for row in rows],
                title=title,
                left=columns,
                fixed=("name",),
            )

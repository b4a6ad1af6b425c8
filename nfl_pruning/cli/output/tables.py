"""Tables that fit a terminal of 80 columns, and strict JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from nfl_pruning.problem import Problem

WIDTH = 80

HEADERS = {
    "samples_per_feature": "samples\nper feature",
    "keep_fraction": "keep\nfraction",
    "n_features": "features",
    "n_trials": "trials",
    "test_error": "test\nerror",
    "test_loss": "test\nloss",
    "excess_risk": "excess\nrisk",
    "calibration_slope": "calibration\nslope",
}


def plain_console(**settings: Any) -> Console:
    """A console that prints names as they are: no markup, no emoji, no colours of its own."""
    return Console(highlight=False, markup=False, emoji=False, **settings)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Strict JSON on standard output; characters that it cannot encode become JSON's escapes."""
    from nfl_pruning.records import to_json

    text = to_json(value, indent=indent)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), indent=indent, allow_nan=False)
    click.echo(text)


def number(value: Any, digits: int = 6) -> str:
    """A number with that many significant digits; a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def with_error(mean: Any, error: Any) -> str:
    """Mean and standard error, both to the error's second digit: ``0.6432 ± 0.0048``.

    A single trial has no standard error; its value stands alone.
    """
    if mean is None or error is None or not (math.isfinite(mean) and math.isfinite(error)):
        return number(mean, 4)
    places = 4 if error <= 0 else max(0, min(8, 1 - math.floor(math.log10(error))))
    return f"{mean:.{places}f} ± {error:.{places}f}"


def score(z: Any, places: int = 2) -> str:
    """A z-score with its sign; a dash where there is none."""
    return "–" if z is None or not math.isfinite(z) else f"{z:+.{places}f}"


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    note: str = "",
    left: Sequence[str] = (),
    fixed: Sequence[str] = (),
) -> None:
    """A table on standard output.

    Columns named in ``left`` hold text and may wrap, unless ``fixed`` names them too.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        text = name in left
        header = HEADERS.get(name, name.replace("_", " "))
        table.add_column(
            header, justify="left" if text else "right", no_wrap=not text or name in fixed
        )
    for row in rows:
        table.add_row(*row)
    console = plain_console(width=min(WIDTH, Console().width))
    if title:
        console.print(title)
    console.print(table)
    if note:
        console.print(note)


def headline(problems: Sequence[Problem], without: Sequence[str] = ()) -> str:
    """What problems share, in three short lines; a sweep shows the rest in its columns."""
    problem = max(problems, key=lambda one: len(one.selection.uses))  # has whatever any has
    said, uses = problem.describe(), problem.selection.uses
    if not {"score", "keep"} & uses:
        without = [*without, "score", "keep"]

    def parts(**texts: str | bool) -> str:
        return ", ".join(str(text) for key, text in texts.items() if text and key not in without)

    data = parts(
        link=f"link {said['link']}",
        signal=f"signal {number(problem.teacher.signal)}",
        samples_per_feature=f"{number(problem.samples_per_feature)} samples per feature",
    )
    rule = parts(
        protocol=f"{said['protocol']} protocol",
        score=f"score {said['score']}",
        keep=f"keep {said['keep']}",
        keep_fraction=f"keep fraction {number(problem.keep_fraction)}",
        exploit="exploit" in uses and f"exploit {number(said['exploit'])}",
    )
    models = parts(
        probe=f"probe {said['probe']}",
        loss=f"{said['loss']} loss",
        ridge=f"ridge {number(problem.student.ridge)}",
    )
    lines = {"Data": data, "Pruning": rule, "Models": models}
    return "\n".join(f"{name:8} {line}" for name, line in lines.items() if line)

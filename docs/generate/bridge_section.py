"""The section of docs/networks.md on the bridge from the limit to real features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nfl_pruning.experiments.scripts import load
from nfl_pruning.records import Record, RecordStore, matching

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "simulations" / "records" / "paper" / "bridge"
INTRODUCTION = """\
Half of the images train a network; the other half is seen through its last hidden layer (MLP or
CNN) or through the main directions of its pixels, and a softmax regression is refitted to the kept
part of 1,000 images (5,000 where all ten classes take part), ridge 0.01, with a probe fitted to 300
(1,000) others. Gaussian components fitted within each class stand for the features, and `solve`
([docs/equations.md](equations.md)) gives the limit's test error; nothing is fitted to the outcome.
Cells: limit with one component a class / limit with as many as held-out rows prefer / the same
mixture drawn at the data's size / real features; test error in %, ± one standard error over trials.
The third number tells what a finite size does; what is left between it and the fourth is what
Gaussian components do not say about the features ([figure](../figures/bridge.py)).
""".split("\n")


class Cell(NamedTuple):
    """One policy at one keep fraction, in per cent; None where there is no record or no limit."""

    policy: str
    fraction: float
    one: float | None
    chosen: float | None
    drawn: tuple[float, float] | None
    real: tuple[float, float] | None


def section(folder: Path = RECORDS) -> str:
    """The section; empty where nothing has been computed."""
    records = RecordStore(folder).all()
    if not matching(records, part="real"):
        return ""
    figure = load(ROOT / "figures" / "bridge.py")
    lines, everything = ["## A bridge to the theory", "", *INTRODUCTION], []
    for task, own in figure.by_task(records).items():
        for view, title in figure.VIEWS.items():
            here = [record for record in own if record["config"]["view"] == view]
            if not matching(here, part="real"):
                continue
            best = figure.best_components(matching(here, part="limit"))
            found = list(cells(here, best))
            everything += found
            lines += _table(f"{figure.task_name(list(task))}, {title}", here, best, found, figure)
    return "\n".join([*lines, *summary(everything), ""]) + "\n"


def cells(records: list[Record], best: int) -> Iterator[Cell]:
    """Every cell of one task seen one way."""
    trials = matching(records, part="real")[0]
    drawn = matching(records, part="drawn", components=best)
    for policy in trials["config"]["policies"]:
        limits = [matching(records, part="limit", components=c, policy=policy) for c in (1, best)]
        for i, fraction in enumerate(trials["config"]["fractions"]):
            errors = [found[0]["result"]["test_error"][i] if found else None for found in limits]
            one, chosen = (None if e is None else 100 * e for e in errors)
            yield Cell(
                policy, fraction, one, chosen,
                _measured(drawn[0]["result"][policy], i) if drawn else None,
                _measured(trials["result"][policy], i),
            )  # fmt: skip


def _measured(values: dict[str, Any], i: int) -> tuple[float, float]:
    return 100 * values["mean"][i], 100 * values["standard_error"][i]


def _table(
    title: str, records: list[Record], best: int, found: list[Cell], figure: Any
) -> list[str]:
    config = matching(records, part="real")[0]["config"]
    drawn = matching(records, part="drawn", components=best)
    number = f", {drawn[0]['result']['components'][0]} components a class chosen" if drawn else ""
    fractions = config["fractions"]
    lines = [
        f"**{title[0].upper()}{title[1:]}** ({config['trials']} trials{number})",
        "",
        "| rule | " + " | ".join(f"{100 * r:g} % kept" for r in fractions) + " |",
        "|---" * (len(fractions) + 1) + "|",
    ]
    for policy in config["policies"]:
        shown = [_shown(cell) for cell in found if cell.policy == policy]
        lines.append(f"| {figure.NAMES[policy]} | " + " | ".join(shown) + " |")
    return [*lines, ""]


def _shown(cell: Cell) -> str:
    limits = ["–" if value is None else f"{value:.1f}" for value in (cell.one, cell.chosen)]
    trials = ["–" if m is None else f"{m[0]:.1f} ± {m[1]:.1f}" for m in (cell.drawn, cell.real)]
    return " / ".join([*limits, *trials])


def summary(found: list[Cell]) -> list[str]:
    """Median absolute departures: at 30 % and above, and at 10 % what is finite size."""
    many = [cell for cell in found if cell.fraction >= 0.3]
    few = [cell for cell in found if cell.fraction < 0.3]
    lines = []
    if many:
        one, chosen, drawn = (_median(many, name) for name in ("one", "chosen", "drawn"))
        lines.append(
            "Median absolute departure from real features at 30 % kept and above, in points: "
            f"{one} with one component a class, {chosen} with the chosen ones, {drawn} for the "
            "chosen mixture drawn at the data's size."
        )
    if few:
        size = [abs(c.drawn[0] - c.chosen) for c in few if c.drawn and c.chosen is not None]
        shown = f"{np.median(size):.1f}" if size else "–"
        lines.append(
            f"At 10 % kept the limit is off by {_median(few, 'chosen')}; the finite size moves the "
            f"mixture's own error by {shown}, and the mixture at that size is off by "
            f"{_median(few, 'drawn')}."
        )
    return lines


def _median(found: list[Cell], name: str) -> str:
    gaps = []
    for cell in found:
        value = getattr(cell, name)
        value = value[0] if isinstance(value, tuple) else value
        if value is not None and cell.real is not None:
            gaps.append(abs(value - cell.real[0]))
    return f"{np.median(gaps):.1f} ({len(gaps)} cells)" if gaps else "–"

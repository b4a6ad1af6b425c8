"""One look for every figure: theory as lines, simulation as points with error bars.

The colours are Okabe and Ito's, which people with colour-blindness can tell apart. A rule has the
same colour, marker and name in every figure; a second visual cue (marker, dash) says the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nfl_pruning.records import Record, matching


@dataclass(frozen=True)
class Look:
    """How one rule is drawn."""

    label: str
    colour: str
    marker: str
    dash: Any = "-"


RULES: dict[str, Look] = {
    "random": Look("random", "#000000", "o", (0, (4, 2))),
    "aware-hardest": Look("keep hardest, label-aware", "#D55E00", "v"),
    "aware-easiest": Look("keep easiest, label-aware", "#0072B2", "^"),
    "agnostic-hardest": Look("keep hardest, label-agnostic", "#E69F00", "<"),
    "agnostic-easiest": Look("keep easiest, label-agnostic", "#56B4E9", ">"),
    "exact": Look("exact calibration", "#009E73", "s"),
    "soft": Look("soft calibration", "#CC79A7", "D"),
    "optimal": Look("best rule of the margin", "#332288", "*", (0, (3, 1, 1, 1))),
    "full": Look("all data", "#7F7F7F", "", (0, (1, 1.5))),
    "el2n": Look("EL2N", "#D55E00", "v"),
    "grand": Look("GraNd", "#CC79A7", "D", (0, (4, 1))),
    "loss": Look("loss", "#0072B2", "^", (0, (1, 1))),
    "margin": Look("margin", "#E69F00", "<"),
    "entropy": Look("entropy", "#56B4E9", ">", (0, (4, 1))),
    "least-confidence": Look("least confidence", "#009E73", "s", (0, (1, 1))),
}

COLUMN = 3.4  # inches: one column of a two-column paper
PAGE = 7.0

_SETTINGS: dict[Any, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "nfl-pruning",
}


def canvas(rows: int, columns: int, *, width: float = PAGE, panel_height: float = 2.2) -> tuple:
    """A figure with a grid of axes; returns (figure, array of axes of shape (rows, columns))."""
    plt.rcParams.update(_SETTINGS)
    return plt.subplots(
        rows,
        columns,
        figsize=(width, rows * panel_height),
        squeeze=False,
        layout="constrained",
    )


def line(axes: Axes, rule: str, x, y, **changes) -> None:
    """A theory curve; entries that are None are gaps."""
    look = RULES[rule]
    drawn = {"color": look.colour, "linestyle": look.dash, "label": look.label} | changes
    axes.plot(_numbers(x), _numbers(y), **drawn)


def points(axes: Axes, rule: str, x, y, error, **changes) -> None:
    """Simulated means with one standard error; entries that are None are left out."""
    look = RULES[rule]
    drawn = {"color": look.colour, "fmt": look.marker, "capsize": 1.5, "elinewidth": 0.8} | changes
    axes.errorbar(_numbers(x), _numbers(y), yerr=_numbers(error), **drawn)


def curve(axes: Axes, look: str, records: list[Record], name: str) -> None:
    """An observable against the keep fraction: the limit as a line, trials as points."""
    theory = _by_keep_fraction(matching(records, kind="theory"))
    kept = [record["config"]["problem"]["keep_fraction"] for record in theory]
    line(axes, look, kept, [record["result"][name] for record in theory])
    trials = _by_keep_fraction(matching(records, kind="trials"))
    kept = [record["config"]["problem"]["keep_fraction"] for record in trials]
    found = [record["result"][name] for record in trials]
    points(axes, look, kept, [f["mean"] for f in found], [f["standard_error"] for f in found])


def _by_keep_fraction(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record["config"]["problem"]["keep_fraction"])


def keep_axis(axes: Axes, *, ticks=(0.05, 0.1, 0.2, 0.3, 0.5, 1.0)) -> None:
    """A logarithmic axis of keep fractions, in per cent."""
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("kept share of the data")


def legend_below(figure: Figure, rules: Iterable[str], *, note: str = "") -> None:
    """One legend for all panels, under them: each rule's line and marker."""
    handles = [
        Line2D([], [], color=look.colour, linestyle=look.dash, marker=look.marker, label=look.label)
        for look in (RULES[rule] for rule in rules)
    ]
    title = f"lines: the exact limit; points: simulation, with one standard error{note}"
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, title=title, title_fontsize=7.5
    )


def plain_line(axes: Axes, x, y, colour: str) -> None:
    """A line that belongs to no rule."""
    axes.plot(_numbers(x), _numbers(y), color=colour)


def plain_points(axes: Axes, x, y, colour: str, marker: str) -> None:
    """Points that belong to no rule; entries that are None are left out."""
    axes.plot(_numbers(x), _numbers(y), color=colour, marker=marker, linestyle="none")


def plain_legend(figure: Figure, looks: dict[str, tuple[str, str]], title: str) -> None:
    """One legend under all panels for what belongs to no rule: label -> (colour, marker)."""
    handles = [
        Line2D([], [], color=colour, marker=marker, label=label)
        for label, (colour, marker) in looks.items()
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, title=title, title_fontsize=7.5
    )


def share_rows(grid: np.ndarray) -> None:
    """One vertical scale a row of panels, written at its left end only."""
    for row in grid:
        for axes in row[1:]:
            axes.sharey(row[0])
            axes.tick_params(labelleft=False)
            axes.set_ylabel("")
        row[0].autoscale(axis="y")


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Write NAME.pdf and NAME.png into ``out``; returns the paths."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{name}.pdf", out / f"{name}.png"]
    for path in paths:
        stamp = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
        figure.savefig(path, metadata=stamp)
    plt.close(figure)
    return paths


def _numbers(values) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], float)

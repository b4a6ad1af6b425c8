"""Draw a statement's plots: theory as lines, measurements as points with error bars."""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from nfl_pruning.statements.base import Plot, Series

# The colours, markers and dashes of rules, the same as in the project's other figures.
LOOKS: dict[str, tuple[str, str, Any]] = {
    "random": ("#000000", "o", (0, (4, 2))),
    "aware-hardest": ("#D55E00", "v", "-"),
    "aware-easiest": ("#0072B2", "^", "-"),
    "agnostic-hardest": ("#E69F00", "<", "-"),
    "agnostic-easiest": ("#56B4E9", ">", "-"),
    "exact": ("#009E73", "s", "-"),
    "soft": ("#CC79A7", "D", "-"),
    "full": ("#7F7F7F", "o", (0, (1, 1.5))),
}
FEW = 5  # whole numbers on the horizontal axis that are its ticks
SETTINGS: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "nfl-pruning",
    "pdf.fonttype": 42,
}


def draw(plot: Plot, *, width: float = 5.2, height: float = 3.5) -> Figure:
    """The figure of one plot, without touching any global drawing state."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for series in plot.series:
            _draw(axes, series)
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        for log, name in ((plot.x_log, "x"), (plot.y_log, "y")):
            if log:
                getattr(axes, f"set_{name}scale")("log")
                _label_log_axis(getattr(axes, f"{name}axis"), getattr(axes, f"get_{name}lim")())
        places = sorted({x for series in plot.series for x in series.x})
        if len(places) <= FEW and all(x == int(x) for x in places):
            axes.set_xticks(places)
        named = sum(bool(series.label) for series in plot.series)
        if named > 3:  # below the axes, where no curve can be in the way
            figure.legend(loc="outside lower center", ncols=2)
        elif named:
            axes.legend(loc="best")
    return figure


def _label_log_axis(axis: Any, ends: tuple[float, float]) -> None:
    """Plain numbers at a few places of a logarithmic axis."""
    low, high = ends
    decades = np.log10(high / low)
    subs = (1, 2, 5) if decades < 2.2 else (1, 3) if decades < 4 else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_locator(NullLocator())
    plain = low >= 1e-4 and high <= 1e6
    if plain:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw(axes: Any, series: Series) -> None:
    colour, marker, dash = LOOKS.get(series.look, LOOKS["full"])
    label = series.label or None
    if series.points:
        axes.errorbar(
            series.x, series.y, yerr=series.error, fmt=marker, color=colour, capsize=2,
            markersize=4.5, elinewidth=0.9, label=label, linestyle="none",
        )  # fmt: skip
    else:
        axes.plot(series.x, series.y, color=colour, linestyle=dash, linewidth=1.5, label=label)


def as_data_uri(figure: Figure) -> str:
    """The figure as an SVG image that can stand in a page."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()

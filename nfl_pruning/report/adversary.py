"""Draw what the adversary found: the law with what is kept of it, and the losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nfl_pruning.adversary.find import Finding
from nfl_pruning.adversary.ranking import ranker
from nfl_pruning.archive import write_plot
from nfl_pruning.report.plots import LOOKS, SETTINGS
from nfl_pruning.scores.base import Score

SHOWN = 700


def draw_finding(found: Finding, score: Score, out: Path) -> Path:
    """Write the plot of a finding that has a law."""
    c, shown = found.certificate, found.simulated
    assert c is not None and shown is not None
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=[3, 2])
        _law(left, found, score)
        names = [f"{found.score}\nkeep {found.keep}", "random"]
        right.bar(names, shown.losses, color=[LOOKS["aware-hardest"][0], "#555555"], width=0.55)
        if c.resolved:
            right.axhline(c.gap, color="#000000", linewidth=1, linestyle=(0, (4, 2)))
            right.annotate("limit, certified", (0.98, c.gap), xycoords=("axes fraction", "data"),
                           ha="right", va="bottom", fontsize=8.5)  # fmt: skip
            right.set_ylim(0, 1.15 * max(c.gap, *shown.losses))
        right.set_ylabel("excess loss")
        right.set_title(f"{shown.n_samples} samples, {100 * found.keep_fraction:g} % kept")
        right.grid(axis="x", visible=False)
        right.set_axisbelow(True)
        return write_plot(figure, out, dpi=160)


def _law(axes: Any, found: Finding, score: Score) -> None:
    c = found.certificate
    assert c is not None
    x, y = c.law.sample(np.random.default_rng(0), 4000)
    priority = ranker(score, c.law, c.best, found.keep)(x, y)
    lots = np.random.default_rng(1).random(len(x))
    order = np.lexsort((lots, -priority))
    kept = np.zeros(len(x), bool)
    kept[order[: round(found.keep_fraction * len(x))]] = True
    shown = np.arange(len(x)) < SHOWN
    colours = {1: "#0072B2", -1: "#D55E00"}
    for label, colour in colours.items():
        here = shown & (y == label)
        axes.scatter(*x[here & ~kept].T, s=7, color=colour, alpha=0.18, linewidths=0)
        axes.scatter(*x[here & kept].T, s=14, color=colour, alpha=0.9, linewidths=0,
                     label=f"kept, y = {label:+d}")  # fmt: skip
    span = np.array([-4.5, 4.5])
    for theta, dash, name in ((c.best, "-", "best parameter"), (c.student, "--", "fit to kept")):
        if abs(theta[1]) > abs(theta[0]):
            axes.plot(span, -(theta[0] * span + theta[2]) / theta[1], "k", linestyle=dash,
                      linewidth=1.3, label=name)  # fmt: skip
        elif theta[0] != 0:
            axes.plot(-(theta[1] * span + theta[2]) / theta[0], span, "k", linestyle=dash,
                      linewidth=1.3, label=name)  # fmt: skip
        _arrow(axes, theta, dash)
    axes.set(xlim=span, ylim=span, xlabel="first input", ylabel="second input", aspect="equal")
    axes.set_title("Samples of the law; boundaries of the fits")
    axes.set_axisbelow(True)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, markerscale=1.4)


def _arrow(axes: Any, theta: np.ndarray, dash: str) -> None:
    """An arrow from a boundary towards the side that is classified as y = +1."""
    size = np.linalg.norm(theta[:2])
    if size == 0:
        return
    normal = theta[:2] / size
    along = np.array([-normal[1], normal[0]])
    start = -theta[2] / size * normal
    start = start + along * np.sign(along[1] or 1.0) * 2.6
    axes.annotate(
        "",
        start + 1.1 * normal,
        start,
        arrowprops={"arrowstyle": "->", "lw": 1.2, "linestyle": dash},
    )
    axes.annotate("+1", start + 1.45 * normal, ha="center", va="center", fontsize=8.5)

"""Draw the difference of test error to random pruning as maps, with the line of chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import Record, RecordStore, matching

NAME = "phase_diagrams"

LABELS = {
    "alignment": "cosine of probe and teacher",
    "alignment, tuned": "cosine of probe and teacher,\nridge tuned for each",
    "samples_per_feature": "samples per feature",
    "samples_per_feature, tuned": "samples per feature,\nridge tuned for each",
}
PANELS = tuple(LABELS)
RULES = ("aware-hardest", "aware-easiest", "agnostic-hardest", "agnostic-easiest")
REACH = 0.1  # differences of test error beyond it have the colour of the end


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns its paths."""
    figure, grid = style.canvas(len(PANELS), len(RULES), panel_height=2.0)
    everything = store.all()
    shade = None
    for axes, rule in zip(grid[0], RULES, strict=True):
        axes.set_title(style.RULES[rule].label.replace(", ", ",\n"))
    for row, panel in zip(grid, PANELS, strict=True):
        record = matching(everything, panel=panel)[0]
        names = list(record["config"]["problems"])
        error = np.array(record["result"]["test_error"], float)
        for axes, rule in zip(row, RULES, strict=True):
            change = error[names.index(rule)] - error[names.index("random")]
            shade = _map(axes, record, change=change, error=error[names.index(rule)])
            axes.set_xlabel("kept share" if panel == PANELS[-1] else "")
        row[0].set_ylabel(LABELS[panel])
    style.share_rows(grid)
    bar = figure.colorbar(shade, ax=grid, shrink=0.5, aspect=30, extend="both")
    bar.set_label("test error minus random pruning's (blue: the rule wins)")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=2)
    return style.save(figure, out, NAME)


def _map(axes: Axes, record: Record, *, change: np.ndarray, error: np.ndarray):
    kept, other = list(record["config"]["axes"].values())[:2]
    shade = axes.pcolormesh(
        kept, other, change.T, cmap="RdBu_r", vmin=-REACH, vmax=REACH, shading="gouraud"
    )
    axes.contour(kept, other, change.T, [0.0], colors="black", linewidths=1.0)
    axes.contour(kept, other, error.T, [0.5], colors="black", linewidths=1.0, linestyles="dashed")
    style.keep_axis(axes, ticks=(0.05, 0.2, 1.0))
    axes.set_xlim(kept[0], 1.0)
    if other[-1] > 1:
        axes.set_yscale("log")
    axes.grid(visible=False)
    return shade


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color="black", label="as good as random pruning"),
        Line2D([], [], color="black", linestyle="--", label="as good as chance (test error 1/2)"),
    ]


if __name__ == "__main__":
    draw_alone(__file__, draw)

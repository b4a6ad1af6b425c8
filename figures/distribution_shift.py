"""Draw the law of kept samples against the data's, by hard rule, at a keep fraction of 30 %."""

from __future__ import annotations

from pathlib import Path

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import RecordStore

NAME = "distribution_shift"

PANELS = (
    ("random", "kept", "random"),
    ("aware-hardest", "kept", "keep hardest, label-aware"),
    ("agnostic-hardest", "kept", "keep hardest, label-agnostic"),
    ("exact", "weighted", "calibrated keep hardest, weighted"),
    ("aware-easiest", "kept", "keep easiest, label-aware"),
    ("agnostic-easiest", "kept", "keep easiest, label-agnostic"),
)


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns its paths."""
    figure, grid = style.canvas(2, 3, panel_height=1.9)
    for axes, (law, kind, title) in zip(grid.flat, PANELS, strict=True):
        (theory,) = (record["result"] for record in store.select(kind="theory", law=law))
        (trials,) = (record["result"] for record in store.select(kind="trials", law=law))
        axes.fill_between(
            theory["t"], theory["all"], color="#DDDDDD", linewidth=0, label="all data"
        )
        style.line(axes, law, theory["t"], theory[kind], label="kept: theory")
        style.points(
            axes, law, trials["t"], trials[kind], trials[f"{kind}_error"],
            label="kept: simulation", markersize=2.2,
        )  # fmt: skip
        axes.set_title(title)
        axes.axvline(0, color="#999999", linewidth=0.7)
        axes.set_ylim(0, 0.95)
        axes.set_yticks([0, 0.3, 0.6, 0.9])
    for axes in grid[-1]:
        axes.set_xlabel("label times teacher input, $y z$")
    for axes in grid[:, 0]:
        axes.set_ylabel("density")
    grid[0, 0].legend(loc="upper left")
    return style.save(figure, out, NAME)


if __name__ == "__main__":
    draw_alone(__file__, draw)

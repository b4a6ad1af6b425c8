"""Draw exact and soft calibration against the hard rule that they repair, and against random."""

from __future__ import annotations

from pathlib import Path

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import RecordStore, matching

NAME = "calibration"

CASES = {
    "aware-hardest, plentiful": "keep hardest,\nlabel-aware",
    "agnostic-hardest, plentiful": "keep hardest,\nlabel-agnostic",
    "aware-hardest, little": "keep hardest,\nlabel-aware",
    "aware-easiest, little": "keep easiest,\nlabel-aware",
}
OBSERVABLES = {"cosine": "cosine to the teacher", "test_error": "test error"}


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns its paths."""
    figure, grid = style.canvas(2, len(CASES), panel_height=2.1)
    everything = store.all()
    for column, (case, title) in zip(grid.T, CASES.items(), strict=True):
        records, rule = matching(everything, case=case), case.split(",")[0]
        looks = {"random": "random", "threshold": rule, "exact": "exact", "soft": "soft"}
        for axes, name in zip(column, OBSERVABLES, strict=True):
            for protocol, look in looks.items():
                style.curve(axes, look, matching(records, protocol=protocol), name)
            style.keep_axis(axes, ticks=(0.05, 0.1, 0.3, 1.0))
        size = records[0]["config"]["problem"]["samples_per_feature"]
        column[0].set_title(f"{title.replace(', ', chr(10))}\n{size:g} samples per feature")
        column[0].set_xlabel("")
    for axes, label in zip(grid[:, 0], OBSERVABLES.values(), strict=True):
        axes.set_ylabel(label)
    style.share_rows(grid)
    style.legend_below(
        figure,
        ("random", "aware-hardest", "agnostic-hardest", "aware-easiest", "exact", "soft"),
        note="\ncalibration: half of the budget by score, half explored; soft weights: square root",
    )
    return style.save(figure, out, NAME)


if __name__ == "__main__":
    draw_alone(__file__, draw)

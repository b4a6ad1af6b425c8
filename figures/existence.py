"""Draw where ridge-free fits begin to exist against the keep fraction, at two signals."""

from __future__ import annotations

from pathlib import Path

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import Record, RecordStore, matching

NAME = "existence"

RULES = (
    "random",
    "aware-hardest",
    "aware-easiest",
    "agnostic-hardest",
    "agnostic-easiest",
    "exact",
)


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns its paths."""
    records = store.all()
    signals = sorted({record["config"]["problem"]["signal"] for record in records})
    figure, grid = style.canvas(2, len(signals))
    for (above, below), signal in zip(grid.T, signals, strict=True):
        here = [r for r in records if r["config"]["problem"]["signal"] == signal]
        for rule in RULES:
            found = matching(here, rule=rule)
            style.curve(above, rule, found, "threshold")
            style.curve(below, rule, [_of_kept(record) for record in found], "threshold")
        for axes in (above, below):
            style.keep_axis(axes)
            axes.set_yscale("log")
        above.set_ylabel("samples per feature")
        below.set_ylabel("kept samples per feature")
        above.set_xlabel("")
        above.set_title(f"signal {signal:g}: a finite fit exists above the line")
    style.share_rows(grid)
    for axes, span in ((grid[0, 0], (1.7, 300)), (grid[1, 0], (1.7, 30))):
        axes.set_ylim(*span)
    for axes, ticks in ((grid[0, 0], (2, 5, 10, 20, 50, 100, 200)), (grid[1, 0], (2, 5, 10, 20))):
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    style.legend_below(figure, RULES)
    return style.save(figure, out, NAME)


def _of_kept(record: Record) -> Record:
    """The record in kept samples per feature."""
    share = record["config"]["problem"]["keep_fraction"]
    found = record["result"]["threshold"]
    if isinstance(found, dict):
        scaled = {k: found[k] and share * found[k] for k in ("mean", "standard_error")}
    else:
        scaled = found and share * found
    return {**record, "result": {"threshold": scaled}}


if __name__ == "__main__":
    draw_alone(__file__, draw)

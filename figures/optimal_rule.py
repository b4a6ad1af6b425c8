"""Draw the best achievable test error beside the usual rules, and what the best rule keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import Record, RecordStore, matching

NAME = "optimal_rule"

RULES = ("random", "aware-hardest", "aware-easiest", "agnostic-hardest", "agnostic-easiest")
AMOUNTS = ("little", "plentiful")
REACH = 3.0


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns its paths."""
    figure, grid = style.canvas(2, 2)
    everything = store.all()
    for column, amount in zip(grid.T, AMOUNTS, strict=True):
        records = matching(everything, amount=amount)
        best = sorted(matching(records, kind="optimal"), key=_kept)
        for rule in RULES:
            style.curve(column[0], rule, matching(records, rule=rule), "test_error")
        _best(column[0], best)
        style.keep_axis(column[0])
        size = best[0]["config"]["problem"]["samples_per_feature"]
        column[0].set_title(f"{amount} data: {size:g} samples per feature")
        _bands(column[1], best)
    grid[0, 0].set_ylabel("test error")
    grid[1, 0].set_ylabel("kept share of the data")
    style.share_rows(grid)
    style.legend_below(figure, (*RULES, "optimal"))
    return style.save(figure, out, NAME)


def _kept(record: Record) -> float:
    return record["config"]["problem"]["keep_fraction"]


def _best(axes: Axes, records: list[Record]) -> None:
    kept = [_kept(record) for record in records]
    found = [record["result"]["simulated"] for record in records]
    style.line(axes, "optimal", kept, [record["result"]["test_error"] for record in records])
    style.points(
        axes, "optimal", kept, [f["mean"] for f in found], [f["standard_error"] for f in found]
    )


def _bands(axes: Axes, records: list[Record]) -> None:
    """A row a keep fraction: how dark a bin is says with which probability it is kept."""
    for i, record in enumerate(records):
        edges = np.array(record["result"]["edges"])
        edges = np.concatenate([[-REACH], np.clip(edges, -REACH, REACH), [REACH]])
        keep = np.array(record["result"]["keep"])[None]
        axes.pcolormesh(edges, [i - 0.4, i + 0.4], keep, cmap="Greys", vmin=0, vmax=1)
    axes.set_yticks(range(len(records)), [f"{100 * _kept(r):.3g} %" for r in records])
    axes.axvline(0, color="#999999", linewidth=0.7)
    axes.set_xlim(-REACH, REACH)
    axes.grid(visible=False)
    axes.set_xlabel("label times the probe's margin (in standard deviations)\nblack: kept")


if __name__ == "__main__":
    draw_alone(__file__, draw)

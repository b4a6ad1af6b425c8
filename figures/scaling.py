"""Draw time and memory of simulations against samples, features and trials, on log axes."""

from __future__ import annotations

from pathlib import Path

import style
from nfl_pruning.cli.scripts import draw_alone
from nfl_pruning.records import RecordStore, matching

NAME = "scaling"

ALONG = {"n_samples": "samples", "n_features": "features", "n_trials": "trials"}
COLOURS = {1.0: "#000000", 0.3: "#0072B2", 0.1: "#D55E00"}
MARKERS = {1.0: "o", 0.3: "^", 0.1: "v"}
MIB = 2**20


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns its paths."""
    records = store.all()
    figure, grid = style.canvas(2, len(ALONG))
    for (above, below), (along, label) in zip(grid.T, ALONG.items(), strict=True):
        here = matching(records, along=along)
        for kept in sorted({record["config"]["kept"] for record in here}, reverse=True):
            line = sorted(matching(here, kept=kept), key=lambda record: record["config"][along])
            x = [record["config"][along] for record in line]
            found = [record["result"] for record in line]
            for axes, name, unit in ((above, "seconds", 1), (below, "bytes", MIB)):
                plan = [f["expected"][name] / unit for f in found]
                seen = [f[name] and f[name] / unit for f in found]
                style.plain_line(axes, x, plan, COLOURS[kept])
                style.plain_points(axes, x, seen, COLOURS[kept], MARKERS[kept])
        fixed = {a: here[0]["config"][a] for a in ALONG if a != along}
        above.set_title(", ".join(f"{fixed[a]} {ALONG[a]}" for a in fixed))
        for axes in (above, below):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel(label)
    grid[0, 0].set_ylabel("seconds")
    grid[1, 0].set_ylabel("memory, MiB")
    style.share_rows(grid)
    shares = sorted({record["config"]["kept"] for record in records}, reverse=True)
    looks = {f"{100 * kept:g} % kept": (COLOURS[kept], MARKERS[kept]) for kept in shares}
    style.plain_legend(figure, looks, "lines: planned before the run; points: measured")
    return style.save(figure, out, NAME)


if __name__ == "__main__":
    draw_alone(__file__, draw)

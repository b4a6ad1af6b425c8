"""Draw time and memory of simulations against samples, features and trials, on log axes."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

import style
from nfl_pruning.experiments.scripts import draw_alone
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
        ticks = sorted({record["config"][along] for record in here})
        ticks = ticks[:: -(-len(ticks) // 4)]
        for axes in (above, below):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel(label)
            axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
            axes.minorticks_off()
    grid[0, 0].set_ylabel("seconds")
    grid[1, 0].set_ylabel("memory, MiB")
    style.share_rows(grid)
    _memory_axis(grid[1, 0])
    shares = sorted({record["config"]["kept"] for record in records}, reverse=True)
    looks = {f"{100 * kept:g} % kept": (COLOURS[kept], MARKERS[kept]) for kept in shares}
    style.plain_legend(figure, looks, "lines: planned before the run; points: measured")
    return style.save(figure, out, NAME)


def _memory_axis(axes: Axes) -> None:
    """Ticks at round numbers; the axis spans at least a decade."""
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 100), max(high, 1000))
    ticks = [m * 10**k for k in range(2, 6) for m in (1, 2, 5)]
    shown = [tick for tick in ticks if tick <= axes.get_ylim()[1]]
    axes.set_yticks(shown, [f"{tick}" for tick in shown])
    axes.minorticks_off()


if __name__ == "__main__":
    draw_alone(__file__, draw)

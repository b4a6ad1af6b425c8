"""Draw what advice predicted against what refits on all cells then gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import RecordStore

NAME = "advice"

PARTS = {
    "tuning": ("#7F7F7F", "o", "tasks tuned on"),
    "earlier": ("#E69F00", "s", "held back earlier"),
    "held-back": ("#0072B2", "^", "held back"),
}


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Predicted against true accuracy of every cell; departures at each keep fraction."""
    figure, grid = style.canvas(1, 2, width=style.PAGE)
    left, right = grid[0]
    for place, (part, (colour, marker, label)) in enumerate(PARTS.items()):
        records = [
            record
            for record in store.select(kind=NAME, part=part)
            if not record["result"]["refused"]
        ]
        cells = [cell for record in records for cell in record["result"]["cells"]]
        if not cells:
            continue
        truth = np.array([cell["truth"] for cell in cells])
        told = np.array([cell["predicted"] for cell in cells])
        left.plot(
            truth, told, marker, color=colour, markersize=2.5, alpha=0.5, linestyle="none",
            label=label, markeredgewidth=0,
        )  # fmt: skip
        fractions = np.array([cell["keep_fraction"] for cell in cells])
        for fraction in np.unique(fractions):
            gaps = np.abs(told - truth)[fractions == fraction]
            low, middle, high = np.quantile(gaps, [0.1, 0.5, 0.9])
            shift = fraction * (1 + 0.07 * (place - 1))
            right.errorbar(
                shift, middle, yerr=[[middle - low], [high - middle]], fmt=marker, color=colour,
                markersize=4, capsize=2, elinewidth=0.9,
            )  # fmt: skip
    ends = [0, 100]
    left.plot(ends, ends, color="#000000", linewidth=0.8)
    left.set(xlabel="accuracy of real refits, %", ylabel="predicted, %", xlim=ends, ylim=ends)
    left.legend(loc="upper left")
    right.set_xscale("log")
    right.set_xticks([0.1, 0.3, 0.5, 0.7, 1.0], ["10", "30", "50", "70", "100"])
    right.minorticks_off()
    right.set(xlabel="rows kept, %", ylabel="departure, points:\nmedian, 80 % of cells")
    right.set_ylim(bottom=0)
    return style.save(figure, out, NAME)


if __name__ == "__main__":
    draw_alone(__file__, draw)

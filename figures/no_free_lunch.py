"""Draw cosine and test error against the keep fraction for random and the four hard rules."""

from __future__ import annotations

from pathlib import Path

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import RecordStore, matching

NAME = "no_free_lunch"

RULES = ("random", "aware-hardest", "aware-easiest", "agnostic-hardest", "agnostic-easiest")
AMOUNTS = ("little", "plentiful")
OBSERVABLES = {"cosine": "cosine to the teacher", "test_error": "test error"}


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns its paths."""
    figure, grid = style.canvas(2, 2)
    everything = store.all()
    for column, amount in zip(grid.T, AMOUNTS, strict=True):
        records = matching(everything, amount=amount)
        for axes, (name, label) in zip(column, OBSERVABLES.items(), strict=True):
            for rule in RULES:
                style.curve(axes, rule, matching(records, rule=rule), name)
            style.keep_axis(axes)
            axes.set_ylabel(label)
        size = records[0]["config"]["problem"]["samples_per_feature"]
        column[0].set_title(f"{amount} data: {size:g} samples per feature")
        column[0].axhline(0, color="#999999", linewidth=0.7)
        column[0].set_xlabel("")
    style.share_rows(grid)
    style.legend_below(figure, RULES)
    return style.save(figure, out, NAME)


if __name__ == "__main__":
    draw_alone(__file__, draw)

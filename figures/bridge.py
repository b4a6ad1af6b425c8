"""Draw measured test errors on frozen features beside the spectrum solver's prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import RecordStore

NAME = "bridge"

TASKS = {"0, 6": "t-shirt or shirt", "2, 4": "pullover or coat"}
ROWS = {"real": "real features", "gaussian": "Gaussian control"}


def tasks(store: RecordStore) -> dict[str, list[dict[str, Any]]]:
    """Records by task."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in store.select(kind=NAME):
        found.setdefault(", ".join(map(str, record["config"]["classes"])), []).append(record)
    return found


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns the paths. Bars are one standard error over trials."""
    found = tasks(store)
    if not found:
        return []
    figure, grid = style.canvas(2, len(found), panel_height=2.3)
    rules = set()
    for column, (task, records) in zip(grid.T, found.items(), strict=True):
        for axes, (kind, title) in zip(column, ROWS.items(), strict=True):
            for record in records:
                rule, result = record["config"]["rule"], record["result"]
                rules.add(rule)
                x = record["config"]["fractions"]
                theory = [
                    None if point["test_error"] is None else 100 * point["test_error"]
                    for point in result["theory"]
                ]
                style.line(axes, rule, x, theory)
                mean, error = (
                    100 * np.array(result[kind][name]) for name in ("mean", "standard_error")
                )
                style.points(axes, rule, x, mean, error)
            style.keep_axis(axes)
            axes.set_ylabel(f"test error (%),\n{title}")
            axes.set_ylim(bottom=0)
        first = records[0]["result"]
        column[0].set_title(
            f"{TASKS.get(task, task)}: signal {first['signal']:.2f}, alignment "
            f"{first['alignment']:.2f},\n{first['samples_per_feature']:.1f} samples per feature",
            fontsize=7.5,
        )
        column[0].set_xlabel("")
    order = [rule for rule in style.RULES if rule in rules]
    style.legend_below(figure, order, note=" (above: trials on real features)")
    return style.save(figure, out, NAME)


if __name__ == "__main__":
    draw_alone(__file__, draw)

"""Draw test errors of refits on real features beside the limit of the fitted mixture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import Record, RecordStore, matching

NAME = "bridge"

TASKS = {2: {(0, 6): "t-shirt or shirt", (2, 4): "pullover or coat"}, 10: {}}
VIEWS = {"mlp": "MLP features", "cnn": "CNN features", "pixels": "pixels' main directions"}
LOOKS = {
    "random": "random",
    "el2n hardest": "aware-hardest",
    "el2n easiest": "aware-easiest",
    "margin hardest": "agnostic-hardest",
    "margin easiest": "agnostic-easiest",
    "el2n hardest exploit 0.5": "exact",
}
NAMES = {
    "random": "random",
    "el2n hardest": "EL2N, hardest",
    "el2n easiest": "EL2N, easiest",
    "margin hardest": "margin, hardest",
    "margin easiest": "margin, easiest",
    "el2n hardest exploit 0.5": "EL2N, exact calibration",
}
CHOSEN = 0


def task_name(classes: list[int]) -> str:
    """For people."""
    return TASKS.get(len(classes), {}).get(tuple(classes), f"{len(classes)} classes")


def by_task(records: list[Record]) -> dict[tuple[int, ...], list[Record]]:
    """Records by the classes of their task, pairs first."""
    tasks = sorted({tuple(r["config"]["classes"]) for r in records}, key=lambda t: (len(t), t))
    return {task: [r for r in records if tuple(r["config"]["classes"]) == task] for task in tasks}


def best_components(records: list[Record]) -> int:
    """The chosen number of components where it is there, else the largest."""
    numbers = {r["config"]["components"] for r in records if "components" in r["config"]}
    return CHOSEN if CHOSEN in numbers else max(numbers, default=CHOSEN)


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns the paths. Bars are one standard error over trials."""
    found = by_task(store.select(kind=NAME))
    views = [view for view in VIEWS if any(_of(rs, view) for rs in found.values())]
    if not found or not views:
        return []
    figure, grid = style.canvas(len(views), len(found), panel_height=2.0)
    shown: set[str] = set()
    for row, view in zip(grid, views, strict=True):
        for axes, (task, records) in zip(row, found.items(), strict=True):
            shown |= _panel(axes, _of(records, view))
            axes.set_title(f"{task_name(list(task))}, {VIEWS[view]}", fontsize=7.5)
            axes.set_ylabel("test error (%)" if axes is row[0] else "")
            axes.set_xlabel("kept share of the data" if view == views[-1] else "")
    looks = {
        NAMES[policy]: (style.RULES[look].colour, style.RULES[look].marker)
        for policy, look in LOOKS.items()
        if policy in shown
    }
    note = "lines: limit of the fitted mixture; points: refits on real features, one standard error"
    style.plain_legend(figure, looks, note)
    return style.save(figure, out, NAME)


def _of(records: list[Record], view: str) -> list[Record]:
    return [record for record in records if record["config"]["view"] == view]


def _panel(axes: Axes, records: list[Record]) -> set[str]:
    """One task seen one way; returns the policies that are drawn."""
    shown: set[str] = set()
    number = best_components(matching(records, part="limit"))
    for record in matching(records, part="limit", components=number):
        policy, kept = record["config"]["policy"], record["config"]["fractions"]
        style.line(axes, LOOKS[policy], kept, _per_cent(record["result"]["test_error"]))
        shown.add(policy)
    for record in matching(records, part="real"):
        for policy in record["config"]["policies"]:
            values = record["result"][policy]
            style.points(
                axes,
                LOOKS[policy],
                record["config"]["fractions"],
                _per_cent(values["mean"]),
                _per_cent(values["standard_error"]),
            )
            shown.add(policy)
    style.keep_axis(axes, ticks=(0.1, 0.3, 0.6))
    axes.set_ylim(bottom=0)
    return shown


def _per_cent(values: list[Any]) -> list[Any]:
    return [None if value is None else 100 * float(np.asarray(value)) for value in values]


if __name__ == "__main__":
    draw_alone(__file__, draw)

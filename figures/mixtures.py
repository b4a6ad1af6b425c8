"""Draw test errors of six scores against the keep fraction, and a verifier's map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import Record, RecordStore, matching

NAME = "mixtures"

RULES = {"hardest": "keep hardest", "easiest": "keep easiest", "calibrated": "exact calibration"}
SCORES = ("el2n", "grand", "loss", "margin", "entropy", "least-confidence")
ERRORS = {0.0: "aware-easiest", 0.25: "soft", 0.5: "random"}  # a verifier's, and their looks
TICKS = (0.1, 0.2, 0.4, 0.8)


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write both figures; returns their paths."""
    everything = store.all()
    return _scores(matching(everything, panel="scores"), out) + _verifier(
        matching(everything, panel="verifier"), out
    )


def _scores(records: list[Record], out: Path) -> list[Path]:
    figure, grid = style.canvas(2, 3, panel_height=2.4)
    names = {"test_error": "test error", "worst_class_error": "worst class's error"}
    for number, (row, (name, label)) in enumerate(zip(grid, names.items(), strict=True)):
        for axes, (rule, title) in zip(row, RULES.items(), strict=True):
            for score in SCORES:
                style.curve(axes, score, matching(records, rule=rule, score=score), name)
            style.curve(axes, "random", matching(records, rule="random"), name)
            style.keep_axis(axes, ticks=TICKS)
            axes.set_title("" if number else title)
            axes.set_ylabel(label)
            if not number:
                axes.set_xlabel("")
    style.share_rows(grid)
    style.legend_below(figure, ("random", *SCORES))
    return style.save(figure, out, NAME)


def _verifier(records: list[Record], out: Path) -> list[Path]:
    figure, grid = style.canvas(1, 2, panel_height=2.8)
    left, right = grid[0]
    for error, look in ERRORS.items():
        style.curve(left, look, matching(records, verifier_error=error), "test_error")
    style.keep_axis(left)
    left.set_ylabel("test error, on labels as noisy")
    shade = _map(right, matching(records, kind="theory"))
    figure.colorbar(shade, ax=right, extend="both").set_label("test error minus that of all data")
    looks = {
        f"verifier wrong in {100 * error:g} %": (style.RULES[look].colour, style.RULES[look].marker)
        for error, look in ERRORS.items()
    }
    note = "lines: the exact limit; points: simulation, with one standard error"
    style.plain_legend(figure, looks, note)
    return style.save(figure, out, f"{NAME}_verifier")


def _map(axes: Axes, records: list[Record]):
    """Difference to all data (blue: pruning wins), and the line where they are equal."""
    table = {
        (r["config"]["verifier_error"], r["config"]["problem"]["keep_fraction"]): r["result"]
        for r in records
    }
    errors, kept = (sorted({key[i] for key in table}) for i in range(2))
    value = np.array([[table[e, r]["test_error"] for r in kept] for e in errors], float)
    change = value - value[-1, -1]
    shade = axes.pcolormesh(
        kept, errors, change, cmap="RdBu_r", vmin=-0.05, vmax=0.05, shading="gouraud"
    )
    if np.nanmin(change) < 0 < np.nanmax(change):
        axes.contour(kept, errors, change, [0.0], colors="black", linewidths=1.0)
    style.keep_axis(axes)
    axes.set_ylabel("verifier's error rate")
    axes.grid(visible=False)
    return shade


if __name__ == "__main__":
    draw_alone(__file__, draw)

"""Draw images that each rule keeps beside those that it drops; wrong labels have a red frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import RecordStore

NAME = "pictures"

LABELS = {
    "random": "random",
    "el2n hardest": "keep hardest",
    "el2n easiest": "keep easiest",
    "el2n exact": "exact calibration",
}
WRONG = "#D55E00"


def _picture(axes: Axes, image: dict[str, Any], shape: list[int]) -> None:
    axes.imshow(np.reshape(image["pixels"], shape), cmap="gray_r", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_title(image["label"], fontsize=5, pad=1.5, color=WRONG if image["wrong"] else "black")
    for spine in axes.spines.values():
        spine.set_visible(image["wrong"])
        spine.set_color(WRONG)
        spine.set_linewidth(1.6)


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns the paths."""
    written = []
    for record in store.select(kind=NAME):
        result, config = record["result"], record["config"]
        shown = config["shown"]
        figure, grid = style.canvas(len(LABELS), 2 * shown + 1, width=11, panel_height=0.62)
        for row, (rule, label) in zip(grid, LABELS.items(), strict=True):
            found = result["rules"][rule]
            for axes, image in zip(row[:shown], found["kept"], strict=True):
                _picture(axes, image, result["shape"])
            row[shown].axis("off")
            for axes, image in zip(row[shown + 1 :], found["dropped"], strict=True):
                _picture(axes, image, result["shape"])
            share = 100 * found["wrong_share"]
            row[0].set_ylabel(
                f"{label}\n{share:.0f} % of kept\nlabels wrong",
                rotation=0, ha="right", va="center", fontsize=7,
            )  # fmt: skip
        kept = 100 * config["keep_fraction"]
        figure.suptitle(
            f"{config['data']}, EL2N, {kept:g} % kept. Left: a random {shown} of the kept images; "
            f"right: of the dropped ones. Red frames: label is wrong "
            f"({100 * config['label_noise']:g} % of all are).",
            fontsize=8,
        )
        name = f"{NAME}_{config['data']}".replace("-", "_")
        written += style.save(figure, out, name)
    return written


if __name__ == "__main__":
    draw_alone(__file__, draw)

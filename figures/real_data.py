"""Draw accuracy of a refit on the kept part of real data, and its paired difference from random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student_t

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import RecordStore

NAME = "real_data"

TITLES = {"digits": "digits", "fashion-mnist": "Fashion-MNIST"}
LABELS = {
    "random": "random",
    "aware-hardest": "EL2N, keep hardest",
    "aware-easiest": "EL2N, keep easiest",
    "exact": "EL2N hardest, exact calibration at 0.5",
}


def band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over repeats (axis 0) and the half width of its 95 % confidence interval."""
    n = len(values)
    width = student_t.ppf(0.975, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return values.mean(axis=0), width


def accuracies(records: list[dict[str, Any]], rule: str) -> np.ndarray:
    """Accuracy in per cent, shape (repeats, fractions), in the order of repeats."""
    ordered = sorted(records, key=lambda record: record["config"]["repeat"])
    return 100 * np.array([record["result"]["accuracy"][rule] for record in ordered])


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure from the data sets that have records; returns its paths.

    Bands are 95 % confidence intervals (Student's t) of the mean over repeats, that is, over
    random training sets drawn from this data set, and splits of it in the case of digits.
    """
    found = {name: store.select(kind=NAME, data=name) for name in TITLES}
    found = {name: records for name, records in found.items() if len(records) > 1}
    figure, grid = style.canvas(2, len(found), width=style.COLUMN * len(found))
    for column, (name, records) in zip(grid.T, found.items(), strict=True):
        config = records[0]["config"]
        fractions = np.array(config["fractions"])
        baseline = accuracies(records, "random")
        for rule, label in LABELS.items():
            look, values = style.RULES[rule], accuracies(records, rule)
            for axes, series in zip(column, (values, values - baseline), strict=True):
                mean, width = band(series)
                style.line(axes, rule, fractions, mean, label=label, marker=look.marker)
                axes.fill_between(
                    fractions, mean - width, mean + width, color=look.colour, alpha=0.18, lw=0
                )
        size = f"{config['n_train']:,} training samples".replace(",", "\u202f")
        pixels = f", {28 // config['pool']} × {28 // config['pool']} pixels" * (config["pool"] > 1)
        column[0].set_title(f"{TITLES[name]}{pixels}\n{size}, {len(records)} paired repeats")
        column[0].set_ylabel("test accuracy (%)")
        column[1].set_ylabel("minus random (points)")
        for axes in column:
            style.keep_axis(axes, ticks=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0))
        column[0].set_xlabel("")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(found))
    return style.save(figure, out, NAME)


if __name__ == "__main__":
    draw_alone(__file__, draw)

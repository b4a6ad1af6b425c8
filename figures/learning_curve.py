"""Draw test error against the number of images before pruning, with fitted power laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from scipy.stats import t as student_t

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.networks.comparison.repeat import gathered
from nfl_pruning.records import RecordStore

NAME = "learning_curve"

RULES = {
    "random": "random",
    "el2n hardest": "aware-hardest",
    "el2n easiest": "aware-easiest",
    "el2n exact": "exact",
    "full": "full",
}
NAMES = {"el2n hardest": "EL2N, keep hardest", "el2n easiest": "EL2N, keep easiest"}


def curves(records: list[dict[str, Any]]) -> dict[str, list[tuple[float, float, float]]]:
    """Rule -> (images, mean test error, half width of its 95 % interval), by size."""
    found: dict[str, list[tuple[float, float, float]]] = {rule: [] for rule in RULES}
    for size in sorted({record["config"]["n_train"] for record in records}):
        own = [record["result"] for record in records if record["config"]["n_train"] == size]
        accuracy = gathered(own)
        kept = min(accuracy)
        for rule in RULES:
            values = accuracy[1.0]["random"] if rule == "full" else accuracy[kept][rule]
            errors = 1 - values[np.isfinite(values)]
            if len(errors) > 1:
                half = student_t.ppf(0.975, len(errors) - 1) * errors.std(ddof=1)
                found[rule].append((size, errors.mean(), half / np.sqrt(len(errors))))
    return {rule: rows for rule, rows in found.items() if len(rows) > 1}


def exponent(rows: list[tuple[float, float, float]]) -> float:
    """Slope of log error against log images over the larger half of the sizes."""
    last = np.array(rows)[-max(2, len(rows) - len(rows) // 2) :]
    return float(np.polyfit(np.log(last[:, 0]), np.log(last[:, 1]), 1)[0])


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns the paths. Bars are 95 % intervals over repeats."""
    records = store.select(kind=NAME)
    if not records:
        return []
    config = records[0]["config"]
    figure, grid = style.canvas(1, 1, width=4.6, panel_height=3.2)
    axes = grid[0, 0]
    for rule, rows in curves(records).items():
        size, mean, half = np.array(rows).T
        look = style.RULES[RULES[rule]]
        label = f"{NAMES.get(rule, look.label)}: n^{exponent(rows):.2f}"
        axes.errorbar(
            size, 100 * mean, 100 * half, color=look.colour, marker=look.marker or "x",
            linestyle=look.dash, capsize=2, label=label,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="training images before pruning, n")
    means = [row[1] for rows in curves(records).values() for row in rows]
    axes.set(ylabel="test error (%)", ylim=(70 * min(means), 140 * max(means)))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    sizes = sorted({record["config"]["n_train"] for record in records})
    axes.set_xticks(sizes, [f"{size:,}".replace(",", "\u202f") for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    kept = 100 * min(config["fractions"])
    axes.set_title(f"{config['data']}, {config['model'].upper()}, {kept:g} % kept, equal steps")
    figure.legend(loc="outside lower center", ncols=2, title="slope over the larger half of sizes")
    return style.save(figure, out, f"{NAME}_{config['data']}".replace("-", "_"))


if __name__ == "__main__":
    draw_alone(__file__, draw)

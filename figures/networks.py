"""Draw test accuracy and loss of networks refitted on the kept part, one column a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student_t

import style
from nfl_pruning.cli.scripts import draw_alone
from nfl_pruning.records import RecordStore

NAME = "networks"

LOOKS = {"hardest": "aware-hardest", "easiest": "aware-easiest", "exact": "exact"}
LABELS = {
    "random": "random",
    "hardest": "keep hardest",
    "easiest": "keep easiest",
    "exact": "keep hardest, exact calibration at 0.5",
}
SCORES = {"el2n": "EL2N", "grand": "GraNd", "margin": "margin", "forgetting": "forgetting"}
TITLES = {"digits": "digits", "fashion-mnist": "Fashion-MNIST"}
ROWS = {"accuracy": ("test accuracy (%)", 100.0), "loss": ("test loss", 1.0)}


def curve(
    records: list[dict[str, Any]], rule: str, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep fractions, means over repeats, half widths of 95 % intervals; without diverged runs."""
    fractions, means, widths = [], [], []
    for record in sorted(records, key=lambda record: record["config"]["keep_fraction"]):
        by_rule = record["result"][name]
        known = by_rule.get(rule, by_rule["random"])  # everything kept: all rules are one
        values = np.array([value for value in known if value is not None], float)
        if len(values) < 2:
            continue
        fractions.append(record["config"]["keep_fraction"])
        means.append(values.mean())
        error = values.std(ddof=1) / np.sqrt(len(values))
        widths.append(student_t.ppf(0.975, len(values) - 1) * error)
    return np.array(fractions), np.array(means), np.array(widths)


def settings(store: RecordStore) -> dict[str, list[dict[str, Any]]]:
    """Records by experiment, under a name for its file."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in store.select(kind=NAME):
        config = record["config"]
        noise = f"_noise_{100 * config['label_noise']:g}" if config["label_noise"] else ""
        key = f"{NAME}_{config['data']}_{config['model']}{noise}".replace("-", "_")
        found.setdefault(key, []).append(record)
    return found


def _draw_one(records: list[dict[str, Any]], name: str, out: Path) -> list[Path]:
    config = records[0]["config"]
    figure, grid = style.canvas(2, len(SCORES), panel_height=2.0)
    for column, (score, title) in zip(grid.T, SCORES.items(), strict=True):
        for axes, (observable, (label, unit)) in zip(column, ROWS.items(), strict=True):
            for rule in LABELS:
                look = style.RULES[LOOKS.get(rule, rule)]
                key = rule if rule == "random" else f"{score} {rule}"
                x, mean, width = curve(records, key, observable)
                mean, width = unit * mean, unit * width
                style.line(
                    axes, LOOKS.get(rule, rule), x, mean, label=LABELS[rule], marker=look.marker
                )
                axes.fill_between(
                    x, mean - width, mean + width, color=look.colour, alpha=0.18, lw=0
                )
            axes.set_ylabel(label if score == "el2n" else "")
            style.keep_axis(axes, ticks=(0.03, 0.1, 0.3, 1.0))
        column[1].set_yscale("log")
        column[0].set_xlabel("")
        column[0].set_title(title)
    noise = f", {100 * config['label_noise']:g} % of training labels wrong"
    figure.suptitle(
        f"{TITLES[config['data']]}, {config['model'].upper()}, {config['repeats']} paired repeats"
        + noise * bool(config["label_noise"]),
        fontsize=9,
    )
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return style.save(figure, out, name)


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write one figure for each experiment that has records; returns the paths.

    Bands are 95 % confidence intervals (Student's t) of the mean over repeats.
    """
    written = []
    for name, records in sorted(settings(store).items()):
        written += _draw_one(records, name, out)
    return written


if __name__ == "__main__":
    draw_alone(__file__, draw)

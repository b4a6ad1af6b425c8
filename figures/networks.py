"""Draw test accuracy and loss of networks refitted on the kept part, one column a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.stats import t as student_t

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.networks.comparison.repeat import gathered
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
ROWS = {"accuracy": "test accuracy (%)", "loss": "test loss"}


def curve(
    records: list[dict[str, Any]], rule: str, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Keep fractions, means over repeats, and ends of their 95 % intervals, without diverged runs.

    Losses are averaged by their logarithms.
    """
    rows = []
    for fraction, by_rule in gathered([record["result"] for record in records], name).items():
        values = by_rule.get(rule, by_rule["random"])  # keeping all, every rule is random
        values = values[np.isfinite(values)]
        if len(values) < 2:
            continue
        values = 100 * values if name == "accuracy" else np.log(values)
        half = student_t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        ends = values.mean() + half * np.array([0, -1, 1])
        rows.append((fraction, *(ends if name == "accuracy" else np.exp(ends))))
    fractions, mean, low, high = np.array(sorted(rows)).reshape(-1, 4).T
    return fractions, mean, low, high


def settings(store: RecordStore) -> dict[str, list[dict[str, Any]]]:
    """Records by experiment, under a name for its file; experiments of one repeat are left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in store.select(kind=NAME):
        config = record["config"]
        parts = [NAME, config["data"], config["model"]]
        parts += [str(config["n_train"])] if config["n_train"] not in (None, 60000) else []
        parts += ["steps"] if config["budget"] == "steps" else []
        parts += [f"noise_{100 * config['label_noise']:g}"] if config["label_noise"] else []
        parts += ["others"] if config["scores"] != list(SCORES) else []
        found.setdefault("_".join(parts).replace("-", "_"), []).append(record)
    return {name: records for name, records in found.items() if len(records) > 1}


def _draw_one(records: list[dict[str, Any]], name: str, out: Path) -> list[Path]:
    config = records[0]["config"]
    scores = config["scores"]
    figure, grid = style.canvas(2, len(scores), panel_height=2.0)
    for column, score in zip(grid.T, scores, strict=True):
        for axes, first, (observable, label) in zip(column, grid[:, 0], ROWS.items(), strict=True):
            if axes is not first:
                axes.sharey(first)
                axes.tick_params(which="both", labelleft=False)
            for rule in LABELS:
                look = style.RULES[LOOKS.get(rule, rule)]
                key = rule if rule == "random" else f"{score} {rule}"
                x, mean, low, high = curve(records, key, observable)
                style.line(
                    axes, LOOKS.get(rule, rule), x, mean, label=LABELS[rule], marker=look.marker
                )
                axes.fill_between(x, low, high, color=look.colour, alpha=0.18, lw=0)
            axes.set_ylabel(label if axes is first else "")
            style.keep_axis(axes, ticks=(0.03, 0.1, 0.3, 1.0))
        column[1].set_yscale("log")
        column[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        column[1].yaxis.set_major_formatter("{x:g}")
        column[1].yaxis.set_minor_formatter(NullFormatter())
        column[0].set_xlabel("")
        column[0].set_title(SCORES.get(score, score))
    parts = [TITLES[config["data"]], config["model"].upper()]
    if config["n_train"]:
        parts.append(f"{config['n_train']:,} training images".replace(",", "\u202f"))
    if config["label_noise"]:
        parts.append(f"{100 * config['label_noise']:g} % of training labels wrong")
    parts.append("as many steps as on all data" if config["budget"] == "steps" else "equal epochs")
    figure.suptitle(", ".join([*parts, f"{len(records)} paired repeats"]), fontsize=9)
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

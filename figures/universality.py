"""Draw fits to inputs of four laws over the theory of Gaussian inputs."""

from __future__ import annotations

from pathlib import Path

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import Record, RecordStore, matching

NAME = "universality"

RULES = ("random", "aware-easiest", "agnostic-hardest")
TITLES = {
    "gaussian": "Gaussian inputs",
    "mixture:0.9:across": "two clouds, across\nteacher and probe",
    "mixture:0.9:teacher": "two clouds, along\nthe teacher",
    "heavy-tails:5": "multivariate t,\n5 degrees of freedom",
}
OBSERVABLES = {"cosine": "cosine to the teacher", "norm": "norm of the fit"}


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns its paths."""
    records = store.all()
    figure, grid = style.canvas(len(OBSERVABLES), len(TITLES), panel_height=2.0)
    for row, (name, label) in zip(grid, OBSERVABLES.items(), strict=True):
        for axes, law in zip(row, TITLES, strict=True):
            for rule in RULES:
                theory = _by_signal(matching(records, kind="theory", rule=rule))
                style.line(axes, rule, *_pairs(theory, name))
                trials = _by_signal(matching(records, kind="trials", rule=rule, law=law))
                signals, found = _pairs(trials, name)
                means, errors = ([f[k] for f in found] for k in ("mean", "standard_error"))
                style.points(axes, rule, signals, means, errors)
            axes.set_xscale("log")
            axes.set_xticks((0.5, 1, 2, 5), ("0.5", "1", "2", "5"))
            axes.minorticks_off()
        row[0].set_ylabel(label)
    for axes, title in zip(grid[0], TITLES.values(), strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel("signal")
    style.share_rows(grid)
    style.legend_below(figure, RULES, note="; the limit is that of Gaussian inputs")
    return style.save(figure, out, NAME)


def _signal(record: Record) -> float:
    return record["config"]["problem"]["signal"]


def _by_signal(records: list[Record]) -> list[Record]:
    return sorted(records, key=_signal)


def _pairs(records: list[Record], name: str) -> tuple[list, list]:
    return [_signal(record) for record in records], [record["result"][name] for record in records]


if __name__ == "__main__":
    draw_alone(__file__, draw)

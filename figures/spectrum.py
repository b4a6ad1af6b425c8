"""Draw learning curves, their local exponents, and exponents against the keep fraction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import Record, RecordStore, matching

NAME = "spectrum"

RULES = (
    "random",
    "full",
    "exact",
    "agnostic-hardest",
    "agnostic-easiest",
    "aware-hardest",
    "aware-easiest",
)


def draw(store: RecordStore, out: Path) -> list[Path]:
    """Write the figure; returns its paths."""
    figure, grid = style.canvas(2, 2, panel_height=2.4)
    curves = matching(store.all(), part="curve")
    windows = matching(store.all(), part="window")
    kept = curves[0]["config"]["kept"]
    base = _curve(curves, "random")
    for rule in RULES:
        n, excess = _curve(curves, rule)
        style.line(grid[0, 0], rule, n, excess)
        _points(grid[0, 0], curves, rule)
        if rule != "random":
            style.line(grid[0, 1], rule, n, excess / base[1])
        middle = np.sqrt(n[1:] * n[:-1])
        style.line(grid[1, 0], rule, middle, -np.diff(np.log(excess)) / np.diff(np.log(n)))
        fractions, exponents = _exponents(windows, rule)
        if rule == "full":
            grid[1, 1].axhline(
                exponents[0], color=style.RULES[rule].colour, linestyle=(0, (1, 1.5))
            )
        else:
            style.line(grid[1, 1], rule, fractions, exponents)
    _dress(grid, kept, sorted({record["config"]["samples"] for record in windows}))
    style.legend_below(figure, RULES)
    return style.save(figure, out, NAME)


def _dress(grid: np.ndarray, kept: float, window: list[float]) -> None:
    """Scales, titles and labels."""
    share = f"{100 * kept:g} % kept"
    for axes in (grid[0, 0], grid[0, 1], grid[1, 0]):
        axes.set_xscale("log")
        axes.set_xlabel("samples before pruning")
    for axes in grid[0]:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    grid[0, 1].axhline(1, color=style.RULES["random"].colour, linestyle=(0, (4, 2)))
    grid[0, 0].set(ylabel="excess risk", title=f"learning curves, {share}")
    grid[0, 1].set(ylabel="excess risk / random's", title=f"against random pruning, {share}")
    grid[1, 0].set(ylabel="local exponent", title=f"the curves' slopes, {share}")
    low, high = (f"{n:g}" for n in window)
    grid[1, 1].set(ylabel="exponent", title=f"exponent from {low} to {high} samples")
    style.keep_axis(grid[1, 1])
    for axes in grid[1]:
        axes.axhline(0, color="#999999", linewidth=0.7)


def _value(record: Record, name: str = "excess_risk") -> Any:
    value = record["result"][name]
    return np.nan if value is None else value


def _curve(records: list[Record], rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Samples and excess risk of the limit, increasing in samples."""
    theory = matching(records, kind="theory", rule=rule)
    pairs = sorted((record["config"]["samples"], _value(record)) for record in theory)
    n, excess = np.array(pairs, float).T
    return n, excess


def _points(axes: Any, records: list[Record], rule: str) -> None:
    trials = matching(records, kind="trials", rule=rule)
    if trials:
        found = [record["result"]["excess_risk"] for record in trials]
        n = [record["config"]["samples"] for record in trials]
        means, errors = ([f[key] for f in found] for key in ("mean", "standard_error"))
        style.points(axes, rule, n, means, errors)


def _exponents(records: list[Record], rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Keep fractions and the exponent between the window's two sample sizes."""
    by_share: dict[float, list[tuple[float, float]]] = {}
    for record in matching(records, rule=rule):
        config = record["config"]
        by_share.setdefault(config["kept"], []).append((config["samples"], _value(record)))
    shares, exponents = [], []
    for share, pairs in sorted(by_share.items()):
        (low, first), (high, last) = sorted(pairs)
        shares.append(share)
        exponents.append(-np.log(last / first) / np.log(high / low))
    return np.array(shares), np.array(exponents)


if __name__ == "__main__":
    draw_alone(__file__, draw)

"""Draw how well subsets rank networks: Kendall's tau, and the regret of what they choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.records import RecordStore
from nfl_pruning.validation import format_number

NAME = "networks_ranking"

LOOKS = {
    "random": ("random", "random"),
    "hardest": ("aware-hardest", "keep hardest"),
    "easiest": ("aware-easiest", "keep easiest"),
    "exact": ("exact", "hardest, exact at 0.5"),
    "searched": ("soft", "middle exploited, no weights"),
}
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Ranked:
    """One rule at one keep fraction; intervals are 95 % bootstrap percentiles.

    Attributes:
        tau: Kendall's tau-b of accuracies on the subset and on all images, mean over repeats.
        tau_ends: its interval over draws of repeats and of configurations.
        regret: points of accuracy that the choice by the subset loses, trained on all images.
        regret_ends: its interval over draws of repeats.
        failed: configurations left out because a network diverged, over all repeats.
    """

    tau: float
    tau_ends: tuple[float, float]
    regret: float
    regret_ends: tuple[float, float]
    failed: int


def _halves(values: Sequence[Any]) -> np.ndarray:
    """Accuracies of every configuration on both halves, shape (configurations, 2)."""
    return np.array([[np.nan if v is None else v for v in pair] for pair in values], float)


def ranked(records: list[dict[str, Any]], fraction: str, rule: str, *, seed: int = 0) -> Ranked:
    """Ranking and choice by subsets of one rule, against training on all images.

    One half of the test images ranks what a subset trained; the other half is what networks
    trained on all images are worth. Networks that diverged rank last and are never chosen.
    """
    whole = np.stack([_halves(r["result"]["accuracy"]["1"]["random"]) for r in records])
    own = np.stack([_halves(r["result"]["accuracy"][fraction][rule]) for r in records])
    failed = int(np.isnan(own[..., 0]).sum())
    seen = np.nan_to_num(own[..., 0], nan=-1.0)
    true = np.nan_to_num(whole[..., 1], nan=0.0)
    regrets = 100 * (true.max(axis=1) - np.take_along_axis(true, seen.argmax(1)[:, None], 1)[:, 0])
    rng, (repeats, configurations) = np.random.default_rng(seed), seen.shape
    taus = np.array([_tau(a, b) for a, b in zip(seen, true, strict=True)])
    draws, mean_regrets = [], []
    for _ in range(BOOTSTRAPS):
        chosen = rng.integers(repeats, size=repeats)
        places = rng.integers(configurations, size=configurations)
        found = [_tau(seen[i, places], true[i, places]) for i in set(chosen.tolist())]
        by_repeat = dict(zip(set(chosen.tolist()), found, strict=True))
        taken = [by_repeat[i] for i in chosen.tolist() if np.isfinite(by_repeat[i])]
        draws.append(np.mean(taken) if taken else np.nan)  # a draw may hold ties alone
        mean_regrets.append(regrets[chosen].mean())
    ends = [np.nanquantile(part, [0.025, 0.975]) for part in (draws, mean_regrets)]
    return Ranked(
        float(np.nanmean(taus)),
        (float(ends[0][0]), float(ends[0][1])),
        float(regrets.mean()),
        (float(ends[1][0]), float(ends[1][1])),
        failed,
    )


def _tau(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Kendall's tau-b; NaN where all are tied."""
    a, b = (np.sign(values[:, None] - values) for values in (ours, theirs))
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / scale) if scale else np.nan


def table(records: list[dict[str, Any]]) -> dict[str, dict[str, Ranked]]:
    """Keep fraction -> rule -> how it ranks."""
    found = records[0]["result"]["accuracy"]
    return {
        fraction: {rule: ranked(records, fraction, rule) for rule in rules}
        for fraction, rules in found.items()
        if fraction != "1"
    }


def ceiling(records: list[dict[str, Any]]) -> float:
    """Tau between the two halves of the test images for networks trained on all of the images."""
    whole = [_halves(r["result"]["accuracy"]["1"]["random"]) for r in records]
    return float(np.mean([_tau(one[:, 0], one[:, 1]) for one in whole]))


def draw(store: RecordStore, out: Path) -> list[Path]:
    """One figure; returns the paths."""
    records = store.select(kind=NAME)
    if not records:
        return []
    found, config = table(records), records[0]["config"]
    figure, grid = style.canvas(1, 2, panel_height=2.6)
    fractions = [float(fraction) for fraction in found]
    for shift, (rule, (look, label)) in enumerate(LOOKS.items()):
        own = [by_rule[rule] for by_rule in found.values()]
        x = [fraction * 1.05 ** (shift - 2) for fraction in fractions]
        for axes, name in zip(grid[0], ("tau", "regret"), strict=True):
            mean = np.array([getattr(one, name) for one in own])
            ends = np.array([getattr(one, f"{name}_ends") for one in own]).T
            error = np.maximum(np.abs(ends - mean), 0)
            axes.errorbar(
                x,
                mean,
                error,
                color=style.RULES[look].colour,
                marker=style.RULES[look].marker,
                ms=4,
                lw=1,
                capsize=2,
                label=label,
            )
    grid[0, 0].axhline(ceiling(records), color="#7F7F7F", lw=0.8, ls=(0, (1, 1.5)))
    grid[0, 0].set(ylabel="Kendall's tau with all data", ylim=(-0.6, 1.02))
    grid[0, 1].set(ylabel="regret (points of accuracy)")
    grid[0, 1].set_yscale("symlog", linthresh=1)
    for axes in grid[0]:
        axes.set(xscale="log", xlabel="keep fraction")
        axes.set_xticks(fractions, [format_number(fraction) for fraction in fractions])
        axes.xaxis.set_minor_formatter(NullFormatter())
    count = len(config["configurations"])
    figure.suptitle(f"{count} configurations, {len(records)} repeats", fontsize=9)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return style.save(figure, out, f"{NAME}_{config['data']}".replace("-", "_"))


if __name__ == "__main__":
    draw_alone(__file__, draw)

"""Pictures of an advice: curves with bands, a map of kept and dropped rows, shares of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from nfl_pruning.realdata.policies import Policy
from nfl_pruning.report.plots import SETTINGS

if TYPE_CHECKING:
    from nfl_pruning.pruning.pruned import Pruned
    from nfl_pruning.realdata.advice import Advice, Prediction

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288")
MARKERS = ("v", "^", "s", "D", "<", ">", "P")
SHOWN = 5  # policies beside random pruning
POINTS = 3000  # rows on the map
LABELS = {
    "accuracy": "accuracy on new rows, %",
    "worst-class": "accuracy of the worst class, %",
    "loss": "loss on new rows",
}


def _canvas(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def shown_policies(advice: Advice) -> list[Policy]:
    """Random pruning, what is recommended anywhere, and two ends of a score."""
    found: dict[Policy, None] = {advice.random_at(advice.keep_fractions[0]).policy: None}
    found |= {advice.recommended(f).policy: None for f in advice.keep_fractions}
    others = [p.policy for p in advice.at(advice.keep_fractions[0])]
    hard = [p for p in others if p.exploit == 1 and not p.is_random]
    for keep in ("hardest", "easiest"):
        found |= dict.fromkeys([p for p in hard if p.keep == keep][:1])
    return list(found)[: SHOWN + 1]


def draw_curves(advice: Advice) -> Figure:
    """Predicted curves with 90 % bands of single refits; measured points beside them."""
    with matplotlib.rc_context(SETTINGS):
        figure, axes = _canvas(6.4, 4.4)
        whole = advice.all_data
        lowest = []
        for place, policy in enumerate(shown_policies(advice)):
            own = sorted(
                (p for p in advice.predictions if p.policy == policy and p.keep_fraction < 1),
                key=lambda p: p.keep_fraction,
            )
            _curve(axes, [*own, whole], place, policy)
            lowest += [p.value for p in own]
        axes.axhline(whole.value, color="#7F7F7F", linestyle=(0, (1, 1.5)), linewidth=1.2)
        axes.set_xscale("log")
        ticks = [*advice.keep_fractions, 1.0]
        axes.set_xticks(ticks)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
        axes.set_xlabel("rows kept, %")
        axes.set_ylabel(LABELS[advice.target])
        _limits(axes, advice, lowest)
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _limits(axes: Any, advice: Advice, values: list[float]) -> None:
    """A range that shows the curves rather than the widest band."""
    whole = advice.all_data.value
    ends = [*values, whole, advice.all_data.low, advice.all_data.high]
    pad = 0.06 * (max(ends) - min(ends) + 1e-9)
    axes.set_ylim(min(ends) - pad, max(ends) + pad)


def _curve(axes: Any, points: list[Prediction], place: int, policy: Policy) -> None:
    colour = "#000000" if policy.is_random else COLOURS[(place - 1) % len(COLOURS)]
    marker = "o" if policy.is_random else MARKERS[(place - 1) % len(MARKERS)]
    x = np.array([p.keep_fraction for p in points])
    axes.fill_between(
        x, [p.low for p in points], [p.high for p in points], color=colour, alpha=0.10, lw=0
    )
    dash: Any = (0, (4, 2)) if policy.is_random else "-"
    axes.plot(x, [p.value for p in points], color=colour, linestyle=dash, label=policy.label)
    seen = [p for p in points if p.measured is not None]
    if seen:
        axes.plot(
            [p.keep_fraction for p in seen],
            [p.measured for p in seen],
            color=colour,
            marker=marker,
            linestyle="none",
            markersize=5,
            markerfacecolor="#FFFFFF",
        )


def draw_map(advice: Advice, pruned: Pruned) -> Figure:
    """Kept and dropped rows on the two leading principal directions, coloured by class."""
    data, space = advice.source.dataset, advice.source.space
    rng = np.random.default_rng(advice.source.seed)
    rows = np.sort(rng.permutation(len(data))[:POINTS])
    place = space(data.x[rows])[:, :2]
    place = np.pad(place, ((0, 0), (0, 2 - place.shape[1])))
    kept = pruned.weights[rows] > 0
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(7.2, 3.7), layout="constrained")
        FigureCanvasAgg(figure)
        both = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, mask, name in zip(both, (kept, ~kept), ("kept", "dropped"), strict=True):
            axes.scatter(
                *place[mask].T, c=data.y[rows][mask], cmap="tab10", s=7, linewidths=0, alpha=0.7,
                vmin=0, vmax=max(9, len(data.classes) - 1),
            )  # fmt: skip
            axes.set_title(f"{name}: {int(mask.sum())} of the {len(rows)} rows shown")
            axes.set_xlabel("first principal direction")
        both[0].set_ylabel("second principal direction")
    return figure


def draw_classes(pruned: Pruned) -> Figure:
    """Share of each class among all rows and among the kept ones."""
    names = list(pruned.class_counts)[:30]
    counts = np.array([pruned.class_counts[name] for name in names], float)
    shares = 100 * counts / np.maximum(counts.sum(axis=0), 1)
    place = np.arange(len(names))
    with matplotlib.rc_context(SETTINGS):
        figure, axes = _canvas(6.4, 1.4 + 0.26 * len(names))
        axes.barh(place - 0.2, shares[:, 0], 0.38, color="#999999", label="all rows")
        axes.barh(place + 0.2, shares[:, 1], 0.38, color="#0072B2", label="kept rows")
        axes.set_yticks(place, [name[:24] for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("share of the rows, %")
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside lower center", ncols=2)
    return figure

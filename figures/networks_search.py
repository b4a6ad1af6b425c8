"""Draw the search of networks: what tuning saw of every policy, and what fresh seeds say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter

import style
from nfl_pruning.experiments.scripts import draw_alone
from nfl_pruning.networks.comparison.verdicts import AccuracyVerdict, holm, paired
from nfl_pruning.records import RecordStore
from nfl_pruning.validation import format_number

NAME = "networks_search"

KINDS = {"any": "best of all", "calibrated": "best that exploits", "unbiased": "best unbiased"}
LOOKS = {"any": "optimal", "calibrated": "soft", "unbiased": "exact"}
MODELS = ("logistic", "mlp", "cnn", "resnet")  # in the order in which they are told of
FEWEST = 3  # fresh repeats of which a verdict is told
FLOOR = -6.0  # points at which the left panel ends


@dataclass(frozen=True)
class Declared:
    """A policy that tuning declared, and what became of it.

    Attributes:
        fraction: kept.
        kind: the first of ``KINDS`` under which it was declared.
        policy: its plain values.
        tuned: mean gain over random on validation images, in points: biased upwards, since the
            policy was chosen by it.
        verdict: on fresh seeds; None with fewer than ``FEWEST`` of them.
        hard: mean gain of the hard rule of the same score on fresh seeds, where it was run.
    """

    fraction: float
    kind: str
    policy: dict[str, Any]
    tuned: float
    verdict: AccuracyVerdict | None
    hard: float | None


@dataclass(frozen=True)
class Setting:
    """One setting: its configuration, its records, and what was declared."""

    config: dict[str, Any]
    tuning: dict[float, dict[str, list[float]]]
    declared: list[Declared]
    fresh: int


def _gains(records: Iterable[dict[str, Any]]) -> dict[float, dict[str, list[float]]]:
    """Keep fraction -> policy -> gain over random of each repeat, in points."""
    found: dict[float, dict[str, dict[int, float]]] = {}
    for record in records:
        config, accuracy = record["config"], record["result"]["accuracy"]
        own = found.setdefault(config["fraction"], {})
        for name, value in accuracy.items():
            if name != "random":
                gap = np.nan if value is None else 100 * (value - accuracy["random"])
                own.setdefault(name, {})[config["repeat"]] = gap
    return {
        fraction: {name: [own[i] for i in sorted(own)] for name, own in rules.items()}
        for fraction, rules in sorted(found.items())
    }


def results(store: RecordStore) -> list[Setting]:
    """All settings of which something was declared; Holm's correction runs over all of it."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for record in store.all():
        config = record["config"]
        if "model" not in config:  # limits of the theory
            continue
        first = MODELS.index(config["model"]), -(config["n_train"] or 10**9)
        rest = config["budget"], config["label_noise"], config.get("wider", False)
        groups.setdefault((*first, *rest), []).append(record)
    found = [_setting(records) for _, records in sorted(groups.items())]
    known = [setting for setting in found if setting is not None]
    every = [one for setting in known for one in setting.declared]  # not run counts as p = 1
    adjusted = holm([_p_value(one) for one in every])
    by_id = dict(zip(map(id, every), adjusted, strict=True))
    return [
        Setting(
            setting.config,
            setting.tuning,
            [_corrected(one, by_id.get(id(one))) for one in setting.declared],
            setting.fresh,
        )
        for setting in known
    ]


def _p_value(one: Declared) -> float:
    p = None if one.verdict is None else one.verdict.p_value
    return np.nan if p is None else p


def _corrected(one: Declared, p: float | None) -> Declared:
    if one.verdict is None:
        return one
    seen = one.verdict
    verdict = AccuracyVerdict(
        seen.rule,
        seen.keep_fraction,
        seen.difference,
        seen.half_width,
        seen.p_value,
        p,
        seen.failed,
    )
    return Declared(one.fraction, one.kind, one.policy, one.tuned, verdict, one.hard)


def _setting(records: list[dict[str, Any]]) -> Setting | None:
    """One setting's records together; None before anything is declared."""
    parts = {
        part: [r for r in records if r["config"]["kind"] == f"{NAME} {part}"]
        for part in ("tuning", "declared", "fresh")
    }
    if not parts["declared"]:
        return None
    fresh, found = _gains(parts["fresh"]), []
    for text, own in parts["declared"][-1]["result"].items():
        fraction, seen = float(text), set()
        for kind in KINDS:
            policy, gains = own[kind]["policy"], fresh.get(fraction, {})
            if policy["name"] in seen:
                continue
            seen.add(policy["name"])
            ours = np.array(gains.get(policy["name"], [])) / 100
            hard = gains.get(f"{policy.get('score')} hardest threshold")
            found.append(
                Declared(
                    fraction,
                    kind,
                    policy,
                    100 * float(np.mean(own[kind]["gains"])),
                    paired(policy["name"], fraction, ours, np.zeros(len(ours)))
                    if len(ours) >= FEWEST
                    else None,
                    None if hard is None else float(np.nanmean(hard)),
                )
            )
    repeats = {record["config"]["repeat"] for record in parts["fresh"]}
    return Setting(parts["declared"][-1]["config"], _gains(parts["tuning"]), found, len(repeats))


def title(config: dict[str, Any]) -> str:
    """What a setting is called."""
    images = "60,000" if config["n_train"] is None else f"{config['n_train']:,}"
    images = "digits" if config["data"] == "digits" else f"{images} images"
    labels = f"{100 * config['label_noise']:g} % of training labels wrong"
    parts = [config["model"].upper(), images, f"equal {config['budget']}"]
    return ", ".join([*parts, labels if config["label_noise"] else "clean labels"])


def protocols(setting: Setting, fraction: float) -> dict[str, list[float]]:
    """Protocol and end -> mean tuning gain of each of its policies, best first."""
    found: dict[str, list[float]] = {}
    for name, gains in setting.tuning[fraction].items():
        words = name.split()
        protocol = words[2] if len(words) > 2 else name
        if words[0] == "random":
            continue
        more = " by class" if "quotas" in name else " batch weights" if "batch" in name else ""
        easy = " (easiest)" if words[1] == "easiest" else ""
        found.setdefault(f"{protocol}{more}{easy}", []).append(float(np.mean(gains)))
    return dict(sorted(found.items(), key=lambda item: max(item[1])))


def _draw_one(setting: Setting, name: str, out: Path) -> list[Path]:
    fractions = list(setting.tuning)
    figure, grid = style.canvas(1, len(fractions) + 1, panel_height=3.0)
    names = list(protocols(setting, fractions[0]))
    for axes, fraction in zip(grid[0], fractions, strict=False):
        found = protocols(setting, fraction)
        for place, protocol in enumerate(names):
            gains = np.maximum(found.get(protocol, []), FLOOR)
            axes.plot(gains, np.full(len(gains), place), "o", ms=2.5, color="#0072B2", alpha=0.6)
        axes.axvline(0, color="black", lw=0.8, ls=(0, (4, 2)))
        axes.set_yticks(range(len(names)), names if axes is grid[0, 0] else [], fontsize=6)
        axes.set(xlim=(FLOOR - 0.3, 2.5), xlabel="gain in tuning (points)")
        axes.set_title(f"{100 * fraction:g} % kept")
    _draw_fresh(grid[0, -1], setting)
    figure.suptitle(title(setting.config), fontsize=9)
    return style.save(figure, out, name)


def _draw_fresh(axes: Any, setting: Setting) -> None:
    """Fresh gains, and hollow what tuning promised."""
    for shift, (kind, label) in enumerate(KINDS.items()):
        own = [one for one in setting.declared if one.kind == kind and one.verdict]
        look = style.RULES[LOOKS[kind]]
        x = [one.fraction * (1 + 0.08 * (shift - 1)) for one in own]
        seen = [one.verdict for one in own if one.verdict]
        y, error = [v.difference for v in seen], [v.half_width for v in seen]
        if own:
            axes.errorbar(
                x, y, error, fmt=look.marker, color=look.colour, ms=4, capsize=2, label=label
            )
            tuned = [one.tuned for one in own]
            axes.plot(x, tuned, look.marker, mfc="none", mec=look.colour, ms=4)
    axes.axhline(0, color="black", lw=0.8, ls=(0, (4, 2)))
    axes.set(xscale="log", xlabel="keep fraction", ylabel="gain over random (points)")
    fractions = list(setting.tuning)
    axes.set_xticks(fractions, [format_number(fraction) for fraction in fractions])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"{setting.fresh} fresh repeats")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=6)


def draw(store: RecordStore, out: Path) -> list[Path]:
    """One figure a setting; returns the paths.

    Points on the left are means over tuning seeds (one for what left after the first round), those
    below the panel's edge lie on it; on the right bars are 95 % intervals over fresh seeds, hollow
    marks what tuning saw of the same policies.
    """
    written = []
    for setting in results(store):
        config = setting.config
        parts = [NAME, config["data"], config["model"]]
        parts += [str(config["n_train"])] if config["n_train"] else []
        parts += ["steps"] if config["budget"] == "steps" else []
        parts += [f"noise_{100 * config['label_noise']:g}"] if config["label_noise"] else []
        written += _draw_one(setting, "_".join(parts).replace("-", "_"), out)
    return written


if __name__ == "__main__":
    draw_alone(__file__, draw)

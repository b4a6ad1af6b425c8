"""The page docs/networks.md, written from the committed records.

``python docs/generate/network_page.py`` rewrites it; ``test_network_page.py`` fails while it is
stale.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

import bridge_section
from network_extras import curve, speed
from network_second import answer, break_even, ranking, search
from nfl_pruning.networks.comparison.repeat import gathered
from nfl_pruning.networks.comparison.verdicts import AccuracyVerdict, verdicts
from nfl_pruning.records import RecordStore

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
MARKS = re.compile(r"(<!-- networks:.*?-->\n).*?(<!-- end of networks -->)", re.DOTALL)
PAGE = ROOT / "docs" / "networks.md"
TEXT = Path(__file__).with_suffix(".txt")
RECORDS = ROOT / "simulations" / "records"

MODELS = {
    "mlp": "an MLP with two hidden layers of 128",
    "cnn": "a CNN (16 and 32 filters, 64 hidden units)",
}


def settings() -> list[list[dict[str, Any]]]:
    """Committed records by experiment, one a repeat, the main experiment first."""
    found: dict[tuple, list[dict[str, Any]]] = {}
    for record in RecordStore(RECORDS / "paper" / "networks").all():
        config = record["config"]
        key = (
            config["label_noise"],
            config["model"] != "mlp",
            config["budget"] != "epochs",
            -config["n_train"],
        )
        found.setdefault(key, []).append(record)
    by_repeat = lambda record: record["config"]["repeat"]  # noqa: E731
    return [sorted(found[key], key=by_repeat) for key in sorted(found)]


def title(config: dict[str, Any]) -> str:
    """What an experiment is called."""
    parts = [config["model"].upper(), f"{config['n_train']:,} images"]
    parts.append("equal steps" if config["budget"] == "steps" else "equal epochs")
    noise = config["label_noise"]
    parts.append(f"{100 * noise:g} % of training labels wrong" if noise else "clean labels")
    return ", ".join(parts)


def setting(config: dict[str, Any], repeats: int) -> str:
    """How it was done, in a paragraph."""
    budget = {
        "epochs": "for as many epochs, so in fewer steps",
        "steps": "for as many steps as training on all of them takes",
    }[config["budget"]]
    done = str(repeats) if repeats == config["repeats"] else f"{repeats} of {config['repeats']}"
    return (
        f"{done} repeats; the network is {MODELS[config['model']]}; {config['epochs']} epochs "
        f"in batches of {config['batch_size']}. EL2N, GraNd and margin are computed after epoch "
        f"{config['score_epoch']}, forgetting at the end. Refits train {budget}."
    )


def _cell(verdict: AccuracyVerdict) -> str:
    if verdict.difference is None or verdict.half_width is None:
        return "–"
    mark = {"beats random": " **+**", "loses to random": " **−**"}.get(verdict.text, "")
    mark += f" ({verdict.failed} diverged)" if verdict.failed else ""
    return f"{verdict.difference:+.1f} ± {verdict.half_width:.1f}{mark}".replace("-", "−")


def table(records: list[dict[str, Any]]) -> str:
    """Differences from random, in points, one row a rule; the marks are the verdicts."""
    accuracy = gathered([record["result"] for record in records])
    found = {(v.rule, v.keep_fraction): v for v in verdicts(accuracy)}
    fractions = [fraction for fraction in accuracy if fraction < 1]
    lines = ["| rule | " + " | ".join(f"{100 * r:g} % kept" for r in fractions) + " |"]
    lines.append("|---" * (len(fractions) + 1) + "|")
    means = (f"{100 * np.nanmean(accuracy[r]['random']):.1f}" for r in fractions)
    lines.append("| random, accuracy in % | " + " | ".join(means) + " |")
    for rule in accuracy[fractions[0]]:
        if rule != "random":
            cells = (_cell(found[rule, r]) for r in fractions)
            lines.append(f"| {rule} | " + " | ".join(cells) + " |")
    full = 100 * np.nanmean(accuracy[1.0]["random"])
    return "\n".join(lines) + f"\n\nAll data: {full:.1f} %.\n"


def cost(records: list[dict[str, Any]]) -> str:
    """Seconds and machine, as recorded."""
    total = {
        name: sum(record["result"]["seconds"][name] for record in records)
        for name in ("probing", "refitting")
    }
    machine = records[0]["provenance"]["machine"]
    diverged = sum(record["result"]["diverged"] for record in records)
    return (
        f"Training the probes and scoring took {total['probing']:.0f} s, all refits "
        f"{total['refitting']:.0f} s ({machine}; one core, shared with other work); "
        f"networks that diverged: {diverged}.\n"
    )


def expectations(records: list[dict[str, Any]]) -> str:
    """What one would look for in these numbers, and whether it is there."""
    found = verdicts(gathered([record["result"] for record in records]))
    hard = [v for v in found if v.rule.endswith("hardest") and v.difference is not None]
    small = [v for v in hard if v.keep_fraction <= 0.1]
    large = [v for v in hard if v.keep_fraction >= 0.7]
    loses = sum(v.text == "loses to random" for v in small)
    wins = sum(v.text == "beats random" for v in large)
    behind = sum(v.text == "loses to random" for v in large)
    lines = [
        f"* Keep-hardest loses to random in {loses} of {len(small)} comparisons at 3 and 10 % "
        f"kept; at 70 % it beats random in {wins} of {len(large)} and loses in {behind}."
    ]
    by_key = {(v.rule, v.keep_fraction): v for v in found}
    needed, held, worst = 0, 0, 0.0
    for v in hard:
        calibrated = by_key[v.rule.replace("hardest", "exact"), v.keep_fraction]
        if (v.difference or 0) < -3 and calibrated.difference is not None:
            low = calibrated.difference - (calibrated.half_width or 0)
            needed, held, worst = needed + 1, held + (low > -1), min(worst, calibrated.difference)
    if needed:
        lines.append(
            f"* Where keep-hardest loses by more than 3 points ({needed} comparisons), exact "
            f"calibration's lower 95 % bound is above −1 point in {held}; its largest mean loss is "
            f"{-worst:.1f} points."
        )
    return "\n".join(lines) + "\n"


def summary() -> str:
    """The README's few lines: the main experiment, EL2N alone."""
    records = settings()[0]
    config, accuracy = records[0]["config"], gathered([r["result"] for r in records])
    found = {(v.rule, v.keep_fraction): v for v in verdicts(accuracy)}
    fractions = [fraction for fraction in accuracy if fraction < 1]
    lines = [
        f"Fashion-MNIST, {title(config)}, EL2N, {len(records)} paired repeats: accuracy minus that "
        "of random pruning, in points.",
        "",
        "| rule | " + " | ".join(f"{100 * r:g} % kept" for r in fractions) + " |",
        "|---" * (len(fractions) + 1) + "|",
    ]
    for rule, name in (
        ("el2n hardest", "keep hardest"),
        ("el2n easiest", "keep easiest"),
        ("el2n exact", "keep hardest, exactly calibrated"),
    ):
        lines.append(f"| {name} | " + " | ".join(_cell(found[rule, r]) for r in fractions) + " |")
    said = answer()
    return "\n".join([*lines, "", said] if said else lines) + "\n"


def with_summary(readme: str) -> str:
    """The README with these lines rebuilt."""
    return MARKS.sub(lambda found: f"{found[1]}\n{summary()}\n{found[2]}", readme)


def page() -> str:
    """The whole page."""
    text, parts = TEXT.read_text(encoding="utf-8"), []
    for records in settings():
        config = records[0]["config"]
        parts.append(
            f"### {title(config)}\n\n{setting(config, len(records))}\n\n{table(records)}\n"
            f"{expectations(records)}\n{cost(records)}\n"
        )
    filled = {"experiments": "\n".join(parts), "curve": curve(), "bridge": bridge_section.section()}
    filled |= {"search": search(), "ranking": ranking()}
    filled |= {"break even": break_even(), "speed": speed()}
    for name, content in filled.items():
        text = text.replace(f"<!-- {name} -->\n", content)
    return text.rstrip() + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(with_summary(README.read_text(encoding="utf-8")), encoding="utf-8")

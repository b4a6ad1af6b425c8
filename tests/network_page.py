"""The page docs/networks.md, written from the committed records.

``python tests/network_page.py`` rewrites it; ``test_network_page.py`` fails while it is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.cli.scripts import load
from nfl_pruning.networks.repeat import gathered
from nfl_pruning.networks.verdicts import Verdict, verdicts
from nfl_pruning.records import RecordStore

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "networks.md"
TEXT = Path(__file__).with_suffix(".txt")
RECORDS = ROOT / "simulations" / "records"
SPEED = RECORDS / "benchmarks" / "networks.json"

BRIDGE = """\
A network is trained on half of the images. Two classes of the other half, seen through its last
hidden layer, make a binary task: its covariance gives the spectrum, the logistic fit to all of it
the teacher and the signal, a fit to 300 of its images the probe. The spectrum solver
([docs/theory.md](theory.md)) then predicts the test error of a ridge-regularised logistic refit on
the kept part of 1,000 images, with nothing fitted to the outcome. Cells: prediction / Gaussian
inputs of this spectrum, teacher and probe / real features; test error in % with one standard error
over trials. The Gaussian control tells errors of the prediction from errors of its assumptions.
""".split("\n")
TASKS = {(0, 6): "T-shirt or shirt", (2, 4): "Pullover or coat"}
RULES = [
    "random",
    "aware-hardest",
    "aware-easiest",
    "agnostic-hardest",
    "agnostic-easiest",
    "exact",
]
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
    return (
        f"{repeats} repeats; the network is {MODELS[config['model']]}; {config['epochs']} epochs "
        f"in batches of {config['batch_size']}. EL2N, GraNd and margin are computed after epoch "
        f"{config['score_epoch']}, forgetting at the end. Refits train {budget}."
    )


def _cell(verdict: Verdict) -> str:
    if verdict.difference is None or verdict.half_width is None:
        return "–"
    mark = {"beats random": " **+**", "loses to random": " **−**"}.get(verdict.text, "")
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
        f"{diverged} networks diverged.\n"
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


def curve() -> str:
    """The learning curve, one row a rule."""
    records = RecordStore(RECORDS / "paper" / "learning_curve").all()
    if not records:
        return ""
    figure = load(ROOT / "figures" / "learning_curve.py")
    found = figure.curves(records)
    config = records[0]["config"]
    sizes = [row[0] for row in next(iter(found.values()))]
    kept = 100 * min(config["fractions"])
    repeats = len({record["config"]["repeat"] for record in records})
    lines = [
        "## Learning curve",
        "",
        f"Test error in %, MLP, {kept:g} % kept by EL2N or all data (full), refits with as many "
        f"steps as all data would get, {repeats} repeats. A rule that is not valid has a plateau; "
        "the last column is the slope of log error in log n over the larger half of the sizes "
        "([figure](../figures/learning_curve.py)).",
        "",
        "| rule | " + " | ".join(f"n = {size:,.0f}" for size in sizes) + " | slope |",
        "|---" * (len(sizes) + 2) + "|",
    ]
    for rule, rows in found.items():
        cells = (f"{100 * mean:.1f} ± {100 * half:.1f}" for _, mean, half in rows)
        slope = f"{figure.exponent(rows):.2f}".replace("-", "−")
        lines.append(f"| {rule} | " + " | ".join(cells) + f" | {slope} |")
    return "\n".join(lines) + "\n\n"


def bridge() -> str:
    """Prediction against measurement on frozen features."""
    records = RecordStore(RECORDS / "paper" / "bridge").all()
    if not records:
        return ""
    lines = ["## A bridge to the theory", "", *BRIDGE]
    for task in sorted({tuple(record["config"]["classes"]) for record in records}):
        own = [record for record in records if tuple(record["config"]["classes"]) == task]
        first, config = own[0]["result"], own[0]["config"]
        lines += [
            f"**{TASKS[task]}**: signal {first['signal']:.2f}, alignment {first['alignment']:.3f}, "
            f"{first['n_features']} features, {first['samples_per_feature']:.1f} samples per "
            f"feature, {config['trials']} trials. The teacher's margin has excess kurtosis "
            f"{first['kurtosis']:.1f} (0 if Gaussian); shares of labels leave the logistic law by "
            f"up to {first['misfit']:.3f}.",
            "",
            "| rule | " + " | ".join(f"{100 * r:g} %" for r in config["fractions"]) + " |",
            "|---" * (len(config["fractions"]) + 1) + "|",
        ]
        for record in sorted(own, key=lambda record: list(RULES).index(record["config"]["rule"])):
            result, cells = record["result"], []
            for i, point in enumerate(result["theory"]):
                predicted = point["test_error"]
                shown = "–" if predicted is None else f"{100 * predicted:.1f}"
                measured = (
                    f"{100 * result[kind]['mean'][i]:.1f} ± "
                    f"{100 * result[kind]['standard_error'][i]:.1f}"
                    for kind in ("gaussian", "real")
                )
                cells.append(" / ".join([shown, *measured]))
            lines.append(f"| {record['config']['rule']} | " + " | ".join(cells) + " |")
        lines += ["", gaps(own), ""]
    return "\n".join(lines) + "\n"


def gaps(records: list[dict[str, Any]]) -> str:
    """Where the prediction fails, in numbers."""
    worst: dict[str, tuple[float, str]] = {}
    for kind in ("gaussian", "real"):
        for record in records:
            result, config = record["result"], record["config"]
            for i, point in enumerate(result["theory"]):
                if point["test_error"] is not None:
                    gap = 100 * (result[kind]["mean"][i] - point["test_error"])
                    where = f"{config['rule']} at {100 * config['fractions'][i]:g} % kept"
                    if kind not in worst or abs(gap) > abs(worst[kind][0]):
                        worst[kind] = (gap, where)
    real = {
        record["config"]["rule"]: [
            100 * (mean - point["test_error"])
            for mean, point in zip(
                record["result"]["real"]["mean"], record["result"]["theory"], strict=True
            )
            if point["test_error"] is not None
        ]
        for record in records
    }
    typical = ", ".join(
        f"{rule} {np.median(np.abs(values)):.1f}" for rule, values in real.items() if values
    )
    texts = [f"{gap:+.1f} points ({where})".replace("-", "−", 1) for gap, where in worst.values()]
    return (
        f"Largest departure from the prediction: {texts[0]} on Gaussian inputs of this spectrum, "
        f"{texts[1]} on the real features. Median absolute departure on real features, in points: "
        f"{typical}."
    )


def speed() -> str:
    """The benchmark's numbers."""
    if not SPEED.exists():
        return ""
    found = json.loads(SPEED.read_text(encoding="utf-8"))
    lines = [
        "## Speed, side by side with torch",
        "",
        f"Medians of {found['jobs'][0]['turns']} turns on {found['samples']:,} images, "
        f"{found['cores']} cores, torch {found['torch']['version']} "
        "([script](../simulations/benchmarks/networks.py)); scores of both agree to "
        f"{max(job['difference'] or 0 for job in found['jobs']):.0e}.",
        "",
        "| job | here, a second | peer | peer, a second | ratio |",
        "|---|---|---|---|---|",
    ]
    for job in found["jobs"]:
        for name, seconds in job["theirs"].items():
            ours, theirs = (f"{found['samples'] / s:,.0f}" for s in (job["ours"], seconds))
            lines.append(
                f"| {job['job']} | {ours} | {name} | {theirs} | {seconds / job['ours']:.2f} |"
            )
    if "ten_seeds" in found:
        seeds = found["ten_seeds"]
        lines += [
            "",
            f"Ten seeds of the MLP for 10 epochs on 60,000 images: {seeds['seconds']:.0f} s, "
            f"{100 * seeds['share_of_matrix_rate']:.0f} % of the rate of a large matrix product.",
        ]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page."""
    text, parts = TEXT.read_text(encoding="utf-8"), []
    for records in settings():
        config = records[0]["config"]
        parts.append(
            f"### {title(config)}\n\n{setting(config, len(records))}\n\n{table(records)}\n"
            f"{expectations(records)}\n{cost(records)}\n"
        )
    filled = {"experiments": "\n".join(parts), "curve": curve(), "bridge": bridge()}
    filled["speed"] = speed()
    for name, content in filled.items():
        text = text.replace(f"<!-- {name} -->\n", content)
    return text.rstrip() + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page(), encoding="utf-8")

"""Further sections of docs/networks.md: learning curve, bridge to the theory, speed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.experiments.scripts import load
from nfl_pruning.records import RecordStore

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "simulations" / "records"
SPEED = RECORDS / "benchmarks" / "networks.json"

BRIDGE = """\
A network is trained on half of the images. Two classes of the other half, seen through its last
hidden layer, make a binary task: its covariance gives the spectrum, the logistic fit to all of it
the teacher and the signal, a fit to 300 of its images the probe. The spectrum solver
([docs/equations.md](equations.md)) then predicts the test error of a ridge-regularised logistic
refit on the kept part of 1,000 images, with nothing fitted to the outcome. Cells: prediction /
Gaussian inputs of this spectrum, teacher and probe / real features; test error in % with one
standard error over trials. The Gaussian control tells errors of the prediction from errors of its
assumptions.
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
    texts = [
        f"{gap:+.1f}".replace("-", "−") + f" points ({where})" for gap, where in worst.values()
    ]
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

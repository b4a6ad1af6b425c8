"""Further sections of docs/networks.md: learning curve, speed."""

from __future__ import annotations

import json
from pathlib import Path

from nfl_pruning.experiments.scripts import load
from nfl_pruning.records import RecordStore

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "simulations" / "records"
SPEED = RECORDS / "benchmarks" / "networks.json"


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

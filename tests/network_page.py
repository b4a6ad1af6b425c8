"""The page docs/networks.md, written from the committed records.

``python tests/network_page.py`` rewrites it; ``test_network_page.py`` fails while it is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.networks.verdicts import Verdict, verdicts
from nfl_pruning.records import RecordStore

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "networks.md"
RECORDS = ROOT / "simulations" / "records" / "paper" / "networks"

INTRO = """# Networks on real images

Each repeat draws {n_train:,} of the 60,000 training images, trains one probe (an MLP with two
hidden layers of 128) on them, and scores these same images: EL2N, GraNd (full gradient) and margin
after {score_epoch} of {epochs} epochs, forgetting events at the end. Every rule prunes the same
images by the same probe, and a fresh MLP is trained on what is kept, for as many epochs, with exact
calibration's weights in its loss. The 10,000 test images are read once, after the last epoch.

Differences are paired over {repeats} repeats; ± is the half width of a 95 % interval (Student's t).
The verdict is the paired t test after Holm's correction over all comparisons up to 30 % kept;
at 70 % it is uncorrected. Computed by [simulations/networks.py](../simulations/networks.py) (preset
`paper`), drawn by [figures/networks.py](../figures/networks.py). This page is written from the
records by `python tests/network_page.py`.
"""


def settings() -> dict[str, list[dict[str, Any]]]:
    """Committed records on 12,000 images, without and with label noise."""
    store = RecordStore(RECORDS)
    found = {
        "Clean labels": store.select(n_train=12000, label_noise=0.0),
        "15 % of training labels wrong": store.select(n_train=12000, label_noise=0.15),
    }
    by_size = lambda record: record["config"]["keep_fraction"]  # noqa: E731
    return {name: sorted(records, key=by_size) for name, records in found.items() if records}


def accuracies(records: list[dict[str, Any]]) -> dict[float, dict[str, np.ndarray]]:
    """Keep fraction -> rule -> accuracy of each repeat, NaN where a network diverged."""
    return {
        record["config"]["keep_fraction"]: {
            rule: np.array([np.nan if v is None else v for v in values], float)
            for rule, values in record["result"]["accuracy"].items()
        }
        for record in records
    }


def _cell(verdict: Verdict) -> str:
    mark = {"beats random": " **+**", "loses to random": " **−**"}.get(verdict.text, "")
    return f"{verdict.difference:+.1f} ± {verdict.half_width:.1f}{mark}".replace("-", "−")


def table(records: list[dict[str, Any]]) -> str:
    """Differences from random, in points, one row a rule; the marks are the verdicts."""
    accuracy = accuracies(records)
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
    times = [record["result"]["seconds"] for record in records]
    probing = max(time["probing"] for time in times)
    refitting = sum(time["refitting"] for time in times)
    machine = records[0]["provenance"]["machine"]
    diverged = sum(sum(record["result"]["diverged"].values()) for record in records)
    return (
        f"Training the probes and scoring took {probing:.0f} s, all refits {refitting:.0f} s "
        f"({machine}, shared with other work); {diverged} networks diverged.\n"
    )


def page() -> str:
    """The whole page."""
    found = settings()
    first = next(iter(found.values()))
    text = INTRO.format(**first[0]["config"])
    for name, records in found.items():
        text += f"\n## {name}\n\nAccuracy minus random's, in points; **+** beats random, "
        text += f"**−** loses to it.\n\n{table(records)}\n{cost(records)}"
    return text


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page(), encoding="utf-8")

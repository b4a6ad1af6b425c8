"""Tables of the advice experiment, from its records; ``python simulations/_advice.py`` writes them.

They stand in ``docs/advice.md`` between two marks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nfl_pruning.records import RecordStore

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "advice.md"
STORE = ROOT / "simulations" / "records" / "paper" / "advice"
MARKS = re.compile(r"(<!-- tables:.*?-->\n).*?(<!-- end of tables -->)", re.DOTALL)
PARTS = {"held-back": "held back", "tuning": "tuned on"}


def records(store: RecordStore, part: str) -> list[dict[str, Any]]:
    """Tasks of one part, by features, classes and size."""
    found = store.select(kind="advice", part=part)
    return sorted(
        found,
        key=lambda r: (r["config"]["features"], len(r["config"]["classes"]), r["config"]["n"]),
    )


def regrets(result: dict[str, Any]) -> np.ndarray:
    """Accuracy lost, in points, against the best policy in hindsight at each fraction below 1."""
    lost = []
    for fraction in sorted({cell["keep_fraction"] for cell in result["cells"]} - {1.0}):
        own = [cell for cell in result["cells"] if cell["keep_fraction"] == fraction]
        chosen = max(own, key=lambda cell: cell["low"])
        lost.append(max(cell["truth"] for cell in own) - chosen["truth"])
    return np.array(lost)


def departures(results: Sequence[dict[str, Any]], name: str = "predicted") -> dict[str, np.ndarray]:
    """All cells: keep fraction, departure from the truth, that of the gap to random, and cover."""
    rows = []
    for result in results:
        random = {c["keep_fraction"]: c for c in result["cells"] if c["policy"] == "random"}
        for cell in result["cells"]:
            base = random[cell["keep_fraction"]]
            gap = (cell[name] - base[name]) - (cell["truth"] - base["truth"])
            covered = cell["low"] <= cell["truth"] <= cell["high"]
            rows.append((cell["keep_fraction"], cell[name] - cell["truth"], gap, covered))
    table = np.array(rows, float).reshape(-1, 4)
    return dict(zip(("fraction", "departure", "gap", "covered"), table.T, strict=True))


def summary_table(store: RecordStore) -> str:
    """The numbers that acceptance asks for, by part."""
    there = [
        part for part in PARTS if any(not r["result"]["refused"] for r in records(store, part))
    ]
    heads = ["", *(PARTS[part] for part in there)]
    lines: dict[str, list[str]] = {}
    for part in there:
        every = records(store, part)
        answered = [r["result"] for r in every if not r["result"]["refused"]]
        lines.setdefault("tasks, refused", []).append(f"{len(every)}, {len(every) - len(answered)}")
        for name, label in (("predicted", "corrected"), ("by_mixture", "by the mixture alone")):
            found = departures(answered, name)
            little, size = found["fraction"] < 0.3, np.abs(found["departure"])
            for text, mask in (("30 % kept and above", ~little), ("10 % kept", little)):
                key = f"median departure, {text}, {label}"
                lines.setdefault(key, []).append(f"{np.median(size[mask]):.2f}")
            key = f"cells within 3 points, {label}"
            lines.setdefault(key, []).append(f"{100 * np.mean(size <= 3):.0f} %")
        found = departures(answered)
        scored = found["gap"] != 0
        for text, mask in (
            ("30 % kept and above", found["fraction"] >= 0.3),
            ("10 % kept", found["fraction"] < 0.3),
        ):
            key = f"median departure of the gap to random, {text}"
            value = np.median(np.abs(found["gap"][mask & scored]))
            lines.setdefault(key, []).append(f"{value:.2f}")
        key = "90 % intervals that hold the truth"
        lines.setdefault(key, []).append(f"{100 * found['covered'].mean():.0f} %")
        lost = np.array([regrets(result) for result in answered])
        lines.setdefault("mean regret, points", []).append(f"{lost.mean():.2f}")
        key = "budgets with a regret of 0.5 point at most"
        lines.setdefault(key, []).append(f"{100 * np.mean(lost <= 0.5):.0f} %")
        key = "tasks with a mean regret of 0.5 point at most"
        lines.setdefault(key, []).append(f"{100 * np.mean(lost.mean(axis=1) <= 0.5):.0f} %")
    rows = [f"| {name} | {' | '.join(values)} |" for name, values in lines.items()]
    return "\n".join([f"| {' | '.join(heads)} |", "|---|" + "--:|" * len(there), *rows])


def task_table(store: RecordStore) -> str:
    """One row a task."""
    rows = []
    for part, name in PARTS.items():
        for record in records(store, part):
            config, result = record["config"], record["result"]
            task = f"{config['features']}, {len(config['classes'])} classes, {config['n']} rows"
            if config["noise"]:
                task += f", {100 * config['noise']:g} % labels redrawn"
            if config["imbalance"] > 1:
                task += f", imbalance {config['imbalance']:g}"
            if result["refused"]:
                rows.append(f"| {task} | {name} | refused | | | |")
                continue
            found = departures([result])
            little, size = found["fraction"] < 0.3, np.abs(found["departure"])
            rows.append(
                f"| {task} | {name} | {np.median(size[~little]):.2f} | "
                f"{np.median(size[little]):.2f} | {100 * found['covered'].mean():.0f} % | "
                f"{regrets(result).mean():.2f} |"
            )
    head = "| task | part | departure, 30 %+ | departure, 10 % | covered | mean regret |"
    return "\n".join([head, "|---|---|--:|--:|--:|--:|", *rows])


def planted_table(store: RecordStore) -> str:
    """What the advice said of cases that break an assumption."""
    rows = []
    for record in store.select(kind="advice", part="planted"):
        result = record["result"]
        said = (result["reasons"] or result["flags"] or ["nothing"])[0].split(": ")[0]
        answer = "refused" if result["refused"] else "flagged" if result["flags"] else "answered"
        rows.append(f"| {record['config']['case']} | {answer} | {said.rstrip('.')} |")
    return "\n".join(["| planted | answer | what was seen |", "|---|---|---|", *sorted(rows)])


def tables(store: RecordStore) -> str:
    """All three."""
    return "\n\n".join([summary_table(store), task_table(store), planted_table(store)])


def with_tables(text: str, store: RecordStore) -> str:
    """The page with the records' tables between its marks."""
    new = tables(store)
    return MARKS.sub(lambda found: f"{found[1]}\n{new}\n\n{found[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), RecordStore(STORE)), "utf-8")

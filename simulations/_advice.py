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
PARTS = {"held-back": "held back", "earlier": "held back earlier", "tuning": "tuned on"}
MUCH = 0.3  # kept at least
MANY = 2500  # rows
DRAWS = 4000
COLUMNS = ("task", "fraction", "departure", "gap", "common", "shared", "own", "covered", "inside")


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
    for fraction, label in result["recommended"].items():
        truths = {cell["policy"]: cell["truth"] for cell in cells_at(result, fraction)}
        lost.append(max(truths.values()) - truths[label])
    return np.array(lost)


def cells_at(result: dict[str, Any], fraction: str) -> list[dict[str, Any]]:
    """What a record says of every policy at one keep fraction."""
    return [cell for cell in result["cells"] if cell["keep_fraction"] == float(fraction)]


def flattery(result: dict[str, Any], draws: int = 2000) -> np.ndarray:
    """By how much the best of each fraction's means is too high by luck, in points.

    The truths are means of few refits, and hindsight takes the largest of many. That much is seen
    when the refits' scatter is added to the means once more: of policies that are all equally good
    sqrt(2) - 1 of it, of others more. Refits of several policies share their probes, which moves
    them together; taken as independent they flatter more.
    """
    rng, found = np.random.default_rng(0), []
    for fraction in result["recommended"]:
        own = cells_at(result, fraction)
        truth, count = (np.array([c[name] for c in own]) for name in ("truth", "refits"))
        scatter = np.sqrt(np.mean([c["scatter"] ** 2 for c in own]) / count)
        again = truth + scatter * rng.normal(size=(draws, len(own)))
        found.append(again.max(axis=1).mean() - truth.max())
    return np.array(found)


def luck(cell: dict[str, Any], n: int, test_rows: int) -> tuple[float, float]:
    """Standard errors, in points, that no method is without.

    The first is shared by a task's cells: the rows at hand, each tested once, tell an accuracy to
    their binomial error, and so do the rows that the truth was measured on. The second is the
    cell's own: the truth is a mean of few refits.

    Args:
        cell: of a record.
        n: rows advised on.
        test_rows: of the truth.
    """
    error = 1 - cell["truth"] / 100
    shared = 100 * np.sqrt(error * (1 - error) * (1 / n + 1 / test_rows))
    return float(shared), cell["scatter"] / np.sqrt(cell["refits"])


def departures(found: Sequence[dict[str, Any]], name: str = "predicted") -> dict[str, np.ndarray]:
    """All cells of some records of answers, side by side.

    Keep fraction, departure from the truth, that of the gap to random pruning, what the task's
    cells at 30 % kept and above depart by as a mean, luck shared and own, and whether the interval
    holds the truth, and what share of single refits.
    """
    rows = []
    for task, record in enumerate(found):
        result, n = record["result"], record["config"]["n"]
        random = {c["keep_fraction"]: c for c in result["cells"] if c["policy"] == "random"}
        much = [c[name] - c["truth"] for c in result["cells"] if c["keep_fraction"] >= MUCH]
        for cell in result["cells"]:
            base = random[cell["keep_fraction"]]
            gap = (cell[name] - base[name]) - (cell["truth"] - base["truth"])
            covered = cell["low"] <= cell["truth"] <= cell["high"]
            row = (task, cell["keep_fraction"], cell[name] - cell["truth"], gap, np.mean(much))
            held = (covered, cell["refits_inside"] / cell["refits"])
            rows.append((*row, *luck(cell, n, result["test_rows"]), *held))
    table = np.array(rows, float).reshape(-1, len(COLUMNS))
    return dict(zip(COLUMNS, table.T, strict=True))


def by_luck(found: dict[str, np.ndarray], mask: np.ndarray) -> np.ndarray:
    """Median departures of the cells if there were nothing but luck, shape (draws,)."""
    rng = np.random.default_rng(0)
    tasks = found["task"].astype(int)
    shared = rng.normal(size=(DRAWS, tasks.max() + 1))[:, tasks] * found["shared"]
    gaps = shared + rng.normal(size=shared.shape) * found["own"]
    return np.median(np.abs(gaps[:, mask]), axis=1)


def column(found: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The numbers that acceptance asks for, and what luck alone would give."""
    answered = [r for r in found if not r["result"]["refused"]]
    told, plain = departures(answered), departures(answered, "by_mixture")
    size, little = np.abs(told["departure"]), told["fraction"] < MUCH
    lines = {"tasks, refused": f"{len(found)}, {len(found) - len(answered)}"}
    for text, mask in (("30 % kept and above", ~little), ("10 % kept", little)):
        lines[f"median departure, {text}"] = f"{np.median(size[mask]):.2f}"
        low, middle, high = np.quantile(by_luck(told, mask), [0.05, 0.5, 0.95])
        lines[f"– by luck alone, {text}"] = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        lines[f"– by the mixture alone, {text}"] = (
            f"{np.median(np.abs(plain['departure'][mask])):.2f}"
        )
        lines[f"mean signed departure, {text}"] = f"{told['departure'][mask].mean():+.2f}"
        gaps = np.abs(told["gap"][mask & (told["gap"] != 0)])
        lines[f"median departure of the gap to random, {text}"] = f"{np.median(gaps):.2f}"
    rest = np.abs(told["departure"] - told["common"])[~little]
    lines["median departure less what a task's cells share, 30 % kept and above"] = (
        f"{np.median(rest):.2f}"
    )
    scaled = [
        told["common"][own][0] / np.median(told["shared"][own & ~little])
        for own in (told["task"] == i for i in range(len(answered)))
    ]
    lines["what they share, in standard errors of luck, root mean square"] = (
        f"{np.sqrt(np.mean(np.square(scaled))):.2f}"
    )
    lines["cells within 3 points"] = f"{100 * np.mean(size <= 3):.0f} %"
    lines["90 % intervals that hold the mean of refits"] = f"{100 * told['covered'].mean():.0f} %"
    lines["single refits within them"] = f"{100 * told['inside'].mean():.0f} %"
    lost = np.array([regrets(r["result"]) for r in answered])
    lines["mean regret, points"] = f"{lost.mean():.2f}"
    lines["budgets with a regret of 0.5 point at most"] = f"{100 * np.mean(lost <= 0.5):.0f} %"
    small = lost.mean(axis=1) <= 0.5
    lines["tasks with a mean regret of 0.5 point at most"] = f"{100 * small.mean():.0f} %"
    left = lost - np.array([flattery(r["result"]) for r in answered])
    lines["mean regret less what hindsight's best is too high by"] = f"{left.mean():.2f}"
    small = left.mean(axis=1) <= 0.5
    lines["– tasks with half a point of that at most"] = f"{100 * small.mean():.0f} %"
    return lines


def summary_table(store: RecordStore) -> str:
    """Departures, intervals and regrets: by part, and of the held-back tasks by size."""
    held = records(store, "held-back")
    groups = {
        "held back": held,
        f"below {MANY} rows": [r for r in held if r["config"]["n"] < MANY],
        f"{MANY} rows and more": [r for r in held if r["config"]["n"] >= MANY],
    }
    groups |= {PARTS[part]: records(store, part) for part in ("earlier", "tuning")}
    there = {
        name: column(found)
        for name, found in groups.items()
        if any(not r["result"]["refused"] for r in found)
    }
    names = list(next(iter(there.values()), {}))
    rows = [f"| {name} | {' | '.join(own[name] for own in there.values())} |" for name in names]
    heads = f"|  | {' | '.join(there)} |"
    return "\n".join([heads, "|---|" + "--:|" * len(there), *rows])


def task_name(config: dict[str, Any]) -> str:
    """Features, classes, rows, and what was done to the labels."""
    listed = config["classes"]
    which = "10 classes" if len(listed) == 10 else f"classes {' '.join(map(str, listed))}"
    text = f"{config['features']}, {which}, {config['n']} rows"
    if config["noise"]:
        text += f", {100 * config['noise']:g} % labels redrawn"
    if config["imbalance"] > 1:
        text += f", imbalance {config['imbalance']:g}"
    return text


def task_table(store: RecordStore) -> str:
    """One row a task, what luck alone would give beside the departures."""
    rows = []
    for part, name in PARTS.items():
        for record in records(store, part):
            task, result = task_name(record["config"]), record["result"]
            if result["refused"]:
                rows.append(f"| {task} | {name} | refused | | | | | |")
                continue
            found = departures([record])
            cells = []
            for mask in (found["fraction"] >= MUCH, found["fraction"] < MUCH):
                cells.append(f"{np.median(np.abs(found['departure'][mask])):.2f}")
                cells.append(f"{np.median(by_luck(found, mask)):.2f}")
            covered = f"{100 * found['covered'].mean():.0f} %"
            lost = f"{regrets(result).mean():.2f}"
            rows.append(f"| {task} | {name} | {' | '.join(cells)} | {covered} | {lost} |")
    head = "| task | part | 30 %+ | luck | 10 % | luck | covered | mean regret |"
    return "\n".join([head, "|---|---|--:|--:|--:|--:|--:|--:|", *rows])


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

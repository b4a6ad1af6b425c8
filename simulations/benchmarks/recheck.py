"""Problems of the certificate solved again by plain means, of which ``_plain.py`` tells.

The root finder starts a few per cent away from the answer that is checked. Run after
``certificate.py``::

    python simulations/benchmarks/recheck.py docs/certificate.json
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import click
import numpy as np
from _plain import NODES, grid_of, observed, probe_of, rule_of, student
from certificate import CERTIFIED, draw

from nfl_pruning import Problem
from nfl_pruning.records import to_json

AWAY = 0.02
SOLVED = 1e-9


def compare(problem: Problem, claimed: dict[str, Any]) -> dict[str, Any]:
    """The largest difference, on a finer grid where the first does not agree."""
    probe = probe_of(problem)
    rule = rule_of(problem, probe)
    x = np.array([claimed["a_u"], claimed["a_p"], *np.log([claimed["tau"], claimed["kappa"]])])
    if probe.own:
        x = np.append(x, claimed["chi"])
    x = x * (1 + AWAY * np.array([1, -1, 1, -1, 1])[: len(x)])
    result: dict[str, Any] = {}
    for level in NODES:
        x, residual = student(problem, probe, grid_of(probe, rule, level), x)
        cosine, length, error = observed(problem, probe, x)
        difference = max(
            abs(cosine - claimed["cosine"]),
            abs(length / claimed["norm"] - 1),
            abs(error - claimed["test_error"]),
        )
        result = {"difference": difference, "residual": residual, "grid": level}
        if difference < 0.1 * CERTIFIED and residual < SOLVED:
            break
    return result


_drawn = lru_cache(maxsize=1)(draw)  # once in every process


def again(case: tuple[int, int, dict[str, Any]]) -> dict[str, Any]:
    """As ``compare`` for (problems drawn, seed, claim), with the reason where plain means fail."""
    count, seed, claimed = case
    problem = _drawn(count, seed)[claimed["problem"]]
    try:
        found = compare(problem, claimed)
    except (ArithmeticError, ValueError) as reason:
        found = {"difference": None, "residual": None, "reason": str(reason)}
    return {"problem": claimed["problem"]} | found


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts; a problem counts as compared where the plain method solved its own equations."""
    solved = [r for r in results if r["difference"] is not None and r["residual"] < SOLVED]
    wrong = [r for r in solved if r["difference"] >= CERTIFIED]
    return {
        "problems": len(results),
        "solved by plain means": len(solved),
        "largest difference": max((r["difference"] for r in solved), default=None),
        "wrong": len(wrong),
        "not as certified": wrong,
        "not solved": [r for r in results if r not in solved],
    }


@click.command(help=__doc__)
@click.argument("certificate", type=Path)
@click.option("--count", default=100, show_default=True, help="Problems of each list.")
@click.option("--processes", default=2, show_default=True, help="Worker processes.")
@click.option("--out", type=Path, help="JSON file for the results.")
def main(certificate: Path, count: int, processes: int, out: Path | None) -> None:
    """Solve again, compare, print."""
    told = json.loads(certificate.read_text())
    result = {}
    with ProcessPoolExecutor(processes) as pool:
        for name in ("chosen at random", "largest estimates"):
            cases = [(told["problems"], told["seed"], claim) for claim in told[name][:count]]
            found = []
            for done, one in enumerate(pool.map(again, cases), 1):
                found.append(one)
                click.echo(f"{name}: {done} of {len(cases)} {one}", err=True)
            result[name] = summary(found)
    if out:
        out.write_text(to_json(result, indent=2) + "\n")
    click.echo(to_json(result, indent=2))


if __name__ == "__main__":
    main()

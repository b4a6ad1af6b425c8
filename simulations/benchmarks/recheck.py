"""Problems of the certificate solved again by plain means, of which ``reference_probe.py`` tells.

The root finder starts away from the answer that is checked: by 2 per cent, for losses with corners
at most 2 per cent of the margins' noise. Run after
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
from certificate import CERTIFIED, draw
from reference_existence import needed
from reference_fit import Task, grid_of, observed, start_of, student
from reference_probe import probe_of
from reference_rules import rule_of

from nfl_pruning import Problem
from nfl_pruning.records import to_json

LEVELS = {"rough": 0.02, "fine": 0.002}  # of the grid: how far from the claim the search starts
SOLVED = 1e-9


def compare(problem: Problem, claimed: dict[str, Any]) -> dict[str, Any]:
    """The largest difference; from nearer on a finer grid where the first does not agree."""
    probe = probe_of(problem)
    rule = rule_of(problem, probe)
    task = Task.of(problem, constrained=claimed["nu"] is not None)
    result: dict[str, Any] = {}
    for level, away in LEVELS.items():
        start = start_of(problem, probe, claimed, away)
        x, residual = student(task, probe, grid_of(task, probe, rule, level, start), start)
        cosine, length, error = observed(task, probe, x)
        difference = max(
            abs(cosine - claimed["cosine"]),
            abs(length / claimed["norm"] - 1),
            abs(error - claimed["test_error"]),
        )
        result = {"difference": difference, "residual": residual, "grid": level}
        if difference < 0.1 * CERTIFIED and residual < SOLVED:
            break
    return result


def no_fit(problem: Problem) -> dict[str, Any]:
    """How far a hard margin is from existing: 0 where the kept samples become separable."""
    probe = probe_of(problem)
    value = needed(problem, probe, rule_of(problem, probe))
    return {"excess": float(problem.samples_per_feature * value - 1)}


Drawn = tuple[int, int, float, float]  # problems, seed, share, far
_drawn = lru_cache(maxsize=1)(draw)  # once in every process


def again(case: tuple[Drawn, dict[str, Any]]) -> dict[str, Any]:
    """As ``compare`` or ``no_fit`` for a claim, with the reason where plain means fail."""
    which, claimed = case
    problem = _drawn(*which)[claimed["problem"]]
    try:
        found = compare(problem, claimed) if "cosine" in claimed else no_fit(problem)
    except (ArithmeticError, ValueError) as reason:
        found = {"difference": None, "residual": None, "reason": str(reason)}
    return {"problem": claimed["problem"]} | found


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts; a problem counts as compared where the plain method solved its own equations."""
    solved = [r for r in results if r["difference"] is not None and r["residual"] < SOLVED]
    wrong = [r for r in solved if r["difference"] >= CERTIFIED]
    largest = max((r["difference"] for r in solved), default=None)
    return _counts(results, solved, {"largest difference": largest}, {"not as certified": wrong})


def summary_without(results: list[dict[str, Any]]) -> dict[str, Any]:
    """As ``summary`` for problems that were said to have no fit."""
    solved = [r for r in results if "excess" in r]
    wrong = [r for r in solved if r["excess"] <= 0]
    least = min((r["excess"] for r in solved), default=None)
    return _counts(results, solved, {"least excess": least}, {"not as said": wrong})


def _counts(
    results: list[dict], solved: list[dict], extreme: dict[str, Any], wrong: dict[str, list]
) -> dict[str, Any]:
    """A summary from those solved, the extreme among them, and the wrong ones under their name."""
    (mistaken,) = wrong.values()
    return {
        "problems": len(results),
        "solved by plain means": len(solved),
        **extreme,
        "wrong": len(mistaken),
        **wrong,
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
        which = (told["problems"], told["seed"], told["share"], told.get("far", 0.0))
        for name in ("chosen at random", "largest estimates", "no fit"):
            cases = [(which, claim) for claim in told[name][:count]]
            found = []
            for done, one in enumerate(pool.map(again, cases), 1):
                found.append(one)
                click.echo(f"{name}: {done} of {len(cases)} {one}", err=True)
            result[name] = (summary_without if name == "no fit" else summary)(found)
    if out:
        out.write_text(to_json(result, indent=2) + "\n")
    click.echo(to_json(result, indent=2))


if __name__ == "__main__":
    main()

"""How often the proportional limit is certified over a wide range of random problems.

Problems are solved by ``solve_many``. The results name some of them, drawn at random, and those
with the largest error estimates: ``recheck.py`` next to this file solves these again by plain numpy
and scipy. Run::

    python simulations/benchmarks/certificate.py --count 10000 --out docs/certificate.json
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np

from nfl_pruning import Problem, Status, make_selection
from nfl_pruning.records import provenance, to_json
from nfl_pruning.theory.proportional import finite
from nfl_pruning.theory.sweep import STATE, Sweep, solve_many

RANGES = {
    "samples_per_feature": (0.2, 1e4),
    "keep_fraction": (0.005, 1.0),
    "ridge": (1e-5, 10.0),
}
SCORES = ("el2n", "margin")
ENDS = ("hardest", "easiest")
PROTOCOLS = ("threshold", "exact", "soft:0.5", "random")
LOSSES = ("logistic", "squared")
PROBES = ("fixed", "pilot", "in-sample")
CERTIFIED = 1e-7
PART = 10000


def draw(count: int, seed: int) -> list[Problem]:
    """Problems that cycle through rules, protocols, losses and probes; numbers are random."""
    rng = np.random.default_rng(seed)
    strata = list(product(SCORES, ENDS, PROTOCOLS, LOSSES, PROBES))
    rng.shuffle(strata)

    def spread(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    found = []
    for i in range(count):
        score, keep, protocol, loss, probe = strata[i % len(strata)]
        numbers = {name: spread(*ends) for name, ends in RANGES.items()}
        signal, alignment = rng.uniform(0, 20), rng.uniform(-0.99, 1)
        form = {
            "fixed": f"fixed:{alignment}",
            "pilot": f"pilot:{spread(0.2, 100)}:{spread(1e-3, 1)}",
            "in-sample": f"in-sample:{spread(1e-3, 1)}",
        }[probe]
        selection = make_selection(protocol, exploit=rng.uniform(0, 1))
        choice = {"score": score, "probe": form, "signal": signal, "loss": loss, **numbers}
        found.append(Problem(keep=keep, selection=selection).replace(**choice))
    return found


def _picked(found: Sweep, places: np.ndarray) -> list[dict[str, Any]]:
    """Number of the problem and what was found, for :mod:`recheck`."""
    names = ("cosine", "norm", "test_error", "error_estimate", *STATE)
    return [
        {"problem": int(i)} | {name: finite(float(found[name][i])) for name in names}
        for i in places
    ]


def report(parts: list[Sweep], seconds: float, *, recheck: int) -> dict[str, Any]:
    """What was found so far, and which of it shall be solved again."""
    found = _joined(parts)
    error = np.where(np.isnan(found["error_estimate"]), np.inf, found["error_estimate"])
    good = error <= CERTIFIED
    exists = found.status != Status.SEPARABLE
    certified = np.flatnonzero(good)
    rng = np.random.default_rng(1)
    at_random = rng.choice(certified, min(recheck, len(certified)), replace=False)
    largest = certified[np.argsort(error[certified])[-recheck:]]
    missing = np.flatnonzero(~good & exists)
    return {
        "problems": len(error),
        "seconds, compilation included": seconds,
        "status": dict(Counter(status.value for status in found.status)),
        "a fit exists": int(exists.sum()),
        "certified to 1e-7": int(good.sum()),
        "share certified": float(good.sum() / exists.sum()),
        "left to solve": len(found.singly),
        "largest error estimate of a certified one": float(error[certified].max()),
        "chosen at random": _picked(found, at_random),
        "largest estimates": _picked(found, largest),
        "not certified": [found.problems[i].describe() for i in missing[:50]],
    }


def _joined(parts: list[Sweep]) -> Sweep:
    count = sum(len(part.problems) for part in parts)
    return Sweep(
        {"problem": tuple(range(count))},
        tuple(problem for part in parts for problem in part.problems),
        np.concatenate([part.status for part in parts]),
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0].values},
        {i: s for part in parts for i, s in part.singly.items()},
    )


@click.command(help=__doc__)
@click.option("--count", default=10000, show_default=True, help="Problems.")
@click.option("--seed", default=0, show_default=True, help="Of the problems.")
@click.option("--recheck", default=100, show_default=True, help="Cells to solve again, twice.")
@click.option("--out", type=Path, help="JSON file for the results, rewritten after every part.")
def main(count: int, seed: int, recheck: int, out: Path | None) -> None:
    """Solve in parts, count, check, print."""
    problems = draw(count, seed)
    parts, seconds, result = [], 0.0, {}
    for first in range(0, count, PART):
        begin = time.perf_counter()
        parts.append(solve_many(problems[first : first + PART], progress=_teller()))
        seconds += time.perf_counter() - begin
        result = report(parts, seconds, recheck=recheck) | {"seed": seed}
        if out:
            out.write_text(to_json(result | {"provenance": provenance()}, indent=2) + "\n")
    lists = ("not certified", "chosen at random", "largest estimates")
    click.echo(to_json({k: v for k, v in result.items() if k not in lists}, indent=2))


def _teller() -> Callable[[int, int], None]:
    """Says how far the work is, about every 500 problems."""
    told = 0

    def say(done: int, total: int) -> None:
        nonlocal told
        if done - told >= 500 or done == total:
            told = done
            click.echo(f"{done} of {total}", err=True)

    return say


if __name__ == "__main__":
    main()

"""How often the proportional limit is certified over a wide range of random problems.

Problems are solved by ``solve_many``: most by compiled batches, and a share of other losses and
protocols one by one, at a few seconds each. The results name some of them, drawn at
random, and those with the largest error estimates: ``recheck.py`` next to this file solves these
again by plain numpy and scipy. Run::

    python simulations/benchmarks/certificate.py --count 10000 --out docs/certificate.json
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np

from nfl_pruning import Problem, Status, make_selection
from nfl_pruning.records import provenance, to_json
from nfl_pruning.selections import Power, Window
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
UNPENALISED = "hinge without a ridge"
EXPONENT = 2.0  # largest size of a power rule's exponent
CERTIFIED = 1e-7

Stratum = tuple[str, str, str, str, str]
ALL: list[Stratum] = list(
    product(
        SCORES,
        ENDS,
        (*PROTOCOLS, "window", "power"),
        (*LOSSES, "hinge", "max-margin", UNPENALISED),
        PROBES,
    )
)
COMPILED = [s for s in ALL if s[2] in PROTOCOLS and s[3] in LOSSES]  # what a compiled batch solves
SINGLY = [s for s in ALL if s not in COMPILED]


def draw(count: int, seed: int, share: float = 0.0) -> list[Problem]:
    """Problems that cycle through their strata; numbers are random.

    The last ``share`` of them are of the strata that ``solve`` takes one by one. Both kinds have a
    stream of their own, so that a change of the share leaves the problems as they are.
    """
    slow = round(share * count)
    return _cycled(COMPILED, count - slow, seed) + _cycled(SINGLY, slow, [seed, 1])


def _cycled(strata: list[Stratum], count: int, seed: int | list[int]) -> list[Problem]:
    rng = np.random.default_rng(seed)
    strata = list(strata)
    rng.shuffle(strata)
    return [_problem(rng, strata[i % len(strata)]) for i in range(count)]


def _problem(rng: np.random.Generator, stratum: Stratum) -> Problem:
    score, keep, protocol, loss, probe = stratum

    def spread(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    numbers = {name: spread(*ends) for name, ends in RANGES.items()}
    signal, alignment = rng.uniform(0, 20), rng.uniform(-0.99, 1)
    form = {
        "fixed": f"fixed:{alignment}",
        "pilot": f"pilot:{spread(0.2, 100)}:{spread(1e-3, 1)}",
        "in-sample": f"in-sample:{spread(1e-3, 1)}",
    }[probe]
    drawn = rng.uniform(0, 1)
    selection = {
        "window": Window(drawn * (1 - numbers["keep_fraction"])),
        "power": Power(EXPONENT * (2 * drawn - 1)),
    }.get(protocol) or make_selection(protocol, exploit=drawn)
    if loss == UNPENALISED:
        loss, numbers["ridge"] = "hinge", 0.0
    choice = {"score": score, "probe": form, "signal": signal, "loss": loss, **numbers}
    return Problem(keep=keep, selection=selection).replace(**choice)


@dataclass(frozen=True)
class Part:
    """Problems of one kind, solved together: their numbers in the draw, and what was found."""

    name: str
    places: list[int]
    found: Sweep
    seconds: float


def kinds(problems: list[Problem], share: float) -> dict[str, list[int]]:
    """Name -> numbers of the problems whose time is told apart."""
    named: dict[str, list[int]] = {}
    first = len(problems) - round(share * len(problems))
    for i, problem in enumerate(problems):
        student = problem.student
        loss = UNPENALISED if student.ridge == 0 else student.loss.name
        name = "compiled" if i < first else f"{loss}, {problem.selection.name}"
        named.setdefault(name, []).append(i)
    return named


def _picked(found: Sweep, rows: np.ndarray, places: np.ndarray) -> list[dict[str, Any]]:
    """Number of the problem and what was found, for :mod:`recheck`."""
    names = ("cosine", "norm", "test_error", "error_estimate", *STATE)
    told = []
    for i in rows:
        numbers = {name: finite(float(found[name][i])) for name in names}
        single = found.singly.get(int(i))
        nu = single.state.get("nu") if single else None
        told.append({"problem": int(places[i])} | numbers | {"nu": nu})
    return told


def report(parts: list[Part], *, recheck: int) -> dict[str, Any]:
    """What was found so far, and which of it shall be solved again."""
    found = _joined([part.found for part in parts])
    places = np.concatenate([part.places for part in parts])
    error = np.where(np.isnan(found["error_estimate"]), np.inf, found["error_estimate"])
    good = error <= CERTIFIED
    exists = _has_fit(found)
    certified, without = np.flatnonzero(good), np.flatnonzero(~exists)
    rng = np.random.default_rng(1)
    choose = lambda rows: rng.choice(rows, min(recheck, len(rows)), replace=False)  # noqa: E731
    largest = certified[np.argsort(error[certified])[-recheck:]]
    missing = np.flatnonzero(~good & exists)
    statuses: list[Status] = found.status.tolist()
    return {
        "problems": len(error),
        "seconds, compilation included": sum(part.seconds for part in parts),
        "status": dict(Counter(status.value for status in found.status)),
        "a fit exists": int(exists.sum()),
        "certified to 1e-7": int(good.sum()),
        "share certified": float(good.sum() / exists.sum()),
        "solved one by one": len(found.singly),
        "largest error estimate of a certified one": float(error[certified].max()),
        "kinds": {part.name: _counts(part) for part in parts},
        "chosen at random": _picked(found, choose(certified), places),
        "largest estimates": _picked(found, largest, places),
        "no fit": [{"problem": int(places[i])} for i in choose(without)],
        "not certified": [
            {"problem": int(places[i]), "status": statuses[i].value} | found.problems[i].describe()
            for i in missing[:50]
        ],
    }


def _has_fit(found: Sweep) -> np.ndarray:
    without = (Status.SEPARABLE, Status.NOT_SEPARABLE)
    return np.array([status not in without for status in found.status])


def _counts(part: Part) -> dict[str, float]:
    found = part.found
    return {
        "problems": len(found.problems),
        "a fit exists": int(_has_fit(found).sum()),
        "certified": int((found["error_estimate"] <= CERTIFIED).sum()),
        "seconds": part.seconds,
    }


def _joined(parts: list[Sweep]) -> Sweep:
    starts = np.cumsum([0, *(len(part.problems) for part in parts)]).tolist()
    return Sweep(
        {"problem": tuple(range(starts[-1]))},
        tuple(problem for part in parts for problem in part.problems),
        np.concatenate([part.status for part in parts]),
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0].values},
        {
            first + i: s
            for first, part in zip(starts[:-1], parts, strict=True)
            for i, s in part.singly.items()
        },
    )


@click.command(help=__doc__)
@click.option("--count", default=10000, show_default=True, help="Problems.")
@click.option("--seed", default=0, show_default=True, help="Of the problems.")
@click.option("--share", default=0.1, show_default=True, help="Of problems solved one by one.")
@click.option("--recheck", default=100, show_default=True, help="Cells to solve again, of a list.")
@click.option("--out", type=Path, help="JSON file for the results, rewritten after every part.")
def main(count: int, seed: int, share: float, recheck: int, out: Path | None) -> None:
    """Solve in parts, count, check, print."""
    problems = draw(count, seed, share)
    parts, result = [], {}
    for name, places in kinds(problems, share).items():
        begin = time.perf_counter()
        found = solve_many([problems[i] for i in places], progress=_teller(name))
        parts.append(Part(name, places, found, time.perf_counter() - begin))
        result = report(parts, recheck=recheck) | {"problems": count, "seed": seed, "share": share}
        if out:
            out.write_text(to_json(result | {"provenance": provenance()}, indent=2) + "\n")
    lists = ("not certified", "chosen at random", "largest estimates", "no fit")
    click.echo(to_json({k: v for k, v in result.items() if k not in lists}, indent=2))


def _teller(name: str) -> Callable[[int, int], None]:
    """Says how far the work is, about every 500 problems."""
    told = 0

    def say(done: int, total: int) -> None:
        nonlocal told
        if done - told >= 500 or done == total:
            told = done
            click.echo(f"{name}: {done} of {total}", err=True)

    return say


if __name__ == "__main__":
    main()

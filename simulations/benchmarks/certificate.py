"""How often the proportional limit is certified over a wide range of random problems.

Problems are solved by ``solve_many``: most by compiled batches, and a share of other losses and
protocols one by one, at a few seconds each. The results name some of them, drawn at
random, and those with the largest error estimates: ``recheck.py`` next to this file solves these
again by plain numpy and scipy. Run::

    python simulations/benchmarks/certificate.py --share 0.2 --out certificate.json

With ``--records FOLDER`` a run that was stopped goes on with the part it was in, and with
``--only`` two processes share the parts; a last run joins what they recorded.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from _problems import UNPENALISED, draw

from nfl_pruning import Problem, Status
from nfl_pruning.records import RecordStore, provenance, source_hash, to_json
from nfl_pruning.theory.solution import finite
from nfl_pruning.theory.sweep import OBSERVED, STATE, solve_many

CERTIFIED = 1e-7
WITHOUT = (Status.SEPARABLE, Status.NOT_SEPARABLE)


@dataclass(frozen=True)
class Part:
    """Problems of one kind, solved together.

    Attributes:
        name: of the kind.
        places: numbers of the problems in the draw.
        status: values of :class:`Status`.
        numbers: name -> one a problem, NaN where there is none.
        solved_alone: how many ``solve`` took one by one.
        seconds: compilation included.
    """

    name: str
    places: np.ndarray
    status: np.ndarray
    numbers: dict[str, np.ndarray]
    solved_alone: int
    seconds: float

    @property
    def has_fit(self) -> np.ndarray:
        """Whether a fit may exist."""
        return ~np.isin(self.status, [status.value for status in WITHOUT])

    @property
    def certified(self) -> np.ndarray:
        """Whether the error is known to be small enough."""
        return self.numbers["error_estimate"] <= CERTIFIED

    def counts(self) -> dict[str, float]:
        """Of problems, fits and certificates."""
        return {
            "problems": len(self.places),
            "a fit exists": int(self.has_fit.sum()),
            "certified": int(self.certified.sum()),
            "seconds": self.seconds,
        }


def kinds(problems: list[Problem], share: float, far: float = 0.0) -> dict[str, list[int]]:
    """Name -> numbers of the problems whose time is told apart."""
    named: dict[str, list[int]] = {}
    first = len(problems) - round(share * len(problems))
    distant = first - round(far * len(problems))
    for i, problem in enumerate(problems):
        student = problem.student
        loss = UNPENALISED if student.ridge == 0 else student.loss.name
        other = problem.selection.name if i >= first else problem.probe.label.split(":")[0]
        name = f"{loss}, {other}" if i >= first else f"compiled: {loss}, {other}"
        name = f"far: {other}" if distant <= i < first else name
        named.setdefault(name, []).append(i)
    return named


def solved(name: str, places: list[int], problems: list[Problem]) -> Part:
    """The part of the draw at these places."""
    begin = time.perf_counter()
    found = solve_many([problems[i] for i in places], progress=_teller(name))
    numbers = {key: found[key] for key in (*OBSERVED, *STATE)}
    numbers["nu"] = np.full(len(places), np.nan)
    for i, single in found.solved_alone.items():
        numbers["nu"][i] = single.state.get("nu", np.nan)
    status = np.array([status.value for status in found.status])
    seconds = time.perf_counter() - begin
    return Part(name, np.array(places), status, numbers, len(found.solved_alone), seconds)


def recalled(result: dict[str, Any]) -> Part:
    """The part of a record; JSON's null was NaN."""
    numbers = {key: np.array(column, float) for key, column in result["numbers"].items()}
    status, places = np.array(result["status"]), np.array(result["places"])
    return Part(**result | {"numbers": numbers, "status": status, "places": places})


def joined(parts: list[Part]) -> Part:
    """All of them as one."""
    return Part(
        "all",
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.status for part in parts]),
        {n: np.concatenate([part.numbers[n] for part in parts]) for n in parts[0].numbers},
        sum(part.solved_alone for part in parts),
        sum(part.seconds for part in parts),
    )


def report(problems: list[Problem], parts: list[Part], *, recheck: int) -> dict[str, Any]:
    """What was found so far, and which of it shall be solved again."""
    found = joined(parts)
    estimate = found.numbers["error_estimate"]
    error = np.where(np.isnan(estimate), np.inf, estimate)
    good, exists = found.certified, found.has_fit
    certified, without = np.flatnonzero(good), np.flatnonzero(~exists)
    rng = np.random.default_rng(1)
    choose = lambda rows: rng.choice(rows, min(recheck, len(rows)), replace=False)  # noqa: E731
    largest = certified[np.argsort(error[certified])[-recheck:]]
    missing = found.places[~good & exists][:50].tolist()
    told = dict(zip(found.places.tolist(), found.status.tolist(), strict=True))
    return {
        "problems done": len(error),
        "seconds, compilation included": found.seconds,
        "status": dict(Counter(found.status.tolist())),
        "a fit exists": int(exists.sum()),
        "certified to 1e-7": int(good.sum()),
        "share certified": float(good.sum() / exists.sum()),
        "solved one by one": found.solved_alone,
        "largest error estimate of a certified one": max(error[certified].tolist(), default=None),
        "kinds": {part.name: part.counts() for part in parts},
        "chosen at random": _picked(found, choose(certified)),
        "largest estimates": _picked(found, largest),
        "no fit": [{"problem": int(found.places[i])} for i in choose(without)],
        "not certified": [
            {"problem": i, "status": told[i]} | problems[i].describe() for i in missing
        ],
    }


def _picked(found: Part, rows: np.ndarray) -> list[dict[str, Any]]:
    """Number of the problem and what was found, for :mod:`recheck`."""
    names = ("cosine", "norm", "test_error", "error_estimate", *STATE, "nu")
    return [
        {"problem": int(found.places[i])}
        | {name: finite(float(found.numbers[name][i])) for name in names}
        for i in rows
    ]


@click.command(help=__doc__)
@click.option("--count", default=10000, show_default=True, help="Problems.")
@click.option("--seed", default=0, show_default=True, help="Of the problems.")
@click.option("--share", default=0.1, show_default=True, help="Of problems solved one by one.")
@click.option("--far", default=0.1, show_default=True, help="Of problems of extreme numbers.")
@click.option("--recheck", default=100, show_default=True, help="Cells to solve again, of a list.")
@click.option("--out", type=Path, help="JSON file for the results, rewritten after every part.")
@click.option("--records", type=Path, help="Folder that keeps the parts that are done.")
@click.option("--only", multiple=True, help="Parts with this in their name; may be repeated.")
def main(
    count: int,
    seed: int,
    share: float,
    far: float,
    recheck: int,
    out: Path | None,
    records: Path | None,
    only: tuple[str, ...],
) -> None:
    """Solve in parts, count, check, print."""
    drawn = {"problems": count, "seed": seed, "share": share, "far": far}
    problems = draw(count, seed, share, far)
    store = RecordStore(records) if records else None
    named = kinds(problems, share, far)
    if only:
        named = {name: named[name] for name in named if any(text in name for text in only)}
    if not named:
        raise click.UsageError(f"--only must be in the name of a part; got {', '.join(only)}.")
    parts, result = [], {}
    for name, places in named.items():
        config = drawn | {"part": name, "source": source_hash()}
        known = store.get(config) if store else None
        parts.append(recalled(known) if known else solved(name, places, problems))
        if store and not known:
            store.put(config, vars(parts[-1]))
        result = report(problems, parts, recheck=recheck) | drawn
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

"""Theory against simulation over a random design of 200 problems, with 1600 trials each.

Every problem gives z = (simulated mean - limit - bias) / standard error at one size. The bias of a
finite system, c / d + c' / d^2, is fitted to simulations of *other*, smaller sizes, and the
uncertainty of that fit enters the standard error. Were theory and simulation to agree exactly, the
root mean square of the z's would have the law of a normal sample's, whose central 99.9 % range is
what the verdict uses. As a control, limits of problems whose threshold is off by 5 % must fall
outside.

Problems come in programs that share shapes and rules, so that each is compiled once; signal,
alignment and ridge are random for every problem. Counts of samples, of kept and of exploited ones
are whole at the smallest size and so at all: no rounding enters the bias. Every problem and size
has draws of its own. Finished simulations are kept, and a run that was stopped continues::

    python simulations/benchmarks/agreement.py --minutes 10     # again until nothing is left
    python simulations/benchmarks/agreement.py --report
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from scipy import stats

from nfl_pruning import SCORES, FixedProbe, Problem, Status, Teacher, make_selection, simulate
from nfl_pruning.experiments.compilation import use_compilation_cache
from nfl_pruning.experiments.progress import progress
from nfl_pruning.links import parse_link
from nfl_pruning.numerics.programs import release_programs
from nfl_pruning.records import RecordStore, provenance, to_json
from nfl_pruning.theory.sweep import solve_many

PROGRAMS, EACH = 25, 8
LINKS = ("logistic", "probit", "sign", "steps:0:0.1,0.9", "steps:-0.5,1:0.1,0.6,0.9")
LOSSES = ("logistic", "logistic", "squared")
RANKINGS = ("el2n", "entropy", "loss", "margin")
PROTOCOLS = ("threshold", "threshold", "exact", "soft:0.5", "power:1", "random")
SMALLEST, TESTED = 50, 400
OBSERVABLES = ("cosine", "norm")
TOLERANCE = 1e-7  # of the gradient; moves a parameter by 1e-5 at most at the least ridge, 0.01
COVERAGE = 0.999
FOLDER = Path(__file__).parents[1] / "records" / "agreement"


class Run(NamedTuple):
    """One simulation of the design."""

    problem: int
    n_features: int
    n_trials: int


def problem_of(index: int) -> Problem:
    """Problem ``index``: rules and sizes of its program, numbers of its own."""
    program = index // EACH
    shape, numbers = (np.random.default_rng([2026, *key]) for key in ([program], [program, index]))
    n = int(shape.integers(2 * SMALLEST, 8 * SMALLEST + 1))
    kept = round(shape.uniform(0.2, 0.9) * n)
    exploited = round(shape.uniform(0.2, 0.8) * kept)
    return Problem(
        samples_per_feature=n / SMALLEST,
        keep_fraction=kept / n,
        score=SCORES[RANKINGS[program % 4]],
        keep=("hardest", "easiest")[(program // 2) % 2],
        selection=make_selection(PROTOCOLS[program % 6], exploit=exploited / kept),
        teacher=Teacher(parse_link(LINKS[program % 5]), float(numbers.uniform(0.5, 4))),
        probe=FixedProbe(float(numbers.uniform(-0.5, 1))),
    ).replace(loss=LOSSES[program % 3], ridge=float(10 ** numbers.uniform(-2, -0.5)))


def runs(count: int, sizes: dict[int, int]) -> list[Run]:
    """Every simulation, program by program."""
    found = [Run(i, d, trials) for i in range(count) for d, trials in sizes.items()]
    return sorted(found, key=lambda run: (run.problem // EACH, run.n_features, run.problem))


def config_of(run: Run) -> dict[str, Any]:
    """What names the record of a simulation."""
    return {
        "kind": "agreement",
        "problem": problem_of(run.problem).describe(),
        "n_features": run.n_features,
        "n_trials": run.n_trials,
        "seed": 1000 * run.n_features + run.problem,
        "tolerance": TOLERANCE,
    }


def compute(run: Run) -> dict[str, Any]:
    """Means and standard errors of a simulation, and the processor time that it took."""
    start = time.process_time()
    config = config_of(run)
    sizes = {key: config[key] for key in ("n_features", "n_trials", "seed", "tolerance")}
    release_programs()
    found = simulate(problem_of(run.problem), **sizes)
    means = {
        name: {"mean": found.mean(name), "standard_error": found.standard_error(name)}
        for name in OBSERVABLES
    }
    return means | {"failed": found.failed, "processor_seconds": time.process_time() - start}


def predicted_bias(
    sizes: Sequence[int], bias: np.ndarray, error: np.ndarray, at: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bias at size ``at`` by c / d + c' / d^2 through other sizes, and its standard error.

    Args:
        sizes: at least two numbers of features.
        bias: simulated means minus limits, shape (problems, sizes).
        error: their standard errors, of that shape.
        at: the size to predict.
    """
    powers = np.array([1.0, 2.0])
    design = np.array(sizes, float)[:, None] ** -powers
    there = float(at) ** -powers
    weights = []  # of each size's mean in the prediction, by weighted least squares
    for one in error:
        root = design / one[:, None]
        weights.append(there @ np.linalg.pinv(root) / one)
    share = np.array(weights)
    return (share * bias).sum(axis=1), np.sqrt((share**2 * error**2).sum(axis=1))


def central_range(count: int) -> tuple[float, float]:
    """Central range of the root mean square of ``count`` independent standard normals."""
    tail = (1 - COVERAGE) / 2
    low, high = np.sqrt(stats.chi2.ppf([tail, 1 - tail], count) / count)
    return float(low), float(high)


def verdict(z: np.ndarray) -> dict[str, Any]:
    """Root mean square of z's beside its central range."""
    low, high = central_range(len(z))
    size = float(np.sqrt(np.mean(z**2)))
    return {
        "problems": len(z), "rms z": size, "range": [low, high], "inside": low < size < high,
        "largest |z|": float(np.abs(z).max()), "mean z": float(z.mean()),
    }  # fmt: skip


def limits(problems: list[Problem], store: RecordStore) -> dict[str, np.ndarray]:
    """The problems' limits by observable, kept as records; all of them must be certified."""
    configs = [{"kind": "limit", "problem": problem.describe()} for problem in problems]
    missing = [i for i, config in enumerate(configs) if store.get(config) is None]
    if missing:
        found = solve_many([problems[i] for i in missing])
        for place, i in enumerate(missing):
            values = {name: found[name][place] for name in OBSERVABLES}
            store.put(configs[i], values | {"status": found.status[place]})
    results = [store.get(config) or {} for config in configs]
    assert all(result["status"] == Status.CERTIFIED.value for result in results)
    return {name: np.array([result[name] for result in results]) for name in OBSERVABLES}


def moved(problem: Problem) -> Problem:
    """The problem with its threshold moved: 5 % more of the data counts as kept."""
    return problem.replace(keep_fraction=min(1.0, 1.05 * problem.keep_fraction))


class Simulated(NamedTuple):
    """Means and standard errors, shape (problems, sizes); the tested size is the last."""

    sizes: list[int]
    mean: np.ndarray
    error: np.ndarray

    def scores(self, limit: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """z-scores of some problems against their limits plus the fitted bias."""
        rows = np.arange(len(self.mean)) if rows is None else rows
        away = self.mean[rows] - limit[:, None]
        others, error = self.sizes[:-1], self.error[rows]
        bias, unsure = predicted_bias(others, away[:, :-1], error[:, :-1], self.sizes[-1])
        return (away[:, -1] - bias) / np.hypot(error[:, -1], unsure)


def compare(seen: Simulated, limit: np.ndarray, wrong: dict[int, float]) -> dict[str, Any]:
    """Verdict and control on one observable.

    Args:
        seen: the simulations.
        limit: of every problem.
        wrong: limits of the control, by problem.
    """
    others, rows = seen.sizes[:-1], np.array([*wrong])
    away, last = seen.mean - limit[:, None], seen.error[:, -1]
    bias, unsure = predicted_bias(others, away[:, :-1], seen.error[:, :-1], seen.sizes[-1])
    z = seen.scores(limit)
    return {
        "agreement": verdict(z),
        "without the bias": verdict(away[:, -1] / last),
        "control, threshold off by 5 %": verdict(seen.scores(np.array([*wrong.values()]), rows)),
        "standard error at the tested size": _spread(last),
        "standard error with the fit's": _spread(np.hypot(last, unsure)),
        "bias at the tested size, in standard errors": _spread(np.abs(bias) / last),
        "z": z,
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    return {"median": float(np.median(values)), "largest": float(values.max())}


def advance(todo: list[Run], store: RecordStore, minutes: float) -> int:
    """Compute what is missing until the time is up; returns how many are left."""
    missing = [run for run in todo if store.get(config_of(run)) is None]
    end = time.monotonic() + 60 * minutes
    with progress(len(todo), "simulations") as bar:
        bar(completed=len(todo) - len(missing))
        for number, run in enumerate(missing):
            if time.monotonic() > end:
                return len(missing) - number
            store.put(config_of(run), compute(run))
            bar()
    return 0


def report(count: int, sizes: dict[int, int], store: RecordStore) -> dict[str, Any]:
    """Everything that is said about the finished design."""
    found = {run: store.get(config_of(run)) for run in runs(count, sizes)}
    whole = {run: result for run, result in found.items() if result is not None}
    if len(whole) < len(found):
        raise click.ClickException(f"{len(found) - len(whole)} simulations are missing yet.")
    problems = [problem_of(i) for i in range(count)]
    limit = limits(problems, store)
    ruled = [i for i, problem in enumerate(problems) if problem.selection.name == "threshold"]
    off = limits([moved(problems[i]) for i in ruled], store)
    verdicts = {}
    for name in OBSERVABLES:
        mean, error = (
            np.array([[whole[Run(i, d, sizes[d])][name][key] for d in sizes] for i in range(count)])
            for key in ("mean", "standard_error")
        )
        wrong = dict(zip(ruled, off[name], strict=True))
        verdicts[name] = compare(Simulated([*sizes], mean, error), limit[name], wrong)
    seconds = sum(result["processor_seconds"] for result in whole.values())
    return {
        "problems": count,
        "trials by number of features": {str(d): trials for d, trials in sizes.items()},
        "failed trials": sum(result["failed"] for result in whole.values()),
        "processor minutes": seconds / 60,
        **verdicts,
    }


@click.command(help=__doc__)
@click.option("--problems", default=PROGRAMS * EACH, show_default=True, help="How many.")
@click.option("--trials", default=1600, show_default=True, help="At the tested size.")
@click.option("--fit-trials", default=2000, show_default=True, help="At each smaller size.")
@click.option("--minutes", default=600.0, show_default=True, help="Stop after this long.")
@click.option("--folder", type=Path, default=FOLDER, help="Of the records.")
@click.option("--report", "only", is_flag=True, help="Compute nothing; say what was found.")
@click.option("--out", type=Path, help="JSON file for the report.")
def main(
    problems: int, trials: int, fit_trials: int, minutes: float, folder: Path, only: bool,
    out: Path | None,
) -> None:  # fmt: skip
    """Simulate what is missing, then compare."""
    use_compilation_cache()
    sizes = {SMALLEST: fit_trials, 2 * SMALLEST: fit_trials, TESTED: trials}
    store = RecordStore(folder)
    left = 0 if only else advance(runs(problems, sizes), store, minutes)
    if left:
        click.echo(f"{left} simulations are left; run again to continue.")
        return
    result = report(problems, sizes, store)
    if out:
        out.write_text(to_json(result | {"provenance": provenance()}, indent=1) + "\n")
    shown = {n: {k: v for k, v in result[n].items() if k != "z"} for n in OBSERVABLES}
    click.echo(to_json(result | shown, indent=2))


if __name__ == "__main__":
    main()

"""Theory against simulation over a random design of 120 mixtures, probes and selections.

Every problem gives z = (simulated mean - limit - bias) / standard error of the test error at the
larger of two sizes. The bias of a finite system, c / d, comes from the smaller size, with draws of
its own, and its uncertainty enters the standard error. Were theory and simulation to agree, the
root mean square of the z's would lie inside the central 99.9 % range of a normal sample's, and so
would their projection on any direction that the simulations did not choose. Two controls must fall
outside: mixtures in which two components have exchanged their covariances, by the root mean square,
and limits whose threshold is off, with 5 % more kept, by the projection on what that changes: most
problems move by less than a standard error then, which a root mean square cannot see.

Components of one problem have the same law at both sizes: eigenvalues are a function of the
feature's place, means lie in a few coordinates. Finished simulations and limits are kept, and a run
that was stopped continues::

    python simulations/benchmarks/mixture_agreement.py --minutes 10    # again until nothing is left
    python simulations/benchmarks/mixture_agreement.py --report
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from agreement import COVERAGE, verdict
from scipy import stats

from nfl_pruning import Problem, simulate, solve
from nfl_pruning.experiments.compilation import use_compilation_cache
from nfl_pruning.experiments.progress import progress
from nfl_pruning.inputs import LowRank, Mixture
from nfl_pruning.inputs.mixture import simplex_corners
from nfl_pruning.numerics.programs import release_programs
from nfl_pruning.probes import CrossFitProbe, WeightsProbe
from nfl_pruning.records import RecordStore, provenance, to_json

COUNT = 120
SMALL, LARGE = 64, 128
TRIALS = {SMALL: 32, LARGE: 20}
TOLERANCE = 5e-4  # of a limit's test error
DEAR_TOLERANCE = 1.5e-3  # of cross-fitted probes of many classes, whose points are dear
PRECISION = 0.003  # standard error that a simulation may have at most
CLASSES = (2, 3, 2, 4, 2, 3, 2, 6, 2, 3, 2, 10)
FORMS = ("scalar", "diagonal", "full", "low-rank")
PROBES = ("weights", "pilot", "weights", "in-sample", "weights", "cross-fit")
SELECTIONS = (
    "threshold",
    "exact",
    "threshold",
    "soft:0.5",
    "random",
    "power:1",
    "verifier:0.9:0.3",
)
SCORES = ("el2n", "margin", "entropy", "loss", "grand", "least-confidence")
BALANCES = ("none", "none", "none", "proportional", "equal")
FOLDER = Path(__file__).parents[1] / "records" / "mixture_agreement"


class Design(NamedTuple):
    """What of a problem does not depend on its size: choices, and numbers to draw more from."""

    number: int
    classes: int
    components: int
    form: str
    probe: str
    selection: str


def design(index: int) -> Design:
    """The choices of problem ``index``."""
    rng = np.random.default_rng([11, index])
    k = CLASSES[index % len(CLASSES)]
    each = int(rng.integers(1, 4)) if k < 6 else 1
    probe = PROBES[(index // 2) % len(PROBES)]
    return Design(
        index, k, k * each, FORMS[(index // 3) % 4], probe, SELECTIONS[index % len(SELECTIONS)]
    )


def mixture_of(plan: Design, d: int) -> Mixture:
    """The components of a problem at d features."""
    rng = np.random.default_rng([12, plan.number])
    c, k = plan.components, plan.classes
    labels = np.arange(c) % k
    weights = rng.uniform(0.6, 1.4, c)
    corners = simplex_corners(k) * rng.uniform(1.2, 2.2)
    means = np.zeros((c, d))
    means[:, : k - 1] = corners[labels]
    means[:, k - 1 : k + 2] = rng.normal(size=(c, 3)) * 0.5
    law = np.eye(k)[labels]
    noise = rng.choice([0.0, 0.0, 0.1])
    law = (1 - noise) * law + noise * (1 - law) / (k - 1)
    place = (np.arange(d) + 0.5) / d
    scale, tilt = rng.uniform(0.5, 1.5, c), rng.uniform(0.2, 1.5, c)
    spectra = scale[:, None] * np.exp(-tilt[:, None] * place)
    return Mixture(
        weights / weights.sum(), means, _covariances(plan, rng, scale=scale, spectra=spectra), law
    )


def _covariances(
    plan: Design, rng: np.random.Generator, *, scale: np.ndarray, spectra: np.ndarray
) -> Any:
    """Covariances of the plan's form; a rotation of a full one leaves the first half alone."""
    c, d = spectra.shape
    if plan.form == "scalar":
        return scale
    if plan.form == "diagonal":
        return spectra
    if plan.form == "low-rank":
        factors = np.zeros((c, d, 2))
        factors[:, :6] = rng.normal(size=(c, 6, 2)) * 0.5
        return LowRank(spectra, factors)
    found = np.zeros((c, d, d))
    for one in range(c):
        angle = rng.uniform(0, np.pi / 2)  # mixes the feature at place t with that at 1 - t
        turn = np.cos(angle) * np.eye(d) + np.sin(angle) * np.fliplr(np.diag(_signs(d)))
        found[one] = turn @ np.diag(spectra[one]) @ turn.T
        found[one] = 0.5 * (found[one] + found[one].T)
    return found


def _signs(d: int) -> np.ndarray:
    """Of the two halves, so that the mixing is a rotation."""
    return np.where(np.arange(d) < d // 2, 1.0, -1.0)


def problem_of(index: int, d: int) -> Problem:
    """Problem ``index`` at d features."""
    plan, rng = design(index), np.random.default_rng([13, index])
    n = int(rng.integers(3 * SMALL, 8 * SMALL + 1))
    fraction = round(float(rng.uniform(0.25, 0.8)) * n) / n
    ridge, probe_ridge = (float(10 ** rng.uniform(-2, -0.7)) for _ in range(2))
    by_rank = not plan.selection.startswith(("power", "verifier"))
    return Problem(
        samples_per_feature=n / SMALL,
        keep_fraction=fraction,
        score=SCORES[int(rng.integers(len(SCORES)))],
        keep=("hardest", "easiest")[int(rng.integers(2))],
        selection=plan.selection,
        exploit=round(float(rng.uniform(0.2, 0.8)), 2) if ":" not in plan.selection else None,
        inputs=mixture_of(plan, d),
        probe=_probe(plan, rng, d=d, ridge=probe_ridge),
        loss=("logistic", "logistic", "logistic", "squared")[int(rng.integers(4))],
        ridge=ridge,
        intercept=bool(rng.integers(2)),
        balance=BALANCES[int(rng.integers(len(BALANCES)))] if by_rank else "none",
    )


def _probe(plan: Design, rng: np.random.Generator, *, d: int, ridge: float) -> Any:
    if plan.probe == "weights":
        k = plan.classes
        rows = np.zeros((k, d))
        rows[:, : k - 1] = simplex_corners(k)
        rows[:, : k + 2] += rng.normal(size=(k, k + 2)) * 0.4
        return WeightsProbe(rows - rows.mean(axis=0), rng.normal(size=k) * 0.3)
    size = round(float(rng.uniform(1.5, 5)), 1)
    return {
        "pilot": f"pilot:{size}:{ridge:.3g}",
        "in-sample": f"in-sample:{ridge:.3g}",
        "cross-fit": f"cross-fit:{int(rng.integers(2, 6))}:{ridge:.3g}",
    }[plan.probe]


def simulated(index: int, d: int) -> dict[str, Any]:
    """Mean and standard error of the test error; more trials where the first are too few.

    How many more depends on the spread of the first alone, not on their mean.
    """
    problem, sizes = problem_of(index, d), _sizes(index, d)
    runs = [simulate(problem, **sizes)]
    count, error = sizes["n_trials"], runs[0].standard_error("test_error")
    if np.isfinite(error) and error > PRECISION:
        more = math.ceil(count * (1.1 * error / PRECISION) ** 2) - count
        later = sizes | {"n_trials": more, "seed": sizes["seed"] + 10**6}
        runs.append(simulate(problem, **later))
    values = np.concatenate([run.values("test_error") for run in runs])
    failures = sorted({text for run in runs for text in run.failures.values()})
    return {
        "mean": float(values.mean()),
        "standard_error": float(values.std(ddof=1) / np.sqrt(len(values))),
        "failures": failures, "trials": len(values),
    }  # fmt: skip


def _sizes(index: int, d: int) -> dict[str, Any]:
    return {"n_features": d, "n_trials": TRIALS[d], "seed": 1000 * d + index}


def solved(problem: Problem) -> dict[str, Any]:
    """The limit of the test error, its status and error estimate, and the seconds it took."""
    start = time.perf_counter()
    law = problem.inputs
    assert isinstance(law, Mixture)
    dear = isinstance(problem.probe, CrossFitProbe) and law.n_classes > 3
    found = solve(problem, tolerance=DEAR_TOLERANCE if dear else TOLERANCE)
    return {
        "test_error": found.test_error, "status": found.status, "message": found.message,
        "error_estimate": found.error_estimate, "seconds": time.perf_counter() - start,
    }  # fmt: skip


def moved(problem: Problem) -> Problem:
    """The control: 5 % more kept."""
    return problem.replace(keep_fraction=min(1.0, 1.05 * problem.keep_fraction))


def swapped(problem: Problem) -> Problem:
    """The control: the first two components with each other's covariances."""
    law = problem.inputs
    assert isinstance(law, Mixture)
    parts = {name: np.array(part) for name, part in law.covariances.arrays().items()}
    for part in parts.values():
        part[[0, 1]] = part[[1, 0]]
    return problem.replace(inputs=Mixture(law.weights, law.means, parts, law.labels))


Task = tuple[dict[str, Any], Callable[[], dict[str, Any]]]


def tasks(count: int, controls: int) -> list[Task]:
    """Every record: what names it, and how it is computed."""
    found: list[Task] = []
    for i in range(count):
        for d in (SMALL, LARGE):
            problem = problem_of(i, d)
            named = {"problem": problem.describe(), "index": i, "n_features": d}
            found.append(({"kind": "trials", **named, **_sizes(i, d)}, _bound(simulated, i, d)))
            found.append(({"kind": "limit", **named}, _bound(solved, problem)))
            if i < controls:
                found.append(({"kind": "swapped", **named}, _bound(solved, swapped(problem))))
            found.append(({"kind": "moved", **named}, _bound(solved, moved(problem))))
    return found


def _bound(function: Callable[..., dict[str, Any]], *arguments: Any) -> Callable[[], dict]:
    return lambda: function(*arguments)


def advance(todo: list[Task], store: RecordStore, minutes: float) -> int:
    """Compute what is missing until the time is up; returns how many are left."""
    missing = [(config, compute) for config, compute in todo if store.get(config) is None]
    end = time.monotonic() + 60 * minutes
    with progress(len(todo), "records") as bar:
        bar(completed=len(todo) - len(missing))
        for number, (config, compute) in enumerate(missing):
            if time.monotonic() > end:
                return len(missing) - number
            store.put(config, compute())
            release_programs()
            bar()
    return 0


def report(count: int, controls: int, store: RecordStore) -> dict[str, Any]:
    """Verdicts on the problems whose records are all there."""
    table: dict[tuple[str, int, int], dict[str, Any]] = {}
    for config, _ in tasks(count, controls):
        if (result := store.get(config)) is not None:
            table[config["kind"], config["index"], config["n_features"]] = result
    rows, unsolved, failed = [], [], []
    for i in range(count):
        parts = [table.get((kind, i, d)) for kind in ("limit", "trials") for d in (SMALL, LARGE)]
        if any(part is None for part in parts):
            continue
        if not all(part and part["test_error"] is not None for part in parts[:2]):
            unsolved.append({"problem": i, "message": (parts[0] or {})["message"]})
        elif any(part and part["mean"] is None for part in parts[2:]):
            failed.append(i)
        else:
            rows.append(i)
    z = {i: _score(table, "limit", i) for i in rows}
    found: dict[str, Any] = {
        "compared": len(rows), "unsolved": unsolved, "with failed trials": failed,
        "agreement": verdict(np.array([*z.values()])) if z else {},
        "standard error at the larger size": float(
            np.median([table["trials", i, LARGE]["standard_error"] for i in rows])
        ) if rows else None,
    }  # fmt: skip
    wrong = {
        kind: {i: _score(table, kind, i) for i in rows if _known(table, kind, i)}
        for kind in ("swapped", "moved")
    }
    swaps = np.array([*wrong["swapped"].values()])
    found["control, swapped"] = verdict(swaps) if len(swaps) else {}
    found["threshold"] = projected(z, wrong["moved"])
    worst = sorted(z, key=lambda i: -abs(z[i]))[:10]
    found["largest"] = [{"z": z[i], **design(i)._asdict()} for i in worst]
    return found


def projected(z: dict[int, float], wrong: dict[int, float]) -> dict[str, Any]:
    """The z's, and those of the wrong limits, along the direction that leads to the wrong limits.

    Of right limits this is a standard normal number; wrong ones add the length of the direction.
    """
    if not wrong:
        return {}
    right = np.array([z[i] for i in wrong])
    away = np.array([*wrong.values()]) - right
    length = float(np.linalg.norm(away))
    bound = float(stats.norm.isf((1 - COVERAGE) / 2))
    z_right, z_wrong = float(right @ away) / length, float((right + away) @ away) / length
    return {
        "problems": len(wrong), "z": z_right, "inside": abs(z_right) < bound,
        "z of the control": z_wrong, "control inside": abs(z_wrong) < bound,
    }  # fmt: skip


def _known(table: dict[tuple[str, int, int], dict[str, Any]], kind: str, i: int) -> bool:
    """Whether the limits at both sizes are there and solved."""
    return all(table.get((kind, i, d), {}).get("test_error") is not None for d in (SMALL, LARGE))


def _score(table: dict[tuple[str, int, int], dict[str, Any]], kind: str, i: int) -> float:
    """z-score at the larger size against a limit plus the bias that the smaller size shows."""
    away, error = {}, {}
    for d in (SMALL, LARGE):
        trials, limit = table["trials", i, d], table[kind, i, d]
        away[d] = trials["mean"] - limit["test_error"]
        error[d] = np.hypot(trials["standard_error"], limit["error_estimate"] or 0.0)
    bias = away[SMALL] * SMALL / LARGE
    return float((away[LARGE] - bias) / np.hypot(error[LARGE], error[SMALL] * SMALL / LARGE))


@click.command(help=__doc__)
@click.option("--problems", default=COUNT, show_default=True, help="How many.")
@click.option("--controls", default=40, show_default=True, help="Problems with controls.")
@click.option("--minutes", default=600.0, show_default=True, help="Stop after this long.")
@click.option("--folder", type=Path, default=FOLDER, help="Of the records.")
@click.option("--trials-only", is_flag=True, help="Compute no limits.")
@click.option("--report", "only", is_flag=True, help="Compute nothing; say what was found.")
@click.option("--out", type=Path, help="JSON file for the report.")
def main(
    problems: int, controls: int, minutes: float, folder: Path, trials_only: bool, only: bool,
    out: Path | None,
) -> None:  # fmt: skip
    """Compute what is missing, then compare."""
    use_compilation_cache()
    store = RecordStore(folder)
    todo = tasks(problems, controls)
    if trials_only:
        todo = [task for task in todo if task[0]["kind"] == "trials"]
    left = 0 if only else advance(todo, store, minutes)
    if left:
        click.echo(f"{left} records are left; run again to continue.")
    result = report(problems, controls, store)
    if out:
        out.write_text(to_json(result | {"provenance": provenance()}, indent=1) + "\n")
    click.echo(to_json(result, indent=2))


if __name__ == "__main__":
    main()

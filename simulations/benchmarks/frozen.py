"""Values of over 240 problems, kept so that a change of the solvers' shape cannot change a number.

Problems are drawn once per stratum: losses with and without a ridge, links, selections, probes,
isotropic inputs and spectra, both sides of separability, abundant data, derivatives, best numbers
and the optimal rule. Run on the code that is to be kept::

    python simulations/benchmarks/frozen.py --out tests/frozen.json

``tests/test_frozen_values.py`` solves them again. A second run with ``--plain`` solves isotropic
problems of a logistic link by plain numpy and scipy too (``reference_probe.py`` beside this file
tells how), on two grids, and keeps what the finer one gives and how far the two differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np
from reference_fit import Task, grid_of, observed, start_of, student
from reference_probe import probe_of
from reference_rules import rule_of

from nfl_pruning import (
    SCORES,
    Problem,
    Score,
    existence_threshold,
    limit_function,
    limit_values,
    make_selection,
    optimal_rule,
    power_law,
    solve,
    sweep,
)
from nfl_pruning.records import to_json
from nfl_pruning.theory.abundant.gradient import abundant_values
from nfl_pruning.theory.optimal.best_numbers import best_numbers

Case = dict[str, Any]

LOSSES = (
    ("logistic", 0.02),
    ("logistic", 0.0),
    ("squared", 0.05),
    ("squared", 0.0),
    ("hinge", 0.05),
    ("hinge", 0.0),
    ("max-margin", 0.0),
)
SELECTIONS = (
    "threshold",
    "exact:0.6",
    "soft:0.5:0.4",
    "random",
    "window:0.2",
    "power:1.5",
    "power:-0.5",
)
PROBES = ("fixed:0.8", "pilot:3:0.02", "in-sample:0.05")
SCORE_NAMES = ("el2n", "entropy", "off-band")
LINKS = ("logistic", "probit", "sign", "flip:0.1", "steps:-0.5,1:0.1,0.4,0.9")
SPECTRA = ((1.0, 1.2, 40, 0.0), (1.5, 1.1, 60, 0.2), (0.5, 2.0, 25, 0.1))
NUMBERS = ("cosine", "norm", "test_error", "test_loss", "excess_risk", "calibration_slope")
PLAIN = ("cosine", "norm", "test_error")
AWAY = 0.02  # from the kept state, where the plain search starts
SOLVED = 1e-9  # residual of the plain equations


def _off_band(logits, labels, context):
    label_logit = jnp.take_along_axis(logits, labels[..., None], -1)[..., 0]
    return jnp.abs(2 * label_logit - logits.sum(-1) - 2)


# A user's own score, which orders samples by neither y u nor |u|.
OFF_BAND = Score(
    "off-band", _off_band, label_aware=True, summary="distance of the label's log-odds from 2"
)


def problem_of(case: Case) -> Problem:
    """The problem that a case describes."""
    settings = dict(case["problem"])
    name, *numbers = settings.pop("selection").split(":")
    given = [float(number) for number in numbers]
    if name == "exact":
        selection = make_selection("exact", exploit=given[0])
    elif name == "soft":
        selection = make_selection(f"soft:{given[0]}", exploit=given[1])
    else:
        selection = make_selection(":".join([name, *numbers]))
    keep, score = settings.pop("keep", "hardest"), settings.pop("score", "el2n")
    score = OFF_BAND if score == OFF_BAND.name else SCORES[score]
    return Problem(selection=selection, keep=keep, score=score).replace(**settings)


def _draw(rng: np.random.Generator, low: float, high: float) -> float:
    return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.4g}")


def isotropic_cases() -> list[Case]:
    """One or two problems for each loss, selection and probe; other choices cycle."""
    rng = np.random.default_rng(20)
    cases: list[Case] = []
    strata = list(product(LOSSES, SELECTIONS, PROBES))
    for i, ((loss, ridge), selection, probe) in enumerate(strata):
        link = LINKS[0] if i % 3 else LINKS[i // 3 % len(LINKS)]
        hard = loss == "max-margin"
        problem = {
            "loss": loss,
            "ridge": ridge,
            "selection": selection,
            "probe": probe,
            "link": "sign" if hard and i % 2 else link,
            "score": SCORE_NAMES[i % 5 % 3],
            "keep": ("hardest", "easiest")[i // 2 % 2],
            "signal": _draw(rng, 0.5, 6),
            "samples_per_feature": _draw(rng, 0.5, 3) if hard else _draw(rng, 1.5, 60),
            "keep_fraction": _draw(rng, 0.1, 0.8),
        }
        cases.append({"kind": "solve", "problem": problem})
    return cases


def spectrum_cases() -> list[Case]:
    """Power laws, part of the teacher outside, behind every probe."""
    rng = np.random.default_rng(21)
    cases: list[Case] = []
    strata = product(SPECTRA, (LOSSES[0], LOSSES[2], LOSSES[4]), PROBES)
    for i, (spectrum, (loss, ridge), probe) in enumerate(strata):
        problem = {
            "loss": loss,
            "ridge": ridge,
            "selection": SELECTIONS[i % len(SELECTIONS)],
            "probe": probe,
            "score": SCORE_NAMES[i % 2],
            "keep": ("hardest", "easiest")[i // 2 % 2],
            "signal": _draw(rng, 0.5, 6),
            "samples_per_feature": _draw(rng, 1.5, 30),
            "keep_fraction": _draw(rng, 0.15, 0.8),
        }
        cases.append({"kind": "spectrum", "problem": problem, "spectrum": list(spectrum)})
    return cases


def abundant_cases() -> list[Case]:
    """Both kinds of order, scores of the norm, separable kept sets, misspecified links."""
    rng = np.random.default_rng(22)
    cases: list[Case] = []
    strata = product(("el2n", "entropy", "grand", "off-band"), ("hardest", "easiest"), range(4))
    for i, (score, keep, _) in enumerate(strata):
        problem = {
            "loss": ("logistic", "squared", "hinge")[i % 3],
            "selection": SELECTIONS[i % 3],
            "probe": "fixed:0.7" if i % 4 else "pilot:3:0.02",
            "link": LINKS[i % len(LINKS)],
            "score": score,
            "keep": keep,
            "signal": _draw(rng, 0.5, 6),
            "keep_fraction": _draw(rng, 0.1, 0.8),
        }
        features = 8 if score == "grand" and i % 2 else None
        cases.append({"kind": "abundant", "problem": problem, "n_features": features})
    return cases


def other_cases() -> list[Case]:
    """Thresholds, grids, derivatives, best numbers, optimal rules."""
    base = {"selection": "threshold", "probe": "fixed:0.8", "signal": 2.0, "keep_fraction": 0.3}
    base |= {"samples_per_feature": 6.0, "ridge": 0.05 / 6}
    cases: list[Case] = []
    for selection, probe in product(("threshold", "exact:0.6", "power:1.5"), PROBES[::2]):
        cases.append(
            {"kind": "threshold", "problem": base | {"selection": selection, "probe": probe}}
        )
    for loss, selection, probe in product(("logistic", "squared"), SELECTIONS[:4], PROBES):
        case = base | {"loss": loss, "selection": selection, "probe": probe}
        cases.append({"kind": "sweep", "problem": case})
    for selection, probe in product(("threshold", "exact:0.6"), PROBES):
        case = base | {"selection": selection, "probe": probe}
        cases.append({"kind": "limit_function", "problem": case})
    for loss, selection in product(("hinge", "logistic"), ("threshold", "power:1.5")):
        case = base | {"selection": selection, "loss": loss}
        cases.append({"kind": "limit_values", "problem": case})
    cases.append({"kind": "limit_values", "problem": base, "spectrum": list(SPECTRA[0])})
    cases.append({"kind": "abundant_values", "problem": base | {"selection": "exact:0.6"}})
    cases.append({"kind": "best_numbers", "problem": base | {"selection": "exact:0.5"}})
    cases.append({"kind": "optimal_rule", "problem": base})
    return cases


def all_cases() -> list[Case]:
    """In a fixed order."""
    return [*isotropic_cases(), *spectrum_cases(), *abundant_cases(), *other_cases()]


def _numbers(found: Any) -> dict[str, Any]:
    values = {name: getattr(found, name) for name in (*NUMBERS, "direction_cosine")}
    values |= {f"state {name}": value for name, value in found.state.items()}
    known = {k: float(v) for k, v in values.items() if np.isfinite(v)}
    return {"status": found.status.value} | known


def _spectrum(case: Case):
    exponent, teacher, n_features, outside = case["spectrum"]
    return power_law(exponent, teacher, int(n_features), outside=outside)


def _solve(case: Case) -> dict[str, Any]:
    return _numbers(solve(problem_of(case)))


def _spectral(case: Case) -> dict[str, Any]:
    return _numbers(solve(problem_of(case).replace(inputs=_spectrum(case))))


def _abundant(case: Case) -> dict[str, Any]:
    found = solve(problem_of(case), limit="abundant", n_features=case["n_features"])
    return _numbers(found)


def _threshold(case: Case) -> dict[str, Any]:
    return {"threshold": existence_threshold(problem_of(case))}


def _sweep(case: Case) -> dict[str, Any]:
    grid = sweep(problem_of(case), keep_fraction=[0.15, 0.5], samples_per_feature=[3.0, 20.0])
    return {
        f"{name} {i}": float(value)
        for name in ("cosine", "norm", "test_error", "test_loss")
        for i, value in enumerate(np.asarray(grid[name]).ravel())
    }


def _limit_function(case: Case) -> dict[str, Any]:
    numbers = {"keep_fraction": 0.3, "ridge": 0.05 / 6, "samples_per_feature": 6.0, "signal": 2.0}
    with jax.enable_x64(True):
        function = limit_function(problem_of(case))
        slopes = jax.jit(jax.jacfwd(lambda given: function(**given)))(numbers)
    return {
        f"{value} by {name}": float(getattr(slopes, value)[name])
        for value in ("cosine", "norm", "test_error", "test_loss")
        for name in numbers
    }


def _slopes(function: Callable, numbers: dict[str, float]) -> dict[str, Any]:
    with jax.enable_x64(True):
        found = jax.jacrev(function)(numbers)
    return {
        f"{value} by {name}": float(by[name]) for value, by in found.items() for name in numbers
    }


def _limit_values(case: Case) -> dict[str, Any]:
    problem = problem_of(case)
    if "spectrum" in case:
        problem = problem.replace(inputs=_spectrum(case))
    return _slopes(
        lambda given: limit_values(problem, given), {"keep_fraction": 0.3, "signal": 2.0}
    )


def _abundant_values(case: Case) -> dict[str, Any]:
    problem = problem_of(case)
    return _slopes(lambda given: abundant_values(problem, given), {"keep_fraction": 0.3})


def _best_numbers(case: Case) -> dict[str, Any]:
    found = best_numbers(problem_of(case))
    return {"value": found.value}


def _optimal_rule(case: Case) -> dict[str, Any]:
    found = optimal_rule(problem_of(case), bins=12, starts=1)
    return {"value": found.value, **found.baselines}


KINDS: dict[str, Callable[[Case], dict[str, Any]]] = {
    "solve": _solve,
    "spectrum": _spectral,
    "abundant": _abundant,
    "threshold": _threshold,
    "sweep": _sweep,
    "limit_function": _limit_function,
    "limit_values": _limit_values,
    "abundant_values": _abundant_values,
    "best_numbers": _best_numbers,
    "optimal_rule": _optimal_rule,
}


def values_of(case: Case) -> dict[str, Any]:
    """The numbers of a case, and its status where it has one."""
    return KINDS[case["kind"]](case)


def has_plain(case: Case) -> bool:
    """Whether the plain method knows a case: isotropic inputs, logistic link, a certified limit."""
    known = case["kind"] == "solve" and case["problem"]["link"] == "logistic"
    return known and case["values"]["status"] == "certified"


def plain_values(case: Case) -> dict[str, Any]:
    """The case by the plain method: values, and their accuracy; or the reason why there are none.

    The search starts 2 per cent from the kept state. ``accuracy`` is the largest difference between
    the two grids (of the norm: relative), ``residual`` that of the equations on the finer one.
    """
    problem, kept = problem_of(case), case["values"]
    state = {name.removeprefix("state "): value for name, value in kept.items()}
    try:
        probe = probe_of(problem)
        rule, task = rule_of(problem, probe), Task.of(problem, constrained="nu" in state)
        x = start_of(problem, probe, {"nu": None} | state, AWAY)
        found, residual = [], math.nan
        for level in ("rough", "middle"):
            x, residual = student(task, probe, grid_of(task, probe, rule, level, x), x)
            found.append(np.array(observed(task, probe, x)))
    except (ArithmeticError, ValueError) as reason:
        return {"reason": str(reason)}
    if not residual < SOLVED:
        return {"reason": f"the plain equations were solved to {residual:.1e} only"}
    scale = np.array([1.0, found[1][1], 1.0])
    accuracy = float(np.max(np.abs(found[1] - found[0]) / scale))
    values = dict(zip(PLAIN, map(float, found[1]), strict=True))
    return values | {"accuracy": accuracy, "residual": residual}


def add_plain(out: Path, processes: int) -> None:
    """Solve by the plain method what a written file has not by it, and write it with the rest."""
    cases = json.loads(out.read_text())
    todo = [case for case in cases if has_plain(case) and "plain" not in case]
    todo = [case for first in range(4) for case in todo[first::4]]  # every stratum early
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for i, values in enumerate(pool.map(plain_values, todo)):
            todo[i]["plain"] = values
            click.echo(f"{i + 1} of {len(todo)} {values}", err=True)
            out.write_text(to_json(cases, indent=1) + "\n")


@click.command(help=__doc__)
@click.option("--out", type=Path, required=True, help="JSON file for cases and values.")
@click.option("--processes", default=2, show_default=True)
@click.option("--plain", is_flag=True, help="Add values by the plain method to a written file.")
def main(out: Path, processes: int, plain: bool) -> None:
    """Compute and write."""
    if plain:
        add_plain(out, processes)
        return
    cases = all_cases()
    kept = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for i, values in enumerate(pool.map(values_of, cases)):
            kept.append(cases[i] | {"values": values})
            click.echo(f"{i + 1} of {len(cases)} {values.get('status', '')}", err=True)
            out.write_text(to_json(kept, indent=1) + "\n")
    click.echo(json.dumps({"cases": len(kept)}))


if __name__ == "__main__":
    main()

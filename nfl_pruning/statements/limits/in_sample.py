"""Scores computed on the training samples themselves differ from those of a fresh probe."""

from __future__ import annotations

from nfl_pruning.montecarlo import simulate
from nfl_pruning.montecarlo.estimates.simulation import paired
from nfl_pruning.probes import FixedProbe, InSampleProbe
from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring.summary import seedless
from nfl_pruning.theory.solve import solve

RIDGE, PROBE_RIDGE = 0.05 / 6, 0.1 / 6
CASES = {  # score, samples per feature, keep fraction; the hardest are kept
    "label-agnostic, r = 0.1": ("entropy", 3.0, 0.1),
    "label-agnostic, r = 0.6": ("entropy", 3.0, 0.6),
    "label-aware, r = 0.6": ("el2n", 6.0, 0.6),
}
MATTERS = 0.12  # at most
SIZES = {"quick": (160, 256), "paper": (400, 800)}


@seedless
def problems(case: str) -> tuple[Problem, Problem]:
    """(probe fitted to the samples, fresh probe of the same cosine and norm)."""
    score, samples, fraction = CASES[case]
    base = Problem(samples_per_feature=samples, keep_fraction=fraction).replace(
        score=score, keep="hardest", signal=2.0, ridge=RIDGE
    )
    stage_one = solve(base.replace(selection="random", keep_fraction=1.0, ridge=PROBE_RIDGE))
    fresh = FixedProbe(stage_one.cosine, stage_one.norm)
    return base.replace(probe=InSampleProbe(PROBE_RIDGE)), base.replace(probe=fresh)


@seedless
def limiting_cosine(problem: Problem) -> float:
    """Cosine to the teacher in the proportional limit."""
    return solve(problem).cosine


def measure(preset: str, seed: int) -> Measured:
    """The difference in cosine between the two, in the limit and at finite size, paired."""
    n_features, n_trials = SIZES[preset]
    quantities, theory, trials = [], [], []
    for case in CASES:
        own, fresh = problems(case)
        limits = [limiting_cosine(p) for p in (own, fresh)]
        runs = [simulate(p, n_features=n_features, n_trials=n_trials, seed=seed)
                for p in (own, fresh)]  # fmt: skip
        predicted = limits[0] - limits[1]
        difference = paired(runs[0], runs[1], "cosine")
        matters = min(MATTERS, 0.5 * abs(predicted))  # no difference at all would refute
        measured = runs[0].mean("cosine"), runs[0].standard_error("cosine")
        quantities += [
            Quantity(f"cosine, in-sample less fresh, {case}", predicted, *difference, matters,
                     n_trials - 1),
            Quantity(f"cosine in-sample, {case}", limits[0], *measured, matters, n_trials - 1),
        ]  # fmt: skip
        theory.append(predicted)
        trials.append(difference)
    place = [float(i + 1) for i in range(len(CASES))]
    plot = Plot(
        "In-sample less fresh: cosine to the teacher. " + ", ".join(
            f"{i + 1}: {name}" for i, name in enumerate(CASES)),
        "case", "difference of cosines",
        [Series("limit", place, theory, look="full", points=True),
         Series("simulated", place, [m for m, _ in trials], [e for _, e in trials],
                "aware-hardest", points=True)],
    )  # fmt: skip
    return Measured(quantities, [plot])


STATEMENT = Statement(
    identifier="in-sample",
    title="A probe that saw the samples is not a fresh probe of the same quality",
    claim=(
        "When the scoring model was fitted to the very samples it scores, the refit solves "
        "`h_2 = v_2 − κ_2 f_2 + χ f_1`: a sample moved the probe, which moved the selection of "
        "the others, which moves the refit. Against a fresh probe with the same cosine and norm "
        "the cosine changes by an amount whose sign and size the limit gives: label-agnostic "
        "keep-hardest loses by it at r = 0.1 and gains at r = 0.6."
    ),
    assumptions=(
        "proportional limit, n / d = 3 (label-aware: 6), logistic link of signal 2",
        "ridge-logistic probe and fit",
    ),
    source="The matrix-valued state evolution is derived in docs/equations.md.",
    why="Training pulls margins towards the labels, and the two fits share their noise.",
    measure=measure,
)

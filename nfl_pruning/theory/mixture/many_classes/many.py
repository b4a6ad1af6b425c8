"""Three classes and more, from a problem to numbers with a standard error."""

from __future__ import annotations

import jax
import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.problem import Problem
from nfl_pruning.theory.mixture.many_classes.kept_points import kept
from nfl_pruning.theory.mixture.many_classes.many_probe import probe_reads
from nfl_pruning.theory.mixture.many_classes.many_setting import (
    ManySetting,
    refit_terms,
    setting_of,
)
from nfl_pruning.theory.mixture.many_classes.points import Points
from nfl_pruning.theory.mixture.many_classes.search import TOLERANCE, ManyStage, fits, solve_stage
from nfl_pruning.theory.mixture.result import Answer, split, values_of
from nfl_pruning.theory.mixture.worth import POINTS, Outputs

ENTROPY = 20230213  # of all points: equal problems have equal answers
SCRAMBLES = 6
FEWEST, MOST = 2**9, 2**14  # points of a component with one label
FEWEST_DENSE = 2**10  # where covariances share no eigenvectors points cost less than rounds
MORE = 8  # times as many points after a failure
FINER = 2.0  # largest change of any unknown, scaled, over the tolerance of the test error


class Warm:
    """What was found for a neighbouring problem, from which rounds start."""

    def __init__(self) -> None:
        self.probe: ManyStage | None = None
        self.fit: ManyStage | None = None


def solve_many_classes(problem: Problem, tolerance: float, warm: Warm | None = None) -> Answer:
    """The limit for K >= 3 classes, by independent scrambles until their spread is small."""
    with jax.enable_x64(True):
        setting = setting_of(problem)
    warm = warm or Warm()
    n_points = FEWEST if setting.space.turn is None else FEWEST_DENSE
    spreads: list[tuple[int, float]] = []
    while True:
        runs = _runs(setting, n_points, warm, tolerance)
        failed = [run for run in runs if isinstance(run, Answer)]
        if failed and n_points * MORE <= MOST:  # few points may have no solution of their own
            n_points *= MORE
            continue
        if failed:
            return failed[0]
        good = [run for run in runs if not isinstance(run, Answer)]
        table = {name: np.array([run[name] for run in good]) for name in good[0]}
        spreads.append((n_points, float(np.var(table["test_error"], ddof=1))))
        error = _standard_error(spreads)
        if error <= 0.8 * tolerance or n_points >= MOST:
            break
        growth = 2 ** int(np.ceil(np.log2(min(max((error / (0.7 * tolerance)) ** 2, 1.5), 8.0))))
        n_points = min(n_points * growth, MOST)
    residual = float(table.pop("residual").max())
    values, observables = split({name: float(np.mean(row)) for name, row in table.items()})
    return Answer(True, "", residual, error, values, observables, SCRAMBLES)


def runs_at(
    problem: Problem, n_points: int, tolerance: float, warm: Warm
) -> list[dict[str, float]]:
    """Every number from each scramble of so many points.

    Raises:
        UnsupportedProblemError: one of them has no solution.
    """
    with jax.enable_x64(True):
        setting = setting_of(problem)
    runs = _runs(setting, n_points, warm, tolerance)
    for run in runs:
        if isinstance(run, Answer):
            raise UnsupportedProblemError(run.flaw)
    return [run for run in runs if not isinstance(run, Answer)]


def _runs(
    setting: ManySetting, n_points: int, warm: Warm, tolerance: float
) -> list[dict[str, float] | Answer]:
    """Every number from each scramble, up to the first that has no solution."""
    runs: list[dict[str, float] | Answer] = []
    for scramble in range(SCRAMBLES):
        runs.append(_run(setting, n_points, scramble, warm, tolerance))
        if isinstance(runs[-1], Answer):
            break
    return runs


def _standard_error(spreads: list[tuple[int, float]]) -> float:
    """Standard error of the mean over the last scrambles, from spreads at all numbers of points.

    Few scrambles may lie close together by luck, and to stop there would favour such luck. The
    spread falls at least like 1 / points, so that what was seen with fewer counts as well.
    """
    last = spreads[-1][0]
    variance = np.mean([variance * n_points / last for n_points, variance in spreads])
    return float(np.sqrt(variance / SCRAMBLES))


def _run(
    setting: ManySetting, n_points: int, scramble: int, warm: Warm, tolerance: float
) -> dict[str, float] | Answer:
    """Every number, from points of one scramble."""
    seeds = np.random.SeedSequence([ENTROPY, n_points, scramble]).spawn(2)
    rest = (
        FINER * tolerance if setting.space.turn is not None else min(TOLERANCE, FINER * tolerance)
    )
    reads, probe = probe_reads(setting, n_points, seeds[0], warm.probe, rest)
    if reads is None:
        assert probe is not None
        return _failed("the probe's own fit", probe)
    if probe is not None:
        warm.probe = probe
    points = kept(setting, reads, n_points, seeds[1])
    mass = _kept_mass(setting, points)
    gone = _without_samples(setting, mass)
    if gone is not None:
        return gone
    terms = refit_terms(setting, reads, points)
    stage = solve_stage(setting, terms, fits(warm.fit, terms), rest)
    if not stage.converged:
        return _failed("the fit", stage)
    warm.fit = stage
    basis = setting.outputs.matrix
    outputs = Outputs(
        np.asarray(stage.state.mean) @ basis,
        np.einsum("ak,cab,bl->ckl", basis, np.asarray(stage.state.covariance), basis),
    )
    mixture = setting.mixture
    found = values_of(
        setting.problem, mixture, outputs, np.asarray(stage.fit.intercept) @ basis, mass,
        seed=1 + scramble, points=POINTS // 4,
    )  # fmt: skip
    return found | {"residual": stage.residual}


def _kept_mass(setting: ManySetting, points: Points) -> np.ndarray:
    """Mass kept of each component and class, shape (C, K)."""
    mixture = setting.mixture
    mass = np.zeros((mixture.n_components, mixture.n_classes))
    rows = np.broadcast_to(np.arange(len(mass))[:, None], points.label.shape)
    np.add.at(mass, (rows, points.label), points.mass * mixture.weights[:, None])
    return mass


def _without_samples(setting: ManySetting, mass: np.ndarray) -> Answer | None:
    """A failure, where a free intercept would run off because a class keeps no sample."""
    free = setting.problem.student.intercept and not setting.outputs.squared
    gone = np.flatnonzero((mass.sum(0) == 0) & (setting.mixture.class_shares > 0))
    if not free or not len(gone):
        return None
    return Answer(
        False,
        f"Next to nothing of class {gone[0]} is kept, so that its free intercept has no finite "
        "value; quotas (balance), a larger keep fraction or a share at random keep some.",
        float("nan"),
    )


def _failed(what: str, stage: ManyStage) -> Answer:
    return Answer(
        False,
        f"No solution of the limit equations of {what} was found: rounds still change the unknowns "
        f"by {stage.residual:.1e} of their size after {stage.steps}.",
        stage.residual,
    )

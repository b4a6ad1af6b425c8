"""Three classes and more, from a problem to numbers with a standard error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
from nfl_pruning.theory.mixture.many_classes.search import TOLERANCE, fits, solve_stages
from nfl_pruning.theory.mixture.many_classes.stepping import ManyStage
from nfl_pruning.theory.mixture.result import Answer, split, values_of
from nfl_pruning.theory.mixture.worth import POINTS, Outputs

ENTROPY = 20230213  # of all points: equal problems have equal answers
SCRAMBLES = 6
MORE_SCRAMBLES = 8  # where corrections are shared, so that a scramble costs its points alone
LARGE = 512  # rows of outputs x features from which that is so
FEWEST, MOST = 2**9, 2**14  # points of a component with one label
FEWEST_DENSE, MOST_AT_FIRST = 2**8, 2**10  # where covariances share no eigenvectors
KEPT = 100  # points that a component keeps there at least, at first
ROUGH = 3.0  # times the tolerance of rounds with the first number of points
NOISE = 2.0  # times the variance that two levels' difference has to exceed
MORE = 8  # times as many points after a failure
FINER = 1.0  # largest change of any unknown, scaled, over the tolerance of the test error


class Level(NamedTuple):
    """Test errors from so many points: mean over scrambles and its variance."""

    n_points: int
    mean: float
    variance: float


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
    n_points = _at_first(setting)
    levels: list[Level] = []
    while True:
        runs = _runs(setting, n_points, warm, tolerance if levels else ROUGH * tolerance)
        if isinstance(runs, Answer):
            if n_points * MORE > MOST:
                return runs
            n_points *= MORE  # few points may have no solution of their own
            continue
        table = {name: np.array([run[name] for run in runs]) for name in runs[0]}
        row = table["test_error"]
        levels.append(Level(n_points, float(row.mean()), float(row.var(ddof=1)) / len(row)))
        error = _error(levels)
        if (len(levels) > 1 and error <= 0.8 * tolerance) or n_points >= MOST:
            break
        growth = 2 ** int(np.ceil(np.log2(min(max((error / (0.7 * tolerance)) ** 2, 1.5), 8.0))))
        n_points = min(n_points * growth, MOST)
    residual = float(table.pop("residual").max())
    values, observables = split({name: float(np.mean(row)) for name, row in table.items()})
    return Answer(True, "", residual, error, values, observables, len(runs))


def _at_first(setting: ManySetting) -> int:
    """Points to begin with; where rounds are dear, half of what a usual tolerance takes."""
    if setting.space.turn is None:
        return FEWEST
    wanted = 2 ** int(np.ceil(np.log2(KEPT / setting.problem.keep_fraction)))
    return int(np.clip(wanted, FEWEST_DENSE, MOST_AT_FIRST))


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
    if isinstance(runs, Answer):
        raise UnsupportedProblemError(runs.flaw)
    return runs


def _runs(
    setting: ManySetting, n_points: int, warm: Warm, tolerance: float
) -> list[dict[str, float]] | Answer:
    """Every number from each scramble, or the first failure.

    Scrambles of covariances without common eigenvectors are solved together (``corrected.py``),
    others one after another, so that the points of one at a time are in memory.
    """
    dense = setting.space.turn is not None
    rest = FINER * tolerance if dense else min(TOLERANCE, FINER * tolerance)
    rows = len(setting.outputs.basis) * setting.mixture.n_features
    count = MORE_SCRAMBLES if dense and rows >= LARGE else SCRAMBLES
    runs: list[dict[str, float]] = []
    for group in [range(count)] if dense else [[scramble] for scramble in range(count)]:
        found = _group(setting, n_points, group, warm, rest)
        if isinstance(found, Answer):
            return found
        runs += found
    return runs


def _group(
    setting: ManySetting, n_points: int, scrambles: Sequence[int], warm: Warm, rest: float
) -> list[dict[str, float]] | Answer:
    """Every number, from points of these scrambles."""
    seeds = [np.random.SeedSequence([ENTROPY, n_points, one]).spawn(2) for one in scrambles]
    reads, probe = probe_reads(setting, n_points, [one[0] for one in seeds], warm.probe, rest)
    if not reads:
        assert probe is not None
        return _failed("the probe's own fit", probe)
    warm.probe = probe or warm.probe
    terms, masses = [], []
    for read, (_, seed) in zip(reads, seeds, strict=True):
        points = kept(setting, read, n_points, seed)
        masses.append(_kept_mass(setting, points))
        gone = _without_samples(setting, masses[-1])
        if gone is not None:
            return gone
        terms.append(refit_terms(setting, read, points))
    found = solve_stages(setting, terms, fits(warm.fit, terms[0]), rest)
    if not found.stages[-1].converged:
        return _failed("the fit", found.stages[-1])
    warm.fit = found.near

    def numbers(stages: Sequence[ManyStage]) -> list[dict[str, float]]:
        each = zip(stages, masses, scrambles, strict=False)
        return [_numbers(setting, one, mass, 1 + scramble) for one, mass, scramble in each]

    runs = numbers(found.stages)
    if found.mean is None:
        return runs
    return _centred(runs, numbers([found.mean] * (len(runs) // 2)))


def _centred(
    runs: list[dict[str, float]], middle: list[dict[str, float]]
) -> list[dict[str, float]]:
    """The runs about the mean of others: numbers bend with the law, so that noise shifts a mean.

    Args:
        runs: of the scrambles' laws.
        middle: of the law of their mean moments, by several integrations.
    """
    shift = {
        name: float(np.mean([one[name] for one in middle]) - np.mean([one[name] for one in runs]))
        for name in runs[0]
    }
    return [{name: value + shift[name] for name, value in run.items()} for run in runs]


def _numbers(
    setting: ManySetting, stage: ManyStage, mass: np.ndarray, seed: int
) -> dict[str, float]:
    """Every number of a fit."""
    basis = setting.outputs.matrix
    outputs = Outputs(
        np.asarray(stage.state.mean) @ basis,
        np.einsum("ak,cab,bl->ckl", basis, np.asarray(stage.state.covariance), basis),
    )
    intercept = np.asarray(stage.state.intercept) @ basis
    found = values_of(
        setting.problem, setting.mixture, outputs, intercept, mass, seed=seed, points=POINTS // 4
    )
    return found | {"residual": stage.residual}


def _error(levels: Sequence[Level]) -> float:
    """Error of the last level's mean: its standard error, and what more points may still change.

    Few scrambles may lie close together by luck, and to stop there would favour such luck. The
    variance falls at least like 1 / points, so that what was seen with fewer counts as well. A mean
    is off by about 1 / points, which half as many points tell: they are off by that much more.
    """
    last = levels[-1]
    variance = float(np.mean([one.variance * one.n_points / last.n_points for one in levels]))
    if len(levels) < 2:
        return float(np.sqrt(variance))
    before = levels[-2]
    apart = (last.mean - before.mean) ** 2 - NOISE * (last.variance + before.variance)
    shift = max(apart, 0.0) / (last.n_points / before.n_points - 1) ** 2
    return float(np.sqrt(variance + shift))


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

"""The rounds of an advice: real refits on held-out rows, and the same on a fitted mixture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from nfl_pruning.realdata.fitted.fitting import FittedMixture, fit_components, widened
from nfl_pruning.realdata.rounds.probing import folds
from nfl_pruning.realdata.rounds.refits import (
    ALL,
    Cell,
    Outcome,
    Reference,
    Rows,
    Setting,
    mean_outcome,
    refer,
    run_cells,
)

MIXTURES = 3  # of different rounds' rows, for the spread of what is fitted
TEST_ROWS = 6000  # drawn to test a refit to drawn rows
CALIBRATION_ROWS = 4000
FACTORS = (0.6, 3.0)  # by which the mixture's spread may be corrected
CALIBRATION_STEPS = 6
REAL, DRAWN, CALIBRATED, SPLIT, FIT = range(5)  # streams of random numbers

Rounds = list[dict[Cell, Outcome]]


class Split(NamedTuple):
    """Rows of a round: to prune and refit on, and to test on."""

    train: np.ndarray
    test: np.ndarray


@dataclass
class Study:
    """Rows, splits and mixtures of an advice.

    Attributes:
        rows: in the space's axes.
        setting: what refits share.
        seed: of everything.
        n_rounds: parts of the rows, each of which is tested on in one round.
        refits: of every cell in a round, with probes and lots of their own.
        workers: threads.
        tick: called after every round that is finished.
        splits: of the rounds.
        references: of the rounds, once refits were measured.
        mixtures: fitted to the first rounds' rows.
        factors: by which their spread was corrected.
    """

    rows: Rows
    setting: Setting
    seed: int
    n_rounds: int
    refits: int = 1
    workers: int = field(default_factory=lambda: max(1, min(os.cpu_count() or 1, 8)))
    tick: Callable[[], Any] = lambda: None
    splits: list[Split] = field(init=False)
    references: list[Reference] = field(init=False, default_factory=list)
    mixtures: list[FittedMixture] = field(init=False, default_factory=list)
    factors: list[float] = field(init=False, default_factory=lambda: [1.0])

    def __post_init__(self) -> None:
        everything = np.arange(len(self.rows.y))
        rng = np.random.default_rng([self.seed, SPLIT])
        parts = folds(rng, self.rows.y, self.n_rounds)
        self.splits = [Split(np.setdiff1d(everything, part), part) for part in parts]

    @property
    def n_train(self) -> int:
        """Rows of a round before pruning."""
        return len(self.splits[0].train)

    def parallel(self, jobs: Iterable[Callable[[], Any]]) -> list[Any]:
        """Results in the order of the jobs; one thread a job, so that sums do not depend on it."""
        from threadpoolctl import threadpool_limits

        def run(job: Callable[[], Any]) -> Any:
            found = job()
            self.tick()
            return found

        with threadpool_limits(1), ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(run, list(jobs)))

    def measure(self, cells: Sequence[Cell]) -> Rounds:
        """Real refits of every round, compared with one to all of the round's rows."""
        if not self.references:
            self.references = self.parallel(partial(self._refer, i) for i in range(self.n_rounds))

        def one(number: int) -> dict[Cell, Outcome]:
            train, test = map(self.rows.take, self.splits[number])
            found = [
                run_cells(
                    np.random.default_rng([self.seed, REAL, number, again]),
                    train,
                    test,
                    cells,
                    self.setting,
                    reference=self.references[number],
                )
                for again in range(self.refits)
            ]
            return {cell: mean_outcome([each[cell] for each in found]) for cell in found[0]}

        return self.parallel(partial(one, i) for i in range(self.n_rounds))

    def _refer(self, number: int) -> Reference:
        train, test = map(self.rows.take, self.splits[number])
        return refer(train, test, self.setting)

    def fit(self, components: int | None) -> None:
        """Mixtures fitted to the rows of the first rounds; the first chooses for all."""

        def one(number: int, per_class: int | None) -> FittedMixture:
            own = self.rows.take(self.splits[number].train)
            rng = np.random.default_rng([self.seed, FIT, number])
            return fit_components(
                joint(own),
                own.y,
                self.setting.n_classes,
                rng=rng,
                components=per_class,
            )

        first = self.parallel([partial(one, 0, components)])[0]
        others = range(1, min(MIXTURES, self.n_rounds))
        rest = self.parallel(partial(one, i, first.per_class) for i in others)
        self.mixtures = [first, *rest]

    def draw(self, number: int, n: int, cells: Sequence[Cell]) -> dict[Cell, Outcome]:
        """Refits to ``n`` of as many rows as the data have, drawn from one of the mixtures.

        The rows, and those drawn to test on, are the same whatever ``n`` is: what more rows gain is
        seen without the noise of another draw.
        """
        rng = np.random.default_rng([self.seed, DRAWN, number])
        mixture = self.mixtures[number % len(self.mixtures)]
        train, test = (self._rows(mixture, rng, size) for size in (len(self.rows.y), TEST_ROWS))
        return run_cells(rng, train.take(np.arange(n)), test, cells, self.setting)

    def draws(self, count: int, n: int, cells: Sequence[Cell]) -> Rounds:
        """Independent draws of ``n`` rows before pruning, mixtures in turn."""
        return self.parallel(partial(self.draw, i, n, cells) for i in range(count))

    def _rows(self, mixture: FittedMixture, rng: np.random.Generator, n: int) -> Rows:
        x, y = mixture.draw(rng, n)
        d = self.rows.x.shape[1]
        if self.rows.logits is None:
            return Rows(x, y)
        return Rows(x[:, :d], y, _logits(x[:, d:]))

    def calibrate(self, error: float) -> None:
        """Widen the mixtures until refits to all of their rows err as refits to real rows do.

        A mixture fitted to few rows in many directions separates its classes too well.

        Args:
            error: measured test error of refits to all rows of a round.
        """

        def one(number: int) -> float:
            plain = self.mixtures[number]

            def excess(log_factor: float) -> float:
                mixture = widened(plain, float(np.exp(log_factor)))
                rng = np.random.default_rng([self.seed, CALIBRATED, number])
                train = self._rows(mixture, rng, self.n_train)
                test = self._rows(mixture, rng, CALIBRATION_ROWS)
                found = run_cells(rng, train, test, [ALL], self.setting, scored=False)
                return 1 - found[ALL].accuracy - error

            return float(np.exp(_crossing(excess, *np.log(FACTORS))))

        self.factors = self.parallel(partial(one, i) for i in range(len(self.mixtures)))
        both = zip(self.mixtures, self.factors, strict=True)
        self.mixtures = [widened(mixture, factor) for mixture, factor in both]


def _crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where an increasing function crosses zero, by false position kept off the ends."""
    at, value = 0.0, function(0.0)
    ends: dict[bool, tuple[float, float | None]] = {False: (low, None), True: (high, None)}
    for _ in range(CALIBRATION_STEPS - 1):
        ends[value > 0] = (at, value)
        (left, below), (right, above) = ends[False], ends[True]
        if abs(value) < 5e-4:
            break
        if below is None or above is None:
            at = float(np.clip(at - 0.25 * np.sign(value), low, high))
        else:
            share = np.clip(below / (below - above), 0.15, 0.85)
            at = left + float(share) * (right - left)
        value = function(at)
    return at


def joint(rows: Rows) -> np.ndarray:
    """Features with the given logits beside them, less the one that the others fix."""
    if rows.logits is None:
        return rows.x
    return np.concatenate([rows.x, rows.logits[:, 1:] - rows.logits[:, :1]], axis=1)


def _logits(differences: np.ndarray) -> np.ndarray:
    """Logits from differences to the first."""
    return np.concatenate([np.zeros((len(differences), 1)), differences], axis=1)

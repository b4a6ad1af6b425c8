"""An advice in the making: look, refit, fit a mixture, predict every policy on it, decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nfl_pruning.realdata.advice import Advice
from nfl_pruning.realdata.apply import Source
from nfl_pruning.realdata.asked import Asked
from nfl_pruning.realdata.diagnostics import Diagnostics
from nfl_pruning.realdata.refusals import (
    before_fitting,
    near_chance,
    of_the_checks,
    of_the_logits,
    of_the_mixture,
)
from nfl_pruning.realdata.report.words import notes
from nfl_pruning.realdata.rounds.combine import Evidence, best_cells, depart, left_over, predictions
from nfl_pruning.realdata.rounds.looking import look, with_mixture
from nfl_pruning.realdata.rounds.probing import scoring_cost
from nfl_pruning.realdata.rounds.refits import ALL, Cell, Rows, Setting
from nfl_pruning.realdata.rounds.study import Rounds, Study
from nfl_pruning.realdata.targets import TARGETS, column

WORK_ROWS = 20_000  # rows that real refits and simulations use at most
FEW_ROWS = 2500  # below which refits cost little and their noise is large: every cell is checked
WORK = 12  # stream of random numbers


class Advising:
    """One advice in the making."""

    def __init__(
        self, asked: Asked, source: Source, test: Any, progress: Callable[[int, int], Any]
    ) -> None:
        self.asked, self.source, self.test, self.progress = asked, source, test, progress
        self.target = TARGETS[asked.target]
        self.done, self.total = 0, 1

    def run(self) -> Advice:
        """Look first, then fit, predict, check and decide."""
        data, seed = self.source.dataset, self.asked.seed
        rows = np.random.default_rng([seed, WORK]).permutation(len(data))[:WORK_ROWS]
        rows.sort()
        own = None if self.source.logits is None else self.source.logits[rows]
        work = Rows(self.source.space(data.x[rows]), data.y[rows], own)
        seen = look(self.source, work, self.test)
        reasons, flags = before_fitting(seen)
        if reasons:
            return self._advice((), reasons, flags, seen, len(work.y))
        few = len(work.y) < FEW_ROWS
        study = self._study(work, few)
        self.total = self._rounds(study)
        first_cells = self.asked.first_cells(study.n_train, everything=few)
        real = study.measure(first_cells)
        seen = replace(seen, **_accuracies(real))
        reasons += near_chance(seen, len(data.classes))
        if work.logits is not None:
            right = float((work.logits.argmax(axis=1) == work.y).mean())
            flags += of_the_logits(right, seen)
        if reasons:
            return self._advice((), reasons, flags, seen, len(work.y))
        study.fit(self.asked.components)
        seen = with_mixture(seen, study)
        more, seen_flags = of_the_mixture(seen)
        flags += seen_flags
        if more:
            return self._advice((), more, flags, seen, len(work.y), study)
        return self._predict(study, real, first_cells, seen, flags)

    def _predict(
        self, study: Study, real: Rounds, first: list[Cell], seen: Diagnostics, flags: list[str]
    ) -> Advice:
        """Predictions in two passes: the first says which cells are worth a check of their own."""
        study.calibrate(float(np.mean([1 - one.accuracy for one in column(real, ALL)])))
        n = len(study.rows.y)
        cells = self.asked.feasible_cells(study.n_train)
        drawn = study.draws(self._draws(n), n, cells)
        small = study.draws(self._draws(n), study.n_train, first)
        evidence = Evidence(drawn, small, real, self.target, n)
        departure = depart(evidence)
        found = predictions(evidence, departure)
        better = -1 if self.asked.target == "loss" else 1
        second = cells if self.asked.checks == "all" else best_cells(found, better)
        new = [cell for cell in second if cell not in first]
        if new:
            again, drawn_again = study.measure(new), study.draws(len(small), study.n_train, new)
            real = [a | b for a, b in zip(real, again, strict=True)]
            small = [a | b for a, b in zip(small, drawn_again, strict=True)]
            evidence = Evidence(drawn, small, real, self.target, n)
            departure = depart(evidence)
            found = predictions(evidence, departure)
        reasons, more = of_the_checks(departure.surprise, left_over(evidence))
        lost = sorted(set(self.asked.cells()) - set(cells), key=lambda cell: cell[1])
        if lost:
            more.append(f"{len(lost)} cells keep too few rows to be carried out and are left out.")
        about = {"surprise": departure.surprise, "draws": len(drawn), "checks": len(real[0])}
        shown = () if reasons else found
        return self._advice(shown, reasons, [*flags, *more], seen, n, study, about)

    def _study(self, work: Rows, few: bool) -> Study:
        setting = Setting(
            len(self.source.dataset.classes), self.source.probe.ridge, self.source.probe
        )
        rounds, refits = (8, 2) if few else (4, 1)
        return Study(work, setting, self.asked.seed, rounds, refits, tick=self._tick)

    def _draws(self, n: int) -> int:
        return 8 if n < 1500 else 4 if n < FEW_ROWS else 3

    def _rounds(self, study: Study) -> int:
        return 3 * study.n_rounds + 3 + 18 + 3 * self._draws(len(study.rows.y))

    def _tick(self) -> None:
        self.done = min(self.done + 1, self.total)
        self.progress(self.done, self.total)

    def _advice(
        self,
        found: tuple[Any, ...],
        reasons: list[str],
        flags: list[str],
        seen: Diagnostics,
        rows: int,
        study: Study | None = None,
        about: dict[str, Any] | None = None,
    ) -> Advice:
        source, asked = self.source, self.asked
        self.progress(self.total, self.total)
        mixture = study.mixtures[0] if study is not None and study.mixtures else None
        known = {
            "data": source.dataset.name,
            "data_hash": (source.whole or source.dataset).hash,
            "n_samples": len(source.dataset),
            "work_rows": rows,
            "check_rows": None if study is None else study.n_train,
            "n_features": source.space.n_features,
            "variance_dropped": source.space.dropped,
            "scale": source.space.scaling.kind,
            "ridge": source.probe.ridge,
            "probe": source.probe.label,
            "scoring_cost": scoring_cost(source.probe),
            "seed": asked.seed,
            "checks_asked": asked.checks,
            "components_per_class": None if mixture is None else mixture.per_class,
            "held_out_density": {} if mixture is None else mixture.held_out,
            "spread_factors": [] if study is None else study.factors,
            **(about or {}),
        }
        return Advice(
            tuple(found),
            tuple(reasons),
            tuple(flags),
            asked.target,
            asked.tolerance,
            seen,
            source.dataset.classes,
            tuple(notes(known, source.space)),
            known,
            source,
        )


def _accuracies(real: Rounds) -> dict[str, float]:
    """Of refits to all rows, on rows that they have not seen."""
    own = column(real, ALL)
    by_class = np.nanmean(np.stack([one.by_class for one in own]), axis=0)
    accuracy = float(np.mean([one.accuracy for one in own]))
    return {"accuracy": accuracy, "balanced": float(np.nanmean(by_class))}

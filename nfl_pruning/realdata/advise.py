"""Advice on pruning a data set: fit a mixture, predict every policy on it, check on real refits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nfl_pruning.data.dataset import Dataset, make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.realdata.advice import Advice
from nfl_pruning.realdata.apply import Source
from nfl_pruning.realdata.diagnostics import Diagnostics, near_copies, repeated, row_codes, tails
from nfl_pruning.realdata.fitted.space import MOST, fit_space
from nfl_pruning.realdata.policies import EXPLOITS, RANDOM, Policy, make_policies
from nfl_pruning.realdata.refusals import (
    before_fitting,
    near_chance,
    of_the_checks,
    of_the_logits,
    of_the_mixture,
)
from nfl_pruning.realdata.rounds.combine import Evidence, best_cells, depart, predictions
from nfl_pruning.realdata.rounds.departure import Departure
from nfl_pruning.realdata.rounds.probing import RowsProbe, parse_rows_probe
from nfl_pruning.realdata.rounds.refits import ALL, Cell, Rows, Setting, feasible
from nfl_pruning.realdata.rounds.softmax import fit_softmax
from nfl_pruning.realdata.rounds.study import Rounds, Study
from nfl_pruning.realdata.targets import TARGETS, column
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_choice, check_integer, check_number, check_seed

KEEP_FRACTIONS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
SCORES_ASKED = ("el2n", "margin")
WORK_ROWS = 20_000  # rows that real refits and simulations use at most
SPACE, COPIES, WORK = 10, 11, 12  # streams of random numbers
CHECKS = ("few", "all")


@dataclass(frozen=True)
class Asked:
    """The question, checked.

    Attributes:
        policies: random pruning first.
        keep_fractions: below 1.
        target: name.
        tolerance: accepted loss.
        checks: ``few`` or ``all``.
        components: of each class, or None.
        seed: of everything.
    """

    policies: tuple[Policy, ...]
    keep_fractions: tuple[float, ...]
    target: str
    tolerance: float
    checks: str
    components: int | None
    seed: int


@with_own_settings
def advise(
    x: Any,
    y: Any = None,
    *,
    keep_fractions: Sequence[float] = KEEP_FRACTIONS,
    scores: Sequence[str | Policy] = SCORES_ASKED,
    exploits: Sequence[float] = EXPLOITS,
    target: str = "accuracy",
    tolerance: float = 1.0,
    probe: str | RowsProbe = "pilot",
    ridge: float = 0.01,
    logits: Any = None,
    test: tuple[Any, Any] | Dataset | None = None,
    scale: str = "auto",
    directions: int = MOST,
    components: int | None = None,
    checks: str = "few",
    seed: int = 0,
    progress: Callable[[int, int], Any] | None = None,
) -> Advice:
    """Should these data be pruned, by which score, how much, and what will it cost?

    The student is softmax regression on the features, least
    (1/n) sum_i w_i loss_i + (ridge / 2) ||W||^2 with n the rows before pruning. A Gaussian mixture
    is fitted to the features; on rows drawn from it every policy is carried out at the data's own
    size; real refits at a few cells, on held-out rows, say how far the data depart from the
    mixture, and correct the other cells.

    Args:
        x: features, shape (n, ...), or a :class:`Dataset`, which has the labels; its protected
            rows are not looked at.
        y: labels, shape (n,): whole numbers or text.
        keep_fractions: shares to keep, in (0, 1).
        scores: registered names, each with both ends and the calibrated hardest end, or policies.
        exploits: shares of the budget by score of the calibrated policies, in (0, 1).
        target: what must stay good: ``accuracy``, ``worst-class`` or ``loss``.
        tolerance: loss against all data that is accepted, in points (of the loss: in its units).
        probe: ``pilot:SHARE``, ``cross-fit:FOLDS`` or ``in-sample``.
        ridge: of the refits and of the probe, > 0.
        logits: your own model's on these rows, shape (n, K), in place of a probe.
        test: rows that are tested on elsewhere; copies of them among the data are looked for.
        scale: of the features, as in :func:`nfl_pruning.numerics.scaling.fit_scaling`.
        directions: principal directions kept at most.
        components: of each class; chosen on held-out rows if None.
        checks: ``few`` real refits, or ``all`` cells.
        seed: whole number in [0, 2^32).
        progress: called with (rounds done, rounds).

    Raises:
        InvalidArgumentError: an argument is out of range.
    """
    asked = _check(keep_fractions, scores, exploits, target, tolerance, checks, components, seed)
    data = x if isinstance(x, Dataset) else make_dataset("data", x, y)
    model = replace(parse_rows_probe(probe), ridge=check_number("ridge", ridge, "(0, inf)"))
    own = None if logits is None else _check_logits(logits, data)
    whole = None if data.protected is None else data
    if data.protected is not None:
        own = own if own is None else own[~data.protected]
        data = data.candidates
    if own is not None:
        model = replace(model, kind="given")
    rng = np.random.default_rng([asked.seed, SPACE])
    most = check_integer("directions", directions, 1)
    space = fit_space(data.x, scale=scale, is_image=data.is_image, most=most, rng=rng)
    source = Source(data, space, model, own, asked.seed, whole)
    return _Advising(asked, source, test, progress or (lambda done, total: None)).run()


def _check(
    keep_fractions: Sequence[float],
    scores: Sequence[str | Policy],
    exploits: Sequence[float],
    target: str,
    tolerance: float,
    checks: str,
    components: int | None,
    seed: int,
) -> Asked:
    """All arguments that need no data."""
    fractions = sorted({check_number("keep_fractions", f, "(0, 1)") for f in keep_fractions})
    if not fractions:
        raise InvalidArgumentError("keep_fractions must list one fraction at least; got none.")
    if isinstance(scores, str):
        raise InvalidArgumentError(f"scores must be a list of names; got {scores!r}.")
    return Asked(
        make_policies(scores, exploits),
        tuple(fractions),
        check_choice("target", target, TARGETS),
        check_number("tolerance", tolerance, "[0, inf)"),
        check_choice("checks", checks, CHECKS),
        None if components is None else check_integer("components", components, 1),
        check_seed(seed),
    )


def _check_logits(logits: Any, data: Dataset) -> np.ndarray:
    found = np.asarray(logits, dtype=np.float64)
    wanted = (len(data), len(data.classes))
    if found.shape != wanted or not np.isfinite(found).all():
        raise InvalidArgumentError(
            f"logits must be finite numbers of shape {wanted}, one row a sample and one column a "
            f"class; got shape {found.shape}."
        )
    return found


class _Advising:
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
        seen = self._look(work)
        reasons, flags = before_fitting(seen)
        if reasons:
            return self._advice((), reasons, flags, seen, len(work.y))
        study = self._study(work)
        self.total = self._rounds(study)
        first_cells = self._first_cells(study)
        real = study.measure(first_cells)
        seen = replace(seen, **_accuracies(real))
        reasons += near_chance(seen, len(data.classes))
        if work.logits is not None:
            right = float((work.logits.argmax(axis=1) == work.y).mean())
            flags += of_the_logits(right, seen)
        if reasons:
            return self._advice((), reasons, flags, seen, len(work.y))
        study.fit(self.asked.components)
        seen = self._tails(seen, study)
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
        cells = [cell for cell in self._cells() if feasible(cell, study.n_train)]
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
        reasons, more = of_the_checks(departure.surprise, _left_over(evidence))
        lost = sorted(set(self._cells()) - set(cells), key=lambda cell: cell[1])
        if lost:
            more.append(f"{len(lost)} cells keep too few rows to be carried out and are left out.")
        about = {"surprise": departure.surprise, "draws": len(drawn), "checks": len(real[0])}
        shown = () if reasons else found
        return self._advice(shown, reasons, [*flags, *more], seen, n, study, about)

    def _cells(self) -> list[Cell]:
        asked = self.asked
        return [ALL, *((p, f) for f in asked.keep_fractions for p in asked.policies)]

    def _first_cells(self, study: Study) -> list[Cell]:
        """All data, and at two fractions random pruning, both ends and a calibrated rule."""
        fractions = self.asked.keep_fractions
        ends = sorted({fractions[0], fractions[len(fractions) // 2]})
        found: list[Cell] = [ALL, *((RANDOM, f) for f in ends)]
        others = [p for p in self.asked.policies if not p.is_random]
        ends_of = [
            [p for p in others if p.exploit == 1 and p.keep == keep][:1]
            for keep in ("hardest", "easiest")
        ]
        calibrated = [p for p in others if p.exploit < 1]
        middle = calibrated[len(calibrated) // 2 : len(calibrated) // 2 + 1]
        found += [(p, f) for p in [*ends_of[0], *ends_of[1], *middle] for f in ends]
        return [cell for cell in found if feasible(cell, study.n_train)]

    def _study(self, work: Rows) -> Study:
        setting = Setting(
            len(self.source.dataset.classes), self.source.probe.ridge, self.source.probe
        )
        n = len(work.y)
        rounds = 8 if n < 2500 else 4
        return Study(work, setting, self.asked.seed, rounds, tick=self._tick)

    def _draws(self, n: int) -> int:
        return 8 if n < 1500 else 4 if n < 2500 else 3

    def _rounds(self, study: Study) -> int:
        return 2 * study.n_rounds + 3 + 18 + 3 * self._draws(len(study.rows.y))

    def _tick(self) -> None:
        self.done = min(self.done + 1, self.total)
        self.progress(self.done, self.total)

    def _look(self, work: Rows) -> Diagnostics:
        """What can be seen before anything is fitted."""
        data, rng = self.source.dataset, np.random.default_rng([self.asked.seed, COPIES])
        copies, conflicting = repeated(data.x, data.y)
        counts = data.class_counts()
        near = near_copies(rng, work.x)
        return Diagnostics(
            n_samples=len(data),
            n_features=work.x.shape[1],
            smallest_class=int(min(counts.min(), np.bincount(work.y).min())),
            smallest_component=0,
            n_components=0,
            duplicates=copies,
            conflicting=conflicting,
            near_copies=near,
            leaked=self._leaked(work, rng),
            tail=1.0,
            kurtosis=0.0,
            accuracy=float("nan"),
            balanced=float("nan"),
            chance=float(counts.max() / counts.sum()),
            wrong_labels=0.0,
        )

    def _leaked(self, work: Rows, rng: np.random.Generator) -> float | None:
        if self.test is None:
            return None
        data = self.source.dataset
        x = self.test.x if isinstance(self.test, Dataset) else np.asarray(self.test[0])
        flat = x.reshape(len(x), -1).astype(data.x.dtype)
        if flat.shape[1] != data.x.shape[1]:
            raise InvalidArgumentError(
                f"test must have the data's {data.x.shape[1]} features; got {flat.shape[1]}."
            )
        same = float(np.isin(row_codes(flat), row_codes(data.x)).mean())
        return max(same, near_copies(rng, work.x, self.source.space(flat)))

    def _tails(self, seen: Diagnostics, study: Study) -> Diagnostics:
        """Numbers of the first mixture on the rows that it was not fitted to."""
        first, split = study.mixtures[0], study.splits[0]
        rest = study.rows.take(split.test)
        own = study.rows.take(split.train)
        fit = fit_softmax(
            own.x, own.y, study.setting.n_classes, ridge=study.setting.ridge, tolerance=1e-4
        )
        from nfl_pruning.realdata.rounds.study import _joint

        extra = first.components[0].mean.shape[0] - own.x.shape[1]
        weights = np.concatenate([fit.weights, np.zeros((extra, fit.weights.shape[1]))])
        tail, kurtosis = tails(first, _joint(rest), rest.y, weights)
        return replace(
            seen,
            n_components=len(first.components),
            smallest_component=min(c.rows for c in first.components),
            tail=tail,
            kurtosis=kurtosis,
            wrong_labels=first.wrong_labels,
        )

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
        from nfl_pruning.realdata.report.words import notes

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


def scoring_cost(probe: RowsProbe) -> float:
    """Fits of the probe in trainings on all rows, where a training costs as many steps as rows."""
    if probe.kind == "given":
        return 0.0
    if probe.kind == "in-sample":
        return 1.0
    return 2 * probe.number if probe.kind == "pilot" else probe.number - 1


def _accuracies(real: Rounds) -> dict[str, float]:
    """Of refits to all rows, on rows that they have not seen."""
    own = column(real, ALL)
    by_class = np.nanmean(np.stack([one.by_class for one in own]), axis=0)
    accuracy = float(np.mean([one.accuracy for one in own]))
    return {"accuracy": accuracy, "balanced": float(np.nanmean(by_class))}


def _left_over(evidence: Evidence) -> float:
    """Largest departure of a check, in points, from what the other checks led to expect."""
    from nfl_pruning.realdata.rounds.combine import measured_departures, shared_error
    from nfl_pruning.realdata.rounds.departure import infer

    target, seen = evidence.target, measured_departures(evidence)
    predicted = {c: target.estimate(column(evidence.drawn_small, c))[0] for c in seen}
    for cell in list(seen):
        predicted.setdefault((RANDOM, cell[1]), predicted[ALL])
    worst = 0.0
    for cell in seen:
        others = {c: v for c, v in seen.items() if c != cell}
        if not others:
            continue
        told: Departure = infer([cell], predicted, others, shared=shared_error(evidence))
        ours = target.shown(target.back(predicted[cell] + seen[cell][0]))
        theirs = target.shown(target.back(predicted[cell] + told.mean[0]))
        noise = abs(
            float(
                target.shown(target.back(predicted[cell] + 2 * seen[cell][1]))
                - target.shown(target.back(predicted[cell]))
            )
        )
        worst = max(worst, abs(float(ours - theirs)) - noise)
    return worst

"""What the advice says: every cell with its interval, and the decisions that follow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.realdata.diagnostics import Diagnostics
from nfl_pruning.realdata.policies import Policy

if TYPE_CHECKING:
    from nfl_pruning.pruning.pruned import Pruned
    from nfl_pruning.realdata.apply import Source


@dataclass(frozen=True)
class Prediction:
    """What one policy gives at one keep fraction.

    Values are accuracies in percent (of all classes, or of the worst one), or the test loss.

    Attributes:
        policy: how rows are chosen.
        keep_fraction: share kept.
        value: predicted, with the departure that was measured.
        low: lower end of the 90 % interval of one refit.
        high: its upper end.
        by_mixture: predicted by the mixture alone.
        against_random: value minus that of random pruning at this fraction; positive is better.
        against_random_error: standard error of that difference.
        measured: mean of the real refits, to fewer rows (see ``Advice.check_rows``), if any.
        at_check: what is predicted for those refits, if any.
        by_class: predicted accuracy of each class in percent, shape (K,).
        kept_by_class: share of each class that is kept, shape (K,).
        predictor: ``simulation`` or ``limit``.
    """

    policy: Policy
    keep_fraction: float
    value: float
    low: float
    high: float
    by_mixture: float
    against_random: float
    against_random_error: float
    measured: float | None
    at_check: float | None
    by_class: np.ndarray
    kept_by_class: np.ndarray
    predictor: str = "simulation"

    @property
    def beats_random(self) -> bool:
        """Whether it is better than random pruning by more than its 90 % interval."""
        return self.against_random > 1.645 * self.against_random_error

    def careful(self, better: int) -> float:
        """Halfway from the value to the interval's worse end, larger where better.

        Args:
            better: +1 where larger values are better, -1 where smaller ones are.
        """
        return 0.5 * better * (self.value + (self.low if better > 0 else self.high))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "policy": self.policy.label,
            "score": None if self.policy.is_random else self.policy.score,
            "keep": None if self.policy.is_random else self.policy.keep,
            "exploit": self.policy.exploit,
            "keep_fraction": self.keep_fraction,
            "predicted": self.value,
            "low": self.low,
            "high": self.high,
            "by_mixture": self.by_mixture,
            "against_random": self.against_random,
            "against_random_error": self.against_random_error,
            "beats_random": self.beats_random,
            "measured": self.measured,
            "at_check": self.at_check,
            "by_class": self.by_class.tolist(),
            "kept_by_class": self.kept_by_class.tolist(),
            "predictor": self.predictor,
        }


@dataclass(frozen=True)
class Advice:
    """Which rows to keep, predicted from a mixture fitted to the data and checked on them.

    Attributes:
        predictions: one a policy and keep fraction, and all data; empty after a refusal.
        reasons: why no advice is given; empty where it is.
        flags: what was seen that a reader should know.
        target: ``accuracy``, ``worst-class`` or ``loss``.
        tolerance: loss in points (or, of the loss, in its units) that is accepted.
        diagnostics: how well the mixture describes the data.
        classes: names.
        notes: how it was computed, in sentences.
        about: settings and numbers, as plain values.
    """

    predictions: tuple[Prediction, ...]
    reasons: tuple[str, ...]
    flags: tuple[str, ...]
    target: str
    tolerance: float
    diagnostics: Diagnostics
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    about: Mapping[str, Any]
    source: Source = field(repr=False)

    @property
    def refused(self) -> bool:
        """Whether no advice is given."""
        return bool(self.reasons)

    @property
    def better(self) -> int:
        """+1 where larger values are better, -1 for the loss."""
        return -1 if self.target == "loss" else 1

    @property
    def all_data(self) -> Prediction:
        """The refit to all rows."""
        return next(one for one in self.predictions if one.keep_fraction == 1)

    @property
    def keep_fractions(self) -> tuple[float, ...]:
        """Those asked for, below 1, increasing."""
        return tuple(sorted({one.keep_fraction for one in self.predictions} - {1.0}))

    def at(self, keep_fraction: float) -> list[Prediction]:
        """Predictions at one fraction, best first."""
        found = [one for one in self.predictions if one.keep_fraction == keep_fraction]
        return sorted(found, key=lambda one: -self.better * one.value)

    def random_at(self, keep_fraction: float) -> Prediction:
        """Random pruning at one fraction."""
        return next(one for one in self.at(keep_fraction) if one.policy.is_random)

    def recommended(self, keep_fraction: float) -> Prediction:
        """The policy that is best halfway from its value to its worse end: good, and known to be.

        ``beats_random`` says whether it is certain to be better than random pruning.
        """
        return max(self.at(keep_fraction), key=lambda one: one.careful(self.better))

    @property
    def smallest(self) -> Prediction | None:
        """The recommended policy at the least fraction that is within tolerance of all data."""
        if self.refused:
            return None
        for fraction in self.keep_fractions:
            one = self.recommended(fraction)
            if self.within(one):
                return one
        return None

    def within(self, one: Prediction) -> bool:
        """Whether a prediction is within tolerance of all data."""
        return self.better * (self.all_data.value - one.value) <= self.tolerance

    def random_needs(self, one: Prediction) -> float:
        """The keep fraction at which random pruning is as good, by interpolation in its log."""
        randoms = [self.random_at(f) for f in self.keep_fractions] + [self.all_data]
        fractions = np.log([r.keep_fraction for r in randoms])
        values = np.maximum.accumulate([self.better * r.value for r in randoms])
        wanted = self.better * one.value
        if wanted <= values[0]:
            return float(randoms[0].keep_fraction)
        return float(np.exp(np.interp(wanted, values, fractions)))

    def losing_classes(self, one: Prediction, points: float = 1.0) -> dict[str, float]:
        """Classes whose predicted accuracy falls by more than ``points`` below all data's."""
        change = one.by_class - self.all_data.by_class
        return {
            name: float(value)
            for name, value in zip(self.classes, change, strict=True)
            if value < -points
        }

    @property
    def best_exploit(self) -> dict[float, float]:
        """Keep fraction -> the exploit share of the best policy that is calibrated or hard."""
        found = {}
        for fraction in self.keep_fractions:
            own = [one for one in self.at(fraction) if not one.policy.is_random]
            if own:
                found[fraction] = own[0].policy.exploit
        return found

    @property
    def cost(self) -> dict[str, Any]:
        """Scoring against training, in trainings on all rows, and refits until it has paid."""
        scoring = float(self.about["scoring_cost"])
        pays = {}
        for fraction in () if self.refused else self.keep_fractions:
            own = 0.0 if self.recommended(fraction).policy.is_random else scoring
            pays[str(fraction)] = int(np.floor(own / (1 - fraction))) + 1
        return {"scoring": scoring, "refits_until_it_pays": pays}

    def apply(self, keep_fraction: float | None = None, *, policy: Policy | None = None) -> Pruned:
        """Prune the data by the recommended policy.

        Args:
            keep_fraction: one of those asked for; the smallest within tolerance by default.
            policy: another policy than the one recommended.

        Raises:
            InvalidArgumentError: nothing is recommended, or the fraction was not asked for.
        """
        from nfl_pruning.realdata.apply import apply_policy

        if self.refused:
            raise InvalidArgumentError(
                f"apply needs a recommendation; none was given: {self.reasons[0]}"
            )
        if keep_fraction is None:
            if self.smallest is None:
                raise InvalidArgumentError(
                    "keep_fraction must be given: none of those asked for is within "
                    f"{self.tolerance:g} of all data."
                )
            keep_fraction = self.smallest.keep_fraction
        if keep_fraction not in self.keep_fractions:
            listed = ", ".join(f"{f:g}" for f in self.keep_fractions)
            raise InvalidArgumentError(
                f"keep_fraction must be one of {listed}; got {keep_fraction!r}."
            )
        chosen = policy or self.recommended(keep_fraction).policy
        return apply_policy(self.source, chosen, keep_fraction)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for ``--json`` and records."""
        decided = {}
        for fraction in () if self.refused else self.keep_fractions:
            one = self.recommended(fraction)
            decided[str(fraction)] = {
                "policy": one.policy.label,
                "predicted": one.value,
                "low": one.low,
                "high": one.high,
                "beats_random": one.beats_random,
                "random_needs": self.random_needs(one),
                "losing_classes": self.losing_classes(one),
            }
        smallest = self.smallest
        return {
            "refused": self.refused,
            "reasons": list(self.reasons),
            "flags": list(self.flags),
            "target": self.target,
            "tolerance": self.tolerance,
            "recommended": decided,
            "smallest_keep_fraction": None if smallest is None else smallest.keep_fraction,
            "best_exploit": {str(f): e for f, e in self.best_exploit.items()},
            "cost": self.cost,
            "predictions": [one.to_dict() for one in self.predictions],
            "diagnostics": self.diagnostics.to_dict(),
            "classes": list(self.classes),
            "notes": list(self.notes),
            "config": dict(self.about),
        }

    def to_dataframe(self) -> Any:
        """One row a policy and keep fraction, as a pandas table (pandas must be installed)."""
        try:
            import pandas as pd
        except ImportError:
            raise InvalidArgumentError(
                "to_dataframe needs pandas, which is not installed; to_dict has the same."
            ) from None
        rows = [one.to_dict() for one in self.predictions]
        return pd.DataFrame(rows).drop(columns=["by_class", "kept_by_class"], errors="ignore")

    def sentences(self) -> list[str]:
        """The answer in plain words."""
        from nfl_pruning.realdata.report.words import answer

        return answer(self)

    def plot(self) -> Any:
        """Curves with bands and the measured points, as a matplotlib figure."""
        from nfl_pruning.realdata.report.pictures import draw_curves

        return draw_curves(self)

    def report(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the page: answer, curves, map of rows, class shares; one file."""
        from nfl_pruning.realdata.report.page import write_page

        return write_page(self, path, force=force)

"""What a statement is: a claim, the numbers that decide it, and the rule that decides.

A check predicts quantities from theory and measures them another way. One rule turns them into a
verdict, so no statement can choose its own tolerance:

* every quantity states the smallest difference that would matter, and is *inconclusive* while its
  allowance (k standard errors, or a certified numerical error) exceeds a part of that;
* k is the two-sided Student quantile of ``LEVEL``, small enough that a run of all statements
  (fewer than 200 measured quantities) rejects a true one with probability below 1e-3;
* a one-sided claim must lead by what matters and by its allowance; a smaller lead is inconclusive;
* a statement is *refuted* when any quantity is off by more than its allowance, *inconclusive* when
  any is too imprecise, and *supported* otherwise.

The negative control is the same rule with every prediction moved by the smallest difference that
matters, up and down (for one-sided claims: the claim that the lead is smaller than what matters);
each must be refuted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from scipy.stats import chi2, nct
from scipy.stats import t as student

from nfl_pruning.validation import check_seed

PRESETS = ("quick", "paper")
SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"
LEVEL = 1e-3 / 200
MANY = 200  # degrees of freedom that stand for any larger number, on the safe side
POWER = 0.5  # the largest allowance, as a part of the smallest difference that matters


@cache
def allowed_errors(dof: float) -> float:
    """How many standard errors a true prediction may be off; ``dof`` those of the error."""
    return float(student.isf(LEVEL / 2, dof))


@dataclass(frozen=True)
class Quantity:
    """A predicted number and the measured one.

    Attributes:
        name: what it is.
        predicted: from theory; for a one-sided claim the bound.
        measured: by simulation, enumeration or an independent computation.
        error: standard error of the difference, or a bound on its numerical error.
        matters: smallest difference from the prediction that would matter, > 0; for a one-sided
            claim the smallest lead that would.
        dof: degrees of freedom of the standard error (infinite for a known one), or None where
            ``error`` is a bound rather than a standard error.
        relation: ``equals``, ``above`` (measured exceeds predicted) or ``below``.
    """

    name: str
    predicted: float
    measured: float
    error: float
    matters: float
    dof: float | None = math.inf
    relation: str = "equals"

    @property
    def allowance(self) -> float:
        """Largest difference that still agrees."""
        return self.error * (1.0 if self.dof is None else allowed_errors(self.dof))

    @property
    def z_score(self) -> float:
        """(measured - predicted) in standard errors (or in numerical error bounds)."""
        difference = self.measured - self.predicted
        return difference / self.error if self.error > 0 else math.copysign(0.0, difference)

    def shifted(self, shift: float) -> Quantity:
        """The prediction moved by ``shift`` times what matters.

        One-sided: the claim, whatever the shift's sign, that the lead is smaller than what matters.
        """
        if self.relation == "equals" or shift == 0:
            return replace(self, predicted=self.predicted + shift * self.matters)
        other, sign = {"above": ("below", 1), "below": ("above", -1)}[self.relation]
        bound = self.predicted + sign * abs(shift) * self.matters
        return replace(self, predicted=bound, relation=other)

    def judge(self) -> str:
        """Supported, refuted or inconclusive."""
        difference = self.measured - self.predicted
        if not math.isfinite(difference) or not self.allowance >= 0:
            return INCONCLUSIVE
        if self.relation == "equals":
            if abs(difference) > self.allowance:
                return REFUTED
            return SUPPORTED if self.allowance <= POWER * self.matters else INCONCLUSIVE
        lead = difference if self.relation == "above" else -difference
        if lead < -self.allowance:
            return REFUTED
        return SUPPORTED if lead > self.allowance + self.matters else INCONCLUSIVE

    def chance_undecided(self) -> float:
        """Chance that fresh random numbers leave this quantity inconclusive, from its error.

        The squared standard error of normal numbers is chi-square around the true one, for which
        this one stands, with ``dof`` degrees of freedom (``MANY`` for a known one). A bound decides
        or it does not.
        """
        if self.dof is None or self.error == 0 or not math.isfinite(self.allowance):
            return float(self.judge() == INCONCLUSIVE)
        dof = min(self.dof, MANY)
        allowed = allowed_errors(self.dof)
        if self.relation == "equals":
            return float(chi2.sf(dof * (POWER * self.matters / (allowed * self.error)) ** 2, dof))
        lead = (abs(self.measured - self.predicted) - self.matters) / self.error
        return float(nct.cdf(allowed, dof, lead)) if lead < 3 * allowed else 0.0


@dataclass(frozen=True)
class Series:
    """One curve or set of points of a plot; ``look`` is a rule's name in the project's style."""

    label: str
    x: list[float]
    y: list[float]
    error: list[float] | None = None
    look: str = "full"
    points: bool = False


@dataclass(frozen=True)
class Plot:
    """A picture of evidence: theory as lines, measurements as points with error bars."""

    title: str
    x_label: str
    y_label: str
    series: list[Series]
    x_log: bool = False
    y_log: bool = False


@dataclass(frozen=True)
class Measured:
    """What a check found: the quantities that decide, plots, and remarks."""

    quantities: list[Quantity]
    plots: list[Plot] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Evidence:
    """A check's outcome.

    Attributes:
        statement: its identifier.
        preset, seed, shift: how the check was run.
        verdict, reason: supported, refuted or inconclusive, and why in a sentence.
        measured: the numbers behind it.
        seconds: time that measuring took.
    """

    statement: str
    preset: str
    seed: int
    shift: float
    verdict: str
    reason: str
    measured: Measured
    seconds: float = 0.0

    @property
    def chance_undecided(self) -> float:
        """Bound on the probability that another seed leaves the verdict inconclusive."""
        return min(1.0, sum(q.chance_undecided() for q in self.measured.quantities))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for records and JSON."""
        values = asdict(self)
        for quantity, plain in zip(
            self.measured.quantities, values["measured"]["quantities"], strict=True
        ):
            dof = plain["dof"]
            plain["dof"] = "infinite" if dof is not None and math.isinf(dof) else dof
            plain |= {"z": quantity.z_score, "verdict": quantity.judge()}
        return values


def measured_from(values: Mapping[str, Any]) -> Measured:
    """The measurements in a record."""
    names = Quantity.__dataclass_fields__

    def quantity(entry: Mapping[str, Any]) -> Quantity:
        kept: dict[str, Any] = {name: entry[name] for name in names}
        kept["dof"] = math.inf if kept["dof"] == "infinite" else kept["dof"]
        for name in ("predicted", "measured", "error", "matters"):
            kept[name] = math.nan if kept[name] is None else kept[name]
        return Quantity(**kept)

    plots = [
        Plot(**{**entry, "series": [Series(**one) for one in entry["series"]]})
        for entry in values["plots"]
    ]
    return Measured([quantity(q) for q in values["quantities"]], plots, list(values["remarks"]))


def judge(quantities: list[Quantity], shift: float = 0) -> tuple[str, str]:
    """Verdict and reason over all quantities.

    At a non-zero shift the verdict is that of the quantity that fares best: a control counts as
    refuted only when every single shifted prediction is.
    """
    moved = [quantity.shifted(shift) for quantity in quantities]
    verdicts = [quantity.judge() for quantity in moved]
    order = (REFUTED, INCONCLUSIVE, SUPPORTED)
    overall = (min if shift == 0 else max)(verdicts, key=order.index)
    telling = moved[verdicts.index(overall)]
    if overall == SUPPORTED:
        return overall, f"all {len(moved)} quantities lie within their allowance."
    if overall == REFUTED:
        return overall, f"{telling.name}: {_difference(telling)}."
    return overall, f"{telling.name}: {_undecided(telling)}."


def _undecided(quantity: Quantity) -> str:
    if quantity.relation == "equals" or not math.isfinite(quantity.measured):
        return (
            f"its allowance {quantity.allowance:.2g} is too large to tell, as "
            f"{quantity.matters:.2g} would matter"
        )
    return f"{_difference(quantity)}: too close to tell, as {quantity.matters:.2g} would matter"


def _difference(quantity: Quantity) -> str:
    side = {"equals": "predicted", "above": "claimed above", "below": "claimed below"}
    return (
        f"measured {quantity.measured:.4g}, {side[quantity.relation]} {quantity.predicted:.4g}, "
        f"allowance {quantity.allowance:.2g}"
    )


@dataclass(frozen=True)
class Statement:
    """A claim about data pruning that can be checked and refuted.

    Attributes:
        identifier: public name, as in ``verify --only``.
        title: one line.
        claim: the statement; formulas stand between backticks.
        assumptions: what it needs.
        source: whose idea it is, and what is derived here.
        expected: the verdict that we expect. why: the reason, in a sentence or two.
        measure: (preset, seed) -> the numbers.
        figure: the script that draws the evidence.
    """

    identifier: str
    title: str
    claim: str
    assumptions: tuple[str, ...]
    source: str
    why: str
    measure: Callable[[str, int], Measured] = field(repr=False)
    expected: str = SUPPORTED
    figure: str = "figures/statements.py"

    @property
    def module(self) -> str:
        """Dotted name of the module that holds the check."""
        return self.measure.__module__

    def check(self, preset: str = "quick", seed: int = 0, shift: float = 0) -> Evidence:
        """Measure, then judge the predictions moved by ``shift`` times what matters."""
        start = time.monotonic()
        measured = self.measure(preset, check_seed(seed))
        return self.judge(measured, preset, seed, shift, time.monotonic() - start)

    def judge(
        self, measured: Measured, preset: str, seed: int, shift: float = 0, seconds: float = 0.0
    ) -> Evidence:
        """The verdict on measurements that exist already."""
        verdict, reason = judge(measured.quantities, shift)
        return Evidence(self.identifier, preset, seed, shift, verdict, reason, measured, seconds)

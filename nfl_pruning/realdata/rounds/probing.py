"""The model that scores: fitted on a pilot, on other folds, or on the rows that it scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.multinomial import stratified_rows
from nfl_pruning.realdata.rounds.softmax import fit_softmax
from nfl_pruning.validation import check_number, format_number

FORM = "probe must be pilot:SHARE with SHARE in (0, 0.5], cross-fit:FOLDS or in-sample"


@dataclass(frozen=True)
class RowsProbe:
    """How the softmax regression that scores is fitted.

    Attributes:
        kind: ``pilot``: on a share of each class; rows of the pilot are scored by a second probe
            fitted on another such split. ``cross-fit``: each fold is scored by a probe fitted on
            the others. ``in-sample``: on all rows, which it then scores. ``given``: logits come
            with the rows.
        number: the share or the number of folds.
        ridge: its penalty, normalised by the rows that it is fitted to, > 0.
    """

    kind: str = "pilot"
    number: float = 0.2
    ridge: float = 0.01

    @property
    def label(self) -> str:
        """The command line's form."""
        own = self.kind in ("pilot", "cross-fit")
        return f"{self.kind}:{format_number(self.number)}" if own else self.kind

    def logits(
        self, rng: np.random.Generator, x: np.ndarray, y: np.ndarray, n_classes: int
    ) -> np.ndarray:
        """Logits of all rows, shape (n, K), each by a model as ``kind`` says."""

        def by(rows: np.ndarray, scored: np.ndarray) -> np.ndarray:
            fit = fit_softmax(x[rows], y[rows], n_classes, ridge=self.ridge, tolerance=1e-5)
            return fit.logits(x[scored])

        everything = np.arange(len(y))
        if self.kind == "in-sample":
            return by(everything, everything)
        if self.kind == "pilot":
            first, second = stratified_rows(rng, y, self.number, 2)
            found = by(first, everything)
            found[first] = by(second, first)
            return found
        found = np.zeros((len(y), n_classes))
        for part in folds(rng, y, int(self.number)):
            found[part] = by(np.setdiff1d(everything, part), part)
        return found


def folds(rng: np.random.Generator, y: np.ndarray, number: int) -> list[np.ndarray]:
    """Disjoint row sets that cover all rows, each with about the same share of every class."""
    place = np.empty(len(y), int)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        place[rows] = (np.arange(len(rows)) + rng.integers(number)) % number
    return [np.flatnonzero(place == i) for i in range(number)]


def parse_rows_probe(text: str | RowsProbe, *, ridge: float = 0.01) -> RowsProbe:
    """A probe from ``pilot[:SHARE]``, ``cross-fit[:FOLDS]`` or ``in-sample``."""
    if isinstance(text, RowsProbe):
        return text
    ridge = check_number("probe ridge", ridge, "(0, inf)")
    kind, *parts = str(text).split(":")
    refusal = InvalidArgumentError(f"{FORM}; got {text!r}.")
    if kind not in ("pilot", "cross-fit", "in-sample") or len(parts) > (kind != "in-sample"):
        raise refusal
    try:
        number = float(parts[0]) if parts else {"pilot": 0.2, "cross-fit": 5.0}.get(kind, 0.0)
    except ValueError:
        raise refusal from None
    whole = number == int(number) and 2 <= number <= 100 if np.isfinite(number) else False
    if (kind == "pilot" and not 0 < number <= 0.5) or (kind == "cross-fit" and not whole):
        raise refusal
    return RowsProbe(kind, number, ridge)


def scoring_cost(probe: RowsProbe) -> float:
    """Fits of the probe in trainings on all rows, where a training costs as many steps as rows."""
    if probe.kind == "given":
        return 0.0
    if probe.kind == "in-sample":
        return 1.0
    return 2 * probe.number if probe.kind == "pilot" else probe.number - 1

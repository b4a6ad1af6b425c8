"""Refits of every policy to one training set, paired: the same rows, the same probe, one test set.

Real rows and rows drawn from a fitted mixture go through this same code.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.realdata.policies import RANDOM, Policy
from nfl_pruning.realdata.rounds.probing import RowsProbe
from nfl_pruning.realdata.rounds.softmax import Fit, fit_softmax
from nfl_pruning.scores.base import SCORES
from nfl_pruning.scores.evaluate import evaluate
from nfl_pruning.selections import RankSelection
from nfl_pruning.selections.finite import realised_counts

Cell = tuple[Policy, float]  # a policy and a keep fraction; all data are (RANDOM, 1.0)
ALL: Cell = (RANDOM, 1.0)
TOLERANCE = 1e-5
SMOOTHED = 0.5  # share of a difference that a reference's probabilities tell
BLOCK = 2048  # rows scored at a time: one compiled program for all sizes


class Rows(NamedTuple):
    """Labelled rows.

    Attributes:
        x: shape (n, d).
        y: class codes, shape (n,).
        logits: the user's own model's, shape (n, K), where given.
    """

    x: np.ndarray
    y: np.ndarray
    logits: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Rows:
        """Some of them."""
        own = None if self.logits is None else self.logits[rows]
        return Rows(self.x[rows], self.y[rows], own)


class Reference(NamedTuple):
    """A fit to all rows of a training set, and its probabilities of the test rows' classes.

    Attributes:
        fit: the fit.
        probabilities: shape (n, K).
    """

    fit: Fit
    probabilities: np.ndarray


class Outcome(NamedTuple):
    """What a refit gives on test rows.

    Attributes:
        accuracy: share right; its differences at one fraction are smoothed by a reference.
        loss: mean cross-entropy.
        by_class: accuracy of each class, shape (K,).
        kept_by_class: kept rows of each class, shape (K,).
    """

    accuracy: float
    loss: float
    by_class: np.ndarray
    kept_by_class: np.ndarray


@dataclass(frozen=True)
class Setting:
    """What all refits of an advice share.

    Attributes:
        n_classes: K.
        ridge: of the refits, normalised by the rows before pruning.
        probe: how the model that scores is fitted.
    """

    n_classes: int
    ridge: float
    probe: RowsProbe


def run_cells(
    rng: np.random.Generator,
    train: Rows,
    test: Rows,
    cells: Iterable[Cell],
    setting: Setting,
    *,
    scored: bool = True,
    reference: Reference | None = None,
) -> dict[Cell, Outcome]:
    """Prune ``train`` by every cell, refit, and test.

    Args:
        rng: source of the probe's split and of the selections' lots.
        train: rows to prune.
        test: rows to test on.
        cells: policies with fractions.
        setting: what they share.
        scored: whether any cell needs a probe.
        reference: a fit to ``train``, known on ``test``.
    """
    logits = train.logits
    if logits is None and scored:
        logits = setting.probe.logits(rng, train.x, train.y, setting.n_classes)
    seed = int(rng.integers(2**31))
    ranks: dict[str, np.ndarray] = {}
    found: dict[Cell, Outcome] = {}
    expected: dict[Cell, float] = {}
    start: Fit | None = None if reference is None else reference.fit
    for policy, fraction in sorted(cells, key=lambda cell: -cell[1]):
        if policy.score not in ranks:
            ranks[policy.score] = rank_key(policy, train.x, train.y, logits)
        kept, weights = keep_rows(seed, ranks[policy.score], (policy, fraction))
        if reference is not None and (policy, fraction) == ALL:
            fit = reference.fit
        else:
            fit = fit_softmax(
                train.x[kept],
                train.y[kept],
                setting.n_classes,
                ridge=setting.ridge,
                weights=weights,
                n=len(train.y),
                start=start,
                tolerance=TOLERANCE,
            )
        start = start or fit
        counts = np.bincount(train.y[kept], minlength=setting.n_classes)
        shown = fit.logits(test.x)
        found[policy, fraction] = outcome_of(shown, test.y, counts)
        if reference is not None:
            told = np.take_along_axis(reference.probabilities, shown.argmax(axis=1)[:, None], 1)
            expected[policy, fraction] = float(told.mean())
    return smoothed(found, expected) if expected else found


def smoothed(found: dict[Cell, Outcome], expected: dict[Cell, float]) -> dict[Cell, Outcome]:
    """Outcomes whose differences in accuracy at one fraction are half told by probabilities.

    Two refits differ on few test rows, and there the labels are much like lots. Probabilities of a
    fit to all rows say what labels would on average, if they are right; they flatter what resembles
    that fit. Their level is not used: at each fraction the median over policies stays.

    Args:
        found: of the refits of one training set.
        expected: accuracy by the probabilities.
    """
    better = {c: SMOOTHED * (expected[c] - one.accuracy) for c, one in found.items()}
    level = {
        fraction: float(np.median([better[c] for c in found if c[1] == fraction]))
        for fraction in {cell[1] for cell in found}
    }
    return {
        cell: one._replace(accuracy=one.accuracy + better[cell] - level[cell[1]])
        for cell, one in found.items()
    }


def refer(train: Rows, test: Rows, setting: Setting) -> Reference:
    """The reference of a training set and its test rows."""
    fit = fit_softmax(train.x, train.y, setting.n_classes, ridge=setting.ridge, tolerance=TOLERANCE)
    return Reference(fit, softmax(fit.logits(test.x), axis=1))


def mean_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Of several refits that were tested on the same rows."""
    return Outcome(
        float(np.mean([one.accuracy for one in outcomes])),
        float(np.mean([one.loss for one in outcomes])),
        np.mean([one.by_class for one in outcomes], axis=0),
        np.mean([one.kept_by_class for one in outcomes], axis=0),
    )


def rank_key(policy: Policy, x: np.ndarray, y: np.ndarray, logits: np.ndarray | None) -> np.ndarray:
    """What a policy ranks rows by, shape (n,); blocks of one shape, so that one program serves."""
    if policy.is_random or logits is None:
        return np.zeros(len(y))
    norm = np.sqrt(np.einsum("ij,ij->i", x, x) / x.shape[1])
    score, found = SCORES[policy.score], []
    for start in range(0, len(y), BLOCK):
        rows = np.arange(start, start + BLOCK) % len(y)
        entries = {"input_norm": norm[rows]}
        found.append(evaluate(score, logits[rows], y[rows], entries)[0])
    return np.concatenate(found)[: len(y)]


def keep_rows(seed: int, rank: np.ndarray, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Rows that stay, increasing, and their weights: the protocol's strata on sorted rows."""
    policy, fraction = cell
    selection = policy.selection
    assert isinstance(selection, RankSelection)
    # Lots for every cell, the same whatever other cells are asked for.
    rng = np.random.default_rng([seed, zlib.crc32(f"{policy.label} {fraction!r}".encode())])
    priority = -rank if policy.keep == "hardest" else rank
    order = np.lexsort((rng.random(len(rank)), priority))
    weights, first = np.zeros(len(rank)), 0
    for size, kept, weight in realised_counts(selection.strata(fraction), len(rank)):
        band = order[first : first + size]
        chosen = band if kept == size else rng.permutation(band)[:kept]
        weights[chosen] = weight
        first += size
    kept_rows = np.flatnonzero(weights)
    return kept_rows, weights[kept_rows]


def feasible(cell: Cell, n: int) -> bool:
    """Whether a cell can be pruned at all from ``n`` rows."""
    policy, fraction = cell
    selection = policy.selection
    assert isinstance(selection, RankSelection)
    try:
        return sum(c.kept for c in realised_counts(selection.strata(fraction), n)) >= 2
    except InvalidArgumentError:
        return False


def outcome_of(logits: np.ndarray, y: np.ndarray, counts: np.ndarray) -> Outcome:
    """Accuracy and loss on test rows with labels y, of a fit to ``counts`` rows of each class."""
    right = logits.argmax(axis=1) == y
    top = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    loss = total - logits[np.arange(len(y)), y]
    size = np.bincount(y, minlength=len(counts))
    hits = np.bincount(y, weights=right, minlength=len(counts))
    by_class = np.divide(hits, size, out=np.full(len(size), np.nan), where=size > 0)
    return Outcome(float(right.mean()), float(loss.mean()), by_class, counts)

"""Paired experiments: one probe a repeat scores its training set, every rule prunes it, all refit.

Repeats differ in everything random (split, label noise, probe, selection, refit); within a repeat
all rules share these keys, so differences between rules are paired. Given the split, a repeat does
not depend on which others are computed with it, so experiments can stop after any repeat and go on
later. The split of repeat i depends on the number of repeats only where classes are thinned: then
all repeats keep the same counts, those of the smallest pool of each class over all repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import logsumexp

from nfl_pruning.networks.best_epoch import BestEpoch
from nfl_pruning.networks.scoring import Look, logits_of, train_and_score
from nfl_pruning.networks.splits import Split
from nfl_pruning.networks.training import Training, is_finite, make_samples, train
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.selections import (
    PropensitySelection,
    RankSelection,
    Selected,
    Selection,
    ValueSelection,
    make_selection,
    select,
)
from nfl_pruning.selections.balanced import BALANCES, check_quotas, select_by_class
from nfl_pruning.selections.finite import realised_counts
from nfl_pruning.validation import InvalidArgumentError, check_choice

STACK = 130  # replicas that train at once: bounds memory, and every stack size compiles anew


@dataclass(frozen=True)
class Arm:
    """A pruning rule to compare.

    Attributes:
        name: how records and figures call it.
        selection: the protocol; its kept count must not depend on chance.
        score: what it ranks by; None for a protocol that ignores scores.
        keep: ``"hardest"`` or ``"easiest"``.
        balance: class quotas: ``"none"``, ``"proportional"`` or ``"equal"``.
    """

    name: str
    selection: Selection
    score: Score | None = None
    keep: str = "hardest"
    balance: str = "none"

    def __post_init__(self) -> None:
        check_choice("balance", self.balance, BALANCES)
        by_rank = isinstance(self.selection, RankSelection)
        if isinstance(self.selection, PropensitySelection) or (
            self.balance != "none" and not by_rank
        ):
            what = "comparisons" if self.balance == "none" else "class quotas"
            raise InvalidArgumentError(
                f"{what} need a protocol that keeps a fixed count"
                f"{'' if self.balance == 'none' else ' by rank'}; got {self.selection.label}."
            )

    def has_scores(self, rank_keys: dict[str, np.ndarray], repeat: int) -> bool:
        """Whether the probe of a repeat gave what the arm ranks by."""
        return self.score is None or bool(np.isfinite(rank_keys[self.score.name][repeat]).all())

    def choose(
        self, key: Array, rank_keys: dict[str, np.ndarray], labels: np.ndarray, share: float
    ) -> Selected:
        """The selection among samples with these rank keys and labels, shape (n,)."""
        values = np.zeros(len(labels))
        if self.score is not None:
            values = rank_keys[self.score.name]
            if isinstance(self.selection, ValueSelection):
                with jax.enable_x64(True):
                    values = np.asarray(self.score.publish(jnp.asarray(values)))
        if self.balance == "none":
            return select(key, values, share, keep=self.keep, selection=self.selection)
        return select_by_class(
            key,
            values,
            labels,
            keep_fraction=share,
            balance=self.balance,
            keep=self.keep,
            selection=self.selection,
        )


def make_arm(name: str, **choice: Any) -> Arm:
    """An arm from plain values: score (a name), keep, protocol, exploit, balance."""
    score = choice.get("score")
    return Arm(
        name,
        make_selection(choice.get("protocol", "threshold"), exploit=choice.get("exploit", 0.5)),
        None if score is None else SCORES[score],
        choice.get("keep", "hardest"),
        choice.get("balance", "none"),
    )


def check_counts(arms: Sequence[Arm], keep_fraction: float, labels: np.ndarray) -> None:
    """Raise when an arm would keep nothing, or explore nothing, of samples with these labels.

    Args:
        arms: the rules.
        keep_fraction: share to keep.
        labels: class codes of each repeat, shape (repeats, n).
    """
    for arm in arms:
        if isinstance(arm.selection, ValueSelection):
            arm.selection.check_size(keep_fraction, labels.shape[1])
        elif arm.balance == "none":
            assert isinstance(arm.selection, RankSelection)
            realised_counts(arm.selection.strata(keep_fraction), labels.shape[1])
        else:
            rule = arm.selection
            for own in labels:
                check_quotas(own, keep_fraction, balance=arm.balance, selection=rule)


def repeat_keys(root: Array, numbers: np.ndarray) -> dict[str, Array]:
    """Keys of each purpose, one a repeat."""
    own = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(root, i), 3))(jnp.asarray(numbers))
    return {"probe": own[:, 0], "select": own[:, 1], "refit": own[:, 2]}


def probe_scores(
    root: Array,
    split: Split,
    *,
    scores: Sequence[Score],
    model: nn.Module,
    training: Training,
    epochs: dict[str, int],
    scope: str = "full",
    on_epoch: Any = None,
) -> dict[str, np.ndarray]:
    """Rank keys of each repeat's training rows by its own probe, shape (repeats, n_train) each.

    The probe trains on all training rows and scores these same rows, as is done in practice. Where
    it diverged the keys are NaN.

    Args:
        root: typed key of the experiment.
        split: the rows.
        scores: what to compute.
        model: the probe's network.
        training: how it is trained.
        epochs: score name -> epoch at which it is computed.
        scope: which gradient GraNd means.
        on_epoch: called with (epochs done, state).
    """
    if not scores:
        return {}
    keys = repeat_keys(root, split.numbers)["probe"]
    samples = make_samples(split.x, split.train_rows, split.train_labels)
    recorder, _ = train_and_score(
        keys,
        samples,
        model=model,
        training=training,
        look=Look(tuple(scores), scope),
        epochs={score.name: [epochs[score.name]] for score in scores},
        on_epoch=on_epoch,
        shape=split.shape,
    )
    return {score.name: recorder.of(score.name, epochs[score.name]) for score in scores}


class Outcome(NamedTuple):
    """Refits of one arm, one entry a repeat.

    Attributes:
        accuracy: share of test rows classified right; NaN for a network that diverged, or whose
            rule had no scores because the probe did.
        loss: mean cross-entropy on test rows; NaN likewise.
        kept: number of rows kept.
        epoch: the epoch at which the test rows were read.
    """

    accuracy: np.ndarray
    loss: np.ndarray
    kept: int
    epoch: np.ndarray


def refit(
    root: Array,
    split: Split,
    rank_keys: dict[str, np.ndarray],
    *,
    arms: Sequence[Arm],
    keep_fraction: float,
    model: nn.Module,
    training: Training,
) -> dict[str, Outcome]:
    """Prune every repeat's training rows by every arm, refit, and read the test rows once.

    They are read after the last epoch or, where the split has validation rows, with the parameters
    of the epoch whose validation accuracy was the highest.

    Args:
        root: typed key of the experiment.
        split: the rows.
        rank_keys: from :func:`probe_scores`.
        arms: the rules.
        keep_fraction: share to keep, in (0, 1].
        model: the network that is refitted.
        training: how it is trained.
    """
    repeats, n_train = split.train_rows.shape
    keys = repeat_keys(root, split.numbers)
    values = {(arm.name, i): (np.nan, np.nan, 0.0) for arm in arms for i in range(repeats)}
    jobs = [(arm, i) for arm in arms for i in range(repeats) if arm.has_scores(rank_keys, i)]
    kept_count = 0
    for start in range(0, len(jobs), STACK):
        part = jobs[start : start + STACK]
        chosen = []
        for arm, i in part:
            own_keys = {name: values[i] for name, values in rank_keys.items()}
            labels = split.train_labels[i]
            chosen.append(arm.choose(keys["select"][i], own_keys, labels, keep_fraction))
        kept_count = len(chosen[0].indices)
        own = np.array([i for _, i in part])
        places = np.array([pick.indices for pick in chosen])
        samples = make_samples(
            split.x,
            split.train_rows[own[:, None], places],
            split.train_labels[own[:, None], places],
            weights=np.array([pick.weights[pick.indices] for pick in chosen]),
        )
        best = BestEpoch(model, split, own)
        state = train(
            keys["refit"][own],
            samples,
            model=model,
            training=training,
            n_all=n_train,
            on_epoch=best if split.valid_rows.shape[1] else None,
            shape=split.shape,
        )
        params, epochs = best.chosen(state, training.plan(kept_count, n_train).epochs)
        measured = measure(model, params, split, own)
        for (arm, i), pair, epoch in zip(part, measured, epochs, strict=True):
            values[arm.name, i] = (*pair, float(epoch))
    found = {}
    for arm in arms:
        accuracy, loss, epoch = np.array([values[arm.name, i] for i in range(repeats)]).T
        found[arm.name] = Outcome(accuracy, loss, kept_count, epoch.astype(int))
    return found


def measure(
    model: nn.Module, params: Any, split: Split, own: np.ndarray
) -> list[tuple[float, float]]:
    """(accuracy, loss) on the test rows of each replica's repeat; NaN where it diverged."""
    rows, labels = split.test_rows[own], split.test_labels[own]
    return measure_rows(model, params, split.x, rows=rows, labels=labels)


def measure_rows(
    model: nn.Module, params: Any, x: Array, *, rows: np.ndarray, labels: np.ndarray
) -> list[tuple[float, float]]:
    """(accuracy, mean cross-entropy) of each replica on its own rows.

    Both are NaN for a replica whose parameters or whose loss are not finite: parameters can be
    finite and yet so large that the logits are not, and then the accuracy means nothing.

    Args:
        model: the network.
        params: stacked parameters.
        x: inputs, shape (n, d).
        rows: of x, shape (replicas, rows).
        labels: class codes, same shape.
    """
    logits = logits_of(model, params, x, rows=rows).astype(np.float64)
    right = (logits.argmax(axis=2) == labels).mean(axis=1)
    at_label = np.take_along_axis(logits, labels[..., None], axis=2)[..., 0]
    with np.errstate(invalid="ignore"):
        loss = (np.asarray(logsumexp(logits, axis=2)) - at_label).mean(axis=1)
    finite = is_finite(params) & np.isfinite(loss)
    pairs = zip(right, loss, finite, strict=True)
    return [(float(a), float(b)) if ok else (np.nan, np.nan) for a, b, ok in pairs]

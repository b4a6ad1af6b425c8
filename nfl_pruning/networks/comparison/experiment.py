"""Paired experiments: one probe a repeat scores its training set, every rule prunes it, all refit.

Repeats differ in everything random (split, label noise, probe, selection, refit); within a repeat
all rules share these keys, so differences between rules are paired. Given the split, a repeat does
not depend on which others are computed with it, so experiments can stop after any repeat and go on
later. The split of repeat i depends on the number of repeats only where classes are thinned: then
all repeats keep the same counts, those of the smallest pool of each class over all repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.networks.comparison.arms import Arm
from nfl_pruning.networks.comparison.best_epoch import BestEpoch
from nfl_pruning.networks.comparison.splits import Split
from nfl_pruning.networks.comparison.subsets import FixedSubset
from nfl_pruning.networks.measuring import DIVERGED, Measured, evaluate_rows
from nfl_pruning.networks.scoring import Look, train_and_score
from nfl_pruning.networks.training import State, Training, make_samples, train_replicas
from nfl_pruning.scores.base import Score
from nfl_pruning.settings import with_own_settings

STACK = 130  # replicas that train at once: bounds memory, and every stack size compiles anew


def repeat_keys(root: Array, numbers: np.ndarray) -> dict[str, Array]:
    """Keys of each purpose, one a repeat."""
    own = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(root, i), 3))(jnp.asarray(numbers))
    return {"probe": own[:, 0], "select": own[:, 1], "refit": own[:, 2]}


@with_own_settings
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
    at_end: Callable[[State], Any] | None = None,
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
        at_end: called with the probes' last state.
    """
    if not scores:
        return {}
    keys = repeat_keys(root, split.numbers)["probe"]
    samples = make_samples(split.x, split.train_rows, split.train_labels)
    recorder, state = train_and_score(
        keys,
        samples,
        model=model,
        training=training,
        look=Look(tuple(scores), scope),
        epochs={score.name: [epochs[score.name]] for score in scores},
        on_epoch=on_epoch,
        shape=split.shape,
    )
    if at_end:
        at_end(state)
    return {score.name: recorder.of(score.name, epochs[score.name]) for score in scores}


class Outcome(NamedTuple):
    """Refits of one arm, one entry a repeat.

    Attributes:
        accuracy: share of test rows classified right; NaN for a network that diverged, or whose
            rule had no scores because the probe did.
        loss: mean cross-entropy on test rows; NaN likewise.
        kept: number of rows kept.
        epoch: the epoch at which the test rows were read.
        balanced_accuracy: mean over classes of the share of test rows classified right; NaN
            likewise.
        worst_class_accuracy: the least of these shares; NaN likewise.
    """

    accuracy: np.ndarray
    loss: np.ndarray
    kept: int
    epoch: np.ndarray
    balanced_accuracy: np.ndarray
    worst_class_accuracy: np.ndarray


@with_own_settings
def refit(
    root: Array,
    split: Split,
    rank_keys: dict[str, np.ndarray],
    *,
    arms: Sequence[Arm | FixedSubset],
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
    found: dict[tuple[str, int], tuple[Measured, int]] = {
        (arm.name, i): (DIVERGED, 0) for arm in arms for i in range(repeats)
    }
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
        state = train_replicas(
            keys["refit"][own],
            samples,
            model=model,
            training=training,
            n_all=n_train,
            on_epoch=best if split.valid_rows.shape[1] else None,
            shape=split.shape,
        )
        params, epochs = best.chosen(state, training.plan(kept_count, n_train).epochs)
        rows, labels = split.test_rows[own], split.test_labels[own]
        measured = evaluate_rows(model, params, split.x, rows=rows, labels=labels)
        for (arm, i), one, epoch in zip(part, measured, epochs, strict=True):
            found[arm.name, i] = (one, int(epoch))
    return {
        arm.name: _gather([found[arm.name, i] for i in range(repeats)], kept_count) for arm in arms
    }


def _gather(found: list[tuple[Measured, int]], kept: int) -> Outcome:
    """One arm's repeats as an outcome."""
    accuracy, loss, balanced, worst = np.array([measured for measured, _ in found]).T
    epoch = np.array([epoch for _, epoch in found])
    return Outcome(accuracy, loss, kept, epoch, balanced, worst)

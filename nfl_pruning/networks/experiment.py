"""Paired experiments: one probe a seed scores its training set, every rule prunes it, all refit.

Repeats differ in everything random (split, label noise, probe, selection, refit); within a repeat
all rules share these keys, so differences between rules are paired.
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

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.networks.scoring import Look, logits_of, train_and_score
from nfl_pruning.networks.training import Training, is_finite, make_samples, train
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.selections import RankSelection, Selection, make_selection, select
from nfl_pruning.selections.finite import realised_counts
from nfl_pruning.validation import InvalidArgumentError, check_integer, check_number

STACK = 130  # replicas that train at once: bounds memory, and every stack size compiles anew


@dataclass(frozen=True)
class Arm:
    """A pruning rule to compare.

    Attributes:
        name: how records and figures call it.
        selection: the protocol; its kept count must not depend on chance.
        score: what it ranks by; None for a protocol that ignores scores.
        keep: ``"hardest"`` or ``"easiest"``.
    """

    name: str
    selection: Selection
    score: Score | None = None
    keep: str = "hardest"

    def __post_init__(self) -> None:
        if not isinstance(self.selection, RankSelection):
            raise InvalidArgumentError(
                f"comparisons need a protocol that keeps a fixed count; got {self.selection.label}."
            )


def make_arm(name: str, **choice: Any) -> Arm:
    """An arm from plain values: score (a name), keep, protocol, exploit."""
    score = choice.get("score")
    selection = make_selection(
        choice.get("protocol", "threshold"), exploit=choice.get("exploit", 0.5)
    )
    return Arm(
        name, selection, None if score is None else SCORES[score], choice.get("keep", "hardest")
    )


def check_counts(arms: Sequence[Arm], keep_fraction: float, n_samples: int) -> None:
    """Raise when an arm would keep nothing, or explore nothing, of ``n_samples``."""
    for arm in arms:
        if isinstance(arm.selection, RankSelection):
            realised_counts(arm.selection.strata(keep_fraction), n_samples)


class Split(NamedTuple):
    """Training and test rows of every repeat, over one table of inputs.

    Attributes:
        x: inputs for the network, shape (n, d), float32.
        train_rows: shape (repeats, n_train).
        train_labels: labels as trained on, noise included, same shape.
        test_rows: shape (repeats, n_test).
        test_labels: clean labels, same shape.
        n_classes: number of classes.
        shape: of one input before flattening.
    """

    x: Array
    train_rows: np.ndarray
    train_labels: np.ndarray
    test_rows: np.ndarray
    test_labels: np.ndarray
    n_classes: int
    shape: tuple[int, ...]


def network_inputs(x: np.ndarray, *, is_image: bool) -> np.ndarray:
    """Inputs for a network, float32: grey levels in [0, 1] become 2 x - 1, others are standardised.

    Standardising takes the moments of all rows given, and no label.
    """
    if is_image and x.min() >= 0 and x.max() <= 1:
        return (2 * x - 1).astype(np.float32)
    from nfl_pruning.multinomial import fit_scaling

    return fit_scaling(x, is_image=is_image)(x).astype(np.float32)


def make_split(
    root: Array,
    train: Dataset,
    test: Dataset | None = None,
    *,
    repeats: int,
    n_train: int | None = None,
    test_fraction: float = 0.3,
    label_noise: float = 0.0,
) -> Split:
    """Draw the training and test rows of each repeat; repeat i uses ``fold_in(root, i)``.

    Args:
        root: typed key.
        train: data to train on, and to take test rows from when there is no test part.
        test: a test part, used whole in each repeat.
        repeats: number of repeats, >= 1.
        n_train: training rows in a repeat; all that remain by default.
        test_fraction: share of rows to test on, in (0, 1), where there is no test part.
        label_noise: share of training labels replaced by another class at random, in [0, 1].
    """
    check_integer("repeats", repeats, 1)
    check_number("label_noise", label_noise, "[0, 1]")
    n = len(train)
    n_test = (
        0
        if test is not None
        else max(int(n * check_number("test_fraction", test_fraction, "(0, 1)")), 1)
    )
    n_train = n - n_test if n_train is None else check_integer("n_train", n_train, 1)
    if n_train > n - n_test:
        raise InvalidArgumentError(f"n_train must be at most {n - n_test}; got {n_train}.")
    table = train.x if test is None else np.concatenate([train.x, test.x])
    clean = train.y if test is None else np.concatenate([train.y, test.y])
    rows, held, labels = [], [], []
    for i in range(repeats):
        key_rows, key_noise = jax.random.split(jax.random.fold_in(root, i))
        order = np.asarray(jax.random.permutation(key_rows, n))
        rows.append(order[:n_train])
        held.append(order[n - n_test :] if test is None else np.arange(n, n + len(test)))
        labels.append(noisy_labels(key_noise, clean[rows[-1]], label_noise, len(train.classes)))
    train_rows, test_rows = np.array(rows), np.array(held)
    x = jnp.asarray(network_inputs(table, is_image=train.is_image))
    shape = train.shape
    return Split(
        x, train_rows, np.array(labels), test_rows, clean[test_rows], len(train.classes), shape
    )


def noisy_labels(key: Array, y: np.ndarray, share: float, n_classes: int) -> np.ndarray:
    """Labels of which exactly floor(share n + 1/2) are replaced by another class, uniformly."""
    count = int(np.floor(share * len(y) + 0.5))
    key_rows, key_shift = jax.random.split(key)
    rows = np.asarray(jax.random.permutation(key_rows, len(y)))[:count]
    shift = np.asarray(jax.random.randint(key_shift, (count,), 1, n_classes))
    noisy = y.copy()
    noisy[rows] = (noisy[rows] + shift) % n_classes
    return noisy


def repeat_keys(root: Array, repeats: int) -> dict[str, Array]:
    """Keys of each purpose, one a repeat."""
    own = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(root, i), 3))(jnp.arange(repeats))
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

    The probe trains on all training rows and scores these same rows, as is done in practice.

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
    keys = repeat_keys(root, len(split.train_rows))["probe"]
    samples = make_samples(split.x, split.train_rows, split.train_labels)
    wanted = sorted({epochs[score.name] for score in scores})
    recorder, _ = train_and_score(
        keys,
        samples,
        model=model,
        training=training,
        look=Look(tuple(scores), scope),
        epochs=wanted,
        on_epoch=on_epoch,
    )
    return {s.name: recorder.stacked(s.name)[wanted.index(epochs[s.name])] for s in scores}


class Outcome(NamedTuple):
    """Refits of one arm, one entry a repeat.

    Attributes:
        accuracy: share of test rows classified right; NaN for a network that diverged.
        loss: mean cross-entropy on test rows; NaN likewise.
        kept: number of rows kept.
    """

    accuracy: np.ndarray
    loss: np.ndarray
    kept: int


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

    Args:
        root: typed key of the experiment.
        split: the rows.
        rank_keys: from :func:`probe_scores`.
        arms: the rules.
        keep_fraction: share to keep, in (0, 1].
        model: the network that is refitted.
        training: how it is trained; the test rows are read after its last epoch.
    """
    repeats, n_train = split.train_rows.shape
    keys = repeat_keys(root, repeats)
    jobs = [(arm, i) for arm in arms for i in range(repeats)]
    results: dict[str, list[tuple[float, float]]] = {arm.name: [] for arm in arms}
    kept_count = 0
    for start in range(0, len(jobs), STACK):
        part = jobs[start : start + STACK]
        chosen = []
        for arm, i in part:
            values = np.zeros(n_train) if arm.score is None else rank_keys[arm.score.name][i]
            chosen.append(
                select(
                    keys["select"][i], values, keep_fraction, keep=arm.keep, selection=arm.selection
                )
            )
        kept_count = len(chosen[0].indices)
        own = np.array([i for _, i in part])
        places = np.array([pick.indices for pick in chosen])
        samples = make_samples(
            split.x,
            split.train_rows[own[:, None], places],
            split.train_labels[own[:, None], places],
            weights=np.array([pick.weights[pick.indices] for pick in chosen]),
        )
        state = train(keys["refit"][own], samples, model=model, training=training, n_all=n_train)
        measured = measure(model, state.params, split, own)
        for (arm, _), pair in zip(part, measured, strict=True):
            results[arm.name].append(pair)
    return {name: Outcome(*np.array(pairs).T, kept=kept_count) for name, pairs in results.items()}


def measure(
    model: nn.Module, params: Any, split: Split, own: np.ndarray
) -> list[tuple[float, float]]:
    """(accuracy, loss) on the test rows of each replica's repeat; NaN where it diverged."""
    labels = split.test_labels[own]
    logits = logits_of(model, params, split.x, rows=split.test_rows[own]).astype(np.float64)
    right = (logits.argmax(axis=2) == labels).mean(axis=1)
    at_label = np.take_along_axis(logits, labels[..., None], axis=2)[..., 0]
    with np.errstate(invalid="ignore"):
        loss = (np.asarray(logsumexp(logits, axis=2)) - at_label).mean(axis=1)
    finite = is_finite(params) & np.isfinite(loss)
    pairs = zip(right, loss, finite, strict=True)
    return [(float(a), float(b)) if ok else (np.nan, np.nan) for a, b, ok in pairs]

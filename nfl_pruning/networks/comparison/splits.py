"""Which rows every repeat trains, validates and tests on, and what is done to their labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.data.dataset import Dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.standardising import is_grey, network_inputs
from nfl_pruning.settings import with_own_settings
from nfl_pruning.validation import check_integer, check_number

ROWS = ("train_rows", "valid_rows", "test_rows")
PER_REPEAT = ("train_labels", "valid_labels", "test_labels", "numbers")


@dataclass(frozen=True)
class Split:
    """Training, validation and test rows of every repeat, over one table of inputs.

    Grey levels in [0, 1] are scaled by a fixed map, so all repeats share one block of ``x``. Other
    inputs are standardised with the moments of a repeat's own training rows, and never of its
    validation or test rows; then ``x`` holds a block of n inputs for each repeat, one after
    another, and row i of the data is row ``place * n + i`` of ``x``.

    Attributes:
        table: inputs as the data have them, training part before test part, shape (n, d).
        is_image: whether they are pixels.
        train_rows: rows of ``x``, shape (repeats, n_train).
        train_labels: labels as trained on, noise included, same shape.
        valid_rows: shape (repeats, n_valid); n_valid is 0 without a validation part.
        valid_labels: labels with the same noise as the training labels.
        test_rows: shape (repeats, n_test).
        test_labels: clean labels, same shape.
        n_classes: number of classes.
        shape: of one input before flattening.
        numbers: which repeats these are, shape (repeats,); repeat i owns ``fold_in(root, i)``.
    """

    table: np.ndarray
    is_image: bool
    train_rows: np.ndarray
    train_labels: np.ndarray
    valid_rows: np.ndarray
    valid_labels: np.ndarray
    test_rows: np.ndarray
    test_labels: np.ndarray
    n_classes: int
    shape: tuple[int, ...]
    numbers: np.ndarray

    @cached_property
    def x(self) -> Array:
        """Inputs for the network, float32, shape (n, d), or (repeats n, d) where standardised."""
        if is_grey(self.table, self.is_image):
            return jnp.asarray(network_inputs(self.table, is_image=True))
        n = len(self.table)
        blocks = [
            network_inputs(self.table, is_image=self.is_image, fitted=self.table[own % n])
            for own in self.train_rows
        ]
        return jnp.asarray(np.concatenate(blocks))

    def only(self, place: int) -> Split:
        """The split of one repeat; it trains as it would among the others.

        Its rows count within its own block of inputs, so they are rows of the data.
        """
        part, n = slice(place, place + 1), len(self.table)
        rows = {name: getattr(self, name)[part] % n for name in ROWS}
        return replace(self, **rows, **{name: getattr(self, name)[part] for name in PER_REPEAT})


@with_own_settings
def make_split(
    root: Array,
    train: Dataset,
    test: Dataset | None = None,
    *,
    repeats: int,
    n_train: int | None = None,
    test_fraction: float = 0.3,
    validation: float = 0.0,
    label_noise: float = 0.0,
    imbalance: float = 1.0,
) -> Split:
    """Draw the rows of each repeat; repeat i uses ``fold_in(root, i)``.

    Inputs that are standardised take the moments of each repeat's training rows (see
    :class:`Split`).

    Args:
        root: typed key.
        train: data to train on, and to take test rows from when there is no test part.
        test: a test part, used whole in each repeat.
        repeats: number of repeats, >= 1; a repeat's rows do not depend on it unless classes are
            thinned.
        n_train: rows in a repeat that are not tested on, validation included, before classes are
            thinned; all that remain by default.
        test_fraction: share of rows to test on, in (0, 1), where there is no test part.
        validation: share of those n_train rows that is held out to choose an epoch, in [0, 1); 0,
            or a share that rounds to one row at least and leaves one at least.
        label_noise: share of training labels, and of validation labels, replaced by another class
            at random, in [0, 1].
        imbalance: the first class keeps this many times the share of the last, those between in
            geometric steps (Cui et al. 2019, arXiv 1901.05555), >= 1; test rows stay as they are.
            All repeats keep the same counts, so more repeats can mean fewer rows.
    """
    check_integer("repeats", repeats, 1)
    check_number("label_noise", label_noise, "[0, 1]")
    check_number("validation", validation, "[0, 1)")
    check_number("imbalance", imbalance, "[1, inf)")
    n, n_test = len(train), 0
    if test is None:
        n_test = max(int(n * check_number("test_fraction", test_fraction, "(0, 1)")), 1)
    n_train = n - n_test if n_train is None else check_integer("n_train", n_train, 1)
    if n_train > n - n_test:
        raise InvalidArgumentError(f"n_train must be at most {n - n_test}; got {n_train}.")
    n_valid = int(np.floor(validation * n_train + 0.5))
    if validation > 0 and not 1 <= n_valid < n_train:
        raise InvalidArgumentError(
            f"validation must hold out at least one of the {n_train} training rows and leave at "
            f"least one; got {validation}."
        )
    table = train.x if test is None else np.concatenate([train.x, test.x])
    clean = train.y if test is None else np.concatenate([train.y, test.y])
    n_classes = len(train.classes)
    keys = [jax.random.split(jax.random.fold_in(root, i)) for i in range(repeats)]
    orders = np.array([jax.random.permutation(pair[0], n) for pair in keys])
    valid, pool = orders[:, n_train - n_valid : n_train], orders[:, : n_train - n_valid]
    rows = _thinned(pool, clean, n_classes, imbalance)
    tested = (
        orders[:, n - n_test :] if test is None else np.tile(np.arange(n, len(clean)), (repeats, 1))
    )
    noisy = [
        noisy_labels(pair[1], clean[own], label_noise, n_classes)
        for pair, own in zip(keys, rows, strict=True)
    ]
    checked = [
        noisy_labels(jax.random.fold_in(pair[1], 1), clean[own], label_noise, n_classes)
        for pair, own in zip(keys, valid, strict=True)
    ]
    numbers, grey = np.arange(repeats), is_grey(table, train.is_image)
    block = (0 if grey else len(table)) * numbers[:, None]
    labelled = (rows + block, np.array(noisy), valid + block, np.array(checked), tested + block)
    return Split(table, train.is_image, *labelled, clean[tested], n_classes, train.shape, numbers)


def _thinned(pool: np.ndarray, labels: np.ndarray, n_classes: int, imbalance: float) -> np.ndarray:
    """The first rows of each class in every repeat's list; all repeats keep the same counts."""
    if imbalance == 1:
        return pool
    counts = np.array([np.bincount(labels[own], minlength=n_classes) for own in pool]).min(axis=0)
    shares = imbalance ** -(np.arange(n_classes) / max(n_classes - 1, 1))
    wanted = np.minimum(counts, np.maximum(np.floor(counts * shares + 0.5), 1)).astype(int)
    found = []
    for own in pool:
        seen = np.zeros(len(own), int)  # how many of the same class come before
        for code in range(n_classes):
            members = labels[own] == code
            seen[members] = np.arange(members.sum())
        found.append(own[seen < wanted[labels[own]]])
    return np.array(found)


def noisy_labels(key: Array, y: np.ndarray, share: float, n_classes: int) -> np.ndarray:
    """Labels of which exactly floor(share n + 1/2) are replaced by another class, uniformly."""
    count = int(np.floor(share * len(y) + 0.5))
    key_rows, key_shift = jax.random.split(key)
    rows = np.asarray(jax.random.permutation(key_rows, len(y)))[:count]
    shift = np.asarray(jax.random.randint(key_shift, (count,), 1, n_classes))
    noisy = y.copy()
    noisy[rows] = (noisy[rows] + shift) % n_classes
    return noisy

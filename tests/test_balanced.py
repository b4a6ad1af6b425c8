"""Class quotas: counts by hand, exact totals, and weights that stay unbiased."""

import jax
import numpy as np
import pytest

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.selections.balanced import class_quotas, select_by_class


@pytest.mark.parametrize(
    ("sizes", "fraction", "balance", "quotas"),
    [
        ([10, 20, 70], 0.1, "proportional", [1, 2, 7]),
        ([10, 20, 70], 0.25, "proportional", [3, 5, 17]),  # 2.5, 5, 17.5: the first remainder wins
        ([10, 20, 70], 0.3, "equal", [10, 10, 10]),
        ([2, 20, 70], 0.5, "equal", [2, 20, 24]),
        ([5, 5, 5], 7 / 15, "equal", [3, 2, 2]),
        ([5, 5], 1.0, "equal", [5, 5]),
    ],
)
def test_quotas_by_hand(sizes, fraction, balance, quotas):
    np.testing.assert_array_equal(class_quotas(np.array(sizes), fraction, balance), quotas)


def test_totals_are_exact_and_no_class_is_exceeded():
    rng = np.random.default_rng(0)
    for _ in range(300):
        sizes = rng.integers(1, 60, rng.integers(2, 8))
        fraction = rng.uniform(0.01, 1)
        for balance in ("proportional", "equal"):
            quotas = class_quotas(sizes, fraction, balance)
            assert quotas.sum() == int(np.floor(fraction * sizes.sum() + 0.5))
            assert (quotas >= 0).all()
            assert (quotas <= sizes).all()


def test_each_class_keeps_its_own_hardest():
    rng = np.random.default_rng(1)
    labels, scores = np.repeat([0, 1, 2], [40, 30, 10]), rng.normal(size=80)
    scores[labels == 1] += 100  # without quotas class 1 would take everything
    found = select_by_class(jax.random.key(0), scores, labels, keep_fraction=0.3, balance="equal")
    for code in range(3):
        own = np.flatnonzero(labels == code)
        kept = np.intersect1d(found.indices, own)
        assert len(kept) == 8
        assert scores[kept].min() >= np.delete(scores[own], np.searchsorted(own, kept)).max()


@pytest.mark.parametrize("protocol", ["random", "threshold", "exact"])
@pytest.mark.parametrize("keep", ["hardest", "easiest"])
def test_scores_that_tie_at_zero_keep_their_quotas(protocol, keep):
    """Forgetting events are mostly 0; classes are padded to one size, and padding never wins."""
    labels = np.repeat([0, 1, 2], [21, 10, 5])
    for scores in (np.zeros(36), np.arange(36.0) % 2):
        found = select_by_class(
            jax.random.key(0),
            scores,
            labels,
            keep_fraction=0.3,
            balance="equal",
            keep=keep,
            selection=protocol,
        )
        np.testing.assert_array_equal(np.bincount(labels[found.indices]), [4, 4, 3])


@pytest.mark.parametrize("balance", ["proportional", "equal"])
def test_exact_calibration_weighs_every_class_in_full(balance):
    rng = np.random.default_rng(2)
    labels, scores = np.repeat([0, 1, 2], [40, 30, 10]), rng.normal(size=80)
    found = select_by_class(
        jax.random.key(0), scores, labels, keep_fraction=0.5, balance=balance, selection="exact"
    )
    np.testing.assert_allclose(np.bincount(labels, found.weights), [40, 30, 10])
    kept = found.indices
    np.testing.assert_allclose(found.weights[kept] * found.keep_probabilities[kept], 1)


def test_bad_input():
    key, scores, labels = jax.random.key(0), np.arange(6.0), np.array([0, 0, 0, 1, 1, 1])
    for message, change in {
        "fixed count": {"selection": "power:1"},
        "balance": {"balance": "fair"},
        "keep_fraction": {"keep_fraction": 0},
        "fewer than one": {"keep_fraction": 0.01},
    }.items():
        with pytest.raises(InvalidArgumentError, match=message):
            select_by_class(key, scores, labels, **({"keep_fraction": 0.5} | change))
    with pytest.raises(InvalidArgumentError, match="as long"):
        select_by_class(key, scores, labels[:5], keep_fraction=0.5)

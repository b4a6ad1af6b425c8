"""Samples that tie have one keep probability: the share of draws that keep them."""

import jax
import numpy as np
import pytest

from nfl_pruning.selections import make_selection, select
from nfl_pruning.selections.balanced import select_by_class
from nfl_pruning.selections.coverage import Coverage
from nfl_pruning.selections.window import Window

SCORES = np.array([3.0] * 2 + [2.0] * 5 + [1.0] * 4 + [0.0, -0.0, 0.5, 4.0] + [-1.0] * 5)
CLASSES = np.arange(20) % 2
DRAWS = 400


def draws(choose):
    found = [choose(jax.random.key(i)) for i in range(DRAWS)]
    weights = np.stack([f.weights for f in found])
    probabilities = np.stack([f.keep_probabilities for f in found])
    assert (probabilities == probabilities[0]).all()  # given the scores, not the draw
    return weights, probabilities[0]


@pytest.mark.parametrize("keep", ["hardest", "easiest"])
@pytest.mark.parametrize(
    "selection",
    ["threshold", "exact", "soft:0.5", Window(0.2), Coverage(0.2)],
    ids=lambda s: s if isinstance(s, str) else s.name,
)
def test_tied_samples_are_kept_as_often_as_said(selection, keep):
    rule = make_selection(selection, exploit=0.5)
    weights, chance = draws(lambda key: select(key, SCORES, 0.3, keep=keep, selection=rule))
    for value in np.unique(SCORES):
        assert np.ptp(chance[value == SCORES]) < 1e-15
    assert abs(chance.sum() - 6) < 1e-12
    error = np.sqrt(chance * (1 - chance) / DRAWS)
    shares = (weights > 0).mean(0)
    assert (np.abs(shares - chance) <= 4.5 * error + 1e-12).all()
    mixed = (chance > 0.05) & (chance < 0.95)
    assert mixed.sum() >= 2
    assert (np.abs(shares - chance[::-1])[mixed] > 4.5 * error[mixed]).any()  # a control


def test_exact_calibration_stays_unbiased_under_ties():
    rule = make_selection("exact", exploit=0.5)
    weights = draws(lambda key: select(key, SCORES, 0.4, selection=rule))[0]
    np.testing.assert_allclose(weights.sum(1), 20, rtol=1e-12)
    error = weights.std(0) / np.sqrt(DRAWS)
    assert (np.abs(weights.mean(0) - 1) < 4.5 * error + 1e-12).all()


def test_ties_within_a_class():
    def choose(key):
        return select_by_class(key, SCORES, CLASSES, keep_fraction=0.4, selection="exact")

    weights, chance = draws(choose)
    error = np.sqrt(chance * (1 - chance) / DRAWS)
    assert (np.abs((weights > 0).mean(0) - chance) <= 4.5 * error + 1e-12).all()
    for label in (0, 1):
        for value in np.unique(SCORES):
            tied = (value == SCORES) & (label == CLASSES)
            assert not tied.any() or np.ptp(chance[tied]) < 1e-15

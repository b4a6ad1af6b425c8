"""Smaller budgets are beginnings of larger ones, and equal what pruning at them gives."""

import jax
import numpy as np
import pytest

from nfl_pruning.data import make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.resizing import load_pruned, resize
from nfl_pruning.pruning.run import prune
from nfl_pruning.selections import make_selection, select
from nfl_pruning.selections.nested import nested_order

RNG = np.random.default_rng(0)
N = 60
SCORES = RNG.normal(size=N)
TIED = np.round(SCORES)
DATA = make_dataset("mine", RNG.normal(size=(N, 2)), np.arange(N) % 3)
RULES = ["threshold", "random", "exact", "soft:0.5"]


@pytest.mark.parametrize("scores", [SCORES, TIED], ids=["distinct", "tied"])
@pytest.mark.parametrize("exploit", [0.05, 0.5, 0.93])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("keep", ["hardest", "easiest"])
def test_beginnings_of_the_order_are_the_subsets(rule, exploit, scores, keep):
    key, selection = jax.random.key(5), make_selection(rule, exploit=exploit)
    for fraction in (0.25, 0.5, 40.4 / N, 0.991):
        how = {"keep": keep, "selection": selection}
        order = nested_order(key, scores, fraction, **how)
        kept = select(key, scores, fraction, **how)
        assert order is not None
        assert set(order.order[: len(kept.indices)]) == set(kept.indices)
        np.testing.assert_array_equal(np.sort(order.order), np.arange(N))
    other = nested_order(jax.random.key(6), scores, 0.25, **how)
    assert other is not None
    if rule != "threshold":  # the lots matter, or the test above could not fail
        assert set(other.order[:15]) != set(order.order[:15])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scores", [SCORES, TIED], ids=["distinct", "tied"])
def test_resizing_is_pruning_at_that_size(rule, scores):
    how = {"scores": scores, "selection": rule, "seed": 3}
    large = prune(DATA, keep_fraction=0.7, **how)
    for fraction in (0.5, 0.2, 0.9, 1.0):
        small, fresh = resize(large, fraction), prune(DATA, keep_fraction=fraction, **how)
        np.testing.assert_array_equal(small.indices, fresh.indices)
        np.testing.assert_allclose(small.weights, fresh.weights)
        np.testing.assert_allclose(small.keep_probabilities, fresh.keep_probabilities)
        assert small.class_counts == fresh.class_counts
        assert set(small.indices) <= set(large.indices) or fraction > 0.7
        assert set(large.order[: len(small.indices)]) == set(small.indices)
    assert set(resize(resize(large, 0.2), 0.7).indices) == set(large.indices)


def test_probe_scores_survive_the_file(tmp_path):
    large = prune(DATA, keep_fraction=0.5, seed=1)
    large.save(tmp_path / "s.npz")
    small = resize(load_pruned(tmp_path / "s.npz", DATA), 0.2)
    fresh = prune(DATA, keep_fraction=0.2, seed=1)
    np.testing.assert_array_equal(small.indices, fresh.indices)
    np.testing.assert_allclose(small.weights, fresh.weights)
    other = make_dataset("other", DATA.x + 1, DATA.y)
    with pytest.raises(InvalidArgumentError, match="other data"):
        load_pruned(tmp_path / "s.npz", other)
    np.savez(tmp_path / "no.npz", **dict.fromkeys(("indices", "weights", "scores"), np.zeros(1)))
    with pytest.raises(InvalidArgumentError, match="must hold"):
        load_pruned(tmp_path / "no.npz", DATA)


@pytest.mark.parametrize(
    "how", [{"selection": "window:0.1"}, {"selection": "power:1"}, {"balance": "equal"}]
)
def test_other_rules_have_an_order_but_no_resizing(how):
    pruned = prune(DATA, keep_fraction=0.3, seed=0, **how)
    kept = len(pruned.indices)
    assert set(pruned.order[:kept]) == set(pruned.indices)
    np.testing.assert_array_equal(np.sort(pruned.order), np.arange(N))
    with pytest.raises(InvalidArgumentError, match="nested"):
        resize(pruned, 0.2)


@pytest.mark.parametrize("fraction", [0, 1.2, 0.001])
def test_fractions_out_of_range_are_refused(fraction):
    pruned = prune(DATA, keep_fraction=0.3, seed=0)
    with pytest.raises(InvalidArgumentError, match="keep"):
        resize(pruned, fraction)

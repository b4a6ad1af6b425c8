"""Calibration explored in other ways: counts, weights that average to 1, and what has a limit."""

import jax
import numpy as np
import pytest

from nfl_pruning import Problem, make_selection, solve
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.selections import select
from nfl_pruning.selections.explored import neyman_counts
from nfl_pruning.selections.explored_quotas import select_explored_by_class

pytestmark = pytest.mark.optimised

N, R = 60, 0.4
VALUES = np.random.default_rng(0).exponential(size=N)
LABELS = np.repeat([0, 1, 2], [30, 20, 10])
DRAWS = 300
UNBIASED = ["exact", "clipped:10", "middle:0.2:1", "stratified:4", "neyman:4:0", "neyman:4:0.5"]
BIASED = ["clipped:1.5", "middle:0.2:0", "soft:0.5"]


def draws(protocol, exploit=0.4, values=VALUES, by_class=False):
    """Weights of many selections, shape (draws, n)."""
    rule = make_selection(protocol, exploit=exploit)
    how = {"keep": "hardest", "selection": rule}
    keys = jax.random.split(jax.random.key(5), DRAWS)
    if by_class:
        found = [
            select_explored_by_class(key, values, LABELS, keep_fraction=R, **how) for key in keys
        ]
    else:
        found = [select(key, values, R, **how) for key in keys]
    return found


def biggest_departure(found):
    """Largest departure of a sample's mean weight from 1, in its own standard errors."""
    weights = np.array([one.weights for one in found])
    error = weights.std(axis=0, ddof=1) / np.sqrt(len(weights))
    assert error.max() < 0.25  # the test's own precision
    gap = np.abs(weights.mean(axis=0) - 1)
    assert (gap[error == 0] < 1e-12).all() or (gap[error == 0] > 0.1).any()
    return float((gap / np.where(error == 0, 1e-3, error)).max())


@pytest.mark.parametrize("protocol", UNBIASED)
def test_the_mean_weight_of_every_sample_is_one(protocol):
    found = draws(protocol)
    assert {len(one.indices) for one in found} == {24}
    assert biggest_departure(found) < 4.5
    for one in found[:3]:
        assert one.weights.sum() == pytest.approx(N)
        assert one.keep_probabilities.sum() == pytest.approx(24)


@pytest.mark.parametrize("protocol", BIASED)
def test_bias_would_be_seen(protocol):
    """The control: what is biased by design departs by far more."""
    assert biggest_departure(draws(protocol)) > 10


def test_quotas_of_the_explored_part_are_unbiased_and_exact():
    found = draws("exact", by_class=True)
    assert biggest_departure(found) < 4.5
    first = set(np.argsort(-VALUES)[:10])  # floor(0.4 * 24 + 1/2)
    for one in found[:20]:
        assert first <= set(one.indices) and len(one.indices) == 24
        explored = np.array(sorted(set(one.indices) - first))
        left = np.array(sorted(set(range(N)) - first))
        wanted = np.bincount(LABELS[left]) * 14 / 50
        assert (np.abs(np.bincount(LABELS[explored], minlength=3) - wanted) < 1).all()
        assert one.keep_probabilities.sum() == pytest.approx(24)
    free = [len(set(one.indices[LABELS[one.indices] == 0])) for one in draws("exact")]
    assert len(set(free)) > 2  # without quotas the counts of a class vary


def test_strata_leave_no_variance_between_bands():
    """The weighted mean of a step over the bands is exact under stratification alone."""
    step = np.empty(N)
    step[np.argsort(-VALUES)] = np.repeat([9.0, 1, 2, 3, 4], [12, 12, 12, 12, 12])
    spread = {}
    for protocol in ("exact", "stratified:4"):
        found = draws(protocol, exploit=0.5)  # 12 exploited, 3 of 12 of each of the other bands
        spread[protocol] = np.std([one.weights @ step / N for one in found])
    assert spread["stratified:4"] < 1e-12 < 0.05 < spread["exact"]


def test_neyman_counts_by_hand():
    even, sizes = np.ones(3), np.array([10, 10, 10])
    np.testing.assert_array_equal(neyman_counts(sizes, even, 6), [2, 2, 2])
    np.testing.assert_array_equal(neyman_counts(sizes, np.array([3.0, 2, 1]), 12), [6, 4, 2])
    np.testing.assert_array_equal(neyman_counts(sizes, np.array([9.0, 1, 0]), 15), [10, 4, 1])
    np.testing.assert_array_equal(neyman_counts(sizes, np.zeros(3), 7), [3, 2, 2])
    np.testing.assert_array_equal(neyman_counts(sizes, even, 30), sizes)


def test_neyman_counts_fit_whatever_they_get():
    rng = np.random.default_rng(0)
    for _ in range(300):
        sizes = rng.integers(1, 30, rng.integers(1, 8))
        spreads = rng.exponential(size=len(sizes)) ** 4 * (rng.random(len(sizes)) < 0.8)
        total = int(rng.integers(len(sizes), sizes.sum() + 1))
        counts = neyman_counts(sizes, spreads, total)
        assert counts.sum() == total and (counts >= 1).all() and (counts <= sizes).all()


def test_neyman_lessens_the_variance_of_what_the_score_measures():
    signs = np.where(np.random.default_rng(1).random(N) < 0.5, -1, 1)
    spread = {
        protocol: np.std([one.weights @ (signs * VALUES) for one in draws(protocol, exploit=0)])
        for protocol in ("exact", "neyman:4:0")
    }
    assert spread["neyman:4:0"] < 0.8 * spread["exact"]


def test_tied_scores_share_their_chances():
    values = np.repeat([3.0, 1.0], [5, 55])
    for protocol in ("middle:0.2:1", "stratified:4", "neyman:4:0.5"):
        one = select(jax.random.key(0), values, R, selection=protocol, exploit=0.4)
        assert len(np.unique(one.keep_probabilities.round(12))) <= 2
    how = {"keep_fraction": R, "keep": "hardest", "selection": make_selection("exact")}
    one = select_explored_by_class(jax.random.key(0), values, LABELS, **how)
    assert one.keep_probabilities.sum() == pytest.approx(24, abs=0.5)


def test_limits():
    """Strata of one rate have exact calibration's limit; a cap's lies between soft ends."""
    problem = Problem(keep_fraction=0.3, samples_per_feature=6)
    error = {
        text: solve(problem.replace(selection=make_selection(text, exploit=0.4))).test_error
        for text in ("exact", "stratified:7", "clipped:1", "soft:0", "clipped:99", "clipped:2")
    }
    assert error["stratified:7"] == pytest.approx(error["exact"], abs=1e-9)
    assert error["clipped:1"] == pytest.approx(error["soft:0"], abs=1e-9)
    assert error["clipped:99"] == pytest.approx(error["exact"], abs=1e-9)
    assert abs(error["clipped:2"] - error["exact"]) > 1e-3
    whole = problem.replace(selection=make_selection("middle:0.2:1", exploit=1.0))
    window = solve(problem.replace(selection="window:0.2")).test_error
    assert solve(whole).test_error == pytest.approx(window, abs=1e-9)
    drawn = solve(problem.replace(selection=make_selection("neyman:5:0.5")))
    assert drawn.status.value == "unsupported"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("clipped:0.5", "clipped cap"),
        ("middle:0.9:1", "middle offset"),
        ("middle:1:1", "middle offset"),
        ("middle:0.1:2", "middle exponent"),
        ("stratified:1.5", "whole number"),
        ("stratified:0", "stratified bands"),
        ("stratified:40", "no sample is left to explore"),
        ("neyman:40:0.5", "no sample is left to explore"),
        ("neyman:4:2", "neyman equal"),
    ],
)
def test_refusals(text, word):
    with pytest.raises(InvalidArgumentError, match=word):
        select(jax.random.key(0), VALUES, R, selection=text, exploit=0.4)


def test_refusals_of_values_and_rules():
    with pytest.raises(InvalidArgumentError, match="sizes, 0 or more"):
        select(jax.random.key(0), -VALUES, R, selection="neyman:4:0.5")
    for text in ("threshold", "window:0.1", "stratified:4", "power:1"):
        how = {"keep_fraction": R, "keep": "hardest", "selection": make_selection(text)}
        with pytest.raises(InvalidArgumentError, match="explored part"):
            select_explored_by_class(jax.random.key(0), VALUES, LABELS, **how)
    with pytest.raises(InvalidArgumentError, match="balance"):
        Problem(balance="explored")
    few = {"keep_fraction": 0.05, "keep": "hardest", "selection": make_selection("exact")}
    with pytest.raises(InvalidArgumentError, match="left to explore in class"):
        select_explored_by_class(jax.random.key(0), VALUES, LABELS, **few)

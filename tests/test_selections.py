"""What stays, how many, with which weights, and that chance is fair."""

# Texts stand for objects and numbers may be None here; a test fails where that is wrong.

from dataclasses import dataclass
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.problem import Problem
from nfl_pruning.selections import (
    SELECTIONS,
    ExactCalibration,
    Power,
    RankSelection,
    Stratum,
    make_selection,
    register_selection,
    select,
)
from nfl_pruning.selections.base import Selection
from nfl_pruning.selections.finite import propensity_weights, rank_weights, realised_counts
from nfl_pruning.theory.solve import solve

KEY = jax.random.key(7)
RANK_PROTOCOLS = ("threshold", "random", "exact", "soft:0.5")


def scores(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def test_every_protocol_is_covered_here():
    found = {name.split(":")[0] for name in RANK_PROTOCOLS} | {
        "power",
        "window",
        "coverage",
        "verifier",
        *("clipped", "middle", "stratified", "neyman"),  # in test_explored.py
    }
    assert found == set(SELECTIONS)


@pytest.mark.parametrize("protocol", RANK_PROTOCOLS)
@pytest.mark.parametrize("n", [10, 97])
def test_rank_protocols_keep_the_rounded_count(protocol, n):
    for r in (0.05, 0.15, 0.25, 0.3, 0.5, 0.77, 1.0):
        for exploit in (0.0, 0.4):
            if (protocol == "soft:0.5" or protocol == "exact") and r * n * (1 - exploit) < 0.5:
                continue
            kept = select(KEY, scores(n), r, selection=protocol, exploit=exploit)
            expected = int(np.floor(round(r * n, 9) + 0.5))
            assert len(kept.indices) == expected == np.count_nonzero(kept.weights)
            assert (np.diff(kept.indices) > 0).all()
            np.testing.assert_allclose(kept.keep_probabilities.sum(), expected, rtol=1e-12)
            assert ((kept.weights > 0) <= (kept.keep_probabilities > 0)).all()


@pytest.mark.parametrize("keep", ["hardest", "easiest"])
def test_threshold_keeps_the_end_that_it_names(keep):
    values = scores(50)
    kept = select(KEY, values, 0.3, keep=keep).indices
    rest = np.setdiff1d(np.arange(50), kept)
    if keep == "hardest":
        assert values[kept].min() > values[rest].max()
    else:
        assert values[kept].max() < values[rest].min()


@pytest.mark.parametrize("protocol", ["exact", "soft:0.5"])
@pytest.mark.parametrize("keep", ["hardest", "easiest"])
def test_calibration_exploits_the_end_that_it_names(protocol, keep):
    values = scores(40)
    kept = select(KEY, values, 0.5, keep=keep, selection=protocol, exploit=0.5)
    first = np.argsort(-values if keep == "hardest" else values)[:10]
    assert (kept.weights[first] == 1).all() and (kept.keep_probabilities[first] == 1).all()
    rest = np.setdiff1d(np.arange(40), first)
    assert np.count_nonzero(kept.weights[rest]) == 10
    np.testing.assert_allclose(kept.keep_probabilities[rest], 1 / 3)
    weight = 3.0 if protocol == "exact" else 3.0**0.5
    np.testing.assert_allclose(kept.weights[rest][kept.weights[rest] > 0], weight)


@pytest.mark.parametrize("protocol", RANK_PROTOCOLS)
def test_monotone_transforms_of_a_score_change_nothing(protocol):
    values = scores(60)
    plain = select(KEY, values, 0.4, selection=protocol)
    for transformed in (np.exp(3 * values), values**3, np.argsort(np.argsort(values))):
        other = select(KEY, transformed, 0.4, selection=protocol)
        np.testing.assert_array_equal(plain.weights, other.weights)
    if protocol != "random":  # the random rule draws the same lots whatever the score
        turned = select(KEY, -values, 0.4, selection=protocol)
        assert (plain.weights != turned.weights).any()


def test_full_exploitation_is_threshold_and_none_is_random():
    values = scores(40)
    exact = select(KEY, values, 0.3, selection="exact", exploit=1.0)
    np.testing.assert_array_equal(exact.weights, select(KEY, values, 0.3).weights)
    none = select(KEY, values, 0.3, selection="exact", exploit=0.0)
    uniform = select(KEY, values, 0.3, selection="random")
    np.testing.assert_array_equal(none.indices, uniform.indices)
    np.testing.assert_allclose(none.weights[none.indices], 1 / 0.3)
    np.testing.assert_array_equal(uniform.weights[uniform.indices], 1.0)
    everything = select(KEY, values, 1.0, selection="exact")
    np.testing.assert_array_equal(everything.weights, 1.0)


@pytest.mark.parametrize(
    ("n", "r", "exploit", "keep"),
    [(7, 0.6, 0.5, "hardest"), (8, 0.5, 0.25, "easiest"), (6, 0.5, 0.0, "hardest")],
)
def test_exact_calibration_is_unbiased_for_every_function(n, r, exploit, keep):
    """Enumerate: the mean weight of each sample over all equally likely subsets is exactly 1.

    (1/n) sum S w f has expectation (1/n) sum E[S w] f, which is the full mean for all f only then.
    """
    first, rest = realised_counts(ExactCalibration(exploit).strata(r), n)
    values = scores(n)
    order = np.argsort(-values if keep == "hardest" else values)
    possible = {}
    for chosen in combinations(order[first.size :], rest.kept):
        weights = np.zeros(n)
        weights[order[: first.size]] = 1.0
        weights[list(chosen)] = (n - first.size) / rest.kept
        possible[tuple(weights > 0)] = weights
    mean = np.mean(list(possible.values()), axis=0)
    np.testing.assert_allclose(mean, 1.0, rtol=1e-14)
    f = np.random.default_rng(1).exponential(size=n)
    np.testing.assert_allclose(np.mean(mean * f), f.mean(), rtol=1e-14)

    counts = subset_counts(n, r, exploit, keep)
    assert set(counts) == set(possible)
    for mask, weights in possible.items():
        np.testing.assert_allclose(counts[mask][1], weights)
    seen = np.array([count for count, _ in counts.values()])
    assert chisquare(seen).pvalue > 1e-3
    assert chisquare(seen + np.eye(len(seen), dtype=int)[0] * int(0.1 * seen.sum())).pvalue < 1e-6


def subset_counts(n, r, exploit, keep, trials=4000):
    """How often each subset is drawn, with its weights: dict mask -> (count, weights)."""
    counts = realised_counts(ExactCalibration(exploit).strata(r), n)
    keys = jax.random.split(jax.random.key(n), trials)
    with jax.enable_x64(True):
        values = jnp.asarray(scores(n))
        drawn = np.asarray(jax.vmap(lambda k: rank_weights(k, values, counts, keep)[0])(keys))
    found = {}
    for weights in drawn:
        mask = tuple(weights > 0)
        found[mask] = (found.get(mask, (0, None))[0] + 1, weights)
    one = select(keys[0], scores(n), r, keep=keep, selection="exact", exploit=exploit)
    np.testing.assert_allclose(one.weights, drawn[0])  # the public function draws the same
    return found


def test_ties_are_broken_at_random_by_the_key():
    """Six tied samples for two places: every pair equally often, whatever the row order."""
    values = np.array([3.0, 1, 1, 1, 1, 1, 1, 0])
    counts = realised_counts((Stratum(3 / 8, 1.0), Stratum(5 / 8, 0.0)), 8)
    keys = jax.random.split(jax.random.key(1), 6000)
    with jax.enable_x64(True):
        device = jnp.asarray(values)
        draw = jax.vmap(lambda k: rank_weights(k, device, counts, "hardest")[0])
        drawn = np.asarray(draw(keys)) > 0
    assert drawn[:, 0].all() and not drawn[:, 7].any() and (drawn.sum(1) == 3).all()
    pairs = [tuple(np.flatnonzero(row)[1:]) for row in drawn]
    seen = np.array([pairs.count(pair) for pair in combinations(range(1, 7), 2)])
    assert seen.sum() == 6000
    assert chisquare(seen).pvalue > 1e-3
    biased = np.array([row[1:3].all() or row.sum() for row in drawn])  # "first rows first"
    assert chisquare(np.bincount(biased.astype(int), minlength=4)[1:] + 1).pvalue < 1e-6
    same = [select(KEY, values, 3 / 8).indices for _ in range(2)]
    np.testing.assert_array_equal(same[0], same[1])


@pytest.mark.parametrize("exponent", [1.5, 0.0, -0.7])
def test_power_is_bernoulli_with_the_stated_probabilities(exponent):
    n, r = 60, 0.4
    key_scores = np.log(np.random.default_rng(2).uniform(0.001, 0.25, n))
    kept = select(KEY, key_scores, r, selection=f"power:{exponent}")
    p = kept.keep_probabilities
    np.testing.assert_allclose(p.mean(), r, rtol=1e-12)
    free = p < 1
    log_p = np.log(p[free]) - exponent * key_scores[free]
    np.testing.assert_allclose(log_p, log_p[0], atol=1e-12)  # p = c exp(exponent * key), clipped
    assert (exponent * key_scores[~free] + log_p[0] >= -1e-12).all()
    assert set(np.unique(kept.weights)) <= {0.0, 1.0} and len(kept.indices) == kept.weights.sum()

    keys = jax.random.split(jax.random.key(3), 3000)
    with jax.enable_x64(True):
        logs = jnp.asarray(exponent * key_scores)
        drawn = np.asarray(jax.vmap(lambda k: propensity_weights(k, logs, r)[0])(keys))
    counts, spread = drawn.sum(1), np.sqrt(np.sum(p * (1 - p)))
    assert np.ptp(counts) > 0  # the realised count varies, and Selected reports it
    error = spread / np.sqrt(3000)
    assert error < 0.1 and abs(counts.mean() - r * n) < 4.5 * error
    assert abs(counts.std() / spread - 1) < 4.5 / np.sqrt(2 * 3000)
    rate_error = np.sqrt(np.maximum(p * (1 - p), 1e-12) / 3000)
    assert (np.abs(drawn.mean(0) - p) < 5 * rate_error + 1e-9).all()
    assert (np.abs(drawn.mean(0) - 1.05 * p) > 5 * rate_error).any() or exponent == 0


def test_a_small_power_keeps_even_when_propensities_underflow():
    kept = select(KEY, np.linspace(-900, -1, 50), 0.5, selection="power:3")
    np.testing.assert_allclose(kept.keep_probabilities.mean(), 0.5, rtol=1e-9)
    assert kept.keep_probabilities.max() <= 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"keep_fraction": 0.0}, r"keep_fraction must be a number in \(0, 1\]; got 0.0"),
        ({"keep_fraction": 1.2}, "got 1.2"),
        ({"keep_fraction": float("nan")}, "got nan"),
        ({"keep_fraction": 0.01}, "keeps fewer than one sample"),
        ({"keep": "hard"}, "keep must be one of hardest, easiest; got 'hard'"),
        ({"selection": "treshold"}, "nearest: threshold"),
        ({"selection": "soft"}, "written soft:EXPONENT"),
        ({"selection": "soft:two"}, "written soft:EXPONENT"),
        ({"selection": "soft:2"}, r"soft exponent must be a number in \[0, 1\]; got 2.0"),
        ({"selection": "power:inf"}, "power exponent must be a number in"),
        ({"selection": "exact", "exploit": 1.1}, r"exploit must be a number in \[0, 1\]; got 1.1"),
        ({"selection": "exact", "exploit": 0.99}, "no sample is left to explore"),
        ({"scores": np.array([1.0, np.nan] * 10)}, "scores must be finite; 10 of 20 are not"),
        ({"scores": np.zeros((4, 5))}, r"vector of n numbers; got shape \(4, 5\)"),
        ({"scores": np.zeros(0)}, "vector of n numbers"),
    ],
)
def test_bad_input_is_one_sentence(change, sentence):
    change = {"scores": np.arange(20.0), "keep_fraction": 0.3, **change}
    with pytest.raises(InvalidArgumentError, match=sentence) as refusal:
        select(KEY, change.pop("scores"), change.pop("keep_fraction"), **change)
    assert str(refusal.value).endswith(".") and "\n" not in str(refusal.value)


def test_power_keeping_fewer_than_one_sample_is_refused():
    with pytest.raises(InvalidArgumentError, match="keeps fewer than one sample"):
        select(KEY, np.arange(20.0), 0.01, selection="power:1")


@pytest.fixture
def window():
    """A user's protocol: skip the hardest tenth, keep the next r, drop the rest."""

    @register_selection("off-end")
    @dataclass(frozen=True)
    class Window(RankSelection):
        def strata(self, keep_fraction: float) -> tuple[Stratum, ...]:
            return (Stratum(0.1, 0), Stratum(keep_fraction, 1), Stratum(0.9 - keep_fraction, 0))

    yield Window
    del SELECTIONS._members["off-end"]


def test_a_users_protocol_works_in_select_and_solve(window):
    values = scores(50)
    kept = select(KEY, values, 0.3, selection="off-end").indices
    assert set(kept) == set(np.argsort(-values)[5:20])
    problem = Problem(keep_fraction=0.3, selection="off-end", samples_per_feature=6)
    solution = solve(problem)
    assert solution.status.value == "certified"
    assert solution.problem.describe()["protocol"] == "off-end"
    assert abs(solution.cosine - solve(problem.replace(selection="threshold")).cosine) > 0.01
    with pytest.raises(InvalidArgumentError, match="registered already"):
        register_selection("window")(window)


def test_a_protocol_of_neither_kind_is_refused_in_a_sentence():
    class Odd(Selection):
        name, uses = "odd", frozenset()

    with pytest.raises(InvalidArgumentError, match="'odd' has no rule for finite samples"):
        select(KEY, scores(9), 0.5, selection=Odd())
    assert solve(Problem(selection=Odd())).status.value == "unsupported"


def test_labels_read_back():
    for text in ("threshold", "random", "exact", "soft:0.5", "power:-1.5"):
        assert make_selection(text).label == text
    assert make_selection(Power(2.0)) == Power(2.0)
    assert make_selection("exact", exploit=0.25) == ExactCalibration(0.25)


@pytest.mark.parametrize("keep", ["hardest", "easiest"])
def test_a_window_skips_the_end_that_it_names(keep):
    values = scores(40)
    order = np.argsort(-values if keep == "hardest" else values)
    found = select(KEY, values, 0.25, keep=keep, selection="window:0.1")
    assert set(found.indices) == set(order[4:14])
    assert (found.weights[found.indices] == 1).all()
    plain = select(KEY, values, 0.25, keep=keep).indices
    np.testing.assert_array_equal(
        select(KEY, values, 0.25, keep=keep, selection="window:0").indices, plain
    )
    assert len(select(KEY, values, 0.9, selection="window:0.1").indices) == 36
    with pytest.raises(InvalidArgumentError, match="at most 1 - keep_fraction"):
        select(KEY, values, 0.3, selection="window:0.8")


def test_a_window_has_a_limit():
    """A label-agnostic window off the boundary, against the threshold rule and against random."""
    problem = Problem(keep_fraction=0.3, score="margin", samples_per_feature=6)
    cosines = {
        rule: solve(problem.replace(selection=rule)).cosine
        for rule in ("threshold", "window:0", "window:0.35")
    }
    assert cosines["window:0"] == pytest.approx(cosines["threshold"], abs=1e-9)
    assert cosines["window:0.35"] > cosines["threshold"] + 0.05


class TestCoverage:
    """Budgets by hand, then the promises on random scores."""

    def test_budgets_by_hand(self):
        # Ranges hold 2, 4 and 14 samples: of 9 they give 2 (all), 3 (half of 7) and 4.
        values = np.concatenate([np.full(4, 0.0), np.full(2, 0.5), np.full(14, 1.0)])
        found = select(KEY, values, 9 / 20, selection="coverage:0")
        kept = [np.count_nonzero(found.weights[values == v]) for v in (0.0, 0.5, 1.0)]
        assert kept == [3, 2, 4]
        np.testing.assert_allclose(found.keep_probabilities[values == 1.0], 4 / 14)

    def test_counts_are_exact_and_the_hardest_are_cut(self):
        rng = np.random.default_rng(0)
        for trial in range(200):
            n, cut = int(rng.choice([7, 40, 333])), float(rng.choice([0, 0.1, 0.4]))
            fraction = float(rng.uniform(0.02, 1)) * (1 - cut - 0.1)
            total = int(np.floor(fraction * n + 0.5))
            if total < 1:
                continue
            values = np.round(rng.gamma(1.0, size=n), 1 if trial % 2 else 8)
            found = select(jax.random.key(trial), values, fraction, selection=f"coverage:{cut:g}")
            assert len(found.indices) == total
            np.testing.assert_allclose(found.keep_probabilities.sum(), total, rtol=1e-9)
            gone = int(np.floor(cut * n + 0.5))
            assert values[found.indices].max() <= np.sort(values)[n - gone - 1]

    def test_draws_are_uniform_within_a_range(self):
        values, counts = np.repeat([0.0, 1.0], [4, 4]), np.zeros(8)
        for i in range(400):
            counts[select(jax.random.key(i), values, 0.5, selection="coverage:0").indices] += 1
        assert np.abs(counts - 200).max() < 4 * 10  # standard error sqrt(400 / 4)

    def test_all_scores_equal_is_random(self):
        assert len(select(KEY, np.ones(10), 0.3, selection="coverage:0").indices) == 3

    def test_its_limit_is_not_described(self):
        solution = solve(Problem(keep_fraction=0.3, selection="coverage:0.1"))
        assert solution.status.value == "unsupported"

    @pytest.mark.parametrize("text", ["coverage:1", "coverage:-0.1", "coverage", "coverage:x"])
    def test_bad_forms(self, text):
        with pytest.raises(InvalidArgumentError):
            select(KEY, np.arange(9.0), 0.3, selection=text)

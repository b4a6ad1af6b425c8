"""The limiting keep law of any score, against quantiles found by hand and by sampling."""

# Texts stand for objects and numbers may be None here; a test fails where that is wrong.

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from brute_force import brentq
from nfl_pruning.probes import FixedProbe
from nfl_pruning.problem import Problem
from nfl_pruning.scores import SCORES, Score
from nfl_pruning.selections import SELECTIONS, select
from nfl_pruning.theory.probe_limit import selection_law

BASE = Problem(keep_fraction=0.3, probe=FixedProbe(0.8, 1.3)).replace(signal=2.0)
STEPS = "steps:-1,0.5:0.1,0.6,0.9"
OFF_CENTRE = Score(
    "off-centre", lambda z, y, c: jnp.abs(z[..., 1] - z[..., 0] - 0.7), label_aware=False
)
ROUNDED = Score("rounded", lambda z, y, c: jnp.round(2 * SCORES["loss"](z, y, c)), label_aware=True)
SKEWED = Score(
    "skewed",
    lambda z, y, c: jnp.where(y > 0, 1.0, 2.5) * SCORES["loss"](z, y, c),
    label_aware=True,
)


def evaluate(law, u):
    keep, weight = law.evaluate(np.asarray(u, float))
    return keep.sum(0), (keep * weight).sum(0)


@pytest.mark.parametrize(
    "protocol", ["threshold", "random", "exact", "soft:0.5", "power:1", "power:-2"]
)
@pytest.mark.parametrize(
    "link", ["logistic", *(pytest.param(text, marks=pytest.mark.slow) for text in ("sign", STEPS))]
)
def test_the_kept_mass_is_the_keep_fraction(protocol, link):
    assert protocol.split(":")[0] in SELECTIONS
    for score in ("el2n", "margin", OFF_CENTRE, ROUNDED, SKEWED):
        for keep in ("hardest", "easiest"):
            problem = BASE.replace(score=score, keep=keep, selection=protocol, link=link)
            law = selection_law(problem)
            assert abs(law.mean(0) - 0.3) < 1e-10
            if protocol == "exact":
                assert abs(law.mean(1) - 1.0) < 1e-10  # weights make the mass whole again
            if score == "margin" and link != STEPS:
                assert law.symmetric
        if protocol in ("random", "power:1", "power:-2"):
            break


@pytest.mark.parametrize("keep", ["hardest", "easiest"])
def test_label_agnostic_thresholds_are_normal_quantiles(keep):
    u = np.linspace(-4, 4, 4001) + 1e-5
    t = norm.ppf(0.65 if keep == "hardest" else 0.85)
    expected = (np.abs(u) < t) if keep == "hardest" else (np.abs(u) > t)
    for name in ("margin", "entropy", "least-confidence"):
        kept, _ = evaluate(selection_law(BASE.replace(score=name, keep=keep)), u)
        np.testing.assert_array_equal(kept, np.stack([expected, expected]))


def test_a_non_monotone_score_keeps_two_pieces():
    def kept(h):
        return norm.cdf((0.7 - h) / 1.3) + norm.sf((0.7 + h) / 1.3) - 0.3

    h = brentq(kept, 0, 5, xtol=1e-15)
    law = selection_law(BASE.replace(score=OFF_CENTRE))
    np.testing.assert_allclose(law.breaks, [(0.7 - h) / 1.3, (0.7 + h) / 1.3], atol=1e-9)
    assert not law.symmetric
    np.testing.assert_array_equal(evaluate(law, [-4, 0.5, 4])[0], [[1, 0, 1]] * 2)


@pytest.mark.parametrize("score", [OFF_CENTRE, ROUNDED, SKEWED])
def test_general_scores_agree_with_the_finite_selection(score):
    """Of 400,000 samples only those near the boundary differ: its count is binomial."""
    rng = np.random.default_rng(11)
    n = 400_000
    problem = BASE.replace(score=score)
    u, g = rng.normal(size=(2, n))
    positive = rng.uniform(size=n) < 1 / (1 + np.exp(-2 * (0.8 * u + 0.6 * g)))
    with jax.enable_x64(True):
        logits = np.stack([np.zeros(n), 1.3 * u], axis=-1)
        key = np.asarray(score.rank_key(logits, positive.astype(int)))
    chosen = select(jax.random.key(2), key, 0.3).weights > 0

    def differing(law):
        kept, _ = evaluate(law, u)
        expected = np.where(positive, kept[0], kept[1])
        sure = (expected == 0) | (expected == 1)
        tied = abs(np.sum(chosen[~sure]) - np.sum(expected[~sure]))
        return np.count_nonzero(chosen[sure] != (expected[sure] > 0.5)) + tied

    noise = np.sqrt(n * 0.3 * 0.7)
    assert differing(selection_law(problem)) < 4.5 * noise
    assert differing(selection_law(problem.replace(keep_fraction=0.315))) > 9 * noise


def test_ties_share_their_place_in_the_limit():
    """Levels of a rounded score tie; the boundary level is kept in part, the rest whole or not."""
    law = selection_law(BASE.replace(score=ROUNDED))
    kept, _ = evaluate(law, np.linspace(-5, 5, 2001))
    levels = np.unique(np.round(kept, 12))
    assert len(levels) == 3 and levels[0] == 0 and levels[2] == 1 and 0.01 < levels[1] < 0.99


@pytest.mark.parametrize("exponent", [1.0, -2.0])
def test_the_power_rule_is_clipped_where_it_says(exponent):
    law = selection_law(BASE.replace(selection=f"power:{exponent}", keep_fraction=0.8))
    u = np.linspace(-5, 5, 501)
    kept, weighted = evaluate(law, u)
    np.testing.assert_array_equal(kept, weighted)
    p = 1 / (1 + np.exp(-1.3 * u))
    ratio = kept[0] / (p * (1 - p)) ** exponent
    free = kept[0] < 1
    assert free.any() and (~free).any()
    np.testing.assert_allclose(ratio[free], ratio[free][0], rtol=1e-10)
    assert (ratio[~free] <= ratio[free][0] * (1 + 1e-10)).all()

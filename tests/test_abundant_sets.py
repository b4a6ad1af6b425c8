"""Abundant data: where pruning harms, universal approximators, and norms at finite dimension."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import root_scalar
from scipy.special import expit, ndtr
from scipy.stats import chi2, norm

from nfl_pruning import FixedProbe, Problem, solve
from nfl_pruning.scores import SCORES
from nfl_pruning.theory.abundant.sets import cosine_below_zero, excess_risk_above
from nfl_pruning.theory.abundant.universal import universal_limit, universal_masses
from nfl_pruning.theory.selection_law.norm_order import NormOrder

SIGNAL = 2.0
BASE = Problem(keep_fraction=0.6, probe=FixedProbe(0.8)).replace(signal=SIGNAL)


def solved(problem, **arguments) -> Any:
    return solve(problem, **arguments, limit="abundant")


def root(function, low, high):
    return root_scalar(function, bracket=(low, high), xtol=1e-12).root


@pytest.mark.slow
def test_where_the_cosine_is_negative():
    intervals = cosine_below_zero(BASE, least=0.1, points=8)
    assert len(intervals) == 1 and abs(intervals[0][0] - 0.1) < 1e-12
    edge = intervals[0][1]
    assert solved(BASE.replace(keep_fraction=edge * (1 - 1e-6))).cosine < 0
    assert solved(BASE.replace(keep_fraction=edge * (1 + 1e-6))).cosine > 0
    assert cosine_below_zero(BASE.replace(keep="easiest"), least=0.1, points=6) == ()


@pytest.mark.slow
def test_where_the_excess_risk_exceeds_a_size():
    problem = BASE.replace(score="margin", link="steps:0:0.05,0.95")
    intervals = excess_risk_above(problem, 0.02, least=0.1, points=6)
    assert len(intervals) == 1
    for end in intervals[0]:
        if 0.1 + 1e-9 < end < 1 - 1e-9:
            assert abs(solved(problem.replace(keep_fraction=end)).excess_risk - 0.02) < 1e-8
    random = problem.replace(selection="random")
    assert excess_risk_above(random, 0.02, least=0.1, points=6) == ()


def test_universal_limit_follows_bayes_rule():
    u = np.linspace(-3, 3, 13)
    problem = BASE.replace(probe="fixed:1", keep_fraction=0.3)
    found = universal_limit(problem, u)
    density = lambda v: 2 * norm.pdf(v) * expit(SIGNAL * v)  # noqa: E731
    t = root(lambda t: quad(density, -9, t)[0] - 0.3, -3, 3)
    expected = np.where(u < t, np.where(-u < t, expit(SIGNAL * u), 1.0), 0.0)
    seen = (u < t) | (-u < t)
    assert (found.kept == seen).all()
    assert np.allclose(found.after[seen], expected[seen])
    assert (found.flipped == (seen & (np.abs(u) > t) & (u != 0))).all()


def test_universal_masses_of_a_perfect_probe():
    found = universal_masses(BASE.replace(probe="fixed:1", keep_fraction=0.3))
    density = lambda v: 2 * norm.pdf(v) * expit(SIGNAL * v)  # noqa: E731
    t = root(lambda t: quad(density, -9, t)[0] - 0.3, -3, 3)
    assert t > 0  # so something is kept everywhere, and the flips lie at |u| > t
    assert abs(found.kept - 1) < 1e-9 and abs(found.flipped - 2 * ndtr(-t)) < 1e-9
    agnostic = universal_masses(BASE.replace(probe="fixed:1", score="margin", keep_fraction=0.3))
    assert agnostic.flipped == 0 and abs(agnostic.kept - 0.3) < 1e-9
    assert agnostic.least_error == pytest.approx(agnostic.bayes_error, abs=1e-12)


def test_norms_beyond_a_level_are_chi_squared():
    with jax.enable_x64(True):
        order = NormOrder(SCORES["grand"], lambda label, u: SIGNAL * u, 7)
    u, p, level = np.array([[0.3]]), np.array([[-1.1, 0.4]]), -0.4
    with jax.enable_x64(True):
        tail = order.above(u, p, level)
    for i, y in enumerate((1, -1)):
        least = 7 * (np.exp(level) / expit(-y * SIGNAL * 0.3)) ** 2
        assert np.allclose(tail[i], chi2.sf(least - u**2 - p**2, 5), rtol=1e-12)

"""Variance and derivatives of the abundant-data limit, against samples and against re-solving."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from nfl_pruning import SCORES, FixedProbe, Problem, simulate
from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.theory.abundant import gradient, sandwich
from nfl_pruning.theory.abundant.gradient import VALUES, abundant_values
from nfl_pruning.theory.abundant.plane import plane_nodes
from nfl_pruning.theory.abundant.sandwich import sandwich_variance

SHARP = Problem(keep_fraction=0.3, score=SCORES["margin"]).replace(signal=5.0)
SOFT = Problem(keep_fraction=0.6, probe=FixedProbe(0.8)).replace(signal=2.0)


def test_random_pruning_has_the_textbook_excess_risk():
    for r in (0.3, 1.0):
        found = sandwich_variance(SHARP.replace(selection="random", keep_fraction=r), n_features=10)
        assert abs(found.excess_risk - 10 / (2 * r)) < 1e-8


def test_keeping_the_hardest_has_less_variance_than_random():
    hardest = sandwich_variance(SHARP, n_features=10)
    random = sandwich_variance(SHARP.replace(selection="random"), n_features=10)
    assert abs(hardest.excess_risk / random.excess_risk - 0.457629) < 1e-5
    assert hardest.plane[0, 0] > random.plane[0, 0]  # the size is harder to learn, though
    easiest = sandwich_variance(SHARP.replace(keep="easiest"), n_features=10)
    assert easiest.excess_risk > 2 * random.excess_risk


def test_a_mesh_that_loses_mass_gives_no_variance_and_no_derivative(monkeypatch):
    def lossy(*arguments, **how):
        whole = plane_nodes(*arguments, **how)
        return replace(whole, mass=whole.mass * (1 - 1e-8))

    for module in (gradient, sandwich):
        monkeypatch.setattr(module, "plane_nodes", lossy)
    with pytest.raises(UnsupportedProblemError, match="kept share of the quadrature"):
        sandwich_variance(SOFT, n_features=10)
    with jax.enable_x64(True), pytest.raises(UnsupportedProblemError, match="kept share of the"):
        jax.grad(lambda r: abundant_values(SOFT, {"keep_fraction": r})["cosine"])(0.6)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["hardest", "random", "exact"])
def test_variance_of_the_direction_against_simulation(rule):
    problem = SHARP.replace(samples_per_feature=2000, ridge=0)
    if rule != "hardest":
        problem = problem.replace(selection=rule)
    trials = simulate(problem, n_features=10, n_trials=160, seed=1)
    sines = 20_000 * (1 - np.asarray(trials.values("cosine")) ** 2)
    mean, error = sines.mean(), sines.std(ddof=1) / np.sqrt(len(sines))
    expected = sandwich_variance(problem, n_features=10).direction
    assert error < 0.05 * expected  # precise enough to see a change of a quarter
    assert abs(mean - expected) < 4 * error
    assert abs(mean - 1.25 * expected) > 4 * error


@pytest.mark.slow
def test_grand_leans_on_the_norm_outside_the_plane():
    grand = SOFT.replace(score="grand")
    few = sandwich_variance(grand, n_features=5)
    many = sandwich_variance(grand, n_features=3000)
    el2n = sandwich_variance(SOFT, n_features=5)
    assert abs(many.across / el2n.across - 1) < 2e-3 < abs(few.across / el2n.across - 1)


def test_no_variance_without_an_inner_minimiser():
    with pytest.raises(UnsupportedProblemError, match="separable"):
        sandwich_variance(SOFT.replace(keep_fraction=0.1), n_features=5)
    with pytest.raises(UnsupportedProblemError, match="smooth"):
        sandwich_variance(SOFT.replace(loss="hinge"), n_features=5)


CASES = [
    pytest.param(
        SOFT,
        {"signal": 2.0, "alignment": 0.8, "keep_fraction": 0.6},
        None,
        marks=pytest.mark.slow,
    ),
    pytest.param(
        SOFT.replace(selection="soft:0.5"),
        {"exploit": 0.4, "keep_fraction": 0.3},
        None,
        marks=pytest.mark.slow,
    ),
    (
        SOFT.replace(score="margin", link="steps:0:0.1,0.9", loss="squared"),
        {"alignment": 0.7},
        None,
    ),
    pytest.param(
        SOFT.replace(score="grand", probe="fixed:0.8:1.5"),
        {"probe_norm": 1.5},
        6,
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("problem", "numbers", "n_features"), CASES)
def test_gradients_against_differences(problem, numbers, n_features):
    with jax.enable_x64(True):

        def values(numbers):
            return abundant_values(problem, numbers, n_features=n_features)

        exact = jax.jacrev(values)(numbers)
        for name, at in numbers.items():
            h = 5e-4
            moved = [values(numbers | {name: at + k * h}) for k in (1, -1, 2, -2)]
            for value in VALUES:
                a, b, c, d = (float(m[value]) for m in moved)
                slope = (8 * (a - b) - (c - d)) / (12 * h)
                scale = max(1.0, abs(slope))
                assert abs(float(exact[value][name]) - slope) < 1e-6 * scale, (value, name)


def test_gradient_says_where_there_is_none():
    with jax.enable_x64(True), pytest.raises(UnsupportedProblemError, match="separable"):
        jax.grad(lambda r: abundant_values(SOFT, {"keep_fraction": r})["cosine"])(0.1)

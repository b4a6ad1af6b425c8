"""Hinge and hard-margin fits: against scikit-learn, their own optimality, and the limit."""

# Texts stand for objects and numbers may be None here; a test fails where that is wrong.

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.optimize import linprog, minimize, minimize_scalar, nnls
from scipy.special import expit
from scipy.stats import norm
from sklearn.svm import LinearSVC

from nfl_pruning import (
    LOSSES,
    InvalidArgumentError,
    Problem,
    Teacher,
    make_selection,
    simulate,
    solve,
)
from nfl_pruning.links import parse_link
from nfl_pruning.montecarlo import training_set
from nfl_pruning.probes import FixedProbe
from nfl_pruning.theory.observables import best_loss, observables

HINGE = Problem(samples_per_feature=6, keep_fraction=0.3, probe=FixedProbe(0.8)).replace(
    signal=2.0, ridge=0.05 / 6, loss="hinge"
)
EXACT = make_selection("exact", exploit=0.6)
HARD = HINGE.replace(loss="max-margin")


def dual(data, cap):
    """The hinge fit by its dual, a box-constrained quadratic program, with scipy's L-BFGS-B."""
    signed = data.y[:, None] * data.x

    def objective(alpha):
        theta = signed.T @ alpha
        return 0.5 * theta @ theta - alpha.sum(), signed @ theta - 1

    found = minimize(
        objective, cap / 2, jac=True, bounds=[(0, c) for c in cap], method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-16, "gtol": 1e-12},
    )  # fmt: skip
    return signed.T @ found.x


@pytest.mark.parametrize("changes", [{}, {"selection": EXACT}], ids=["threshold", "weights"])
def test_the_hinge_fit_is_that_of_other_solvers(changes):
    problem = HINGE.replace(**changes)
    simulation = simulate(problem, n_features=20, n_trials=3, seed=1)
    assert simulation.failed == 0 and max(simulation.trials["gradient_norm"]) <= 1e-11
    cost = 1 / (problem.student.ridge * 120)
    for trial in range(3):
        data = training_set(problem, n_features=20, trial=trial, seed=1)
        theta = dual(data, cost * data.weights)
        size = np.linalg.norm(theta)
        assert abs(simulation.trials["norm"][trial] / size - 1) < 1e-6
        assert abs(simulation.trials["cosine"][trial] - theta[0] / size) < 1e-6
        if trial == 0:
            peer = LinearSVC(C=cost, loss="hinge", fit_intercept=False, tol=1e-6, max_iter=200_000)
            peer.fit(data.x, data.y, sample_weight=data.weights)
            np.testing.assert_allclose(peer.coef_[0], theta, atol=1e-4)


def shortest(data):
    """The shortest parameter with margins of at least 1: a nonnegative least-squares problem."""
    signed = data.y[:, None] * data.x
    rows = np.hstack([signed, np.ones((len(signed), 1))])
    target = np.append(np.zeros(signed.shape[1]), 1.0)
    alpha, _ = nnls(rows.T, target, maxiter=100 * len(signed))
    rest = target - rows.T @ alpha  # (-beta, s): Lawson and Hanson's least-distance program
    return -rest[:-1] / rest[-1]


def test_the_hard_margin_fit_is_the_shortest_parameter_and_knows_when_there_is_none():
    """Near the threshold: some samples are separable, some not, and linear programs agree."""
    problem = Problem(samples_per_feature=2.9).replace(signal=2, loss="max-margin", ridge=0)
    simulation = simulate(problem, n_features=30, n_trials=24, seed=2)
    for trial in range(24):
        data = training_set(problem, n_features=30, trial=trial, seed=2)
        signed = data.y[:, None] * data.x
        separable = linprog(
            np.zeros(30), A_ub=-signed, b_ub=-np.ones(len(signed)), bounds=(None, None)
        ).status == 0  # fmt: skip
        assert (simulation.failures.get(trial) is None) == separable
        if separable and trial < 12:
            theta = shortest(data)
            assert (signed @ theta).min() > 1 - 1e-8
            size = np.linalg.norm(theta)
            assert abs(simulation.trials["norm"][trial] / size - 1) < 1e-7
            assert abs(simulation.trials["cosine"][trial] - theta[0] / size) < 1e-7
    assert set(simulation.failures.values()) == {"not-separable"}
    assert 4 < simulation.failed < 20
    assert np.isnan(simulation.mean("cosine"))  # never averaged over the rest without being asked


@pytest.mark.slow
def test_a_hard_margin_does_not_depend_on_ridge_or_weights():
    low, high = (simulate(HARD.replace(ridge=r), n_features=30, n_trials=4) for r in (0, 7))
    np.testing.assert_array_equal(low.trials["norm"], high.trials["norm"])
    a, b = solve(HARD.replace(ridge=0)), solve(HARD.replace(ridge=7))
    assert a.cosine == b.cosine and a.state == b.state and "kappa" not in a.state
    assert 0 < a.state["nu"] < 1
    weighted = [
        solve(HARD.replace(selection=make_selection(f"soft:{s}"), samples_per_feature=2.0))
        for s in (0.0, 1.0)
    ]
    assert abs(weighted[0].norm - weighted[1].norm) < 1e-8


def test_a_hinge_without_a_ridge_is_refused_in_simulation_and_solved_in_theory():
    with pytest.raises(InvalidArgumentError, match="ridge must be > 0"):
        simulate(HINGE.replace(ridge=0), n_features=20, n_trials=1)
    shortest_fit = solve(HINGE.replace(ridge=0))  # separable: the hard-margin fit has no loss
    assert shortest_fit.status.value == "certified" and "shortest" in shortest_fit.message
    assert shortest_fit.norm == solve(HARD).norm and shortest_fit.test_loss > 0
    small = solve(HINGE.replace(ridge=1e-4))
    assert abs(small.norm - shortest_fit.norm) < 2e-3
    many = HINGE.replace(selection="random", samples_per_feature=20)
    assert abs(solve(many.replace(ridge=0)).norm / solve(many.replace(ridge=1e-6)).norm - 1) < 1e-4


def test_randomly_pruned_much_data_is_less_data():
    """Found along another path: from few samples the first step is a long one there."""
    few = Problem(samples_per_feature=10).replace(signal=14, loss="max-margin")
    much = few.replace(samples_per_feature=500, keep_fraction=0.02, selection="random")
    found, expected = solve(much), solve(few)
    assert found.status.value == expected.status.value == "certified"
    for name in ("cosine", "norm", "test_error"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)


def test_no_hard_margin_fit_is_given_where_none_exists():
    for probe in ("fixed:0.8", "in-sample:0.02"):
        problem = HARD.replace(probe=probe, selection="exact", samples_per_feature=30)
        solution = solve(problem)
        assert solution.status.value == "not-separable" and "samples per" in solution.message
        assert (
            math.isnan(solution.cosine)
            and math.isnan(solution.norm)
            and math.isnan(solution.test_error)
        )
        assert set(simulate(problem, n_features=20, n_trials=3).failures.values()) == {
            "not-separable"
        }


def test_the_loss_of_a_hard_margin_is_null():
    solution = solve(HARD)
    assert math.isnan(solution.test_loss) and math.isnan(solution.excess_risk)
    assert "infinite" in solution.message and 0 < solution.test_error < 1
    found = simulate(HARD, n_features=30, n_trials=4).to_dict()
    assert found["mean"]["test_loss"] is None and found["mean"]["test_error"] > 0


AGREEMENT = {
    "hinge, label-aware hardest": HINGE.replace(keep_fraction=0.2),
    "hinge, agnostic, exact calibration": HINGE.replace(score="margin", selection=EXACT),
    "hinge, in-sample easiest": HINGE.replace(probe="in-sample:0.02", keep="easiest"),
    "hinge, in-sample, exact calibration": HINGE.replace(probe="in-sample:0.02", selection=EXACT),
    "hard margin, agnostic hardest": HARD.replace(link="sign", score="margin"),
    "hard margin, in-sample": HARD.replace(probe="in-sample:0.02", samples_per_feature=2.5),
}


@pytest.mark.parametrize(
    "name",
    [n if "aware" in n else pytest.param(n, marks=pytest.mark.slow) for n in AGREEMENT],
)
def test_agrees_with_the_limit_and_not_with_a_shifted_threshold(name):
    problem = AGREEMENT[name]
    simulation = simulate(problem, n_features=120, n_trials=64, seed=5)
    assert not Counter(simulation.failures.values())
    solution = solve(problem)
    assert solution.status.value == "certified"
    for observable, precision in (("cosine", 0.03), ("norm", 0.03 * solution.norm)):
        assert simulation.standard_error(observable) < precision
        assert abs(simulation.z_score(observable, getattr(solution, observable))) < 4
    wrong = solve(problem.replace(keep_fraction=1.3 * problem.keep_fraction))
    scores = [simulation.z_score(o, getattr(wrong, o)) for o in ("cosine", "norm")]
    assert max(map(abs, scores)) > 6


@pytest.mark.slow
def test_the_hinge_loss_of_a_fit_and_the_least_there_is():
    """Against adaptive quadrature in the student's margin and a scalar search over norms."""
    teacher = Teacher(parse_link("flip:0.1:logistic"), 3.0)

    def risk(size, cosine):
        def integrand(w, u):
            z = cosine * w + np.sqrt(1 - cosine**2) * u
            p = 0.1 + 0.8 * expit(3 * z)
            v = size * w
            loss = p * max(1 - v, 0) + (1 - p) * max(1 + v, 0)
            return loss * norm.pdf(w) * norm.pdf(u)

        edges = sorted({-8.0, *np.clip([-1 / size, 1 / size], -8, 8), 8.0})
        pieces = [dblquad(integrand, -8, 8, a, b, epsabs=1e-9)[0] for a, b in pairwise(edges)]
        return sum(pieces)

    found = observables(teacher, LOSSES["hinge"], cosine=0.6, norm=1.7)
    assert abs(found["test_loss"] - risk(1.7, 0.6)) < 1e-7
    x, weight = np.polynomial.legendre.leggauss(200)

    def on_the_axis(size):
        cuts = [-9.0, -1 / size, 1 / size, 9.0]
        total = 0.0
        for a, b in pairwise(cuts):
            w = (a + b) / 2 + (b - a) / 2 * x
            p, v = 0.1 + 0.8 * expit(3 * w), size * w
            loss = p * np.maximum(1 - v, 0) + (1 - p) * np.maximum(1 + v, 0)
            total += np.sum((b - a) / 2 * weight * loss * norm.pdf(w))
        return total

    least: Any = minimize_scalar(
        on_the_axis, bounds=(0.2, 5), method="bounded", options={"xatol": 1e-9}
    )
    assert abs(best_loss(teacher, LOSSES["hinge"]) - least.fun) < 1e-10
    assert abs(found["test_loss"] - found["excess_risk"] - least.fun) < 1e-10

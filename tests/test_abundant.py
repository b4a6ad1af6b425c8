"""The limit of abundant data against closed forms, slow quadrature, linear programs and samples."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linprog, root_scalar
from scipy.special import expit
from scipy.stats import norm

from nfl_pruning import FixedProbe, Problem, power_law, solve
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.numerics.status import Status
from nfl_pruning.scores import Score

RHO, PERP, SIGNAL = 0.8, 0.6, 2.0
BASE = Problem(keep_fraction=0.6, probe=FixedProbe(0.8)).replace(signal=SIGNAL)


def solved(problem, **arguments) -> Any:
    return solve(problem, **arguments, limit="abundant")


def brentq(function, low, high, xtol=1e-12):
    return root_scalar(function, bracket=(low, high), xtol=xtol).root


P = np.linspace(-9, 9, 361)  # the trapezoidal rule is exact to rounding for these integrands
P_WEIGHT = norm.pdf(P) * (P[1] - P[0])


def positive_part(low, high, function=lambda u, p: 1.0):
    """E[function(u, p) 1{y = 1, low < u < high}] by a rule of its own."""

    def inner(u):
        chance = expit(SIGNAL * (RHO * u + PERP * P))
        return norm.pdf(u) * float(np.sum(P_WEIGHT * chance * function(u, P)))

    return quad(inner, low, high, epsabs=1e-12, limit=200)[0]


PROBE_WRONG = 2 * positive_part(-9, 0)


def label_aware_threshold(keep_fraction):
    """The t with P(y u < t) = keep_fraction; y = -1 mirrors y = 1."""
    return brentq(lambda t: 2 * positive_part(-9, t) - keep_fraction, -3, 3, xtol=1e-12)


def kept_gradient(theta, t):
    """The gradient of the logistic risk of {y u < t}."""

    def pull(which):
        return lambda u, p: -2 * expit(-(theta[0] * u + theta[1] * p)) * (u, p)[which]

    return np.array([positive_part(-9, t, pull(0)), positive_part(-9, t, pull(1))])


def test_label_aware_minimiser_against_slow_quadrature():
    found = solved(BASE)
    theta = np.array([found.state["theta_u"], found.state["theta_p"]])
    assert found.status is Status.CERTIFIED and found.error_estimate < 1e-9
    t = label_aware_threshold(0.6)
    assert np.abs(kept_gradient(theta, t)).max() < 1e-8
    assert np.abs(kept_gradient(theta + 1e-4, t)).max() > 1e-6  # the check can fail
    cosine = (RHO * theta[0] + PERP * theta[1]) / np.hypot(*theta)
    assert abs(found.cosine - cosine) < 1e-12


@pytest.mark.parametrize("score", ["margin", "entropy"])
@pytest.mark.parametrize("keep", ["hardest", "easiest"])
def test_label_agnostic_rules_are_valid_when_well_specified(score, keep):
    found = solved(BASE.replace(score=score, keep=keep, keep_fraction=0.2))
    assert abs(found.cosine - 1) < 1e-12 and abs(found.norm - SIGNAL) < 1e-9
    assert abs(found.excess_risk) < 1e-12


def test_label_agnostic_rules_are_not_valid_when_misspecified():
    stepped = BASE.replace(score="margin", link="steps:0:0.05,0.95")
    assert solved(stepped.replace(keep_fraction=0.2)).excess_risk > 1e-3
    assert abs(solved(stepped.replace(selection="random")).excess_risk) < 1e-12


@pytest.mark.parametrize("protocol", ["random", "exact"])
def test_random_and_exact_calibration_are_valid(protocol):
    found = solved(BASE.replace(selection=protocol, keep_fraction=0.1))
    assert abs(found.cosine - 1) < 1e-12 and abs(found.norm - SIGNAL) < 1e-9


def test_soft_calibration_lies_between():
    excess = [
        solved(BASE.replace(selection=f"soft:{s}", keep_fraction=0.3)).excess_risk
        for s in (0, 0.5, 1)
    ]
    assert excess[0] > excess[1] + 1e-3 > excess[2] + 2e-3


def test_squared_loss_has_its_closed_form():
    found = solved(BASE.replace(loss="squared"))
    t = label_aware_threshold(0.6)
    moment = lambda a, b: 2 * positive_part(-9, t, lambda u, p: u**a * p**b)  # noqa: E731
    gram = np.array([[moment(2, 0), moment(1, 1)], [moment(1, 1), moment(0, 2)]])
    theta = np.linalg.solve(gram, [moment(1, 0), moment(0, 1)])
    assert np.allclose(theta, [found.state["theta_u"], found.state["theta_p"]], atol=1e-9)


def test_hinge_with_a_perfect_probe_is_one_equation():
    found = solved(BASE.replace(loss="hinge", probe="fixed:1"))
    density = lambda u: 2 * norm.pdf(u) * expit(SIGNAL * u)  # noqa: E731
    t = brentq(lambda t: quad(density, -9, t, epsabs=1e-12)[0] - 0.6, -3, 3)
    slope = lambda b: quad(lambda u: u * density(u), -9, min(t, 1 / b), epsabs=1e-12)[0]  # noqa: E731
    size = brentq(slope, 0.05, 20, xtol=1e-12)
    assert abs(found.norm - size) < 1e-8 * size and abs(found.cosine - 1) < 1e-9


def test_hinge_with_an_imperfect_probe_is_stationary():
    found = solved(BASE.replace(loss="hinge"))
    assert found.status is Status.CERTIFIED and found.error_estimate < 1e-8
    theta = np.array([found.state["theta_u"], found.state["theta_p"]])
    nodes, weights = np.polynomial.legendre.leggauss(150)

    def slope(which):
        def inner(u):
            half = 0.5 * (np.clip((1 - theta[0] * u) / theta[1], -9, 9) + 9)  # up to the kink
            p = -9 + half * (nodes + 1)
            mass = half * weights * norm.pdf(u) * norm.pdf(p) * expit(SIGNAL * (RHO * u + PERP * p))
            return float(np.sum(mass * (u, p)[which]))

        assert theta[1] > 0
        return quad(inner, -9, label_aware_threshold(0.6), epsabs=1e-12, limit=300)[0]

    assert abs(slope(0)) < 1e-9 and abs(slope(1)) < 1e-9


def newton_fit(x, y, weights):
    """Weighted logistic regression, to the last digits."""
    theta = np.zeros(x.shape[1])
    for _ in range(50):
        pull = expit(-y * (x @ theta))
        hessian = (x * (weights * pull * (1 - pull))[:, None]).T @ x
        step = np.linalg.solve(hessian, x.T @ (weights * y * pull))
        theta = theta + step
        if np.abs(step).max() < 1e-12:
            break
    return theta


@pytest.mark.slow
def test_grand_at_finite_dimension_against_large_samples():
    d, n, trials, rng = 5, 60_000, 12, np.random.default_rng(3)
    cosines = []
    for _ in range(trials):
        x = rng.standard_normal((n, d))
        u = RHO * x[:, 0] + PERP * x[:, 1]
        y = np.where(rng.random(n) < expit(SIGNAL * x[:, 0]), 1.0, -1.0)
        score = expit(-y * SIGNAL * u) * np.linalg.norm(x, axis=1)
        kept = np.argsort(score)[-int(0.6 * n) :]
        theta = newton_fit(x[kept], y[kept], np.ones(len(kept)))
        cosines.append(theta[0] / np.linalg.norm(theta))
    mean, error = np.mean(cosines), np.std(cosines, ddof=1) / np.sqrt(trials)
    assert error < 6e-3  # precise enough to tell the two predictions apart
    exact = solved(BASE.replace(score="grand"), n_features=d)
    assert exact.status is Status.CERTIFIED
    assert abs(exact.cosine - mean) < 4 * error
    equal_norms = solved(BASE.replace(score="grand"))
    assert abs(equal_norms.cosine - mean) > 8 * error


@pytest.mark.slow
def test_grand_tends_to_el2n_as_features_grow():
    limit = solved(BASE).cosine
    gaps = [
        solved(BASE.replace(score="grand"), n_features=d).cosine - limit for d in (50, 500, 5000)
    ]
    assert 7 < gaps[0] / gaps[1] < 13 and 9 < gaps[1] / gaps[2] < 11  # 1 / d


def test_features_do_not_matter_to_other_scores():
    assert solved(BASE, n_features=4).cosine == solved(BASE).cosine


@pytest.mark.parametrize(
    ("changes", "direction"),
    [
        ({"keep_fraction": PROBE_WRONG - 0.01}, -RHO),
        ({"keep_fraction": 0.99 - PROBE_WRONG, "keep": "easiest"}, RHO),
        ({"link": "sign", "selection": "random"}, 1.0),
    ],
)
def test_separable_kept_samples_have_a_direction_and_no_norm(changes, direction):
    found = solved(BASE.replace(**changes))
    assert found.status is Status.SEPARABLE and found.binding
    assert math.isnan(found.norm) and math.isnan(found.cosine) and math.isnan(found.excess_risk)
    assert "theta_u" not in found.state and found.to_dict()["norm"] is None
    assert abs(found.direction_cosine - direction) < 0.02
    wider = solved(BASE.replace(**changes), radius=400)
    assert abs(wider.direction_cosine - direction) <= abs(found.direction_cosine - direction)


def separable_by_program(problem, keep_fraction, seed=0):
    """Whether 3000 kept samples are separable, by linear programming."""
    rng = np.random.default_rng(seed)
    n = int(3000 / keep_fraction)
    z, p = rng.standard_normal((2, n))
    u = RHO * z + PERP * p
    chance = np.asarray(problem.teacher.link(problem.teacher.scale * z))
    y = np.where(rng.random(n) < chance, 1, -1)
    order = np.argsort(y * u)
    chosen = order[:3000] if problem.keep == "hardest" else order[-3000:]
    rows = -(y[:, None] * np.stack([z, p], axis=1))[chosen]
    return linprog(np.zeros(2), rows, -np.ones(3000), bounds=(None, None)).status == 0


@pytest.mark.parametrize("link", ["logistic", "sign", "steps:-0.5,0.5:0,0.5,1"])
@pytest.mark.parametrize("keep", ["hardest", "easiest"])
@pytest.mark.parametrize("keep_fraction", [0.1, pytest.param(0.35, marks=pytest.mark.slow), 0.9])
def test_separability_against_linear_programming(link, keep, keep_fraction):
    problem = BASE.replace(link=link, keep=keep, keep_fraction=keep_fraction)
    apart = solved(problem).status is Status.SEPARABLE
    assert apart == separable_by_program(problem, keep_fraction)


def test_the_ball_can_bind_without_separability():
    found = solved(BASE.replace(selection="random"), radius=1.0)
    assert found.binding and found.status is Status.CERTIFIED and "boundary" in found.message
    assert abs(found.norm - 1) < 1e-12 and abs(found.cosine - 1) < 1e-9
    assert abs(found.excess_risk) < 1e-12  # the ball's best, not the best of all
    pruned = solved(BASE, radius=0.5)
    t, theta = label_aware_threshold(0.6), [pruned.state["theta_u"], pruned.state["theta_p"]]
    pull = kept_gradient(np.array(theta), t)
    assert abs(pull[0] * theta[1] - pull[1] * theta[0]) < 1e-8  # normal to the boundary,
    assert pull @ theta < 0  # pointing inwards


@pytest.mark.parametrize("probe", ["pilot:3:0.1", "in-sample:0.1"])
def test_fitted_probes_are_the_population_minimiser(probe):
    found = solved(BASE.replace(probe=probe))
    fixed = solved(BASE.replace(probe=f"fixed:1:{SIGNAL}"))
    assert found.state["probe_alignment"] == 1 and abs(found.state["probe_norm"] - SIGNAL) < 1e-9
    assert abs(found.norm - fixed.norm) < 1e-9 and found.excess_risk > 0.05


def test_labels_that_say_nothing_give_the_zero_parameter():
    found = solved(BASE.replace(signal=0, score="margin"))
    assert found.status is Status.CERTIFIED and found.norm == 0 and abs(found.excess_risk) < 1e-12


def test_a_separable_hinge_has_no_norm_either():
    found = solved(BASE.replace(loss="hinge", keep_fraction=0.1))
    assert found.status is Status.SEPARABLE and math.isnan(found.norm)


def test_samples_per_feature_and_ridge_do_not_matter():
    other = BASE.replace(samples_per_feature=50, ridge=3.0)
    assert solved(other).cosine == solved(BASE).cosine


def test_what_is_not_covered_says_so():
    hard = solved(BASE.replace(loss="max-margin"))
    assert hard.status is Status.UNSUPPORTED and "max-margin" in hard.message
    falling = Score(
        "falls",
        lambda logits, labels, context: -jnp.asarray(context.input_norm),
        False,
        frozenset({"input_norm"}),
    )
    found = solved(BASE.replace(score=falling), n_features=5)
    assert (
        found.status is Status.UNSUPPORTED and math.isnan(found.cosine) and "norm" in found.message
    )


@pytest.mark.parametrize("arguments", [{"n_features": 2}, {"n_features": 2.5}, {"radius": 0}])
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(InvalidArgumentError, match=next(iter(arguments))):
        solved(BASE, **arguments)


@pytest.mark.parametrize("link", ["steps:0:1,1", "steps:0:0.7,0.7"])
@pytest.mark.parametrize("probe", ["fixed:1", "fixed:0.8"])
def test_labels_that_do_not_depend_on_the_input_leave_nothing_to_learn(link, probe):
    """Without an intercept y = 1 everywhere pulls to both sides alike: the minimiser is 0."""
    problem = Problem(keep_fraction=0.5).replace(link=link, probe=probe, score="margin")
    found = solve(problem, limit="abundant")
    assert found.status is Status.CERTIFIED and found.norm == found.cosine == 0
    assert found.excess_risk == pytest.approx(0, abs=1e-12)


def test_a_nearly_separable_minimiser_is_found_to_the_end():
    """Kept samples of mass 3e-10 lie on the wrong side: the risk and its gradient are tiny.

    The values are those of a plain trapezoidal grid in the plane with chi-squared tails (2401 nodes
    on +-10 in each direction, Newton's method on the two components).
    """
    problem = Problem(
        score="grand", keep="easiest", keep_fraction=0.4419, probe="fixed:0.7"
    ).replace(link="probit", signal=5.207)
    found = solve(problem, limit="abundant", n_features=8)
    assert abs(found.norm / 51.776497 - 1) < 1e-5
    assert abs(found.cosine - 0.7697146) < 1e-6


def test_scores_of_the_norm_are_certified_at_three_features():
    """The kept part of a line through the plane ends in a square root there, unlike at five."""
    problem = Problem(score="grand", keep="easiest", keep_fraction=0.3, probe="fixed:0.8")
    found = solve(problem.replace(signal=2), limit="abundant", n_features=3)
    assert found.status is Status.CERTIFIED and found.error_estimate < 1e-8
    # By nodes that are not even in the root: 0.8559466 and 10.30349, to 6e-6.
    assert abs(found.cosine - 0.8559441) < 1e-7 and abs(found.norm / 10.3035256 - 1) < 1e-8


def test_spectra_are_told_apart():
    """Fits behind probes are kept by the law of the inputs: two spectra are never one."""
    first, second = (power_law(exponent, 1.2, 30) for exponent in (0.5, 1.5))
    assert first != second and len({first, second}) == 2
    problem = Problem(keep_fraction=0.5, probe="pilot:3:0.02", ridge=0.02)
    alignments = [
        solve(problem.replace(inputs=law)).state["probe_alignment"] for law in (first, second)
    ]
    assert abs(alignments[0] - alignments[1]) > 0.01

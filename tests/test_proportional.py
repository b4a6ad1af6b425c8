"""The proportional limit: published and tabulated values, and a second, plain method."""

# Texts stand for objects and numbers may be None here; a test fails where that is wrong.

import math
from dataclasses import replace as dataclass_replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

import brute_force
from nfl_pruning.links import piecewise_constant
from nfl_pruning.probes import FixedProbe
from nfl_pruning.problem import Problem
from nfl_pruning.scores import SCORES, Score
from nfl_pruning.selections import make_selection
from nfl_pruning.theory.integrators.panels import certify
from nfl_pruning.theory.integrators.panels.mesh import LEVELS
from nfl_pruning.theory.solve import solve

pytestmark = pytest.mark.optimised

BASE = Problem(samples_per_feature=6, keep_fraction=0.3, probe=FixedProbe(0.8)).replace(
    signal=2.0, ridge=0.05 / 6
)
EXACT = make_selection("exact", exploit=0.6)
# a_u, a_p, log tau, log kappa of panels twice as fine; each checked by direct simulation as well
ROWS = {
    "random": ({"selection": "random"}, (1.28830996, 0.96623247, 0.6509291, 1.82492905)),
    "agnostic hardest": (
        {"score": "margin"},
        (0.24182798, 1.17956793, 0.72783644, 1.73242077),
    ),
    "agnostic easiest": (
        {"score": "entropy", "keep": "easiest"},
        (1.50919852, 0.68884908, 0.52298046, 2.08353534),
    ),
    "aware hardest": ({}, (-1.72674173, 1.07731724, 0.44942335, 1.95610472)),
    "aware easiest": (
        {"score": "loss", "keep": "easiest"},
        (1.96646113, 0.13857504, -0.3587886, 2.33718448),
    ),
    "agnostic hardest, calibrated": (
        {"score": "margin", "selection": EXACT},
        (1.70780564, 1.45182814, 1.09642379, 1.62768042),
    ),
    "aware hardest, calibrated": (
        {"selection": EXACT},
        (0.63508021, 1.70842101, 1.1821771, 1.60114735),
    ),
    "GraNd ranks like EL2N": (
        {"score": "grand"},
        (-1.72674173, 1.07731724, 0.44942335, 1.95610472),
    ),
}


@pytest.mark.parametrize("rule", ROWS)
def test_tabulated_states(rule):
    changes, expected = ROWS[rule]
    solution = solve(BASE.replace(**changes))
    state = solution.state
    found = [state["a_u"], state["a_p"], np.log(state["tau"]), np.log(state["kappa"])]
    np.testing.assert_allclose(found, expected, atol=1.01e-8)
    assert solution.status.value == "certified" and solution.residual < 1e-11
    a_u, a_p, tau = found[0], found[1], state["tau"]
    size = np.sqrt(a_u**2 + a_p**2 + tau**2)
    np.testing.assert_allclose(
        [solution.norm, solution.cosine], [size, (0.8 * a_u + 0.6 * a_p) / size]
    )


def test_calibrated_cosines_and_norms():
    for score, cosine, size in (
        ("margin", 0.59827313, 3.73966553),
        ("el2n", 0.41034111, 3.73620079),
    ):
        solution = solve(BASE.replace(score=score, selection=EXACT))
        np.testing.assert_allclose([solution.cosine, solution.norm], [cosine, size], atol=1.01e-8)


SMOOTH = Problem(samples_per_feature=6870 / 3000).replace(
    link="steps:0:0.05,0.95", signal=5, ridge=0.001
)


@pytest.mark.parametrize(
    ("exponent", "fraction", "error", "state"),
    [
        (0, 0.4, 0.321736, (3.878830, 2.782388)),
        (1, 0.4, 0.383883, (5.076021, 2.178043)),
        (1, 0.8, 0.247244, None),
        (0, 1.0, 0.264206, None),
        (1, 0.05, 0.476497, None),
        (0, 0.05, 0.431105, None),
    ],
)
def test_smooth_rules(exponent, fraction, error, state):
    """Kolossov, Montanari and Tandon (2023): hard selection of 80 % beats the full data."""
    solution = solve(SMOOTH.replace(selection=f"power:{exponent}", keep_fraction=fraction))
    assert abs(solution.test_error - error) < 1.01e-6
    if state:
        found = (solution.state["tau"], solution.cosine * solution.norm)
        np.testing.assert_allclose(found, state, atol=1.01e-6)


def test_smooth_rules_need_a_ridge():
    solution = solve(SMOOTH.replace(ridge=0))
    assert solution.status.value == "separable" and math.isnan(solution.norm)


@pytest.mark.parametrize(("keep", "error"), [("hardest", 0.134383), ("easiest", 0.187062)])
def test_squared_loss(keep, error):
    problem = Problem(
        samples_per_feature=5, keep_fraction=0.5, score="margin", probe=FixedProbe(0.8), keep=keep
    ).replace(link="sign", loss="squared", ridge=0.01)
    assert abs(solve(problem).test_error - error) < 1.01e-6


def test_unpruned_maximum_likelihood():
    """Sur and Candes (2019), d/n = 0.2, gamma^2 = 5."""
    solution = solve(Problem(samples_per_feature=5).replace(signal=5**0.5, ridge=0))
    scaled = solution.cosine * solution.norm / 5**0.5, solution.state["kappa"]
    np.testing.assert_allclose(scaled, (1.4993501228, 3.0269261600), atol=1.5e-9)
    np.testing.assert_allclose(solution.state["tau"] / 0.2**0.5, 4.7435531578, atol=1.5e-9)


def test_unpruned_ridge():
    solution = solve(Problem(samples_per_feature=2).replace(signal=5**0.5, ridge=0.1))
    state = solution.state
    found = (state["a_u"], state["tau"], state["kappa"], solution.cosine)
    np.testing.assert_allclose(found, (0.97028650, 0.97011583, 2.27740858, 0.70716897), atol=6e-9)


@pytest.mark.parametrize(
    ("delta", "error"),
    [(0.5, 0.32884975), (1, 0.26571147), (2, 0.18847861), (5, 0.09382701), (10, 0.04918340)],
)
def test_max_margin(delta, error):
    solution = solve(Problem(samples_per_feature=delta).replace(link="sign", ridge=0))
    assert solution.status.value == "separable" and math.isnan(solution.norm)
    assert math.isnan(solution.test_error) and math.isnan(solution.cosine)
    assert abs(np.arccos(solution.direction_cosine) / np.pi - error) < 6e-9


def test_simulated_cases():
    """Values that simulations confirmed to 0.003 and 0.006."""
    soft = Problem(
        samples_per_feature=5,
        keep_fraction=0.4,
        probe=FixedProbe(0.7),
        selection=make_selection("soft:0.5", exploit=0.5),
    ).replace(signal=1.5, ridge=0.02)
    solution = solve(soft)
    np.testing.assert_allclose([solution.cosine, solution.norm], [0.4164, 2.0964], atol=6e-5)
    pilot = soft.replace(selection="threshold", probe=FixedProbe(0.7521, 2.4362), signal=2.0)
    solution = solve(pilot)
    np.testing.assert_allclose([solution.cosine, solution.norm], [-0.0803, 1.9450], atol=6e-5)


# --- a second method -------------------------------------------------------------------------


def plain(problem, keep, cuts, *, link: Any = expit, jumps=(), **fineness):
    pull = brute_force.squared_pull if problem.student.loss.name == "squared" else None
    return brute_force.BruteForce(
        link=link,
        keep=keep,
        cuts=list(cuts),
        signal=problem.teacher.signal,
        delta=problem.samples_per_feature,
        ridge=problem.student.ridge,
        rho=problem.probe.alignment,
        jumps=list(jumps),
        **({"pull": pull} if pull else {}),
        **fineness,
    )


def assert_agrees(problem, other):
    """Within the error estimate, but for the digits that the plain method itself has."""
    solution = solve(problem)
    state = solution.state
    start = (state["a_u"] + 0.05, state["a_p"] - 0.05, 1.1 * state["tau"], 0.9 * state["kappa"])
    cosine, size = other.cosine_and_norm(other.solve(start))
    assert solution.status.value == "certified"
    slack = 1e-8
    assert abs(solution.cosine - cosine) < solution.error_estimate + slack
    assert abs(solution.norm / size - 1) < solution.error_estimate + slack
    assert abs(solution.cosine - cosine) < 1e-7 and abs(solution.norm / size - 1) < 1e-7


def inside(problem, rule):
    return lambda u, y: (rule(u, y).astype(float), np.ones_like(u))


@pytest.mark.slow
def test_plain_method_squared_loss_with_piecewise_link():
    """Unequal label chances, so no fold helps; label-agnostic keep-easiest."""
    link = piecewise_constant([-0.7, 0.4], [0.1, 0.75, 0.9])
    problem = Problem(
        samples_per_feature=4,
        keep_fraction=0.4,
        keep="easiest",
        score="margin",
        probe=FixedProbe(0.6),
    ).replace(link=link, signal=1.7, loss="squared", ridge=0.03)
    t = brute_force.agnostic_quantile(0.6)
    other = plain(
        problem,
        inside(problem, lambda u, y: np.abs(u) > t),
        (-t, t),
        link=lambda m: np.where(m < -0.7, 0.1, np.where(m < 0.4, 0.75, 0.9)),
        jumps=(-0.7, 0.4),
    )
    assert_agrees(problem, other)


@pytest.mark.slow
def test_plain_method_soft_calibration_with_heavy_weights():
    """Label-aware hardest; explored samples weigh sqrt(1 / e) with e = 0.03."""
    problem = Problem(
        samples_per_feature=8,
        keep_fraction=0.2,
        probe=FixedProbe(0.5),
        selection=make_selection("soft:0.5", exploit=0.87),
    ).replace(signal=1.5, ridge=0.02)
    share = 0.87 * 0.2
    explored = 0.13 * 0.2 / (1 - share)

    def keep(u, y):
        first = y * u < t
        return np.where(first, 1.0, explored), np.where(first, 1.0, explored**-0.5)

    other = plain(problem, keep, ())
    t = brute_force.label_aware_quantile(other, share)
    other.cuts = [t, -t]
    assert_agrees(problem, other)


@pytest.mark.slow
def test_plain_method_piecewise_link_with_label_aware_rule():
    link = piecewise_constant([0.3], [0.15, 0.8])
    problem = Problem(
        samples_per_feature=7, keep_fraction=0.35, keep="easiest", probe=FixedProbe(0.7)
    ).replace(link=link, signal=1.3, ridge=0.01)
    step = lambda m: np.where(m < 0.3, 0.15, 0.8)  # noqa: E731
    other = plain(problem, inside(problem, lambda u, y: y * u > t), (), link=step, jumps=(0.3,))
    t = brute_force.label_aware_quantile(other, 0.65)
    other.cuts = [t, -t]
    assert_agrees(problem, other)


@pytest.mark.slow
def test_plain_method_power_rule():
    """Probe with a norm of its own; the keep probability has kinks where it reaches 1."""
    problem = Problem(
        samples_per_feature=6, keep_fraction=0.6, probe=FixedProbe(0.8, 3.0), selection="power:1"
    ).replace(signal=2, ridge=0.02)
    bump = lambda u: expit(3 * u) * expit(-3 * u)  # noqa: E731

    def mean(c):
        edge = kink(c)
        u, w = brute_force.panels(brute_force.split([-edge, edge], 0.3), 10)
        return np.sum(w * norm.pdf(u) * np.minimum(1, c * bump(u)))

    def kink(c):
        if c <= 4:
            return 0.0
        p = 0.5 + np.sqrt(0.25 - 1 / c)
        return np.log(p / (1 - p)) / 3

    c = brute_force.brentq(lambda c: mean(c) - 0.6, 0.1, 1e4, xtol=1e-13)
    other = plain(
        problem, lambda u, y: (np.minimum(1, c * bump(u)), np.ones_like(u)), (-kink(c), kink(c))
    )
    assert_agrees(problem, other)


@pytest.mark.slow
def test_plain_method_non_monotone_score():
    """Hardness |margin - 0.7|: keep-hardest drops a window that is off centre."""
    score = Score(
        "off-centre", lambda z, y, c: jnp.abs(z[..., 1] - z[..., 0] - 0.7), label_aware=False
    )
    problem = BASE.replace(score=score, keep_fraction=0.5, probe=FixedProbe(0.8, 1.3))

    def kept(h):
        return norm.cdf((0.7 - h) / 1.3) + norm.sf((0.7 + h) / 1.3) - 0.5

    h = brute_force.brentq(kept, 0, 5, xtol=1e-14)
    low, high = (0.7 - h) / 1.3, (0.7 + h) / 1.3
    rule = inside(problem, lambda u, y: (u < low) | (u > high))
    assert_agrees(problem, plain(problem, rule, (low, high)))


# --- the error estimate ----------------------------------------------------------------------

HARD = {
    "steep link": BASE.replace(signal=8.0, samples_per_feature=40),
    "noiseless, nearly perfect probe": BASE.replace(link="sign", probe=FixedProbe(0.999)),
    "heavy weights": BASE.replace(
        selection=make_selection("exact", exploit=0.99), keep_fraction=0.1, ridge=1e-3
    ),
    "close to separable": BASE.replace(ridge=1e-4, score="margin", samples_per_feature=5.5),
    "two steps": BASE.replace(link="steps:-1,0.5:0.1,0.6,0.9", probe=FixedProbe(-0.3)),
    "smooth easy rule": SMOOTH.replace(selection="power:-1.5", keep_fraction=0.2),
}


def distance(a, b):
    return max(abs(a.cosine - b.cosine), abs(a.norm / b.norm - 1), abs(a.test_error - b.test_error))


@pytest.mark.slow
@pytest.mark.parametrize("case", HARD)
def test_true_error_is_below_the_estimate(case, monkeypatch):
    """Stop the refinement early, and compare with the finest mesh."""
    problem = HARD[case]
    full = solve(problem)
    monkeypatch.setattr(certify, "LEVELS", LEVELS[:2])
    early = solve(problem)
    finest = dataclass_replace(LEVELS[-1], u_panels=120, u_nodes=16, xi_runs=14)
    monkeypatch.setattr(certify, "LEVELS", (LEVELS[0], finest))
    reference = solve(problem)
    assert distance(early, reference) <= early.error_estimate
    assert distance(full, reference) <= full.error_estimate
    assert full.error_estimate < 1e-6


# --- scores and selections reach the theory as they are -----------------------------------------


def same(a, b, tolerance=1e-9):
    return abs(a.cosine - b.cosine) < tolerance and abs(a.norm / b.norm - 1) < tolerance


def test_a_monotone_transform_of_a_score_has_the_same_limit():
    el2n = SCORES["el2n"]
    twisted = Score("twisted", lambda z, y, c: jnp.arctan(el2n(z, y, c) ** 3) - 4, label_aware=True)
    assert same(solve(BASE.replace(score=twisted)), solve(BASE))
    turned = Score("turned", lambda z, y, c: -el2n.rank_key(z, y, c), label_aware=True)
    assert same(solve(BASE.replace(score=turned, keep="easiest")), solve(BASE))


def test_a_constant_score_is_random():
    flat = Score("flat", lambda z, y, c: jnp.full(z.shape[:-1], 3.0), label_aware=False)
    random = solve(BASE.replace(selection="random"))
    assert same(solve(BASE.replace(score=flat)), random)
    assert same(solve(BASE.replace(score="random")), random)
    assert same(solve(BASE.replace(probe=FixedProbe(0.8, 0.0))), random)


def test_protocols_meet_at_their_ends():
    def of(text, exploit=0.5, **changes):
        return solve(BASE.replace(selection=make_selection(text, exploit=exploit), **changes))

    assert same(of("exact", exploit=1.0), of("threshold"))
    assert same(of("soft:0", exploit=0.0), of("random"))
    inverse = of("exact", exploit=0.0)
    scaled = of("random", ridge=BASE.student.ridge * BASE.keep_fraction)
    assert same(inverse, scaled)  # weight 1 / r on all is ridge r times smaller
    assert same(of("exact", keep_fraction=1.0), of("threshold", keep_fraction=1.0))


def test_a_need_that_the_limit_lacks_is_unsupported_in_a_sentence():
    score = Score(
        "deep",
        lambda z, y, c: jnp.asarray(c.features).sum(-1),
        label_aware=False,
        needs=frozenset({"features"}),
    )
    solution = solve(BASE.replace(score=score))
    assert solution.status.value == "unsupported"
    assert "'deep' needs features" in solution.message and solution.message.endswith(".")
    assert math.isnan(solution.cosine) and solution.to_dict()["cosine"] is None


def test_a_score_that_is_not_finite_is_unsupported():
    score = Score("log", lambda z, y, c: jnp.log(z[..., 1]), label_aware=False)
    assert "not finite" in solve(BASE.replace(score=score)).message


@pytest.mark.slow
def test_edge_cases_end_in_a_sensible_status():
    some = Problem(samples_per_feature=4, keep_fraction=0.4)
    for alignment in (1, -1, 0):
        assert solve(some.replace(probe=FixedProbe(alignment))).status.value == "certified"
    np.testing.assert_allclose(  # a probe turned round ranks |u| alike
        solve(some.replace(probe=FixedProbe(-1), score="margin")).cosine,
        solve(some.replace(probe=FixedProbe(1), score="margin")).cosine,
        atol=1e-10,
    )
    blind = solve(some.replace(signal=0.0, selection="random"))
    assert abs(blind.cosine) < 1e-12 and abs(blind.test_error - 0.5) < 1e-12
    for signal, probe in (
        (0.0, FixedProbe(0.5, 1.0)),
        (8.0, FixedProbe(0.9)),
        (1.0, FixedProbe(1, 50)),
    ):
        for fraction in (1.0, 0.01):
            problem = some.replace(
                signal=signal, probe=probe, keep_fraction=fraction, samples_per_feature=200
            )
            assert solve(problem).status.value == "certified"
    heavy = solve(some.replace(ridge=1e3))
    assert heavy.status.value == "certified" and heavy.norm < 1e-3
    weighty = some.replace(selection=make_selection("exact", exploit=0.99), keep_fraction=0.1)
    assert solve(weighty).status.value == "certified"


@pytest.mark.slow
def test_squared_loss_needs_a_kept_sample_per_feature():
    """At exactly one the norm is infinite; rounding must not decide."""
    some = Problem(keep_fraction=0.4).replace(loss="squared", ridge=0)
    for delta in (2.0, 2.5):
        solution = solve(some.replace(samples_per_feature=delta))
        assert solution.status.value == "separable" and math.isnan(solution.norm)
    assert solve(some.replace(samples_per_feature=3.0)).status.value == "certified"


def test_to_dict_is_strict_json():
    import json

    for problem in (BASE, BASE.replace(link="sign", ridge=0, keep_fraction=1.0)):
        text = json.dumps(solve(problem).to_dict(), allow_nan=False)
        assert {"cosine", "norm", "test_error", "excess_risk", "status", "error_estimate"} <= set(
            json.loads(text)
        )


def test_theory_and_simulation_call_the_same_score():
    from nfl_pruning.montecarlo import simulate
    from nfl_pruning.scores import register_score

    calls = []

    @register_score("traced", label_aware=True)
    def traced(logits, labels, context):
        """Counts its calls."""
        calls.append(logits.shape)
        return -jnp.take_along_axis(logits, labels[..., None], -1)[..., 0] + logits.max(-1)

    try:
        problem = BASE.replace(score="traced", samples_per_feature=3)
        solve(problem)
        by_theory, before = len(calls), list(calls)
        simulate(problem, n_features=8, n_trials=1)
        assert by_theory > 0 and len(calls) > by_theory
        assert all(shape[-1] == 2 for shape in calls)
        assert calls[by_theory] not in before  # the simulation's samples, not the nodes again
    finally:
        del SCORES._members["traced"]
    assert traced.name == "traced"

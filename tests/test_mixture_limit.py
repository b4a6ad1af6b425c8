"""Limits for mixtures: tables of a second implementation, reductions, simulation, refusals."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nfl_pruning import Problem, Spectrum, simulate, solve
from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs import Mixture
from nfl_pruning.inputs.covariances import LowRank
from nfl_pruning.probes import InSampleProbe, PilotProbe, Probe, WeightsProbe
from nfl_pruning.problem import Student
from nfl_pruning.selections import RankSelection
from nfl_pruning.theory.mixture.many_classes import many
from nfl_pruning.theory.mixture.many_classes.anderson import fixed_point
from nfl_pruning.theory.mixture.many_classes.points import (
    band_shares,
    normal_points,
    propensity_shares,
)
from nfl_pruning.theory.mixture.many_classes.prox import Outputs, contrast_basis, proximal
from nfl_pruning.theory.mixture.selecting import quota_fractions
from nfl_pruning.theory.mixture.two_classes.populations import group_probabilities
from solved import solved

PAIR = Mixture(
    weights=np.array([0.6, 0.4]),
    means=np.array([[-1.0, 0.0], [1.0, 0.0]]),
    covariances=np.array([1.0, 0.5]),
    labels=np.array([0, 1]),
)
FIXED = WeightsProbe(1.5 * np.array([0.8, 0.6]), 0.2)
CORNERS = np.array([[1.0, 0.0], [-0.5, 3**0.5 / 2], [-0.5, -(3**0.5) / 2]])


def pair_problem(score="el2n", keep="hardest", fraction=0.3, exploit=1.0, probe: Probe = FIXED):
    return Problem(
        samples_per_feature=5,
        keep_fraction=fraction,
        score=score,
        keep=keep,
        selection="threshold" if exploit == 1 else "exact",
        exploit=None if exploit == 1 else exploit,
        probe=probe,
        student=Student(ridge=0.02, intercept=True),
        inputs=PAIR,
    )


def three_classes():
    means, weights = np.zeros((3, 4)), np.zeros((3, 4))
    means[:, :2] = 1.5 * CORNERS
    weights[:, :2], weights[:, 2:] = 1.2 * 0.8 * CORNERS, 1.2 * 0.6 * CORNERS
    mixture = Mixture(
        np.array([0.5, 0.3, 0.2]), means, np.array([1.0, 1.0, 0.6]), np.array([0, 1, 2])
    )
    return mixture, WeightsProbe(weights, np.array([0.3, 0.0, -0.3]))


def three_problem(score, keep, fraction, exploit=1.0, **changes):
    mixture, probe = three_classes()
    return Problem(
        samples_per_feature=6,
        keep_fraction=fraction,
        score=score,
        keep=keep,
        selection="threshold" if exploit == 1 else "exact",
        exploit=None if exploit == 1 else exploit,
        **{
            "probe": probe,
            "student": Student(ridge=0.02, intercept=True),
            "inputs": mixture,
            **changes,
        },
    )


# score, keep, r, exploit, error, mean_0, mean_1, variance_0, intercept: two other quadratures
TABLE = [
    ("random", "hardest", 0.3, 1, 0.18803930, -1.5607148, 1.0563344, 3.0023199, -0.2521902),
    ("el2n", "hardest", 0.3, 1, 0.45278976, -1.0970666, -0.8019035, 2.6354414, -0.9494850),
    ("entropy", "easiest", 0.3, 1, 0.16812061, -1.5174865, 1.0397223, 2.4282767, -0.2388821),
    ("entropy", "hardest", 0.1, 0.5, 0.27243858, -1.2062022, 1.0623581, 4.7656732, -0.0719220),
]
IN_SAMPLE = [
    ("el2n", "hardest", 0.6, 1, 0.15694689, -2.2128775, 1.4529000, 4.5500293, -0.3799888),
    ("entropy", "easiest", 0.3, 1, 0.18260823, -2.1383505, 0.3428966, 1.9317307, -0.8977269),
]
MORE = [
    ("el2n", "hardest", 0.6, 1, 0.20434025, -1.9775251, 0.8913667, 4.0640280, -0.5430792),
    ("el2n", "easiest", 0.3, 1, 0.16645466, -1.1313008, 1.5017529, 2.2473907, 0.1852260),
    ("entropy", "hardest", 0.3, 1, 0.28462017, -1.2925314, 0.3624778, 2.8243634, -0.4650268),
    ("el2n", "hardest", 0.3, 0.5, 0.22713916, -2.3054252, 1.0678932, 6.9021018, -0.6187660),
]
MORE_IN_SAMPLE = [
    ("el2n", "hardest", 0.3, 1, 0.28382927, -0.4834346, 0.6093317, 1.1979003, 0.0629486),
    ("el2n", "easiest", 0.3, 1, 0.18153449, -2.1382294, 0.3492854, 1.9292852, -0.8944720),
    ("entropy", "hardest", 0.5, 1, 0.16157966, -1.9409516, 1.3348998, 3.7747560, -0.3030259),
    ("el2n", "hardest", 0.4, 0.5, 0.17931763, -2.1513716, 1.4918078, 5.4074364, -0.3297819),
]


def check_row(row, probe):
    score, keep, fraction, exploit, *numbers = row
    found = solved(pair_problem(score, keep, fraction, exploit, probe))
    assert found.status == "certified", found.message
    assert found.error_estimate < 1e-8
    names = ("mean_0", "mean_1", "variance_0", "intercept")
    values = [found.test_error, *(found.observables[name] for name in names)]
    np.testing.assert_allclose(values, numbers, atol=1.2e-7, rtol=0)


@pytest.mark.parametrize("row", TABLE)
def test_two_classes_agree_with_another_implementation(row):
    check_row(row, FIXED)


@pytest.mark.parametrize("row", IN_SAMPLE)
def test_two_classes_with_a_probe_of_the_same_samples(row):
    check_row(row, InSampleProbe(0.02))


@pytest.mark.slow
@pytest.mark.parametrize("row", MORE)
def test_more_of_two_classes(row):
    check_row(row, FIXED)


@pytest.mark.slow
@pytest.mark.parametrize("row", MORE_IN_SAMPLE)
def test_more_of_two_classes_in_sample(row):
    check_row(row, InSampleProbe(0.02))


# score, keep, r, exploit, and the mean of two scrambles of another implementation
THREE = [
    ("random", "hardest", 0.3, 1, 0.22564, 3e-4),
    ("el2n", "hardest", 0.3, 1, 0.39240, 2e-3),
    ("margin", "easiest", 0.3, 1, 0.21879, 1e-3),
    ("el2n", "hardest", 0.3, 0.5, 0.26976, 1.5e-3),
]


@pytest.mark.parametrize(("score", "keep", "fraction", "exploit", "value", "spread"), THREE)
def test_three_classes_agree_with_another_implementation(
    score, keep, fraction, exploit, value, spread
):
    found = solved(three_problem(score, keep, fraction, exploit))
    assert found.status == "certified", found.message
    assert found.error_estimate <= 5e-4
    assert abs(found.test_error - value) < spread + 4 * found.error_estimate


def test_label_aware_scores_differ_for_three_classes_and_not_for_two():
    found = [solved(three_problem(s, "hardest", 0.3)) for s in ("el2n", "loss", "entropy")]
    errors = np.array([one.test_error for one in found])
    spread = max(one.error_estimate for one in found)
    assert errors[1] - errors[0] > 5 * spread
    assert errors[0] - errors[2] > 50 * spread
    pair = [solved(pair_problem(s)).test_error for s in ("el2n", "loss")]
    assert abs(pair[0] - pair[1]) < 1e-10  # the control: one and the same order


GAUSSIAN = WeightsProbe(1.5 * np.array([0.8, 0.6]), 0.0)


@pytest.mark.parametrize(
    ("known", "probe"),
    [
        ("fixed:0.8:1.5", GAUSSIAN),
        pytest.param("in-sample:0.02", "in-sample:0.02", marks=pytest.mark.slow),
        pytest.param("pilot:3:0.02", "pilot:3:0.02", marks=pytest.mark.slow),
    ],
)
@pytest.mark.optimised
def test_one_component_with_a_teacher_is_the_gaussian_problem(known, probe):
    one = Mixture(np.ones(1), np.zeros((1, 2)), np.ones(1), None)
    common: dict[str, Any] = {
        "samples_per_feature": 4.0, "keep_fraction": 0.3, "signal": 2.0, "ridge": 0.02,
    }  # fmt: skip
    old = solve(Problem(probe=known, **common))
    new = solve(Problem(probe=probe, inputs=one, **common))
    assert new.status == "certified", new.message
    for name in ("cosine", "norm", "test_error", "test_loss", "calibration_slope"):
        assert getattr(new, name) == pytest.approx(getattr(old, name), abs=1e-8)
    wrong = solve(Problem(probe=known, **common).replace(ridge=0.021))
    assert abs(wrong.norm - new.norm) > 1e-3  # the control


@pytest.mark.slow
def test_equal_covariances_with_a_spectrum_agree_with_the_spectrum():
    s = np.array([4.0, 1.0, 1.0, 0.5, 0.25, 0.25])
    teacher = np.zeros(6)
    teacher[0] = 1 / np.sqrt(s[0])
    spectrum = Spectrum(s, teacher)
    common: dict[str, Any] = {
        "samples_per_feature": 8.0, "keep_fraction": 0.4, "ridge": 0.05, "signal": 1.0,
    }  # fmt: skip
    one = Mixture(np.ones(1), np.zeros((1, 6)), s[None], None)
    old = solve(Problem(inputs=spectrum, probe="pilot:4:0.1", **common))
    # the spectrum's teacher has variance 1 on its inputs, the mixture's that of coordinate 1
    new = solve(Problem(inputs=one, probe="pilot:4:0.1", **common | {"signal": 1 / np.sqrt(s[0])}))
    assert new.test_error == pytest.approx(old.test_error, abs=1e-8)
    assert new.norm == pytest.approx(old.norm, abs=1e-7)


def random_mixture(n_classes, n_components, d, seed):
    rng = np.random.default_rng(seed)
    turned = np.eye(d) + 0.3 * rng.normal(size=(n_components, d, d)) / np.sqrt(d)
    covariances = np.einsum("cij,ckj->cik", turned, turned)
    labels = 0.9 * np.eye(n_classes)[np.arange(n_components) % n_classes] + 0.1 / n_classes
    means = rng.normal(size=(n_components, d)) * 1.5 / np.sqrt(d) * 2
    return Mixture(np.full(n_components, 1 / n_components), means, covariances, labels)


@pytest.mark.slow
@pytest.mark.parametrize("probe", [PilotProbe(4.0, 0.05), InSampleProbe(0.05)])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_agrees_with_simulation_for_any_covariances(n_classes, probe):
    mixture = random_mixture(n_classes, 2 * n_classes, 120, 3)
    problem = Problem(
        samples_per_feature=8, keep_fraction=0.4, score="margin", protocol="exact", exploit=0.6,
        probe=probe, student=Student(ridge=0.05, intercept=True), inputs=mixture,
        balance="equal",
    )  # fmt: skip
    limit = solve(problem)
    assert limit.status == "certified", limit.message
    trials = simulate(problem, n_trials=24 if n_classes == 2 else 40, n_features=120, seed=1)
    error = np.hypot(trials.standard_error("test_error"), limit.error_estimate)
    assert error < 0.003
    finite = 0.004  # of order 1 / d at d = 120
    assert abs(trials.mean("test_error") - limit.test_error) < 4 * error + finite
    other = dataclasses.replace(mixture, covariances=2.0 * mixture.covariances.arrays()["full"])
    wrong = solve(problem.replace(inputs=other))
    assert abs(trials.mean("test_error") - wrong.test_error) > 4 * error + finite


def test_a_verifier_and_quotas_keep_what_they_say():
    noisy = Mixture.simplex(3, 2.0, label_noise=0.3)
    problem = Problem(
        samples_per_feature=6, keep_fraction=0.5, protocol="verifier:1:0.2", probe=WeightsProbe(
            noisy.means, np.zeros(3)), student=Student(ridge=0.05), inputs=noisy,
    )  # fmt: skip
    found = solve(problem)
    assert found.status == "certified", found.message
    everything = solve(problem.replace(protocol="random"))
    assert found.test_error < everything.test_error - 10 * everything.error_estimate
    quotas = solve(three_problem("el2n", "hardest", 0.3, balance="equal"))
    kept = [quotas.observables[f"kept_class_{k}"] for k in range(3)]
    np.testing.assert_allclose(np.array(kept) * [0.5, 0.3, 0.2], 0.1, rtol=1e-9)
    plain = solved(three_problem("el2n", "hardest", 0.3))
    assert abs(plain.observables["kept_class_0"] - kept[0]) > 0.01  # the control


@pytest.mark.slow
def test_six_classes_with_nearly_singular_covariances_and_heavy_weights(monkeypatch):
    """Problems on which plain iteration diverges are solved, by rounds that agree."""
    rng = np.random.default_rng(0)
    d, n_components = 36, 18
    means = rng.normal(size=(n_components, d)) * np.arange(1, d + 1) ** -0.5 * 0.4
    turned = rng.normal(size=(n_components, d, d)) * 0.2 / np.sqrt(d) + np.eye(d)
    s = np.arange(1, d + 1) ** -3.0 * 1.5
    covariances = np.einsum("cij,j,ckj->cik", turned, s, turned)
    mixture = Mixture(
        np.full(n_components, 1 / n_components), means, covariances, np.arange(n_components) % 6
    )
    problem = Problem(
        samples_per_feature=16, keep_fraction=0.03, protocol="exact", exploit=0.7,
        probe="pilot:5:0.02", student=Student(ridge=0.01, intercept=True), inputs=mixture,
    )  # fmt: skip
    found = solve(problem, tolerance=2e-3)
    assert found.status == "certified", found.message
    monkeypatch.setattr(many, "FINER", 0.0025)  # rounds that go on until nothing moves
    settled = solve(problem, tolerance=2e-3)
    assert settled.status == "certified", settled.message
    assert settled.residual < 1e-5 < found.residual
    assert abs(settled.test_error - found.test_error) < 5e-4


def test_refusals_name_what_is_missing():
    problem = pair_problem()
    for changed, words in (
        (problem.replace(ridge=0.0), "ridge > 0"),
        (problem.replace(loss="hinge"), "smooth"),
        (problem.replace(score="forgetting"), "forgetting"),
        (problem.replace(probe="fixed:0.8"), "fixed:0.8"),
        (three_problem("el2n", "hardest", 0.3).replace(loss="hinge"), "hinge"),
    ):
        found = solve(changed)
        assert found.status == "unsupported"
        assert words in found.message
        assert np.isnan(found.test_error)


def test_low_rank_and_full_covariances_are_one_law():
    rng = np.random.default_rng(2)
    diagonal, factors = 0.5 + rng.random((2, 12)), 0.5 * rng.normal(size=(2, 12, 2))
    full = np.stack([np.diag(a) + f @ f.T for a, f in zip(diagonal, factors, strict=True)])
    means = rng.normal(size=(2, 12)) * 0.5
    found = [
        solve(
            Problem(
                samples_per_feature=5, keep_fraction=0.4, probe="pilot:3:0.05",
                student=Student(ridge=0.05),
                inputs=Mixture(np.array([0.5, 0.5]), means, form, np.array([0, 1])),
            )
        ).test_error
        for form in (LowRank(diagonal, factors), full)
    ]  # fmt: skip
    assert found[0] == pytest.approx(found[1], abs=1e-12)


def test_proximal_points_are_minimisers():
    outputs = Outputs.of(4, squared=False)
    rng = np.random.default_rng(1)
    half = rng.normal(size=(3, 3))
    kappa = 20 * (half @ half.T + 0.05 * np.eye(3))
    v, labels = 15 * rng.normal(size=(3, 200)), rng.integers(0, 4, 200)
    weight = np.exp(3 * rng.random(200))
    with jax.enable_x64(True):
        inverse = jnp.linalg.inv(kappa)
        h, left = proximal(outputs, jnp.asarray(v), labels, weight, inverse, jnp.zeros((3, 200)))
    assert float(left) < 1e-8
    basis, h = contrast_basis(4), np.asarray(h)
    logits = basis.T @ h
    p = np.exp(logits - logits.max(0))
    p /= p.sum(0)
    gradient = weight * (basis @ (p - np.eye(4)[labels].T)) + np.linalg.solve(kappa, h - v)
    assert np.abs(gradient).max() < 1e-6
    assert np.abs(gradient - 1e-3 * h).max() > 1e-3  # the control: what a wrong h would leave


def test_bands_divide_ties_and_masses_exactly():
    priority = np.array([3.0, 1.0, 1.0, 1.0, 0.0])
    mass = np.array([0.1, 0.2, 0.3, 0.1, 0.3])
    selection = Problem(protocol="exact", exploit=0.5).selection
    assert isinstance(selection, RankSelection)
    shares = band_shares(priority, mass, selection.strata(0.5))
    assert [float(share @ mass) for share, _ in shares] == pytest.approx([0.25, 0.75])
    np.testing.assert_allclose(shares[0][0], [1, 0.25, 0.25, 0.25, 0])
    keep = propensity_shares(np.log(mass), mass, 0.7)
    assert keep @ mass == pytest.approx(0.7)
    assert keep.max() <= 1 and keep[np.argmax(mass)] == keep.max()


def test_group_probabilities_and_quotas_are_exact_or_refused():
    masses = np.array([0.5, 0.3, 0.2])
    keep = group_probabilities(masses, np.log([1.0, 0.5, 0.1]), 0.7)
    assert keep @ masses == pytest.approx(0.7) and keep.max() == 1.0
    with pytest.raises(UnsupportedProblemError, match=r"at most 0\.5"):
        group_probabilities(masses, np.array([0.0, -np.inf, -np.inf]), 0.7)
    fractions = quota_fractions({0: 0.7, 1: 0.2, 2: 0.1}, 0.6, "equal")
    assert fractions[2] == 1.0 and fractions[1] == 1.0
    assert 0.7 * fractions[0] + 0.2 + 0.1 == pytest.approx(0.6)


def test_points_are_whitened_exactly_and_iteration_converges_where_plain_diverges():
    points = normal_points(256, 5, np.random.SeedSequence(0))
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-14)
    np.testing.assert_allclose(points.T @ points / 256, np.eye(5), atol=1e-12)
    matrix = np.array([[-3.0, 1.0], [0.5, -2.0]])  # plain rounds multiply errors by up to 3.4
    found = fixed_point(
        lambda x: matrix @ x + 1.0, np.zeros(2), lambda x: np.ones(2), tolerance=1e-10
    )
    assert found.converged
    np.testing.assert_allclose(found.x, np.linalg.solve(np.eye(2) - matrix, np.ones(2)))


def test_an_asymmetric_link_needs_the_intercept_that_theory_and_trials_give_it():
    problem = Problem(
        samples_per_feature=5, keep_fraction=0.4, signal=1.5, link="steps:0.8:0.1,0.9",
        probe="fixed:0.7", ridge=0.05, intercept=True,
    )  # fmt: skip
    limit = solve(problem)
    assert limit.status == "certified", limit.message
    assert limit.problem == problem
    trials = simulate(problem, n_trials=24, n_features=120, seed=2)
    assert trials.standard_error("test_error") < 0.004
    assert abs(trials.z_score("test_error", limit.test_error)) < 4
    assert abs(trials.z_score("intercept", limit.observables["intercept"])) < 4
    without = solve(problem.replace(intercept=False))
    assert without.test_error > limit.test_error + 0.02  # what a student without one loses
    assert abs(trials.z_score("test_error", without.test_error)) > 4  # the control

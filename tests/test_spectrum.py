"""Inputs of any covariance: against the isotropic limit, against trials, and derivatives."""

import math
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from nfl_pruning import (
    SCORES,
    FixedProbe,
    Problem,
    existence_threshold,
    limit_function,
    make_selection,
    simulate,
    solve,
)
from nfl_pruning.errors import InvalidArgumentError, UnsupportedProblemError
from nfl_pruning.inputs import Spectrum, parse_spectrum, power_law
from nfl_pruning.numerics.status import Status
from nfl_pruning.theory.derivatives.limit_values import VALUES, limit_values
from nfl_pruning.theory.probe_limit import selection_law
from nfl_pruning.theory.spectrum import genuine, spectrum_system

pytestmark = pytest.mark.optimised

BASE = Problem(samples_per_feature=3, keep_fraction=0.4, probe=FixedProbe(0.8)).replace(
    signal=2.0, ridge=0.02
)
RNG = np.random.default_rng(0)


def repeated(n_values: int = 15, repeats: int = 10, outside: float = 0.0, probe: bool = True):
    """Eigenvalues 10 / k, repeated, a teacher that leans on the small ones, a probe at 0.8."""
    k = np.repeat(np.arange(1, n_values + 1), repeats)
    s = 10.0 / k
    rng = np.random.default_rng(1)
    t = rng.normal(size=len(s)) * k**-0.5 / np.sqrt(s)
    e = rng.normal(size=len(s)) * k**-0.2 / np.sqrt(s)
    e -= t * np.sum(s * t * e) / np.sum(s * t * t)
    t, e = (part / np.sqrt(np.sum(s * part**2)) for part in (t, e))
    return Spectrum(s, t, 0.8 * t + 0.6 * e if probe else None, outside=outside)


def solved(problem, spectrum) -> Any:
    return solve(problem.replace(inputs=spectrum))


CASES = {  # those that compile programs of their own are slow
    "random": {"selection": "random"},
    "aware": {},
    "agnostic": {"score": "margin"},
    "easiest": {"keep": "easiest"},
    "exact": {"selection": "exact"},
    "power": {"selection": "power:1"},
    "squared": {"loss": "squared"},
    "hinge": {"loss": "hinge"},
    "pilot": {"probe": "pilot:3:0.02"},
    "in-sample": {"probe": "in-sample:0.02"},
    "in-sample exact": {"probe": "in-sample:0.02", "score": "margin", "selection": "exact"},
}


HEAVY = ("squared", "hinge", "power", "in-sample", "in-sample exact")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in HEAVY else n for n in CASES]
)
def test_equal_eigenvalues_are_the_isotropic_limit(name):
    problem = BASE.replace(**CASES[name])
    flat = Spectrum(np.ones(30), RNG.normal(size=30))
    found, known = solved(problem, flat), solve(problem)
    assert found.status is Status.CERTIFIED
    for what in ("cosine", "norm", "test_error", "test_loss", "excess_risk"):
        assert abs(getattr(found, what) - getattr(known, what)) < 1e-10, what
    for what in ("a_u", "a_p", "tau", "kappa") if name != "random" else ():
        assert abs(found.state[what] - known.state[what]) < 1e-9


def test_the_scale_of_the_inputs_is_the_ridge_s():
    """x -> 2 x and ridge -> 4 ridge is a change of units: margins stay."""
    plain = repeated()
    wide = Spectrum(4 * plain.eigenvalues, plain.teacher, plain.probe)
    a, b = solved(BASE, plain), solved(BASE.replace(ridge=0.08), wide)
    assert abs(a.cosine - b.cosine) < 1e-9 and abs(a.norm - b.norm) < 1e-9


def test_features_that_vary_little_do_not_matter():
    plain = repeated()
    few = np.full(40, 1e-12)
    assert plain.probe is not None
    longer = Spectrum(
        np.append(plain.eigenvalues, few),
        np.append(plain.teacher, few),
        np.append(plain.probe, few),
    )
    samples = BASE.samples_per_feature * plain.n_features / longer.n_features
    a, b = solved(BASE, plain), solved(BASE.replace(samples_per_feature=samples), longer)
    assert abs(a.cosine - b.cosine) < 1e-8 and abs(a.norm - b.norm) < 1e-8


def test_what_lies_outside_only_smooths_the_link():
    """For a probit link, variance outside is a smaller signal: 1 / width^2 grows by it."""
    share, signal = 0.3, 2.0
    spread = np.sqrt(1 + share * signal**2)
    plain, less = repeated(probe=False), repeated(outside=share, probe=False)
    problem = BASE.replace(link="probit", selection="random")
    inside = solved(problem.replace(signal=signal * np.sqrt(1 - share) / spread), plain)
    partly = solved(problem.replace(signal=signal), less)
    assert abs(partly.norm - inside.norm) < 1e-9
    assert abs(partly.cosine - np.sqrt(1 - share) * inside.cosine) < 1e-9
    assert abs(partly.test_error - inside.test_error) < 1e-9
    assert abs(partly.excess_risk - inside.excess_risk) < 1e-9


SIMULATED = {
    "aware": ({}, 0.0, True),
    "agnostic": ({"score": "margin"}, 0.0, True),
    "outside": ({}, 0.2, False),
    "in-sample": ({"probe": "in-sample:0.02", "score": "margin", "keep_fraction": 0.5}, 0.0, False),
    "pilot outside": ({"probe": "pilot:2:0.02", "keep": "easiest"}, 0.2, False),
    "in-sample exact": (
        {"probe": "in-sample:0.02", "selection": "exact", "keep_fraction": 0.5},
        0.2,
        False,
    ),
}
SLOW = ("aware", "outside", "pilot outside", "in-sample", "in-sample exact")


@cache
def trials_of(name, n_trials):
    changes, outside, probe = SIMULATED[name]
    spectrum = repeated(outside=outside, probe=probe)
    problem = BASE.replace(**changes)
    found = simulate(problem.replace(inputs=spectrum), n_trials=n_trials, seed=5)
    assert found.failed == 0
    return problem, spectrum, found


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in SIMULATED]
)
def test_trials_agree(name):
    problem, spectrum, found = trials_of(name, 24)
    exact = solved(problem, spectrum)
    assert found.standard_error("cosine") < 0.03
    assert found.standard_error("norm") < 0.03 * found.mean("norm")
    assert abs(found.z_score("cosine", exact.cosine)) < 4
    assert abs(found.z_score("norm", exact.norm)) < 4


@pytest.mark.parametrize(
    "changes",
    [
        {"selection": "exact", "keep_fraction": 0.45, "samples_per_feature": 3.0},
        pytest.param(  # where no sample lies on the hinge's slope
            {"loss": "hinge", "score": "margin", "samples_per_feature": 6.4, "ridge": 50.0},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_fits_far_from_a_guess_are_found(changes):
    problem = BASE.replace(**{"probe": "in-sample:0.02"} | changes)
    found = solved(problem, repeated(outside=0.2, probe=False))
    assert found.status is Status.CERTIFIED and found.error_estimate < 1e-8


def test_a_student_that_copies_its_probe_is_no_solution():
    """The equations' false root is told from the true one by E[df / dv] itself."""
    changes, outside, probe = {"probe": "in-sample:0.02", "keep_fraction": 0.6}, 0.0, False
    with jax.enable_x64(True):
        spectrum = repeated(outside=outside, probe=probe)
        system, _ = spectrum_system(BASE.replace(**changes, inputs=spectrum))
        found = solved(BASE.replace(**changes), spectrum)
        true = np.array([found.state[k] for k in ("a_u", "a_p", "tau", "kappa", "chi")])
        x = np.concatenate([true[:2], np.log(true[2:4]), true[4:]])
        assert genuine(system, x)
        false = np.array([2.14652854, -0.08560913, np.log(3.42e-8), np.log(3.22e-14), -2.77689117])
        assert not genuine(system, false)


def test_trials_tell_covariances_apart():
    """The control: forgetting the covariance is refuted by the same trials."""
    problem, _, found = trials_of("agnostic", 24)
    flat = solve(problem)
    assert math.isfinite(flat.cosine) and math.isfinite(flat.norm)
    scores = found.z_score("cosine", flat.cosine), found.z_score("norm", flat.norm)
    assert max(abs(score) for score in scores) > 8


GRADIENTS = [
    pytest.param(BASE, {"keep_fraction": 0.4, "ridge": 0.02}, marks=pytest.mark.slow),
    pytest.param(
        BASE.replace(selection=make_selection("exact", exploit=0.4)),
        {"exploit": 0.4, "signal": 2.0},
        marks=pytest.mark.slow,
    ),
    (BASE, {"ridge": 0.02}),
    pytest.param(
        BASE.replace(probe="in-sample:0.02"),
        {"samples_per_feature": 3.0},
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("problem", "numbers"), GRADIENTS)
def test_gradients_against_differences(problem, numbers):
    spectrum = power_law(1.2, 1.5, 60)
    with jax.enable_x64(True):

        def values(numbers):
            return limit_values(problem.replace(inputs=spectrum), numbers)

        exact = jax.jacrev(values)(numbers)
        for name, at in numbers.items():
            h = 5e-3 * min(at, 0.2)
            moved = [values(numbers | {name: at + k * h}) for k in (1, -1, 2, -2)]
            for value in VALUES:
                a, b, c, d = (float(m[value]) for m in moved)
                slope = (8 * (a - b) - (c - d)) / (12 * h)
                assert abs(float(exact[value][name]) - slope) < 1e-6 * max(1.0, abs(slope))


@pytest.mark.parametrize("changes", [{}, {"score": "margin", "probe": "pilot:3:0.02"}])
def test_without_a_ridge_the_covariance_does_not_matter(changes):
    """The limit of small ridges, whose equations do know the covariance."""
    problem = BASE.replace(samples_per_feature=20, keep_fraction=0.6, signal=1.5, **changes)
    spectrum = power_law(1, 1.5, 60)
    found = solved(problem.replace(ridge=0), spectrum)
    assert found.status is Status.CERTIFIED
    small = [solved(problem.replace(ridge=r), spectrum) for r in (1e-6, 1e-7)]
    for name in ("cosine", "norm"):
        few, less = (getattr(one, name) for one in small)
        limit = (10 * less - few) / 9  # what is linear in the ridge cancels
        off = abs(few - getattr(found, name))
        assert abs(limit - getattr(found, name)) < 1e-3 * off < 1e-3
    if not changes:
        assert abs(found.norm - solve(problem.replace(ridge=0)).norm) < 1e-9


def test_without_a_ridge_no_number_stands_for_a_missing_fit():
    found = solved(BASE.replace(ridge=0, samples_per_feature=2), power_law(1, 1.5, 60))
    assert found.status is Status.SEPARABLE and math.isnan(found.norm) and math.isnan(found.cosine)


def test_what_is_not_covered_says_so():
    for problem in (
        BASE.replace(ridge=0, probe="in-sample:0.1"),
        BASE.replace(ridge=0, loss="hinge"),
        BASE.replace(loss="max-margin"),
    ):
        found = solved(problem, repeated())
        assert found.status is Status.UNSUPPORTED and "ridge" in found.message
    partly = solved(BASE.replace(ridge=0), repeated(outside=0.3))
    assert partly.status is Status.UNSUPPORTED and "teacher" in partly.message
    above = solved(BASE, repeated(outside=0.5, probe=False))
    assert above.status is Status.UNSUPPORTED and "0.707107" in above.message
    with pytest.raises(InvalidArgumentError, match="ridge"):
        simulate(BASE.replace(ridge=0, inputs=repeated()), n_trials=1)
    with pytest.raises(InvalidArgumentError, match="input_norm"):
        simulate(BASE.replace(score=SCORES["grand"], inputs=repeated()), n_trials=1)


def test_power_laws_and_files(tmp_path):
    law = parse_spectrum("power:1.5:2:100")
    k = np.arange(1, 101)
    assert np.allclose(law.eigenvalues, k**-1.5) and law.n_features == 100
    share = law.eigenvalues * law.teacher**2
    assert np.allclose(share, k**-2.0 / np.sum(k**-2.0)) and law.label == "power:1.5:2:100"
    table = np.stack([law.eigenvalues, law.teacher, np.ones(100)], axis=1)
    np.save(tmp_path / "a.npy", table)
    np.savetxt(tmp_path / "a.csv", table[:, :2], delimiter=",", header="s,t", comments="")
    for name, has_probe in (("a.npy", True), ("a.csv", False)):
        read = parse_spectrum(str(tmp_path / name))
        assert np.allclose(read.eigenvalues, law.eigenvalues)
        assert np.allclose(read.teacher, law.teacher) and (read.probe is not None) == has_probe
    assert solved(BASE, law).to_dict()["spectrum"] == "power:1.5:2:100"


@pytest.mark.parametrize(
    "text", ["power:1:2", "power:1:2:x", "power:-1:2:10", "power:1:2:1", "missing.npy", "law.txt"]
)
def test_bad_spectra_are_refused(text):
    with pytest.raises(InvalidArgumentError, match="spectrum"):
        parse_spectrum(text)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (([1.0, -1.0], [1, 1]), "eigenvalues"),
        (([1.0, 2.0], [0, 0]), "teacher"),
        (([1.0, 2.0], [1, 1, 1]), "teacher"),
        (([1.0, 2.0], [1, 1], [1, np.nan]), "probe"),
        (([1.0, 2.0], [1, 1], None, 1.0), "outside"),
    ],
)
def test_bad_vectors_are_refused(arguments, word):
    with pytest.raises(InvalidArgumentError, match=word):
        Spectrum(*arguments)


@pytest.mark.parametrize("inputs", ["power:1:1.2:30", "heavy-tails:5"])
def test_what_is_for_isotropic_inputs_refuses_others(inputs):
    problem = BASE.replace(inputs=inputs)
    with pytest.raises(InvalidArgumentError, match="standard normal"):
        existence_threshold(problem.replace(ridge=0))
    with pytest.raises(UnsupportedProblemError, match="standard normal"):
        selection_law(problem)
    assert "standard normal" in solve(problem, limit="abundant").message
    with pytest.raises(InvalidArgumentError, match="inputs"):
        limit_function(problem)

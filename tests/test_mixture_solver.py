"""Mixtures of two classes: sweeps, derivatives, cross-fitting, quotas, and plain numpy beside."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from mixture_reference import Pair, solve_pair, wrong_share
from nfl_pruning import Problem, simulate, solve, sweep
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import Mixture
from nfl_pruning.probes import InSampleProbe, WeightsProbe
from nfl_pruning.problem import Student
from nfl_pruning.theory.derivatives.limit_values import limit_values
from nfl_pruning.theory.mixture.many_classes.many import Warm as ManyWarm
from nfl_pruning.theory.mixture.many_classes.many import runs_at
from nfl_pruning.theory.mixture.many_classes.many_slopes import slopes_of
from nfl_pruning.theory.mixture.two_classes.pair import Warm, solve_two_classes
from nfl_pruning.theory.numbers import numbers_of, with_numbers
from test_mixture_limit import FIXED, PAIR, pair_problem, three_problem


def test_quotas_given_as_ratios_are_kept_by_theory_and_trials():
    problem = pair_problem().replace(balance="given:0.2,0.9")
    found = solve(problem)
    assert found.status == "certified", found.message
    kept = [found.observables[f"kept_class_{k}"] for k in range(2)]
    assert kept[1] / kept[0] == pytest.approx(4.5, rel=1e-9)
    assert 0.6 * kept[0] + 0.4 * kept[1] == pytest.approx(0.3, rel=1e-9)
    trials = simulate(problem, n_trials=8, n_features=100, seed=1)
    assert trials.mean("kept_class_1") == pytest.approx(kept[1], abs=0.02)
    assert Problem(**problem.describe() | {"inputs": PAIR, "probe": FIXED}).balance == (
        "given:0.2,0.9"
    )
    equal = solve(problem.replace(balance="equal"))
    assert abs(equal.test_error - found.test_error) > 0.01  # the control
    with pytest.raises(InvalidArgumentError, match="as many as the 2 classes"):
        problem.replace(balance="given:1,2,3")
    with pytest.raises(InvalidArgumentError, match="all 0"):
        problem.replace(balance="given:0,0")
    full = solve(problem.replace(balance="given:0,1", keep_fraction=0.5))
    assert full.status == "unsupported" and "0.4" in full.message


def test_a_sweep_is_what_single_solutions_are():
    axes: dict[str, Any] = {
        "keep_fraction": [0.3, 0.5], "exploit": [0.3, 0.6], "ridge": [0.01, 0.02],
    }  # fmt: skip
    problem = pair_problem(exploit=0.5)
    found = sweep(problem, **axes)
    assert (found["status"] == "certified").all()
    backwards = sweep(problem, **{name: values[::-1] for name, values in axes.items()})
    for name in ("test_error", "test_loss", "intercept", "kept_class_0"):
        np.testing.assert_allclose(
            found[name], backwards[name].sel(found[name].coords), atol=1e-10, rtol=0
        )
    one = solve(problem.replace(keep_fraction=0.5, exploit=0.3, ridge=0.02))
    cell = found.sel(keep_fraction=0.5, exploit=0.3, ridge=0.02)
    assert float(cell["test_error"]) == pytest.approx(one.test_error, abs=1e-11)
    assert float(cell["mean_0"]) == pytest.approx(one.observables["mean_0"], abs=1e-9)
    assert np.ptp(found["test_error"].values) > 0.01  # the control: cells differ


NUMBERS = {"keep_fraction": 0.4, "exploit": 0.5, "ridge": 0.02, "samples_per_feature": 5.0}


@pytest.mark.parametrize(
    ("probe", "names"),
    [
        (FIXED, tuple(NUMBERS)),
        # the first moves the selection, the second the probe's own fit
        (InSampleProbe(0.02), ("keep_fraction", "samples_per_feature")),
        pytest.param(InSampleProbe(0.02), ("exploit", "ridge"), marks=pytest.mark.slow),
    ],
)
def test_derivatives_are_those_of_the_solver(probe, names):
    problem, warm = pair_problem(exploit=0.5, fraction=0.4, probe=probe), Warm()
    given = {name: NUMBERS[name] for name in names}
    with jax.enable_x64(True):
        slopes = jax.jacrev(lambda numbers: limit_values(problem, numbers)["test_error"])(given)
    for name, value in given.items():
        h = 1e-3 * value
        beside = []
        for k in (1, -1, 2, -2):
            answer = solve_two_classes(with_numbers(problem, (name,), [value + k * h]), warm)
            assert answer.found and not answer.flaw and answer.error < 1e-9
            beside.append(answer.values["test_error"])
        difference = (8 * (beside[0] - beside[1]) - (beside[2] - beside[3])) / (12 * h)
        assert float(slopes[name]) == pytest.approx(difference, abs=1e-7)
        assert abs(float(slopes[name]) / 2) > 1e-5  # the control: a factor two would be seen


def pair_at_random(seed):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 5)), int(rng.integers(2, 8))
    turned = np.linalg.qr(rng.normal(size=(n, d, d)))[0]
    s = 10.0 ** -rng.uniform(0, rng.choice([0.3, 4]), size=(n, d)) * rng.choice([0.3, 1, 3])
    return Pair(
        p=rng.dirichlet(3 * np.ones(n)), mean=rng.normal(size=(n, d)) * rng.choice([0.5, 1, 2]),
        covariance=np.einsum("cij,cj,ckj->cik", turned, s, turned),
        sign=np.where(np.arange(n) % 2 == 0, -1, 1),
        probe=rng.normal(size=d) * rng.choice([0.5, 2]), shift=float(rng.normal() * 0.3),
        delta=float(rng.choice([1, 4, 20])), ridge=float(rng.choice([1e-3, 1e-2, 0.1])),
        aware=bool(rng.integers(2)), hardest=bool(rng.integers(2)),
        r=float(rng.choice([0.05, 0.2, 0.5, 0.8])), exploit=float(rng.choice([1, 0.9, 0.97, 0.5])),
    )  # fmt: skip


def problem_of(pair):
    return Problem(
        samples_per_feature=pair.delta, keep_fraction=pair.r,
        score="el2n" if pair.aware else "entropy", keep="hardest" if pair.hardest else "easiest",
        protocol="exact" if pair.exploit < 1 else "threshold",
        exploit=pair.exploit if pair.exploit < 1 else None,
        probe=WeightsProbe(pair.probe, pair.shift),
        student=Student(ridge=pair.ridge, intercept=True),
        inputs=Mixture(pair.p, pair.mean, pair.covariance, (pair.sign + 1) // 2),
    )  # fmt: skip


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]
)
def test_random_pairs_agree_with_plain_numpy(seed):
    """Heavy weights, strong selection, nearly singular covariances: right, or named unsolved."""
    pair = pair_at_random(seed)
    problem, warm = problem_of(pair), Warm()
    found = solve(problem)
    if found.status != "certified":
        assert found.status == "no-solution"
        return
    with jax.enable_x64(True):
        solve_two_classes(problem, warm)
    assert warm.fit is not None
    state = warm.fit.last.state
    law = [np.asarray(part).reshape(len(pair.p)) for part in (*state[:3], state.step)]
    start = (1.01 * law[0], law[1], law[2], 1.01 * law[3], float(state.intercept[0]) + 0.01)
    again, b, residual = solve_pair(pair, start)
    assert residual < 1e-9
    assert abs(wrong_share(pair, again) - found.test_error) < 1e-8
    assert b == pytest.approx(found.observables["intercept"], abs=1e-6)
    other, _, _ = solve_pair(dataclasses.replace(pair, r=0.95 * pair.r), start)
    assert np.abs(other[0] - again[0]).max() > 1e-4  # the control: a threshold that is 5 % off


@pytest.mark.slow
def test_derivatives_for_three_classes_state_their_errors():
    means = 1.5 * np.array([[1.0, 0.0], [-0.5, 3**0.5 / 2], [-0.5, -(3**0.5) / 2]])
    mixture = Mixture(np.array([0.5, 0.3, 0.2]), means, np.array([1.0, 1.0, 0.6]), [0, 1, 2])
    problem = Problem(
        samples_per_feature=6, keep_fraction=0.4, score="margin", protocol="exact", exploit=0.5,
        probe=WeightsProbe(means, np.zeros(3)), student=Student(ridge=0.02), inputs=mixture,
    )  # fmt: skip
    for name in ("ridge", "exploit", "keep_fraction"):
        slope = slopes_of(problem, name)[0]
        value = numbers_of(problem)[name]
        h = 0.1 * value
        far = [
            runs_at(with_numbers(problem, (name,), [value + k * h]), 2**12, 1e-5, ManyWarm())
            for k in (1, -1)
        ]
        rows = np.array([[run["test_error"] for run in runs] for runs in far])
        each = (rows[0] - rows[1]) / (2 * h)
        noise = each.std(ddof=1) / np.sqrt(len(each))
        curved = 0.1 * abs(each.mean()) + 1e-3  # a tenth of the number is a wide step
        assert abs(slope.value - each.mean()) < 4 * np.hypot(slope.error, noise) + curved
        assert slope.error < 0.05
    wrong = slopes_of(problem, "ridge")[0].value / 2
    assert abs(wrong) > 10 * slopes_of(problem, "ridge")[0].error  # the control: halves differ


def test_a_sweep_takes_the_tolerance_of_three_classes():
    problem = three_problem("el2n", "hardest", 0.4)
    errors = []
    for tolerance in (3e-3, 1e-3):
        found = sweep(problem, tolerance=tolerance, ridge=[problem.student.ridge])
        errors.append(float(found["error_estimate"][0]))
        assert found["status"].item() == "certified"
        assert errors[-1] <= tolerance
    assert errors[1] < errors[0]
    with pytest.raises(InvalidArgumentError, match="tolerance"):
        sweep(problem, tolerance=2.0, ridge=[0.01])

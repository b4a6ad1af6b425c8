"""The agreement benchmark's own arithmetic: its bias, its error and its design."""

import numpy as np

from generated import ROOT
from nfl_pruning.experiments.scripts import load

agreement = load(ROOT / "simulations" / "benchmarks" / "agreement.py")


def test_a_bias_in_two_orders_is_predicted_exactly():
    sizes, c, c2 = (50, 100), np.array([1.5, -3.0]), np.array([20.0, 400.0])
    bias = np.stack([c / d + c2 / d**2 for d in sizes], axis=1)
    found, _ = agreement.predicted_bias(sizes, bias, np.full((2, 2), 0.01), 400)
    np.testing.assert_allclose(found, c / 400 + c2 / 400**2, rtol=1e-10)


def test_the_fits_error_is_that_of_repeated_fits():
    sizes, error = (50, 100), np.array([0.02, 0.01])
    noise = error * np.random.default_rng(0).standard_normal((20_000, 2))
    found, said = agreement.predicted_bias(sizes, noise, np.tile(error, (20_000, 1)), 400)
    np.testing.assert_allclose(said, said[0])
    assert abs(found.std() / said[0] - 1) < 4 / np.sqrt(2 * 20_000)


def test_the_range_holds_the_share_it_promises():
    low, high = agreement.central_range(200)
    rms = np.sqrt(np.mean(np.random.default_rng(1).standard_normal((20_000, 200)) ** 2, axis=1))
    outside = np.sum((rms < low) | (rms > high))
    assert 0 < outside < 20 + 4 * np.sqrt(20)


def test_no_count_of_the_design_is_rounded():
    for index in range(agreement.PROGRAMS * agreement.EACH):
        problem = agreement.problem_of(index)
        n = problem.samples_per_feature * agreement.SMALLEST
        for count in (n, n * problem.keep_fraction):
            assert abs(count - round(count)) < 1e-9
    configs = [str(agreement.config_of(run)) for run in agreement.runs(200, {50: 1, 400: 1})]
    assert len(set(configs)) == len(configs)

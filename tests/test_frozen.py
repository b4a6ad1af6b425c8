"""Binary tasks on frozen features: each measured number against a direct computation."""

import numpy as np
import pytest
from scipy.optimize import minimize

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.frozen import fit_logistic, make_pool, measure_task


def gaussian_task(n=20000, seed=0):
    """Correlated Gaussian features, an offset, and logistic labels of a known teacher."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(5, 5))
    x = rng.normal(size=(n, 5)) @ mixing
    teacher = rng.normal(size=5)
    teacher *= 2.0 / np.linalg.norm(mixing @ teacher)  # signal 2
    y = rng.random(n) < 1 / (1 + np.exp(-x @ teacher))
    return x + 3.0, np.where(y, 7, 4), teacher, mixing


def test_the_fit_minimises_its_objective():
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(60, 4)), rng.choice([-1, 1], 60), rng.uniform(0, 3, 60)

    def objective(theta):
        return float(w @ np.logaddexp(0, -y * (x @ theta))) / 200 + 0.05 * theta @ theta / 2

    found = fit_logistic(x, y, ridge=0.05, weights=w, n=200)
    best = minimize(objective, np.zeros(4), tol=1e-12).x
    np.testing.assert_allclose(found, best, atol=1e-5)


def test_a_separable_sample_has_a_penalised_fit():
    x = np.array([[1.0, 0], [2, 0.1], [-1, 0], [-2, 0.2]])
    theta = fit_logistic(x, np.array([1, 1, -1, -1]), ridge=1e-6)
    gradient = (
        -(x.T * np.array([1, 1, -1, -1]))
        @ (1 / (1 + np.exp(np.array([1, 1, -1, -1]) * (x @ theta))))
        / 4
        + 1e-6 * theta
    )
    assert np.abs(gradient).max() < 1e-9


def test_a_known_task_is_measured():
    features, labels, teacher, mixing = gaussian_task()
    pool = make_pool(features, labels)
    covariance = pool.x.T @ pool.x / len(pool.x)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-8)
    assert np.diag(covariance).mean() == pytest.approx(1)
    assert set(pool.y) == {-1, 1}
    assert (pool.y[labels == 7] == 1).all()
    probe = fit_logistic(pool.x[:200], pool.y[:200], ridge=0.01)
    measured = measure_task(pool, probe)
    assert measured.signal == pytest.approx(2.0, abs=0.08)
    assert abs(measured.kurtosis) < 0.15
    assert measured.misfit < 0.03
    true_margin, scored = (features - 3.0) @ teacher, pool.x @ probe
    assert measured.alignment == pytest.approx(np.corrcoef(true_margin, scored)[0, 1], abs=0.02)
    assert measured.probe_norm == pytest.approx(scored.std())
    spectrum = measured.spectrum
    assert np.sum(spectrum.eigenvalues * spectrum.teacher * spectrum.probe) == pytest.approx(
        measured.alignment, abs=1e-3
    )
    wanted = np.linalg.eigvalsh(mixing.T @ mixing)[::-1]
    np.testing.assert_allclose(spectrum.eigenvalues, wanted / wanted.mean(), rtol=0.05)


def test_labels_off_the_logistic_law_are_seen():
    features, _, teacher, _ = gaussian_task()
    margin = (features - 3.0) @ teacher
    steps = np.where(
        np.abs(margin) < 1, np.random.default_rng(1).random(len(margin)) < 0.5, margin > 0
    )
    pool = make_pool(features, steps.astype(int))
    assert measure_task(pool, np.ones(5)).misfit > 0.05


def test_bad_tasks_are_refused():
    with pytest.raises(InvalidArgumentError, match="2 values"):
        make_pool(np.random.default_rng(0).normal(size=(9, 3)), np.arange(9) % 3)
    with pytest.raises(InvalidArgumentError, match="vary"):
        make_pool(np.ones((9, 3)) * np.arange(9)[:, None], np.arange(9) % 2)


def test_directions_without_variance_are_left_out():
    rng = np.random.default_rng(0)
    x = np.hstack([rng.normal(size=(50, 3)), np.zeros((50, 4))])
    assert make_pool(x, rng.integers(0, 2, 50)).x.shape == (50, 3)

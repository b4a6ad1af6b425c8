"""Control variates: known means, honest standard errors, and a real gain."""

import numpy as np
import pytest
from scipy.stats import chi2

from nfl_pruning import FixedProbe, Problem, simulate
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.montecarlo import controlled
from nfl_pruning.montecarlo.estimates.controls import ROW_CONTROLS

pytestmark = pytest.mark.optimised

EASIEST = Problem(
    samples_per_feature=5, keep_fraction=0.3, keep="easiest", probe=FixedProbe(0.8)
).replace(signal=2.0, ridge=0.01)
GROUPS, EACH = 40, 100


@pytest.fixture(scope="module")
def groups():
    return [simulate(EASIEST, n_features=40, n_trials=EACH, seed=1 + i) for i in range(GROUPS)]


@pytest.fixture(scope="module")
def truth():
    found = simulate(EASIEST, n_features=40, n_trials=40_000, seed=1000)
    return {name: (found.mean(name), found.standard_error(name)) for name in ("cosine", "norm")}


def rms(z):
    return np.sqrt(np.mean(np.square(z)))


def test_row_controls_have_mean_zero(groups):
    for name in ROW_CONTROLS:
        values = np.concatenate([group.trials[name] for group in groups])
        error = values.std() / np.sqrt(len(values))
        assert error > 0
        assert abs(values.mean()) < 4 * error
        assert abs(values.mean() + 0.1 * values.std()) > 4 * error  # control: a tenth is noticed


GAINS = [("cosine", 2.5), ("norm", 5.0)]


@pytest.mark.parametrize(("name", "gain"), GAINS)
def test_standard_errors_are_smaller_and_those_of_groups(groups, name, gain):
    """The spread of 40 groups is the stated one, to the central 99.9 % of its law."""
    pairs = np.array([controlled(group, name) for group in groups])
    plain = np.array([(group.mean(name), group.standard_error(name)) for group in groups])
    assert np.mean(plain[:, 1] ** 2) / np.mean(pairs[:, 1] ** 2) > gain
    low, high = np.sqrt(chi2.ppf([0.0005, 0.9995], GROUPS - 1) / (GROUPS - 1))
    spread = pairs[:, 0].std(ddof=1)
    assert low < spread / rms(pairs[:, 1]) < high
    assert not low < spread / rms(plain[:, 1]) < high  # control: the plain error does not fit
    moved = pairs[:, 0] - plain[:, 0]
    error = moved.std(ddof=1) / np.sqrt(GROUPS)
    assert abs(moved.mean()) < 4 * error
    assert abs(moved.mean() + 0.1 * plain[:, 1].mean() * np.sqrt(EACH)) > 4 * error  # control


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gain"), GAINS)
def test_standard_errors_are_smaller_and_honest(groups, truth, name, gain):
    """z of 40 groups against a long run; the range is the central 99.9 % of their rms."""
    mean, error = truth[name]
    pairs = np.array([controlled(group, name) for group in groups])
    plain = np.array([group.standard_error(name) for group in groups])
    assert error < 0.2 * pairs[:, 1].mean()
    assert np.mean(plain**2) / np.mean(pairs[:, 1] ** 2) > gain
    z = (pairs[:, 0] - mean) / np.hypot(pairs[:, 1], error)
    assert 0.66 < rms(z) < 1.39
    assert abs(z.mean()) < 4 / np.sqrt(GROUPS)
    assert not 0.66 < rms(z * pairs[:, 1] / plain) < 1.39  # control: the plain error does not fit


def test_what_has_no_controls_is_refused():
    fitted = simulate(EASIEST.replace(probe="in-sample:0.1"), n_features=40, n_trials=2)
    with pytest.raises(InvalidArgumentError, match="fixed probe and a smooth loss"):
        controlled(fitted, "cosine")
    few = simulate(EASIEST, n_features=40, n_trials=10)
    with pytest.raises(InvalidArgumentError, match="at least 60 trials; got 10"):
        controlled(few, "cosine")


@pytest.mark.slow
def test_other_laws_use_the_plane_alone():
    heavy = simulate(EASIEST.replace(inputs="heavy-tails:6"), n_features=40, n_trials=EACH)
    mean, error = controlled(heavy, "norm")
    assert error < heavy.standard_error("norm")
    assert abs(mean - heavy.mean("norm")) < 4 * heavy.standard_error("norm")


@pytest.mark.slow
def test_a_trial_without_a_fit_leaves_no_mean():
    loose = EASIEST.replace(ridge=0.0, samples_per_feature=2.0)
    found = simulate(loose, n_features=40, n_trials=64)
    assert found.failed > 0
    assert np.isnan(controlled(found, "cosine")).all()

"""The simulation is right: against known values, scikit-learn, and itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.kernels.normals import normal_rows, threefry
from nfl_pruning.montecarlo import OBSERVABLES, paired, simulate, training_set
from nfl_pruning.probes import FixedProbe
from nfl_pruning.problem import Problem
from nfl_pruning.scores import SCORES, Score
from nfl_pruning.selections import make_selection
from nfl_pruning.selections.base import Stratum
from nfl_pruning.selections.threshold import Threshold

BASE = Problem(samples_per_feature=6, keep_fraction=0.3, probe=FixedProbe(0.8)).replace(
    signal=2.0, ridge=0.05 / 6
)
EXACT = make_selection("exact", exploit=0.6)
# rule, then cosine and norm of the proportional limit, solved to all digits given
LIMITS = {
    "random": ({"selection": "random"}, 0.6432, 2.5039),
    "agnostic-hardest": ({"score": "margin"}, 0.3762, 2.3953),
    "agnostic-easiest": ({"score": "entropy", "keep": "easiest"}, 0.6850, 2.3661),
    "aware-hardest": ({"score": "el2n"}, -0.2861, 2.5689),
    "aware-easiest": ({"score": "loss", "keep": "easiest"}, 0.7920, 2.0914),
    "agnostic-exact": ({"score": "margin", "selection": EXACT}, 0.59827313, 3.73966553),
    "aware-exact": ({"score": "el2n", "selection": EXACT}, 0.41034111, 3.73620079),
    "grand": ({"score": "grand"}, -0.2861, 2.5689),
}


@pytest.mark.parametrize(
    "rule",
    [
        *("aware-easiest", "agnostic-exact"),
        *(
            pytest.param(rule, marks=pytest.mark.slow)
            for rule in LIMITS
            if rule not in ("aware-easiest", "agnostic-exact")
        ),
    ],
)
def test_agrees_with_the_limit(rule):
    changes, cosine, norm = LIMITS[rule]
    simulation = simulate(BASE.replace(**changes), n_features=400, n_trials=24, seed=3)
    assert simulation.failed == 0
    assert simulation.standard_error("cosine") < 0.015
    assert simulation.standard_error("norm") < 0.03
    assert abs(simulation.z_score("cosine", cosine)) < 4
    assert abs(simulation.z_score("norm", norm)) < 4


class ShiftedThreshold(Threshold):
    """A wrong rule: it keeps 5 % too many."""

    def strata(self, keep_fraction: float) -> tuple[Stratum, ...]:
        return super().strata(1.05 * keep_fraction)


def test_a_threshold_off_by_five_percent_is_detected():
    problem = BASE.replace(score="loss", keep="easiest", selection=ShiftedThreshold())
    simulation = simulate(problem, n_features=400, n_trials=24, seed=3)
    assert simulation.standard_error("norm") < 0.03
    assert abs(simulation.z_score("norm", LIMITS["aware-easiest"][2])) > 4


@pytest.mark.parametrize("rule", [pytest.param("aware-exact", marks=pytest.mark.slow), "grand"])
def test_agrees_with_scikit_learn_on_the_same_samples(rule):
    problem = BASE.replace(**LIMITS[rule][0])
    simulation = simulate(problem, n_features=40, n_trials=3, seed=5)
    n = round(problem.samples_per_feature * 40)
    for trial in range(3):
        data = training_set(problem, n_features=40, trial=trial, seed=5)
        peer = LogisticRegression(
            C=1 / (problem.student.ridge * n), fit_intercept=False, solver="newton-cholesky",
            tol=1e-12, max_iter=1000,
        ).fit(data.x, data.y, sample_weight=data.weights)  # fmt: skip
        theta = peer.coef_[0]
        size = np.linalg.norm(theta)
        assert len(data.rows) == round(0.3 * n)
        assert abs(simulation.trials["norm"][trial] - size) < 1e-8
        assert abs(simulation.trials["cosine"][trial] - theta[0] / size) < 1e-8


def test_squared_loss_agrees_with_the_normal_equations():
    problem = BASE.replace(loss="squared", score="margin", selection=EXACT)
    simulation = simulate(problem, n_features=30, n_trials=2)
    for trial in range(2):
        x, y, w = training_set(problem, n_features=30, trial=trial)[1:]
        hessian = (x.T * w) @ x / 180 + problem.student.ridge * np.eye(30)
        theta = np.linalg.solve(hessian, x.T @ (w * y) / 180)
        assert abs(simulation.trials["norm"][trial] - np.linalg.norm(theta)) < 1e-8


def test_without_a_ridge_squared_loss_interpolates_at_least_norm():
    problem = BASE.replace(loss="squared", ridge=0.0, keep_fraction=0.1, score="margin")
    simulation = simulate(problem, n_features=50, n_trials=2)
    for trial in range(2):
        x, y = training_set(problem, n_features=50, trial=trial)[1:3]
        theta = np.linalg.lstsq(x, y, rcond=None)[0]
        assert np.linalg.matrix_rank(x) == 30
        assert abs(simulation.trials["norm"][trial] - np.linalg.norm(theta)) < 1e-8


def test_the_selection_is_that_of_the_score_on_the_rows():
    """The kept rows are the hardest by a score computed from the full rows, norm included."""
    everything = BASE.replace(score="grand", keep_fraction=1.0)
    x, y = training_set(everything, n_features=20, trial=1)[1:3]
    margin = 2.0 * (0.8 * x[:, 0] + 0.6 * x[:, 1])
    grand = np.linalg.norm(x, axis=1) / (1 + np.exp(y * margin))
    kept = training_set(everything.replace(keep_fraction=0.3), n_features=20, trial=1).rows
    assert set(kept) == set(np.argsort(grand)[-36:])


def test_rival_rules_see_the_same_rows():
    first = training_set(BASE.replace(score="el2n"), n_features=20, trial=4)
    second = training_set(BASE.replace(score="margin"), n_features=20, trial=4)
    common, at, other = np.intersect1d(first.rows, second.rows, return_indices=True)
    assert 0 < len(common) < len(first.rows)
    np.testing.assert_allclose(first.x[at], second.x[other], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(first.y[at], second.y[other])


def test_results_do_not_depend_on_the_number_of_trials():
    few = simulate(BASE, n_features=50, n_trials=3, seed=2)
    many = simulate(BASE, n_features=50, n_trials=21, seed=2)
    for name in OBSERVABLES:
        np.testing.assert_allclose(many.trials[name][:3], few.trials[name], rtol=0, atol=1e-8)
    assert len(np.unique(many.trials["cosine"])) == 21


def test_gradient_tolerance_is_met():
    simulation = simulate(BASE, n_features=50, n_trials=5)
    assert simulation.trials["gradient_norm"].max() <= 1e-11


def test_separable_samples_are_failures_and_never_averaged():
    """Ridge-free on fewer kept samples than features: always separable."""
    problem = BASE.replace(samples_per_feature=2.0, ridge=0.0)
    simulation = simulate(problem, n_features=50, n_trials=4)
    assert simulation.failures == dict.fromkeys(range(4), "separable")
    assert np.isnan(simulation.trials["cosine"]).all()
    assert np.isnan(simulation.mean("cosine"))
    assert simulation.to_dict()["mean"]["cosine"] is None
    assert simulation.to_dict()["failures"] == {"separable": 4}


def test_ridge_free_fit_where_it_exists():
    """Sur and Candes (2019): at d/n = 0.2 and signal^2 = 5 the slope is 1.4993501228 * signal."""
    problem = Problem(samples_per_feature=5.0).replace(signal=5**0.5, ridge=0.0)
    simulation = simulate(problem, n_features=300, n_trials=25)
    along = simulation.trials["cosine"] * simulation.trials["norm"] / 5**0.5
    error = along.std(ddof=1) / 5
    assert simulation.failed == 0
    assert error < 0.03
    assert abs(along.mean() - 1.4993501228) < 4 * error


def test_power_selection_is_bernoulli_and_reports_what_it_kept():
    simulation = simulate(BASE.replace(selection="power:1"), n_features=100, n_trials=30)
    kept = simulation.trials["kept"]
    assert len(np.unique(kept)) > 3
    assert abs(kept.mean() - 180) < 4 * np.sqrt(180 / 30)


def test_pairing_removes_common_noise():
    one = simulate(BASE, n_features=50, n_trials=40)
    other = simulate(BASE.replace(ridge=0.01), n_features=50, n_trials=40)
    difference, error = paired(other, one, "cosine")
    expected = other.mean("cosine") - one.mean("cosine")
    assert abs(difference - expected) < 1e-12
    assert error < 0.8 * np.hypot(one.standard_error("cosine"), other.standard_error("cosine"))


def test_paired_refuses_other_data():
    one = simulate(BASE, n_features=50, n_trials=2)
    with pytest.raises(InvalidArgumentError, match="seed"):
        paired(simulate(BASE, n_features=50, n_trials=2, seed=1), one, "cosine")
    with pytest.raises(InvalidArgumentError, match="signal"):
        paired(simulate(BASE.replace(signal=1.0), n_features=50, n_trials=2), one, "cosine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"n_features": 1, "n_trials": 1},
            "n_features must be a whole number of at least 2; got 1",
        ),
        ({"n_features": 9, "n_trials": 0}, "n_trials must be a whole number of at least 1; got 0"),
        ({"n_features": 9, "n_trials": 1, "seed": -1}, "seed .* got -1"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        simulate(BASE, **arguments)


def test_what_cannot_be_simulated_is_said():
    trajectory = Score("t", lambda *_: jnp.zeros(()), False, frozenset({"trajectory"}))
    with pytest.raises(InvalidArgumentError, match="needs trajectory"):
        simulate(BASE.replace(score=trajectory), n_features=10, n_trials=1)
    with pytest.raises(InvalidArgumentError, match="fewer than one sample"):
        simulate(BASE.replace(keep_fraction=0.001), n_features=10, n_trials=1)
    assert "trajectory" not in SCORES


def test_progress_is_reported_to_the_end():
    seen = []
    simulate(BASE, n_features=50, n_trials=20, progress=lambda *counts: seen.append(counts))
    assert seen == sorted(seen)
    assert seen[-1] == (20, 20)


def test_cipher_is_that_of_jax():
    extend = pytest.importorskip("jax.extend.random")
    words = jax.random.key_data(jax.random.key(7))
    counter = (jnp.arange(9, dtype=jnp.uint32), jnp.arange(9, dtype=jnp.uint32) + 40)
    ours = jnp.concatenate(threefry(words, counter))
    np.testing.assert_array_equal(ours, extend.threefry_2x32(words, jnp.concatenate(counter)))


def test_normals_are_normal():
    x = np.asarray(normal_rows(jax.random.key(1), jnp.arange(2000), 500), np.float64).ravel()
    root = np.sqrt(len(x))
    for power, mean, spread in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)]:
        assert abs(np.mean(x**power) - mean) < 4 * np.sqrt(spread) / root
    pairs = x.reshape(2000, 500)
    first, second = pairs[:, :250], pairs[:, 250:]  # the two halves of the Box-Muller pairs
    assert abs(np.mean(first * second)) < 4 / np.sqrt(first.size)
    assert abs(np.mean(first**2 * second**2) - 1) < 4 * np.sqrt(8 / first.size)


def test_normals_depend_on_row_and_column_only():
    key = jax.random.key(1)
    everything = normal_rows(key, jnp.arange(100), 31)
    some = normal_rows(key, jnp.array([7, 99, 3]), 31)
    np.testing.assert_array_equal(some, everything[jnp.array([7, 99, 3])])

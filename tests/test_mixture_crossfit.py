"""Cross-fitted probes in the limit of two classes: plain sums, fits in numpy, and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm, qmc

from mixture_reference import fit_margin
from nfl_pruning import Problem, simulate, solve
from nfl_pruning.inputs import Mixture
from nfl_pruning.losses import LOSSES
from nfl_pruning.probes import CrossFitProbe, PilotProbe
from nfl_pruning.problem import Student
from nfl_pruning.theory.mixture.closing import State
from nfl_pruning.theory.mixture.many_classes.many import Warm, runs_at, solve_many_classes
from nfl_pruning.theory.mixture.two_classes.fold_moments import FoldLaw, fold_moments, folds_of
from nfl_pruning.theory.mixture.two_classes.pair_setting import setting_of
from nfl_pruning.theory.mixture.two_classes.panels import COARSE, FINE
from nfl_pruning.theory.mixture.two_classes.populations import KeptPart, Populations
from nfl_pruning.theory.mixture.two_classes.reading import probe_reads
from test_mixture_limit import PAIR, pair_problem, three_problem


def fitted(t, step):
    """Margins to which a logistic fit moves the margins t, by bisection."""
    low, high = t.copy(), t + step
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = middle - t > step * expit(-middle)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 0.5 * (low + high)


FOLDS, EDGE, OMEGA = 3, 0.4, 2.0
MEAN, COMMON, OWN, STEP = 0.7, 0.8, 0.9, 1.7
REFIT = {"mean": 0.4, "variance": 1.6, "cross": 0.6, "step": 1.3, "coupling": 0.8}


def plain_moments(coupling):
    """F, Q, A, B and E[f fbar] of one population with label +1, from points in all logits."""
    points = qmc.Sobol(FOLDS + 2, rng=np.random.default_rng(5)).random(2**16)
    x = norm.ppf(np.clip(points, 1e-12, 1 - 1e-12))
    z = np.sqrt(COMMON) * x[:, :1] + np.sqrt(OWN) * x[:, 1:-1]
    mean = z.mean(1)
    variance = COMMON + OWN / FOLDS
    others = z[:, 1:] + MEAN
    force = -expit(-fitted(others, STEP)).mean(1)
    slope = REFIT["cross"] / variance
    rest = np.sqrt(REFIT["variance"] - slope * REFIT["cross"])
    v = REFIT["mean"] + slope * mean - coupling * force + rest * x[:, -1]
    ranked = z[:, 0] + MEAN < EDGE
    keep, weight = np.where(ranked, 1.0, 0.5), np.where(ranked, 1.0, OMEGA)
    q = expit(-fitted(v, REFIT["step"] * weight))
    f = -weight * q
    curvature = weight * q * (1 - q)
    response = np.mean(keep * curvature / (1 + REFIT["step"] * curvature))
    given = (np.mean(keep * f * mean) - response * REFIT["cross"]) / variance
    return [np.mean(keep * f), np.mean(keep * f**2), response, given, np.mean(keep * f * force)]


def nodes_at(fineness):
    """The kept samples of that population, and what the sums take of its law."""
    law = FoldLaw(FOLDS, *(np.array([v]) for v in (MEAN, COMMON + OWN, COMMON, STEP)))
    edge = (EDGE - MEAN) / np.sqrt(COMMON + OWN)

    def evaluate(zeta):
        ranked = np.stack([zeta < edge, zeta >= edge])
        return ranked * np.array([[1.0], [0.5]]), np.array([[1.0], [OMEGA]]) + 0 * ranked

    part = KeptPart(np.array([edge]), evaluate)
    who = Populations(np.array([0]), np.array([1]), np.array([1.0]))
    folds = folds_of(law, who, [part], fineness, spread=1.5, along=2.0)
    variance = COMMON + OWN / FOLDS
    one = np.ones((1, 1, 1))
    return folds, (np.sqrt([variance]), one / variance, np.ones(1))


def moments_at(numbers, folds, terms):
    """The sums at numbers of ``REFIT``, in its order, as one vector."""
    mean, *scales = (jnp.reshape(number, (1, 1, 1)) for number in numbers)
    state = State._make([mean[0], *scales, jnp.zeros(1)])
    terms = jax.tree.map(jnp.asarray, terms)
    found = fold_moments(state, folds, terms, loss=LOSSES["logistic"])
    return jnp.stack([jnp.ravel(value)[0] for value in found])


def summed_moments(fineness):
    """The same by the module's sums."""
    with jax.enable_x64(True):
        return [*map(float, moments_at(jnp.array([*REFIT.values()]), *nodes_at(fineness)))]


def test_moments_are_those_of_points_in_all_logits():
    coarse, fine = summed_moments(COARSE), summed_moments(FINE)
    np.testing.assert_allclose(coarse, fine, atol=1e-8)
    plain = plain_moments(REFIT["coupling"])
    np.testing.assert_allclose(fine, plain, atol=4e-4)
    moved = np.abs(np.array(plain) - plain_moments(0.0))
    assert (moved[:3] > 4e-3).all()  # the control: what a sample does through its probes is felt


def test_slopes_of_the_sums_cost_no_more_room_than_the_sums():
    parts = nodes_at(COARSE)
    with jax.enable_x64(True):
        here = jnp.array([*REFIT.values()])
        slopes = jax.jacfwd(moments_at)(here, *parts)
        for i, step in enumerate(1e-4 * np.eye(len(here))):
            ends = [moments_at(here + k * step, *parts) for k in (-1, 1)]
            difference = (ends[1] - ends[0]) / 2e-4
            np.testing.assert_allclose(slopes[:, i], difference, atol=2e-8)
            assert np.abs(difference).max() > 1e-2
        room = []
        for function in (moments_at, jax.jacfwd(moments_at)):
            memory = jax.jit(function).lower(here, *parts).compile().memory_analysis()
            assert memory is not None
            room.append(memory.temp_size_in_bytes)
        whole = 16 * parts[0].others.size * parts[0].waves[0].size  # of one complex array
    assert room[1] < 1.5 * room[0] < whole


def test_probes_share_what_fits_with_common_samples_share():
    problem = pair_problem(probe=CrossFitProbe(3, 0.1))
    with jax.enable_x64(True):
        reads, stage = probe_reads(setting_of(problem), COARSE, {})
    assert reads is not None and reads.folds is not None and stage is not None
    law, variances = reads.folds, PAIR.covariances.arrays()["scalar"]
    rng, d = np.random.default_rng(1), 150
    found = []
    for _ in range(24):
        c = (rng.random(5 * d) < 0.4).astype(int)
        x = rng.normal(size=(5 * d, d)) * np.sqrt(variances[c])[:, None]
        x[:, 0] += 2 * c - 1
        fold = rng.permutation(5 * d) % 3
        w = [fit_margin(x[fold != j], 2.0 * c[fold != j] - 1, 0.1)[:-1] for j in range(3)]
        products = np.array(w) @ np.array(w).T
        own, shared = np.trace(products) / 3, (products.sum() - np.trace(products)) / 6
        found.append((own, shared, own - shared))
    value, error = np.mean(found, 0), np.std(found, 0, ddof=1) / np.sqrt(len(found))
    expected = np.array([law.variance[0], law.common[0], law.variance[0] - law.common[0]])
    assert (error < 0.02 * expected).all()
    assert (np.abs(value - expected) < 4 * error + 1.5 / d * expected).all()
    # the control: (M10) without what two fits that share samples have in common
    row, alone = np.asarray(stage.fit.rows)[0], law.variance[0]
    assert abs(value[2] - (alone - row @ row)) > 10 * error[2]


@pytest.mark.parametrize(
    ("score", "fraction", "exploit", "value", "digits"),
    [
        ("el2n", 0.4, 1.0, 0.20400572078189963, 1e-12),
        ("entropy", 0.3, 0.5, 0.19879084508864256, 1e-12),
        pytest.param("el2n", 0.6, 1.0, 0.16106353, 2e-8, marks=pytest.mark.slow),
    ],
)
def test_two_folds_by_another_derivation(score, fraction, exploit, value, digits):
    """By bands of the scoring logit and two integrals, kept from such a solver."""
    found = solve(pair_problem(score, "hardest", fraction, exploit, CrossFitProbe(2, 0.02)))
    assert found.status == "certified", found.message
    assert found.error_estimate < 1e-8
    assert found.test_error == pytest.approx(value, abs=digits)
    if exploit == 1:
        pilot = solve(pair_problem(score, "hardest", fraction, probe=PilotProbe(2.5, 0.02)))
        assert abs(pilot.test_error - value) > 1e-3  # the control: as many samples, all fresh


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folds", "score", "keep", "fraction", "exploit"),
    [(2, "el2n", "hardest", 0.4, 1.0), (5, "entropy", "hardest", 0.3, 0.6)],
)
def test_agrees_with_simulation_extrapolated_to_large_dimension(
    folds, score, keep, fraction, exploit
):
    problem = pair_problem(score, keep, fraction, exploit, CrossFitProbe(folds, 0.05))
    limit = solve(problem)
    assert limit.status == "certified", limit.message
    small, large = (
        simulate(problem, n_trials=n, n_features=d, seed=4) for d, n in ((60, 320), (120, 240))
    )
    names = ("test_error", "intercept")
    at = {**limit.observables, "test_error": limit.test_error}
    pilot = problem.replace(probe=PilotProbe(5 * (1 - 1 / folds), 0.05))
    wrong = solve(pilot)
    others = {**wrong.observables, "test_error": wrong.test_error}
    apart = []
    for name in names:  # what is left of order 1/d cancels in 2 * large - small
        value = 2 * large.mean(name) - small.mean(name)
        error = np.hypot(2 * large.standard_error(name), small.standard_error(name))
        assert abs(value - at[name]) < 4 * error
        apart.append(abs(value - others[name]) / error)
    assert 2 * large.standard_error("test_error") < 0.003
    assert max(apart) > 5  # the control: a probe of other samples


@pytest.mark.parametrize(
    ("folds", "keep", "fraction", "exploit"), [(2, "hardest", 0.4, 1.0), (3, "easiest", 0.4, 0.5)]
)
def test_points_for_many_classes_agree_with_the_sums_for_two(folds, keep, fraction, exploit):
    """Two classes by the solver of three and more, which shares none of the integrals.

    Two logits whose weights are opposite carry half of the margin's each: with the same penalty on
    both, a ridge of two logits is twice that of the margin.
    """
    exact = pair_problem("el2n", keep, fraction, exploit, CrossFitProbe(folds, 0.05))
    problem = exact.replace(ridge=2 * exact.student.ridge, probe=CrossFitProbe(folds, 0.1))
    wanted, found = solve(exact), solve_many_classes(problem, 5e-4)
    assert wanted.status == "certified" and found.found and found.error < 5e-4
    assert abs(found.values["test_error"] - wanted.test_error) < 4 * max(found.error, 1e-4)
    runs = runs_at(problem, 2**11, 5e-4, Warm())
    for name in ("test_error", "test_loss"):  # each by its own spread over scrambles
        values = np.array([run[name] for run in runs])
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert error < 1e-3
        assert abs(values.mean() - getattr(wanted, name)) < 4 * max(error, 1e-4), name
    fresh = PilotProbe(exact.samples_per_feature * (1 - 1 / folds), 0.1)
    other = solve_many_classes(problem.replace(probe=fresh), 5e-4)
    assert abs(other.values["test_error"] - wanted.test_error) > 5 * other.error


@pytest.mark.slow
@pytest.mark.parametrize("folds", [2, 5])
def test_three_classes_agree_with_simulation(folds):
    problem = three_problem("el2n", "hardest", 0.4, probe=CrossFitProbe(folds, 0.05))
    limit = solve(problem)
    assert limit.status == "certified"
    small, large = (simulate(problem, n_features=d, n_trials=96, seed=d) for d in (64, 128))
    for name in ("test_error", "worst_class_error", "test_loss"):
        value = 2 * large.mean(name) - small.mean(name)  # the bias in 1 / d
        error = np.hypot(2 * large.standard_error(name), small.standard_error(name))
        at = limit.observables[name] if name in limit.observables else getattr(limit, name)
        assert abs(value - at) < 4 * np.hypot(error, 5e-4), name


def test_a_teachers_labels_are_refused():
    taught = Problem(
        samples_per_feature=4, keep_fraction=0.3, probe="cross-fit:3:0.1",
        student=Student(ridge=0.02), inputs=Mixture(np.ones(1), np.zeros((1, 2)), np.ones(1), None),
    )  # fmt: skip
    found = solve(taught)
    assert found.status == "unsupported"
    assert "not a teacher's" in found.message

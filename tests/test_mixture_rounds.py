"""Rounds of many classes: cheap ones, corrected, end where exact ones do."""

import jax
import numpy as np
import pytest

import nfl_pruning as nfl
from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs import LowRank, Mixture
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.problem import Problem, Student
from nfl_pruning.theory.mixture.factored import Factored
from nfl_pruning.theory.mixture.geometry import Dense, Diagonal
from nfl_pruning.theory.mixture.many_classes import corrected as correcting
from nfl_pruning.theory.mixture.many_classes import search
from nfl_pruning.theory.mixture.many_classes.kept_points import kept
from nfl_pruning.theory.mixture.many_classes.many_probe import probe_reads
from nfl_pruning.theory.mixture.many_classes.many_setting import refit_terms, setting_of
from nfl_pruning.theory.mixture.many_classes.rounds import at_rest, pack, sizes
from nfl_pruning.theory.mixture.many_classes.search import cheap_terms, solve_stage, solve_stages
from nfl_pruning.theory.mixture.many_classes.stepping import Rounds

pytestmark = pytest.mark.usefixtures("float64")
FEATURES = 80


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def _problem(**changes):
    rng = np.random.default_rng(3)
    means = 1.2 * rng.normal(size=(3, FEATURES)) / np.sqrt(FEATURES) * 3
    factors = rng.normal(size=(3, FEATURES, FEATURES)) / np.sqrt(FEATURES)
    covariances = factors @ np.swapaxes(factors, 1, 2) + 0.1 * np.eye(FEATURES)
    mixture = Mixture(np.array([0.5, 0.3, 0.2]), means, covariances, np.arange(3))
    weights = 0.3 * means + 0.1 * rng.normal(size=(3, FEATURES))
    base = Problem(
        inputs=mixture, score="margin", keep_fraction=0.3, samples_per_feature=8,
        probe=WeightsProbe(weights, np.zeros(3)), student=Student(ridge=0.02, intercept=True),
    )  # fmt: skip
    return base.replace(**changes)


def _terms(setting, seed):
    first, second = np.random.SeedSequence(seed).spawn(2)
    (reads,), _ = probe_reads(setting, 2**9, [first], None, 1e-7)
    return refit_terms(setting, reads, kept(setting, reads, 2**9, second))


def _stage(setting, terms, tolerance=1e-6):
    return solve_stage(setting, terms, None, tolerance)


def _of_few_factors():
    """The same means with a diagonal and four directions of its own in each component."""
    rng, whole = np.random.default_rng(4), _problem().inputs
    assert isinstance(whole, Mixture)
    factors = 4 * rng.normal(size=(3, FEATURES, 4)) / np.sqrt(FEATURES)
    law = LowRank(rng.uniform(0.1, 1.5, (3, FEATURES)), factors)
    return Mixture(whole.weights, whole.means, law, np.arange(3))


@pytest.mark.parametrize("factored", [False, True])
def test_corrected_rounds_end_where_exact_ones_do(factored, monkeypatch):
    monkeypatch.setattr(correcting, "DEAR", 0.0)
    problem = _problem()
    if factored:
        problem = _problem(probe="in-sample:0.05", inputs=_of_few_factors())
    setting = setting_of(problem)
    assert isinstance(setting.space.geometry, Factored if factored else Dense)
    terms = _terms(setting, 1)
    corrected = _stage(setting, terms)
    cheap = cheap_terms(setting.space, terms)
    assert cheap is not None and not np.isscalar(corrected.shift)
    uncorrected = Rounds(setting, cheap).until(at_rest(terms, 2), 1e-6)
    monkeypatch.setattr(search, "cheap_terms", lambda *_: None)
    exact = _stage(setting, terms)
    assert corrected.converged and exact.converged and uncorrected.converged

    def apart(stage):
        x = pack(exact.state)
        change = np.abs(pack(stage.state) - x) / sizes(x, exact.state)
        return max(
            float(change.max()), float(np.abs(stage.state.intercept - exact.state.intercept).max())
        )

    assert apart(corrected) < 2e-5
    assert apart(uncorrected) > 1e-2  # what the correction is for


@pytest.mark.parametrize("factored", [False, True])
def test_scrambles_that_share_a_correction_have_the_mean_of_those_that_do_not(
    factored, monkeypatch
):
    monkeypatch.setattr(correcting, "DEAR", 0.0)
    problem = _problem()
    if factored:
        problem = _problem(probe="in-sample:0.05", inputs=_of_few_factors())
    setting = setting_of(problem)
    terms = [_terms(setting, seed) for seed in range(6)]
    shared, _, mean = solve_stages(setting, terms, None, 1e-6)
    monkeypatch.setattr(search, "together", lambda *_, **__: None)
    apart, _, none = solve_stages(setting, terms, None, 1e-6)
    assert len(shared) == len(apart) == 6 and mean is not None and none is None
    ours, theirs = (
        np.array([np.append(pack(s.state), s.state.intercept) for s in own])
        for own in (shared, apart)
    )
    unit = theirs.std(axis=0, ddof=1)
    noisy = unit > 1e-6
    distance = np.abs(ours.mean(0) - theirs.mean(0))[noisy] / unit[noisy]
    alone = np.abs(ours[0] - theirs.mean(0))[noisy] / unit[noisy]
    assert distance.max() < 0.2 and np.median(distance) < 0.03
    assert np.median(alone) > 0.2  # one scramble in place of their mean
    ratio = ours.std(axis=0, ddof=1)[noisy] / unit[noisy]
    assert 0.8 < np.median(ratio) < 1.5


def test_a_class_that_keeps_nothing_is_named():
    problem = _problem(score="entropy", keep="easiest", keep_fraction=0.01)
    far = _problem().inputs
    assert isinstance(far, Mixture)
    means = far.means.copy()
    means[0] *= 4  # one class is the surest by far
    problem = problem.replace(
        inputs=Mixture(far.weights, means, far.covariances, np.arange(3)),
        probe=WeightsProbe(means, np.zeros(3)),
    )
    solution = nfl.solve(problem)
    assert str(solution.status) == "no-solution"
    assert "Next to nothing of class" in solution.message
    bounded = nfl.solve(problem.replace(student=Student(ridge=0.02)))
    assert str(bounded.status) != "no-solution"


def _wide(covariances):
    """The parts of a problem of ten classes at 768 features, as far as they are built unsolved."""
    k, d = 10, 768
    means = np.eye(k, d)
    mixture = Mixture(np.full(k, 0.1), means, covariances, np.arange(k))
    probe = WeightsProbe(means - means.mean(axis=0), np.zeros(k))
    return setting_of(_problem().replace(inputs=mixture, probe=probe))


def _unlike(rank):
    """A diagonal plus a rank, with directions of its own for each of ten components."""
    factors = np.random.default_rng(rank).normal(size=(10, 768, rank)) / np.sqrt(768)
    return LowRank(np.ones((10, 768)), factors)


def test_too_many_rows_are_refused_before_hours_are_spent():
    with pytest.raises(UnsupportedProblemError, match=r"9 x 768 = 6912 rows.*LowRank.*simulate"):
        _wide(_unlike(40))  # more than half of the features
    with pytest.raises(UnsupportedProblemError, match=r"9 x 300 = 2700 rows.*Fewer factors"):
        _wide(_unlike(30))
    few, shared = _wide(_unlike(2)), _wide(np.ones((10, 768)))
    assert isinstance(few.space.geometry, Factored)
    assert isinstance(shared.space.geometry, Diagonal)
    assert few.space.geometry.factors.shape == (768, 20)


def test_factors_that_components_share_count_once():
    law = _unlike(4)
    scale = np.linspace(0.5, 1.5, 10)[:, None, None]
    variances = 1 + np.random.default_rng(1).random((10, 768))
    space = _wide(LowRank(variances, scale * law.factors[:1])).space
    assert isinstance(space.geometry, Factored)
    assert space.geometry.factors.shape == (768, 4)

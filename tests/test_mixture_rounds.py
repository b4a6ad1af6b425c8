"""Rounds of many classes: cheap ones, corrected, end where exact ones do."""

import jax
import numpy as np
import pytest

import nfl_pruning as nfl
from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.inputs import LowRank, Mixture
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.problem import Problem, Student
from nfl_pruning.theory.mixture.many_classes import search
from nfl_pruning.theory.mixture.many_classes.kept_points import kept
from nfl_pruning.theory.mixture.many_classes.many_probe import probe_reads
from nfl_pruning.theory.mixture.many_classes.many_setting import refit_terms, setting_of
from nfl_pruning.theory.mixture.many_classes.rounds import at_rest, pack, sizes
from nfl_pruning.theory.mixture.many_classes.search import _Rounds, cheap_terms, solve_stage

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


def _stage(setting, terms, tolerance=1e-6):
    return solve_stage(setting, terms, None, tolerance)


@pytest.mark.parametrize("probe", [None, "in-sample:0.05"])
def test_corrected_rounds_end_where_exact_ones_do(probe, monkeypatch):
    monkeypatch.setattr(search, "DEAR", 0.0)
    problem = _problem() if probe is None else _problem(probe=probe)
    setting = setting_of(problem)
    seeds = np.random.SeedSequence(1).spawn(2)
    reads, _ = probe_reads(setting, 2**9, seeds[0], None, 1e-7)
    assert reads is not None
    terms = refit_terms(setting, reads, kept(setting, reads, 2**9, seeds[1]))
    corrected = _stage(setting, terms)
    cheap = cheap_terms(setting.space, terms)
    assert cheap is not None and not np.isscalar(corrected.shift)
    uncorrected = _Rounds(setting, cheap).until(at_rest(terms, 2), 1e-6)
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


def test_too_many_rows_are_refused_before_hours_are_spent():
    k, d = 10, 768
    means, factors = np.eye(k, d), np.zeros((k, d, 1))
    probe = WeightsProbe(means - means.mean(axis=0), np.zeros(k))

    def of(mixture):
        return _problem().replace(inputs=mixture, probe=probe)

    factors[np.arange(k), np.arange(k), 0] = 1.0
    factors[:, -1] = 0.5  # no two share this direction: the columns differ elsewhere
    unlike = Mixture(np.full(k, 0.1), means, LowRank(np.ones((k, d)), factors), np.arange(k))
    with pytest.raises(UnsupportedProblemError, match="9 x 768 = 6912 rows"):
        setting_of(of(unlike))
    shared = Mixture(np.full(k, 0.1), means, np.ones((k, d)), np.arange(k))
    assert len(setting_of(of(shared)).outputs.basis) == 9

"""The optimised rule: better than every usual one, stationary, and what simulation finds."""

import jax
import numpy as np
import pytest

from nfl_pruning import Problem, Status, simulate
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.selections import Piecewise, select
from nfl_pruning.theory.optimal.best_rule import optimal_rule
from nfl_pruning.theory.optimal.bins import Grid
from nfl_pruning.theory.optimal.rule_search import LEVELS, promised
from nfl_pruning.theory.optimal.usual import on_bins, usual_problems

pytestmark = pytest.mark.optimised  # a search of many steps

PROBLEM = Problem(samples_per_feature=6, keep_fraction=0.3).replace(
    probe="fixed:0.8", signal=2, ridge=0.05 / 6
)


@pytest.fixture(scope="module")
def best():
    return optimal_rule(PROBLEM, weights=False, bins=12, starts=1)


def test_it_beats_every_usual_rule_and_is_certified(best):
    assert best.solution.status is Status.CERTIFIED
    assert best.value < min(best.baselines.values()) - 1e-4
    windows = {name for name in best.baselines if "window" in name}
    others = [value for name, value in best.baselines.items() if name not in windows]
    assert len(windows) == 8 and len(others) == 45
    assert best.value < min(others) - 1e-3


def test_usual_rules_on_the_bins_are_what_the_certified_solver_says(best):
    """Both ways: a rule with one bin too many kept is told apart."""
    usual = usual_problems(PROBLEM)
    with jax.enable_x64(True):
        grid = Grid.of(PROBLEM, 12)
        objective = grid.objective("test_error", LEVELS[0])
        for name, problem in usual.items():
            rule = grid.rule(problem)
            gap = abs(objective.value(rule) - best.baselines[name])
            assert gap < 1e-7 or not on_bins(problem), name
        broken = grid.rule(usual["aware-easiest"])
        broken.keep[np.argmin(broken.keep)] += 0.2
        assert abs(objective.value(broken) - best.baselines["aware-easiest"]) > 1e-4


def test_it_is_a_band_within_budget_at_a_stationary_point(best):
    """Right labels at moderate margins: neither end of y u is kept."""
    selection = best.problem.selection
    assert abs(np.dot(selection.shares, selection.keep) - 0.3) < 1e-9
    assert max(best.keep[0], best.keep[-1]) < 1e-9 and best.keep.max() > 1 - 1e-9
    assert abs(best.stationarity) < 1e-4


@pytest.mark.parametrize("fraction", [1.0, 0.9999, 1e-3])
def test_every_bin_has_mass(fraction):
    """Thresholds that keep all or almost all lie far out, where bins would be empty."""
    grid = Grid.of(PROBLEM.replace(keep_fraction=fraction), 12)
    assert len(grid.mass) == len(grid.edges) + 1 >= 12
    assert grid.mass.min() > 1e-10 and abs(grid.mass.sum() - 1) < 1e-12


def test_a_rule_that_is_not_optimal_is_told_apart():
    """Stationarity is no formality: at random pruning the same certificate is far from 0."""
    with jax.enable_x64(True):
        grid = Grid.of(PROBLEM, 12)
        objective = grid.objective("test_error", LEVELS[0])
        random = grid.rule(usual_problems(PROBLEM)["random"])
        assert promised(grid, objective, random, weights=False) > 0.02


@pytest.mark.slow
def test_weights_help_and_simulation_agrees(best):
    weighted = optimal_rule(PROBLEM, weights=True, bins=12)
    assert weighted.value < best.value - 1e-3
    assert abs(weighted.stationarity) < 1e-6
    usual = usual_problems(PROBLEM)
    trials = {name: _errors(problem) for name, problem in usual.items()}
    for rule in (best, weighted):
        errors = _errors(rule.problem)
        assert errors.std(ddof=1) / np.sqrt(len(errors)) < 0.004
        assert _off(errors, rule.value) < 4
        lead = trials["aware-easiest"] - errors
        spread = lead.std(ddof=1) / np.sqrt(len(lead))
        assert rule.baselines["aware-easiest"] - rule.value > 2 * spread
        assert lead.mean() > 2 * spread
        large = 0
        for name, theirs in trials.items():
            lead = theirs - errors
            gap = rule.baselines[name] - rule.value
            assert _off(lead, gap) < 4.5, name  # of 106 pairs
            if gap > 4 * lead.std(ddof=1) / np.sqrt(len(lead)):
                large += 1
                assert lead.mean() > 0, name
        assert large > 40  # the comparison has power
        assert _off(errors, rule.value - 0.02) > 4


def _errors(problem):
    return simulate(problem, n_features=400, n_trials=64, seed=1).trials["test_error"]


def _off(values, predicted):
    return abs(values.mean() - predicted) / (values.std(ddof=1) / np.sqrt(len(values)))


HARD = {
    "steep": (
        Problem(samples_per_feature=1000, keep_fraction=0.1).replace(
            probe="fixed:0.95", signal=20, ridge=1e-5
        ),
        "test_error",
    ),
    "steps": (
        Problem(samples_per_feature=1000, keep_fraction=0.3).replace(
            probe="fixed:0.8", link="steps:0:0.2,0.8", ridge=1e-4
        ),
        "test_loss",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HARD)
def test_where_few_nodes_are_not_enough_it_takes_more(name):
    """Much data and steep links: the coarse quadrature is off there, and the answer is not."""
    problem, goal = HARD[name]
    found = optimal_rule(problem, goal=goal, weights=False, bins=8, starts=1)
    assert found.solution.status is Status.CERTIFIED
    least = min(found.baselines, key=lambda name: found.baselines[name])
    assert found.value <= found.baselines[least]
    with jax.enable_x64(True):
        grid = Grid.of(problem, 8)
        rough = grid.objective(goal, LEVELS[0]).value(grid.rule(usual_problems(problem)[least]))
    assert not abs(rough - found.baselines[least]) < 1e-5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"link": "steps:0.3:0.1,0.9"}, "symmetric link"),
        ({"probe": "in-sample:0.1"}, "fixed or pilot probe"),
        ({"ridge": 0}, "a ridge > 0"),
    ],
)
def test_what_it_cannot_do_is_said(changes, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        optimal_rule(PROBLEM.replace(**changes))


def test_piecewise_bands_keep_what_they_say():
    bands = Piecewise((0.25, 0.5, 0.25), (1.0, 0.2, 0.0), (1.0, 3.0, 1.0))
    kept = select(jax.random.key(0), np.arange(400.0), 0.35, selection=bands)
    assert np.bincount(kept.indices // 100, minlength=4).tolist()[3] == 100  # the hardest quarter
    assert len(kept.indices) == 140
    assert set(np.unique(kept.weights)) == {0.0, 1.0, 3.0}
    assert bands.label == "piecewise:0.25,0.5,0.25:1,0.2,0:1,3,1"
    for broken, sentence in [
        (((0.5, 0.5), (1.0,), (1.0, 1.0)), "as many shares"),
        (((0.5, 0.4), (1.0, 0.0), (1.0, 1.0)), "sum to 1"),
        (((0.5, 0.5), (1.2, 0.0), (1.0, 1.0)), "got 1.2"),
    ]:
        with pytest.raises(InvalidArgumentError, match=sentence):
            Piecewise(*broken)
    with pytest.raises(InvalidArgumentError, match=r"cannot serve keep_fraction 0\.5"):
        select(jax.random.key(0), np.arange(400.0), 0.5, selection=bands)

"""The optimised rule: better than every usual one, stationary, and what simulation finds."""

import jax
import numpy as np
import pytest

from nfl_pruning import Problem, Status, simulate, solve
from nfl_pruning.selections import Piecewise, make_selection, select
from nfl_pruning.theory.bins import Grid
from nfl_pruning.theory.optimal import _promise, optimal_rule
from nfl_pruning.validation import InvalidArgumentError

PROBLEM = Problem(samples_per_feature=6, keep_fraction=0.3).replace(
    probe="fixed:0.8", signal=2, ridge=0.05 / 6
)


@pytest.fixture(scope="module")
def best():
    return optimal_rule(PROBLEM, weights=False, bins=12)


def test_it_beats_every_usual_rule_and_is_certified(best):
    assert best.solution.status is Status.CERTIFIED
    assert best.value < min(best.baselines.values()) - 1e-3
    # The baselines on the bins are those of the independent solver.
    for name, changes in {
        "random": {"selection": "random"},
        "aware-easiest": {"score": "el2n", "keep": "easiest"},
        "agnostic-hardest, exact exploit 0.5": {
            "score": "margin",
            "selection": make_selection("exact", exploit=0.5),
        },
    }.items():
        assert abs(best.baselines[name] - solve(PROBLEM.replace(**changes)).test_error) < 1e-7


def test_it_is_a_band_within_budget_at_a_stationary_point(best):
    """Right labels at moderate margins: neither end of y u is kept."""
    selection = best.problem.selection
    assert abs(np.dot(selection.shares, selection.keep) - 0.3) < 1e-9
    assert max(best.keep[0], best.keep[-1]) < 1e-9 and best.keep.max() > 1 - 1e-9
    assert abs(best.stationarity) < 1e-4


def test_a_rule_that_is_not_optimal_is_told_apart():
    """Stationarity is no formality: at random pruning the same certificate is far from 0."""
    with jax.enable_x64(True):
        grid = Grid.of(PROBLEM, 12)
        objective = grid.objective("test_error")
        random = grid.usual_rules()["random"]
        assert _promise(grid, objective, random, weights=False) > 0.02


@pytest.mark.slow
def test_weights_help_and_simulation_agrees(best):
    weighted = optimal_rule(PROBLEM, weights=True, bins=12)
    assert weighted.value < best.value - 1e-3
    assert abs(weighted.stationarity) < 1e-6
    for rule in (best, weighted):
        found = simulate(rule.problem, n_features=400, n_trials=64, seed=1)
        error = found.standard_error("test_error")
        assert error < 0.004
        assert abs(found.mean("test_error") - rule.value) < 4 * error
        usual = simulate(
            PROBLEM.replace(score="el2n", keep="easiest"), n_features=400, n_trials=64, seed=1
        )
        gap = min(rule.baselines.values()) - rule.value
        paired = usual.trials["test_error"] - found.trials["test_error"]
        spread = paired.std(ddof=1) / np.sqrt(len(paired))
        assert gap > 2 * spread and paired.mean() > 2 * spread


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

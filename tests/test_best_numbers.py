"""The best numbers of a protocol: stationary, never worse than the grid, and those of a search."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from nfl_pruning import Problem, Status, solve
from nfl_pruning.selections import SoftCalibration
from nfl_pruning.theory.optimal.best_numbers import GRIDS, _objective, _promise, best_numbers
from nfl_pruning.validation import InvalidArgumentError
from shell import shell

PROBLEM = Problem(samples_per_feature=6, keep_fraction=0.3).replace(
    probe="fixed:0.8", signal=2, ridge=0.05 / 6, selection="soft:0.5"
)
RIDGES = (0.01, 1.0)


def error_of(problem: Problem) -> float:
    """Test error by the independent solver."""
    found = solve(problem).test_error
    assert found is not None
    return found


@pytest.fixture(scope="module")
def best():
    return best_numbers(PROBLEM, grid={"ridge": RIDGES})


@pytest.mark.slow
def test_it_is_better_than_every_cell_and_certified(best):
    assert best.solution.status is Status.CERTIFIED
    cells = [
        error_of(PROBLEM.replace(ridge=ridge, selection=SoftCalibration(exponent, exploit)))
        for ridge in RIDGES
        for exponent in GRIDS["exponent"]
        for exploit in (0.0, 0.5, 0.95)
    ]
    assert abs(best.grid - min(cells)) < 0.02  # the grid has these cells and some more
    assert best.value <= best.grid + 1e-9 <= min(cells) + 2e-9
    assert best.value < min(cells) - 1e-5


@pytest.mark.slow
def test_it_is_stationary_where_a_cell_is_not(best):
    assert best.stationarity < 1e-7
    names = ["exploit", "exponent", "ridge"]
    goal_at = _objective(PROBLEM, names, "test_error")
    point = np.array([0.5, 0.5, np.log(0.1)])
    box = [(0.0, 0.95), (0.0, 1.0), (np.log(0.01), 0.0)]
    assert _promise(goal_at(point)[1], point, box) > 1e-3


def test_the_best_ridge_is_that_of_a_search_without_gradients():
    problem = PROBLEM.replace(selection="random")
    found = best_numbers(problem, over=("ridge",))
    other: Any = minimize_scalar(
        lambda x: error_of(problem.replace(ridge=float(np.exp(x)))),
        bounds=(np.log(1e-3), np.log(10)), method="bounded", options={"xatol": 1e-5},
    )  # fmt: skip
    assert abs(np.log(found.numbers["ridge"]) - other.x) < 1e-3
    assert abs(found.value - other.fun) < 1e-9
    assert found.problem.student.ridge == found.numbers["ridge"]


@pytest.mark.parametrize(
    ("changes", "arguments", "sentence"),
    [
        ({"selection": "threshold"}, {}, "exact or soft protocol"),
        ({}, {"over": ("keep_fraction",)}, "exploit"),
        ({}, {"over": ()}, "different numbers"),
        ({}, {"over": ("ridge",), "grid": {"ridge": (0.0, 1.0)}}, "grid of ridge"),
        ({}, {"goal": "cosine"}, "test_error"),
        (
            {"loss": "hinge"},
            {"over": ("ridge",)},
            r"found for isotropic inputs, .*; got loss 'hinge'\.",
        ),
        ({"selection": "power:1"}, {"over": ("ridge",)}, r"got protocol 'power:1'\."),
        ({"ridge": 0}, {"over": ("ridge",)}, r"got ridge 0 and signal 2\."),
        ({"score": "forgetting"}, {"over": ("ridge",)}, r"got score 'forgetting' with probe"),
    ],
)
def test_bad_arguments_are_one_sentence(changes, arguments, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        best_numbers(PROBLEM.replace(**changes), **arguments)


@pytest.mark.slow
def test_the_command_line_finds_the_same(capsys):
    arguments = ["solve", "--keep-fraction", "0.3", "--samples-per-feature", "6", "--signal", "2"]
    arguments += ["--probe", "fixed:0.8", "--protocol", "random", "--best", "ridge"]
    found = shell(capsys, *arguments, "--json").json
    expected = best_numbers(PROBLEM.replace(selection="random"), over=("ridge",))
    assert found["test_error"] == expected.value
    assert found["problem"]["ridge"] == expected.numbers["ridge"]
    bad = shell(capsys, *arguments, "--abundant")
    assert bad.code == 2 and "--best is for isotropic" in bad.err
    bad = shell(capsys, *arguments[:-1], "keep_fraction")
    assert bad.code == 2 and "best must be one of exploit" in bad.err


@pytest.mark.slow
def test_a_table_shows_what_was_found_in_every_row(capsys):
    line = "solve --protocol random --keep-fraction 0.3,0.6 --best ridge"
    shown, found = shell(capsys, *line.split()).out, shell(capsys, *line.split(), "--json").json
    assert all(f"{row['problem']['ridge']:.6g}" in shown for row in found)
    assert "ridge" not in shown.split("keep")[0]

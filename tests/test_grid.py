"""Grids of problems, and what the compiled solver makes of them without a problem a cell."""

from itertools import product

import numpy as np
import pytest

from nfl_pruning import FixedProbe, Problem, make_selection
from nfl_pruning.theory.grid import Grid, families
from nfl_pruning.theory.integrators.conditioned.known import known, unknown
from nfl_pruning.theory.integrators.conditioned.rule import Setting
from nfl_pruning.theory.sweep import _groups

BASE = Problem(samples_per_feature=6, keep_fraction=0.3).replace(
    probe="fixed:0.8", signal=2, ridge=0.01
)
EXACT = BASE.replace(selection=make_selection("exact", exploit=0.6))
GRIDS = {
    "numbers": Grid([BASE], {"keep_fraction": [0.2, 0.5], "ridge": [0, 0.1], "signal": [0, 1]}),
    "perfect probes": Grid([BASE, EXACT], {"alignment": [-1, 0.3, 1 - 1e-12, 1]}),
    "norms": Grid([BASE.replace(score="grand")], {"probe_norm": [0, 0.5, 9], "signal": [1, 3]}),
    "names in between": Grid(
        [EXACT.replace(link="sign")],
        {"signal": [1, 2], "selection": ["random", "soft:0.5", "power:1"], "exploit": [0.2, 0.7]},
    ),
    "scores and ends": Grid(
        [BASE.replace(probe="in-sample:0.1"), BASE.replace(probe="pilot:3:0.1")],
        {"score": ["el2n", "margin"], "probe_ridge": [0.1, 1], "keep": ["hardest", "easiest"]},
    ),
    "nothing": Grid([BASE], {}),
}
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


def test_cells_are_in_c_order_and_made_when_asked_for():
    grid = GRIDS["numbers"]
    points = product([0.2, 0.5], [0, 0.1], [0, 1])
    expected = [BASE.replace(keep_fraction=r, ridge=p, signal=s) for r, p, s in points]
    assert list(grid) == expected and len(grid) == 8
    assert grid[-1] == expected[-1] and grid[2:4] == expected[2:4]
    with pytest.raises(IndexError):
        grid[8]
    two = GRIDS["perfect probes"]
    assert two[5] == EXACT.replace(probe=FixedProbe(0.3))


@every_grid
def test_families_hold_every_cell_once_with_its_numbers(grid):
    seen = []
    for family in families(grid):
        seen += family.places.tolist()
        for name, column in family.columns.items():
            assert column.shape == family.places.shape, name
    assert sorted(seen) == list(range(len(grid)))


def settings(problems):
    """Position -> what is compiled in and the numbers that the solver reads."""
    return {
        int(place): (kind, rule, *(np.asarray(part[i]).tolist() for part in setting))
        for (kind, rule, _), (places, setting) in _groups(problems).items()
        for i, place in enumerate(places)
    }


@every_grid
def test_a_grid_a_list_and_one_problem_give_the_solver_the_same(grid):
    one_by_one = {}
    for i, problem in enumerate(grid):
        taken = known(problem)
        assert (taken is None) == bool(unknown(problem))
        if taken is not None:
            one_by_one[i] = (
                taken.kind,
                taken.rule,
                *(np.asarray(part).tolist() for part in taken.setting),
            )
    assert settings(grid) == settings(list(grid)) == one_by_one


def test_the_solver_s_numbers_need_no_problem_a_cell(monkeypatch):
    made, build = [], Problem.__init__

    def counted(self, *args, **kwargs):
        made.append(1)
        build(self, *args, **kwargs)

    monkeypatch.setattr(Problem, "__init__", counted)
    values = np.linspace(0.1, 0.9, 50)
    grid = Grid([BASE, EXACT], {"keep_fraction": values, "alignment": values})
    assert len(settings(grid)) == len(grid) == 5000
    assert len(made) < 500


def test_what_the_solver_cannot_take_is_left_out():
    assert len(settings(GRIDS["numbers"])) == 2  # a ridge or signal of 0 is not for it
    assert len(settings(GRIDS["norms"])) == 4  # a probe without a norm orders nothing
    assert len(settings(GRIDS["names in between"])) == 8  # nor the power rule


def test_perfect_probes_are_compiled_apart():
    found = settings(GRIDS["perfect probes"])
    assert [found[i][0].perfect for i in range(4)] == [True, False, True, True]
    assert found[2][2:] == found[3][2:] != found[0][2:]
    np.testing.assert_equal(found[0][2:][Setting._fields.index("alignment")], -1.0)

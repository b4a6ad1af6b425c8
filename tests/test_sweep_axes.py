"""The axes of a sweep: every number and name of a problem, and what is refused."""

from typing import Any

import numpy as np
import pytest

from nfl_pruning import FixedProbe, InvalidArgumentError, Problem, make_selection, solve
from nfl_pruning.probes import PilotProbe
from nfl_pruning.selections import ClippedCalibration, SoftCalibration, Window
from nfl_pruning.theory.grid import NAMES, Grid
from nfl_pruning.theory.numbers import all_numbers
from nfl_pruning.theory.sweep import sweep

BASE = Problem(samples_per_feature=6, keep_fraction=0.3).replace(
    probe="fixed:0.8", signal=2, ridge=0.01
)
SOFT = BASE.replace(selection=SoftCalibration(0.5, 0.6))
WINDOW = BASE.replace(selection=Window(0.1))
CLIPPED = BASE.replace(selection=ClippedCalibration(1.5))
PILOT = BASE.replace(probe="pilot:3:0.02")

CASES: dict[str, tuple[Problem, Any, Problem]] = {
    "signal": (BASE, 1.3, BASE.replace(signal=1.3)),
    "keep_fraction": (BASE, 0.45, BASE.replace(keep_fraction=0.45)),
    "ridge": (BASE, 0.05, BASE.replace(ridge=0.05)),
    "samples_per_feature": (BASE, 4, BASE.replace(samples_per_feature=4)),
    "alignment": (BASE, 0.3, BASE.replace(probe=FixedProbe(0.3))),
    "probe_norm": (BASE, 0.7, BASE.replace(probe=FixedProbe(0.8, 0.7))),
    "pilot_samples": (PILOT, 5, BASE.replace(probe=PilotProbe(5, 0.02))),
    "probe_ridge": (PILOT, 0.2, BASE.replace(probe=PilotProbe(3, 0.2))),
    "exploit": (SOFT, 0.2, BASE.replace(selection=SoftCalibration(0.5, 0.2))),
    "exponent": (SOFT, 0.9, BASE.replace(selection=SoftCalibration(0.9, 0.6))),
    "offset": (WINDOW, 0.3, BASE.replace(selection=Window(0.3))),
    "cap": (CLIPPED, 5, BASE.replace(selection=ClippedCalibration(5.0))),
    "score": (BASE, "margin", BASE.replace(score="margin")),
    "keep": (BASE, "easiest", BASE.replace(keep="easiest")),
    "selection": (BASE, "exact", BASE.replace(selection="exact")),
    "probe": (BASE, "fixed:0.5:2", BASE.replace(probe=FixedProbe(0.5, 2))),
    "loss": (BASE, "squared", BASE.replace(loss="squared")),
    "link": (BASE, "sign", BASE.replace(link="sign")),
}


COMPILES_ANEW = ("pilot_samples", "probe_ridge", "score", "loss", "link")


def test_every_axis_has_a_case():
    # coverage and Neyman's strata have no limit, a verifier one for mixtures; strata are whole
    without = {"cut", "equal", "right", "wrong", "bands"}
    assert CASES.keys() == {*all_numbers(), *NAMES} - without


@pytest.mark.parametrize(
    "axis",
    [
        pytest.param(axis, marks=[pytest.mark.slow] if axis in COMPILES_ANEW else [])
        for axis in CASES
    ],
)
@pytest.mark.slow
def test_a_cell_is_the_problem_with_that_value(axis):
    problem, value, expected = CASES[axis]
    grid: dict[str, Any] = {axis: [value]}
    found, exact = sweep(problem, **grid), solve(expected)
    assert list(Grid([problem], grid)) == [expected] != [problem]
    assert found["cosine"].dims == (axis,) and found[axis].values.tolist() == [value]
    for name in ("cosine", "test_error", "test_loss"):
        assert abs(found[name][0] - getattr(exact, name)) < 1e-9


@pytest.mark.slow
def test_where_the_probe_s_norm_matters_the_cells_tell():
    """The power rule keeps by the probability itself; its two numbers are axes together."""
    base = BASE.replace(selection="power:1")
    found = sweep(base, probe_norm=[0.3, 3], exponent=[0.5, 2])
    for i, norm in enumerate((0.3, 3)):
        for j, power in enumerate((0.5, 2)):
            one = base.replace(probe=FixedProbe(0.8, norm), selection=f"power:{power}")
            assert found["cosine"][i, j] == solve(one).cosine
    assert np.ptp(found["cosine"].values[:, 0]) > 1e-3


def test_names_and_numbers_mix_in_the_order_given():
    found = sweep(BASE, ridge=[0.01, 0.1], selection=["threshold", "exact"], exploit=[0.2, 0.6])
    cosines = found["cosine"]
    assert cosines.dims == ("ridge", "selection", "exploit") and cosines.shape == (2, 2, 2)
    one = BASE.replace(ridge=0.1, selection=make_selection("exact", exploit=0.6))
    assert abs(cosines.sel(ridge=0.1, selection="exact", exploit=0.6) - solve(one).cosine) < 1e-9


@pytest.mark.slow
def test_a_rule_without_a_number_is_constant_along_its_axis():
    rules = {"exact": BASE.replace(selection="exact"), "random": BASE.replace(selection="random")}
    found = sweep(rules, exploit=np.array([0.1, 0.9]))["cosine"]
    assert found[1, 0] == found[1, 1] and abs(found[0, 0] - found[0, 1]) > 0.1
    fitted = sweep({"fixed": BASE, "pilot": PILOT}, alignment=[0.1, 0.9])["cosine"]
    assert fitted[1, 0] == fitted[1, 1] and abs(fitted[0, 0] - fitted[0, 1]) > 0.1


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ({"beta": [1]}, "axes must be among signal, .* got 'beta'"),
        ({"ridge": []}, "axis ridge must have at least one value; got none"),
        ({"score": []}, "axis score must have at least one value; got none"),
        ({"ridge": [[1, 2]]}, r"axis ridge must be a list .* got an array of shape \(1, 2\)"),
        ({"keep_fraction": [0.1, 1.2]}, r"keep_fraction.*got 1\.2"),
        ({"keep_fraction": ["x"]}, "axis keep_fraction must be a number in .*got 'x'"),
        ({"keep_fraction": [np.nan]}, "axis keep_fraction must be a number in .*got nan"),
        ({"probe_norm": [None]}, "axis probe_norm must be a number in .*got None"),
        ({"signal": [True]}, "axis signal must be a number in .*got True"),
        ({"alignment": [2]}, r"alignment.*got 2"),
        ({"exploit": [0.5]}, "axis exploit must be .* got selection 'threshold'"),
        ({"exponent": [0.5]}, "axis exponent must be .* got selection 'threshold'"),
        ({"pilot_samples": [1]}, r"axis pilot_samples must be .* got probe 'fixed:0\.8'"),
        ({"probe_ridge": [1]}, r"axis probe_ridge must be .* got probe 'fixed:0\.8'"),
        ({"selection": ["random", "threshold"], "exploit": [0.5]}, "'random', .*'threshold'"),
        ({"score": [3]}, "axis score must hold names; got 3"),
        ({"score": ["eln2"]}, "got 'eln2'"),
        ({"probe": ["fixed:2"]}, "got 2"),
    ],
)
def test_bad_axes_are_one_sentence(axes, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence) as refused:
        sweep(BASE, **axes)
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)


def test_alignment_and_norm_are_axes_of_fixed_probes_alone():
    with pytest.raises(InvalidArgumentError, match=r"alignment .* probe 'pilot:3:0\.02'"):
        sweep(PILOT, alignment=[0.5])
    with pytest.raises(InvalidArgumentError, match=r"probe_norm .* probe 'pilot:3:0\.02'"):
        sweep(PILOT, probe_norm=[0.5])


def test_no_problem_is_refused():
    with pytest.raises(InvalidArgumentError, match="at least one problem; got none"):
        sweep({}, ridge=[1])

"""The compiled solver against the one that integrates differently, and sweeps over grids."""

import math

import jax
import numpy as np
import pytest
import xarray

from nfl_pruning import Problem, Status, make_selection, solve
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.theory.derivatives.limit_function import limit_function
from nfl_pruning.theory.integrators.conditioned import batch
from nfl_pruning.theory.observables import zero_one_error
from nfl_pruning.theory.sweep import solve_list, solve_many, sweep

BASE = Problem(samples_per_feature=6, keep_fraction=0.3).replace(
    probe="fixed:0.8", signal=2, ridge=0.05 / 6
)
EXACT = make_selection("exact", exploit=0.6)


def assert_same(problems):
    """Numbers of the compiled solver and of ``solve`` agree to 1e-8."""
    found = solve_many(problems)
    assert len(problems) == len(found.problems)
    for i, problem in enumerate(problems):
        exact = solve(problem)
        assert found.status[i] is exact.status is Status.CERTIFIED
        for name in ("cosine", "test_error", "test_loss", "excess_risk"):
            assert abs(found[name][i] - getattr(exact, name)) < 1e-8, (name, problem.describe())
        assert abs(found["norm"][i] / exact.norm - 1) < 1e-8
        assert found["error_estimate"][i] <= 1e-8


CALIBRATED = (EXACT, make_selection("soft:0.5", exploit=0.3))


def test_both_label_aware_ends_and_calibration():
    """A second score of the same order, and random pruning, which knows no end, once each."""
    assert_same(
        [
            *(
                BASE.replace(score="el2n", keep=keep, selection=selection)
                for keep in ("hardest", "easiest")
                for selection in ("threshold", *CALIBRATED)
            ),
            *(BASE.replace(score="loss", keep=keep) for keep in ("hardest", "easiest")),
            BASE.replace(selection="random"),
        ]
    )


@pytest.mark.slow
def test_scores_of_one_order_and_ends_that_do_not_matter():
    assert_same(
        [
            *(
                BASE.replace(score="loss", keep=keep, selection=selection)
                for keep in ("hardest", "easiest")
                for selection in CALIBRATED
            ),
            *(
                BASE.replace(score=score, keep=keep, selection="random")
                for score in ("el2n", "loss")
                for keep in ("hardest", "easiest")
            ),
        ]
    )


@pytest.mark.slow
def test_label_agnostic_scores_with_a_noiseless_teacher():
    sharp = BASE.replace(score="margin", link="sign")
    assert_same([sharp, sharp.replace(keep="easiest"), sharp.replace(selection=EXACT)])


@pytest.mark.slow
def test_perfect_probes_of_either_sign_and_steps_in_the_link():
    steps = BASE.replace(link="steps:0:0.05,0.95", probe="fixed:1")
    assert_same([steps, steps.replace(keep="easiest"), steps.replace(probe="fixed:-1")])


@pytest.mark.slow
def test_links_without_symmetry():
    skewed = BASE.replace(link="steps:0.3:0.1,0.9")
    assert_same([skewed, skewed.replace(keep="easiest"), skewed.replace(signal=0.7)])


IN_SAMPLE = BASE.replace(score="entropy", probe="in-sample:0.0167")


def test_an_in_sample_probe():
    assert_same([IN_SAMPLE])


@pytest.mark.slow
def test_in_sample_probes_of_all_bands():
    """Threshold rules spend nodes on the bands that they keep, calibrated ones on all."""
    aware, skewed = IN_SAMPLE.replace(score="el2n"), IN_SAMPLE.replace(link="steps:0.3:0.1,0.9")
    for base in (IN_SAMPLE, aware):
        assert_same([base.replace(keep="easiest"), base.replace(selection=EXACT)])
        assert_same([base.replace(loss="squared", keep_fraction=r) for r in (0.3, 1.0)])
    assert_same([aware, skewed, skewed.replace(keep="easiest")])


@pytest.mark.parametrize(
    ("problem", "axes", "passes"),  # whether it follows, problems a chunk
    [
        (BASE.replace(loss="squared", link="probit"), {"alignment": [0.5, 0.9]}, [(False, 2)]),
        pytest.param(
            IN_SAMPLE.replace(keep="easiest"),
            {"keep_fraction": [0.2, 0.58, 0.97]},
            [(False, 4), (True, 2)],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_cells_side_by_side_as_on_an_accelerator(problem, axes, passes, monkeypatch):
    """There no guess may be waited for: what it does not solve is followed afterwards, apart.

    Few problems, as those that are followed, go in narrow chunks.
    """
    one_by_one = sweep(problem, **axes)
    monkeypatch.setattr(batch.jax, "default_backend", lambda: "side by side")
    monkeypatch.setattr(batch, "WIDE_CHUNKS", (2, 4))
    programs = []
    compiled = batch._compiled

    def recording(asked, size):
        programs.append((asked.follow_path, size))
        return compiled(asked, size)

    monkeypatch.setattr(batch, "_compiled", recording)
    found = sweep(problem, **axes)
    assert (found["method"] == "compiled").all() and (found["status"] == Status.CERTIFIED).all()
    assert list(dict.fromkeys(programs)) == passes
    for name in ("cosine", "norm", "test_error", "test_loss"):
        np.testing.assert_allclose(found[name], one_by_one[name], atol=1e-12, rtol=1e-12)


COPIES = BASE.replace(
    score="margin",
    keep="easiest",
    probe="in-sample:0.01",
    samples_per_feature=6,
    ridge=0.01,
    signal=0.5,
)


@pytest.mark.slow
def test_continuation_finds_fits_that_resemble_the_probe_they_share_samples_with():
    """A direct start ends in the false root where the student copies the probe."""
    found = sweep(COPIES, keep_fraction=[0.58, 0.72, 0.85, 0.97])
    assert (found["status"] == Status.CERTIFIED).all()
    assert (found["method"] == "compiled").all()
    gap = np.abs(found["cosine"].values - found["probe_alignment"].values)
    assert (np.diff(gap) < 0).all()


@pytest.mark.slow
def test_solve_finds_the_same_fits():
    assert_same([COPIES.replace(keep_fraction=r) for r in (0.58, 0.85)])


@pytest.mark.slow
def test_other_probes_that_are_fitted():
    aware, agnostic = BASE, BASE.replace(score="entropy")
    assert_same([p.replace(probe="pilot:3:0.02") for p in (aware, agnostic)])


@pytest.mark.slow
def test_layers_are_resolved_or_handed_over():
    """Steep links, large norms, much data: the uniform rule does not do."""
    assert_same(
        [
            BASE.replace(signal=15, ridge=1e-4, samples_per_feature=500),
            BASE.replace(signal=8, samples_per_feature=2000, keep="easiest"),
        ]
    )


def test_what_the_compiled_solver_does_not_know_goes_to_solve():
    problems = [
        BASE.replace(ridge=0, samples_per_feature=2),
        BASE.replace(selection=make_selection("power:1")),
        BASE.replace(score="forgetting", ridge=0, keep_fraction=1, samples_per_feature=20),
    ]
    found = solve_many(problems)
    for i, problem in enumerate(problems):
        exact = solve(problem)
        assert found.status[i] is exact.status
        if math.isnan(exact.cosine):
            assert np.isnan(found["cosine"][i])
        else:
            assert found["cosine"][i] == exact.cosine


def test_a_grid_has_named_axes_in_order():
    rules = {"aware": BASE, "random": BASE.replace(selection="random")}
    seen = []
    found = sweep(
        rules,
        keep_fraction=[0.2, 0.5],
        alignment=[0.3, 0.6, 0.9],
        progress=lambda *a: seen.append(a),
    )
    assert isinstance(found, xarray.Dataset)
    assert found["cosine"].dims == ("rule", "keep_fraction", "alignment")
    assert found["cosine"].shape == found["status"].shape == (2, 2, 3)
    assert seen[-1] == (12, 12)
    one = solve(BASE.replace(keep_fraction=0.5, probe="fixed:0.9"))
    assert abs(found["cosine"][0, 1, 2] - one.cosine) < 1e-8
    np.testing.assert_allclose(found["cosine"][1, :, 0], found["cosine"][1, :, 2], atol=1e-8)
    cell = found.sel(rule="aware", keep_fraction=0.5, alignment=0.9)
    assert cell["cosine"] == found["cosine"][0, 1, 2] and cell["status"] == "certified"
    row = found.to_dataframe().loc[("aware", 0.5, 0.9)]
    assert row["cosine"] == float(cell["cosine"])


NUMBERS = {"samples_per_feature": 6.0, "ridge": 0.01, "keep_fraction": 0.3, "signal": 2.0}


@pytest.mark.parametrize(
    ("problem", "extra"),
    [
        (BASE.replace(selection=EXACT), {"alignment": 0.8, "exploit": 0.6}),
        pytest.param(
            BASE.replace(score="margin", probe="pilot:3:0.02"),
            {"pilot_samples": 3.0},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            BASE.replace(score="margin", probe="in-sample:0.02", keep="easiest"),
            {"probe_ridge": 0.02},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_gradients_agree_with_differences(problem, extra):
    """Central differences with Richardson's extrapolation: error of order step^4."""
    function = limit_function(problem, nodes=64)
    point = NUMBERS | extra
    with jax.enable_x64(True):
        values = jax.jit(lambda point: function(**point))
        slopes = jax.jit(jax.jacrev(lambda point: function(**point)[:4]))(point)
        for name, at in point.items():

            def central(step, name=name, at=at):
                up, down = (values(point | {name: at + s}) for s in (step, -step))
                return [(float(a) - float(b)) / (2 * step) for a, b in zip(up, down, strict=True)]

            wide, narrow = central(2e-3 * at), central(1e-3 * at)
            for i, output in enumerate(("cosine", "norm", "test_error", "test_loss")):
                expected = (4 * narrow[i] - wide[i]) / 3
                scale = max(1.0, abs(expected))
                assert abs(float(slopes[i][name]) - expected) < 1e-6 * scale, (name, output)


def test_gradients_need_double_precision_and_known_numbers():
    function = limit_function(BASE)
    with pytest.raises(InvalidArgumentError, match=r"inside jax.enable_x64\(True\)"):
        function(keep_fraction=0.3)
    with pytest.raises(InvalidArgumentError, match="got 'beta'"):
        function(beta=1)
    with pytest.raises(InvalidArgumentError, match="takes isotropic inputs, selections by rank"):
        limit_function(BASE.replace(ridge=0))


@pytest.mark.slow
def test_errors_are_those_of_the_cosine_where_the_link_is_steep():
    """The test error has a quadrature of its own, which no estimate of the root's error sees."""
    steep = BASE.replace(signal=19.1, ridge=0.08, keep_fraction=0.007, keep="easiest")
    problems = [steep.replace(loss="squared", probe="fixed:0.938"), steep, BASE]
    found = solve_many(problems)
    for i, problem in enumerate(problems):
        exact = zero_one_error(problem.teacher, found["cosine"][i])
        assert abs(found["test_error"][i] - exact) < 1e-13


def test_a_list_of_problems_comes_back_as_solutions():
    problems = [BASE, BASE.replace(ridge=0, samples_per_feature=2)]
    for found, exact in zip(solve_list(problems), map(solve, problems), strict=True):
        assert found.status is exact.status and found.message == exact.message
        mine, other = found.to_dict(), exact.to_dict()
        assert set(mine) == set(other) and set(mine["state"]) == set(other["state"])
        for name in ("cosine", "calibration_slope", "excess_risk"):
            assert mine[name] == pytest.approx(other[name], abs=1e-8)
        assert mine["state"] == pytest.approx(other["state"], abs=1e-7)


def test_the_least_over_an_axis_skips_what_has_no_number():
    found = sweep(BASE, ridge=[0.01, 0.1], samples_per_feature=[3, 6])
    found["test_error"][0, 1] = np.nan
    least = found["test_error"].min("ridge")
    assert least[0] == found["test_error"][:, 0].min() and least[1] == found["test_error"][1, 1]


def test_what_has_no_fit_has_a_status_and_no_numbers(tmp_path):
    found = sweep(BASE, ridge=[0, 0.1], samples_per_feature=[2])
    assert found["status"].values.ravel().tolist() == ["separable", "certified"]
    assert found["method"].values.ravel().tolist() == ["one by one", "compiled"]
    assert np.isnan(found["cosine"][0, 0]) and np.isfinite(found["cosine"][1, 0])

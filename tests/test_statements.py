"""How verdicts are reached, what every statement says, and two statements end to end."""

from __future__ import annotations

import ast
import inspect
import math

import numpy as np
import pytest

from generated import ROOT
from nfl_pruning.problem import Problem
from nfl_pruning.records import RecordStore, to_json
from nfl_pruning.statements import STATEMENTS, Quantity
from nfl_pruning.statements.base import (
    INCONCLUSIVE,
    REFUTED,
    SUPPORTED,
    allowed_errors,
    judge,
    measured_from,
)
from nfl_pruning.statements.measuring import distance, fitting, planar
from nfl_pruning.theory.abundant.sandwich import sandwich_variance
from nfl_pruning.theory.solve import solve

pytestmark = pytest.mark.optimised


def quantity(measured, error=0.01, matters=1.0, **changes):
    return Quantity("q", 1.0, measured, error, matters, **changes)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (quantity(1.02), SUPPORTED),
        (quantity(0.9), REFUTED),
        (quantity(1.1), REFUTED),
        (quantity(1.02, matters=0.05), INCONCLUSIVE),  # agrees, but too imprecise to say so
        (quantity(math.nan), INCONCLUSIVE),
        (quantity(1.0, error=math.nan), INCONCLUSIVE),
        (quantity(1.06, dof=None), REFUTED),  # a bound counts as it is
        (quantity(1.005, dof=None), SUPPORTED),
        (quantity(1.2, matters=0.1, relation="above"), SUPPORTED),
        (quantity(0.8, matters=0.1, relation="above"), REFUTED),
        (quantity(1.01, matters=0.1, relation="above"), INCONCLUSIVE),
        (quantity(1.1, matters=0.1, relation="above"), INCONCLUSIVE),  # sure, but maybe too small
        (quantity(1 + 1e-8, 1e-12, 0.1, dof=None, relation="above"), INCONCLUSIVE),
        (quantity(0.8, matters=0.1, relation="below"), SUPPORTED),
        (quantity(0.9, matters=0.1, relation="below"), INCONCLUSIVE),
    ],
)
def test_one_rule_decides(found, verdict):
    assert found.judge() == verdict
    assert judge([quantity(1.0), found])[0] == verdict


def test_one_refuted_quantity_is_enough_and_precedes_an_imprecise_one():
    assert judge([quantity(1.0), quantity(2.0), quantity(1.0, matters=0.01)])[0] == REFUTED


@pytest.mark.parametrize("shift", [1, -1])
def test_a_control_counts_only_when_every_shifted_quantity_is_refuted(shift):
    good = quantity(1.0)
    for value, relation in ((1.2, "above"), (0.8, "below")):
        one_sided = quantity(value, matters=0.1, relation=relation)
        assert judge([good, one_sided], shift)[0] == REFUTED
    for value, relation in ((1 + 1e-8, "above"), (1 - 1e-8, "below")):  # leads that do not matter
        slight = quantity(value, 1e-12, 0.1, dof=None, relation=relation)
        assert judge([good, slight], shift)[0] != REFUTED
    blind = quantity(1.0, error=0.5)  # cannot tell 1 from 2
    assert judge([good, blind], shift)[0] != REFUTED


def test_a_true_statement_is_rarely_rejected():
    """Two-sided, with 200 quantities a run: below one in a thousand."""
    assert 4.5 < allowed_errors(math.inf) < 4.7
    rng = np.random.default_rng(0)
    t = rng.standard_t(20, 2_000_000)
    share = np.mean(np.abs(t) > allowed_errors(20))
    assert 200 * share < 1e-3 + 5 * np.sqrt(200 * 1e-3 / 2_000_000 * 200)


def test_the_chance_to_stay_undecided_is_that_of_fresh_samples():
    """Against drawing the samples anew: the share of verdicts that are inconclusive."""
    rng, repeats, dof = np.random.default_rng(1), 20_000, 24
    values = rng.standard_normal((repeats, dof + 1))
    means, errors = values.mean(1), values.std(1, ddof=1) / np.sqrt(dof + 1)
    for truth, matters, relation in ((0.0, 2.3, "equals"), (2.2, 1.0, "above")):
        plan = Quantity("q", 0.0, truth, 1 / np.sqrt(dof + 1), matters, dof, relation)
        drawn = [
            Quantity("q", 0.0, truth + mean, error, matters, dof, relation).judge()
            for mean, error in zip(means, errors, strict=True)
        ]
        share = drawn.count(INCONCLUSIVE) / repeats
        chance = plan.chance_undecided()
        assert 0.05 < chance < 0.95
        assert abs(share - chance) < 5 * np.sqrt(chance * (1 - chance) / repeats)
    assert quantity(1.0, error=0.001).chance_undecided() < 1e-12
    assert quantity(1.0, error=math.nan).chance_undecided() == 1
    assert quantity(1.0, dof=None).chance_undecided() == 0


def test_eighteen_statements_that_say_what_a_reader_needs():
    assert len(STATEMENTS) == 18
    for name, statement in STATEMENTS.items():
        assert statement.identifier == name
        assert statement.claim.endswith(".") and "`" in statement.claim
        assert statement.assumptions and statement.source and statement.why
        assert statement.expected in (SUPPORTED, REFUTED)
        assert (ROOT / statement.figure).is_file()
        source = inspect.getsource(__import__(statement.module, fromlist=["STATEMENT"]))
        imported = {n.module or "" for n in ast.walk(ast.parse(source))
                    if isinstance(n, ast.ImportFrom)}  # fmt: skip
        assert not any("matplotlib" in name or "figures" in name for name in imported)


def test_evidence_survives_its_record(tmp_path):
    evidence = STATEMENTS["grand-el2n"].check("quick", 0)
    assert evidence.verdict == SUPPORTED
    store = RecordStore(tmp_path)
    config = {"kind": "statement", "statement": "grand-el2n"}
    store.put(config, evidence.to_dict())
    found = store.get(config)
    assert found is not None
    assert to_json(measured_from(found["measured"]).plots[0].title)
    assert measured_from(found["measured"]) == evidence.measured
    for shift in (1, -1):
        again = STATEMENTS["grand-el2n"].judge(evidence.measured, "quick", 0, shift)
        assert again.verdict == REFUTED
    other = STATEMENTS["grand-el2n"].check("quick", 1)
    assert other.verdict == SUPPORTED
    assert other.measured.quantities != evidence.measured.quantities  # the seed is used


@pytest.mark.parametrize(
    ("score", "keep", "fraction"),
    [("el2n", "hardest", 0.6), ("el2n", "easiest", 0.8), ("entropy", "hardest", 0.3)],
)
def test_the_second_quadrature_agrees_with_the_solver(score, keep, fraction):
    """Two independent computations of the limit of abundant data."""
    problem = Problem(keep_fraction=fraction).replace(
        score=score, keep=keep, probe="fixed:0.8", signal=1.5
    )
    rule = planar.rule_of(problem)
    cut = planar.cut_of(problem, rule, fraction)
    plane = planar.Plane(problem, (cut, -cut))
    inside = plane.inside(rule, cut)
    assert np.isclose((plane.mass * inside).sum(), fraction, atol=1e-9)
    a, b = plane.minimiser(inside)
    exact = solve(problem, limit="abundant")
    assert math.isfinite(exact.norm) and math.isfinite(exact.cosine)
    assert np.isclose(np.hypot(a, b), exact.norm, rtol=1e-6)
    assert np.isclose((0.8 * a + 0.6 * b) / np.hypot(a, b), exact.cosine, atol=1e-6)


def test_the_variance_ratio_agrees_with_the_solver():
    """In a well-specified model, where neither the threshold nor the draw adds variance."""
    from nfl_pruning.statements.validity.label_agnostic import N_FEATURES, by_quadrature, problem_of

    problem = problem_of("hardest")
    theirs = sandwich_variance(problem, n_features=N_FEATURES).excess_risk
    _, ratio, _ = by_quadrature(problem)
    assert np.isclose(ratio, theirs * 2 * problem.keep_fraction / N_FEATURES, rtol=1e-5)
    assert ratio < 0.8  # less than random's


def test_distances_on_the_line():
    uniform = np.clip(distance.GRID + 0.5, 0, 1)
    assert np.isclose(distance.distances(uniform, np.clip(distance.GRID, 0, 1)), 0.5, atol=1e-3)
    # E |F_1 - F| integrates to E |X - X'| / 1 ... for one sample: 2 F (1 - F), a third for uniform
    assert np.isclose(distance.mean_distance(uniform, 1), 1 / 3, atol=1e-3)


def test_a_data_set_that_has_no_fit_leaves_the_others_alone():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 200, 2))
    y = np.where(rng.random((2, 200)) < 0.5, 1.0, -1.0)
    x[1, :, 1] = 0.0  # a feature that does not vary: the Hessian is singular
    found = fitting.fit(x, y, np.ones((2, 200)))
    assert np.isnan(found[1]).all()
    assert np.allclose(found[0], fitting.fit(x[:1], y[:1], np.ones((1, 200)))[0])
    error = quantity(float(np.mean(found)))
    assert error.judge() == INCONCLUSIVE


def test_fits_are_scikit_learn_s():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 300, 3))
    y = np.where(rng.random((2, 300)) < 1 / (1 + np.exp(-2 * x[..., 0])), 1.0, -1.0)
    weights = rng.integers(0, 3, (2, 300)).astype(float)
    ours = fitting.fit(x, y, weights)
    for row in range(2):
        theirs = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10, max_iter=1000)
        theirs.fit(x[row], y[row], weights[row])
        assert np.allclose(ours[row], theirs.coef_[0], atol=1e-4)

"""Derivatives of limits that the compiled solver does not know; tests/test_spectrum.py has more."""

import jax
import pytest

from nfl_pruning import FixedProbe, InvalidArgumentError, Problem, limit_values, solve
from nfl_pruning.theory.derivatives.limit_values import VALUES
from nfl_pruning.theory.numbers import with_numbers
from nfl_pruning.theory.selection_law.ordering import UnsupportedProblemError

BASE = Problem(samples_per_feature=4, keep_fraction=0.4, probe=FixedProbe(0.8)).replace(ridge=0.05)
NOISELESS = BASE.replace(link="sign", loss="max-margin", score="margin")

CASES = {
    "hinge": (BASE.replace(loss="hinge"), {"keep_fraction": 0.4, "alignment": 0.8}),
    "largest margin": (NOISELESS, {"samples_per_feature": 4.0, "keep_fraction": 0.4}),
    "no ridge": (
        BASE.replace(ridge=0, samples_per_feature=30, selection="random", signal=1.5),
        {"signal": 1.5},
    ),
    "least norm": (BASE.replace(ridge=0, loss="hinge", keep_fraction=0.1), {"signal": 2.0}),
    "power": (BASE.replace(selection="power:-0.5"), {"exponent": -0.5, "probe_norm": 2.0}),
    "pilot": (BASE.replace(loss="hinge", probe="pilot:3:0.02"), {"pilot_samples": 3.0}),
    "in-sample": (BASE.replace(loss="hinge", probe="in-sample:0.05"), {"probe_ridge": 0.05}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_gradients_against_differences_of_solve(case):
    """Central differences of certified solutions, extrapolated: error of order step^4."""
    problem, numbers = CASES[case]
    with jax.enable_x64(True):
        found = jax.jacrev(lambda given: limit_values(problem, given))(numbers)
    assert tuple(found) == VALUES[: 3 if problem.student.loss.hard else 4]
    for name, at in numbers.items():
        h = 4e-3 * min(abs(at), 0.2)
        near = [numbers | {name: at + k * h} for k in (1, -1, 2, -2)]
        moved = [solve(with_numbers(problem, tuple(n), list(n.values()))) for n in near]
        for value in found:
            a, b, c, d = (getattr(solution, value) for solution in moved)
            slope = (8 * (a - b) - (c - d)) / (12 * h)
            assert abs(float(found[value][name]) - slope) < 1e-6 * max(1.0, abs(slope))


def test_what_has_no_value_has_no_derivative():
    with jax.enable_x64(True):
        with pytest.raises(UnsupportedProblemError, match="separable"):
            limit_values(BASE.replace(ridge=0, samples_per_feature=1), {"signal": 2.0})
        with pytest.raises(UnsupportedProblemError, match="pilot_samples is no number"):
            limit_values(BASE, {"pilot_samples": 2.0})
        with pytest.raises(UnsupportedProblemError, match="exploit is no number of the sel"):
            limit_values(BASE, {"exploit": 0.5})
        with pytest.raises(InvalidArgumentError, match="got 'beta'"):
            limit_values(BASE, {"beta": 1.0})

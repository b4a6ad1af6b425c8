"""Limits as functions of numbers: second derivatives, ends of ranges and what lies beyond them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nfl_pruning import Problem, solve
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.numerics.root import implicit
from nfl_pruning.theory.derivatives.limit_function import limit_function, no_slope_at
from nfl_pruning.theory.derivatives.limit_values import limit_values

README = Problem(samples_per_feature=6, keep_fraction=0.3).replace(
    probe="fixed:0.8", signal=2, ridge=0.05 / 6
)


def test_roots_have_derivatives_of_any_order():
    def cube_root(a):  # of x^3 = a, refined from a root that is known to three digits
        start = jnp.round(jax.lax.stop_gradient(a) ** (1 / 3), 3)
        residual = lambda x: x**3 - a  # noqa: E731
        return implicit(start[None], (3 * start**2)[None, None], residual)[0]

    with jax.enable_x64(True):
        expected = [8.0 ** (1 / 3), 1 / 12, -1 / 144, 5 / 3456]
        function = cube_root
        for value in expected:
            assert abs(float(jax.jit(function)(8.0)) - value) < 1e-9
            function = jax.grad(function)
        mixed = jax.jit(jax.jacfwd(jax.jacrev(cube_root)))
        assert abs(float(mixed(8.0)) + 1 / 144) < 1e-9


def with_its_slopes(function):
    """x -> (function(x), its Jacobian), in one program, which costs little more than the second."""

    def both(x):
        value, push = jax.linearize(function, x)
        return value, jax.vmap(push, out_axes=-1)(jnp.eye(x.size).reshape(-1, *x.shape))

    return jax.jit(both)


def test_the_hessian_of_a_limit_is_that_of_its_gradient():
    """In the ridge, -453.17 at the README's problem; by differences of the gradient."""
    with jax.enable_x64(True):
        f = limit_function(README, nodes=48)
        slope = jax.grad(lambda x: f(ridge=x[0], keep_fraction=x[1]).cosine)
        both = with_its_slopes(slope)
        at = np.array([0.05 / 6, 0.3])
        hessian = both(at)[1]
        for i in range(2):
            step = 1e-3 * at[i] * np.eye(2)[i]
            up, down, far, near = (both(at + k * step)[0] for k in (1, -1, 2, -2))
            rows = (8 * (up - down) - far + near) / (12 * 1e-3 * at[i])
            np.testing.assert_allclose(hessian[i], rows, rtol=1e-7)
        assert abs(hessian[0, 0] + 453.172) < 1e-3


@pytest.mark.parametrize(
    ("probe", "close"),
    [("fixed:1", 2e-3), pytest.param("pilot:3:0.02", 1e-5, marks=pytest.mark.slow)],
)
def test_second_derivatives_where_a_margin_is_the_teacher_s(probe, close):
    """Perfect probes, and the unpruned fits behind pilots: the root of 1 - rho^2 is a root of 0.

    Few nodes: the two differ by the square of what is left of the coarser quadrature's error.
    """
    with jax.enable_x64(True):
        f = limit_function(README.replace(probe=probe), nodes=24)
        both = with_its_slopes(jax.jacfwd(lambda r: f(ridge=r).cosine))
        at, step = np.array(0.05 / 6), 5e-5 / 6
        up, down, far, near = (both(at + k * step)[0] for k in (1, -1, 2, -2))
        expected = (8 * (up - down) - far + near) / (12 * step)
        assert abs(both(at)[1][0] / expected - 1) < close


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keep_fraction", 1.3),
        ("keep_fraction", 0.0),
        ("signal", -2.0),
        ("ridge", 0.0),
        ("samples_per_feature", -1.0),
        ("alignment", 1.01),
        ("exploit", -0.1),
        ("exponent", 2.0),
        ("pilot_samples", 0.0),
        ("probe_ridge", -1.0),
        ("ridge", np.nan),
    ],
)
def test_numbers_out_of_range_are_refused(name, value):
    own = README.replace(selection="soft:0.5") if name in ("exploit", "exponent") else README
    with jax.enable_x64(True), pytest.raises(InvalidArgumentError, match=f"{name} must be"):
        limit_function(own)(**{name: value})


def test_numbers_that_a_selection_lacks_are_refused():
    with jax.enable_x64(True), pytest.raises(InvalidArgumentError, match="got 'exploit'"):
        limit_function(README)(exploit=0.5)


def test_traced_numbers_out_of_range_are_nan():
    with jax.enable_x64(True):
        f = limit_function(README, nodes=24)
        values = jnp.array([[0.3, 2.0, 0.8], [1.3, 2, 0.8], [0.3, -2, 0.8], [0.3, 2, 1.0]])
        values = jnp.concatenate([values, jnp.array([[0.3, 2, -1.5], [np.nan, 2, 0.8]])])
        one = jax.jit(lambda x: f(keep_fraction=x[0], signal=x[1], alignment=x[2]))
        for i, row in enumerate(values):
            assert all(bool(np.isnan(part)) == (i > 0) for part in one(row))


def test_a_perfect_alignment_is_right_and_others_of_its_problem():
    with jax.enable_x64(True):
        for problem, alignment in ((README, 1.0), (README.replace(probe="fixed:1"), 0.8)):
            f = limit_function(problem, nodes=64)
            found = jax.jit(lambda r, f=f, a=alignment: f(alignment=a, ridge=r))(0.05 / 6)
            exact = solve(README.replace(probe=f"fixed:{alignment}"))
            assert abs(float(found.cosine) - exact.cosine) < 1e-8
            assert abs(float(found.norm) / exact.norm - 1) < 1e-8


def test_there_is_no_slope_at_an_end():
    def twice(x, y):
        return y * no_slope_at(x, x == 1.0)

    assert jax.grad(twice)(0.5, 2.0) == 2.0
    assert np.isnan(jax.grad(twice)(1.0, 2.0))
    assert jax.grad(twice, argnums=1)(1.0, 2.0) == 1.0
    assert jax.jit(jax.grad(twice, argnums=1))(1.0, 2.0) == 1.0


def test_limits_with_first_derivatives_alone_say_so():
    hinge = README.replace(loss="squared")

    def error(r):
        return limit_values(hinge, {"keep_fraction": r})["test_error"]

    with jax.enable_x64(True):
        assert np.isfinite(jax.grad(error)(0.3))
        with pytest.raises(InvalidArgumentError, match="first derivatives only"):
            jax.hessian(error)(0.3)

"""Proximal points solve their equation at any step, and pulls lose no digits."""

# scipy's stubs are looser than its results.

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from brute_force import brentq
from nfl_pruning.losses import INTERPOLATION, LOSSES, MAX_MARGIN

SMOOTH = sorted(name for name, loss in LOSSES.items() if loss.smooth)

V = np.array([-1e4, -300.0, -30.0, -3.0, -1e-8, 0.0, 0.5, 12.0, 40.0, 700.0])
STEPS = np.array([0.0, 1e-12, 0.3, 4.0, 12.0, 1e3, 1e6])
GRID = [grid.ravel() for grid in np.meshgrid(V, STEPS)]


def test_logistic_prox_is_the_root():
    with jax.enable_x64(True):
        t = np.asarray(jax.jit(LOSSES["logistic"].prox)(*GRID))
    for v, step, found in zip(*GRID, t, strict=True):
        gap = lambda h, v=v, step=step: h - v - step * expit(-h)  # noqa: E731
        wanted = brentq(gap, v - 1e-6, v + step + 1e-6, xtol=1e-13, rtol=1e-14)
        assert abs(found - wanted) <= 1e-11 * (1 + abs(wanted))


@pytest.mark.parametrize("name", SMOOTH)
def test_derivative_pull_and_prox_agree(name):
    loss = LOSSES[name]
    with jax.enable_x64(True):
        v, step = (jnp.asarray(part) for part in GRID)
        t, pull = loss.prox(v, step), loss.prox_residual(v, step)
        np.testing.assert_allclose(pull, step * loss.derivative(t), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(v - t, pull, rtol=1e-9, atol=1e-9 * (1 + np.abs(v).max()))
        points = jnp.linspace(-20, 20, 41)
        slopes = jax.vmap(jax.grad(loss.value))(points)
        np.testing.assert_allclose(slopes, loss.derivative(points), rtol=1e-12)
        assert (jnp.diff(loss.derivative(points)) > 0).all()  # convex


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_prox_differentiates_like_a_finite_difference(name):
    prox = LOSSES[name].prox
    values, slopes = jax.jit(prox), jax.jit(jax.grad(prox, argnums=(0, 1)))
    with jax.enable_x64(True):
        for v, step in ((-3.0, 5.0), (0.2, 40.0), (6.0, 1.0)):
            for argument, slope in enumerate(slopes(v, step)):
                ends = [values(v + e * (argument == 0), step + e * argument) for e in (-1e-6, 1e-6)]
                assert abs(slope - (ends[1] - ends[0]) / 2e-6) < 1e-8


@pytest.mark.parametrize("name", sorted(set(LOSSES) - set(SMOOTH)))
def test_proximal_points_of_losses_with_corners_minimise(name):
    """Against a fine grid of t: no other point is better, and the pull is v - prox."""
    loss = LOSSES[name]
    with jax.enable_x64(True):
        for v in (-7.0, -1.0, 0.2, 0.999, 1.0, 1.7):
            for step in (1e-3, 0.5, 1.0, 30.0):
                t = np.linspace(-10, 40, 50_001)
                energy = lambda t: step * loss.value(t) + (t - v) ** 2 / 2  # noqa: B023, E731
                found = loss.prox(jnp.float64(v), jnp.float64(step))
                assert float(energy(found)) <= float(np.min(energy(t))) + 1e-12
                assert float(energy(found + 0.01)) > float(energy(found))
                assert float(energy(found - 0.01)) > float(energy(found))
                residual = loss.prox_residual(jnp.float64(v), jnp.float64(step))
                assert abs(residual - (v - found)) < 1e-12


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_pulls_have_corners_where_they_say(name):
    """Straight (or smooth) between the corners: second differences vanish with the step."""
    loss, h = LOSSES[name], 1e-4
    with jax.enable_x64(True):
        v = jnp.arange(-6, 4, h)
        pull = loss.prox_residual(v, jnp.full_like(v, 2.5))
    bend = np.abs(np.diff(np.asarray(pull), 2)) / h
    corners = {round(float(k), 6) for k in loss.kinks(jnp.asarray(2.5))}
    found = {round(float(v[i + 1]), 3) for i in np.flatnonzero(bend > 0.1)}
    assert {round(c, 3) for c in corners} <= found
    assert all(min(abs(f - c) for c in corners) < 3 * h for f in found)


def test_float32_prox_ends():
    t = LOSSES["logistic"].prox(jnp.float32(-50), jnp.float32(1e3))
    assert t.dtype == jnp.float32 and abs(float(t + 50 - 1e3 * expit(-float(t)))) < 1e-2


def test_hard_constraints():
    v = jnp.array([-2.0, 0.5, 1.0, 3.0])
    np.testing.assert_allclose(MAX_MARGIN.prox(v, jnp.ones(4)), [1, 1, 1, 3])
    np.testing.assert_allclose(MAX_MARGIN.prox_residual(v, jnp.ones(4)), [-3, -0.5, 0, 0])
    np.testing.assert_allclose(INTERPOLATION.prox(v, jnp.ones(4)), 1.0)

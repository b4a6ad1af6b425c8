"""Damped Newton steps: the minimiser from any start, and none where there is none."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from nfl_pruning.numerics.damped import convex_minimum, damped

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = np.where(RNG.random(60) < expit(3 * X[:, 0]), 1.0, -1.0)


def derivatives(y, scale=1.0):
    def at(theta):
        miss = expit(-y * (X @ theta))
        gradient = -scale * X.T @ (y * miss)
        return gradient, scale * (X.T * (miss * (1 - miss))) @ X

    return at


@pytest.mark.parametrize("start", [0.0, 4.0])
def test_every_start_leads_to_the_minimiser(start):
    """A whole step from far away leaves the ball; damped ones do not."""
    found = convex_minimum(derivatives(Y), np.full(3, start), far=1e3, mass=60.0)
    other = minimize(lambda t: np.logaddexp(0, -Y * (X @ t)).sum(), np.zeros(3), tol=1e-12)
    assert found is not None
    np.testing.assert_allclose(found, other.x, atol=1e-6)
    scaled = convex_minimum(derivatives(Y, 1e-6), np.full(3, start), far=1e3, mass=60e-6)
    assert scaled is not None
    np.testing.assert_allclose(scaled, found, atol=1e-9)


def test_whole_steps_would_not_do():
    """The control."""
    far = np.full(3, 4.0)
    assert convex_minimum(derivatives(Y), far, far=1e3, whole_below=np.inf) is None


def test_separable_samples_have_no_minimiser():
    assert convex_minimum(derivatives(np.sign(X[:, 0])), np.zeros(3), far=1e3) is None


def test_rows_are_damped_one_by_one_and_traced_values_alike():
    gradient, move = RNG.normal(size=(5, 3)), np.zeros((5, 3))
    move[:] = -gradient * np.array([1e-3, 0.1, 1, 10, 100])[:, None]
    found = damped(move, gradient)
    for row in range(5):
        size = np.sqrt(-move[row] @ gradient[row])
        expected = move[row] / (1 + (2 * size if size >= 0.05 else 0))
        np.testing.assert_allclose(found[row], expected)
    np.testing.assert_allclose(damped(jnp.asarray(move), jnp.asarray(gradient)), found, rtol=1e-5)

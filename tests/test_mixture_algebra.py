"""Hand-written algebra of many classes, next to what it stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nfl_pruning.theory.mixture.geometry import inverse_by_halves
from nfl_pruning.theory.mixture.many_classes.prox import (
    Outputs,
    derivatives,
    losses,
    mean_response,
)

pytestmark = pytest.mark.usefixtures("float64")
N = 12


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def _samples(n_classes, *, squared=False, scale=3.0):
    rng = np.random.default_rng(n_classes)
    outputs = Outputs.of(n_classes, squared=squared)
    size = len(outputs.basis)
    root = rng.normal(size=(size, size))
    inverse = root @ root.T / size + 0.05 * np.eye(size)
    v, labels = scale * rng.normal(size=(size, N)), rng.integers(0, n_classes, N)
    return outputs, v, labels, rng.uniform(0.2, 20, N), inverse, rng.uniform(0, 1, N)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("n_classes", [3, 4, 10])
def test_derivatives_are_those_of_the_loss(n_classes, squared):
    outputs, h, labels, *_ = _samples(n_classes, squared=squared)

    def one(x, label):
        return losses(outputs, x[:, None], label[None])[0]

    def slopes(h, labels):
        each = (jax.vmap(way(one), (-1, 0), -1)(h, labels) for way in (jax.grad, jax.hessian))
        return derivatives(outputs, h, labels), tuple(each)

    found, wanted = jax.jit(slopes)(h, labels)
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-14)
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-13)


@pytest.mark.parametrize("n_classes", [3, 10])
def test_response_is_the_mean_of_every_samples_own(n_classes):
    outputs, h, labels, weight, inverse, mass = _samples(n_classes)
    found = mean_response(outputs, h, labels, weight, inverse, mass)
    hessian = np.moveaxis(np.asarray(derivatives(outputs, h, labels)[1]), -1, 0)
    curved = weight[:, None, None] * hessian
    each = curved @ np.linalg.inv(inverse + curved) @ inverse
    np.testing.assert_allclose(found, np.einsum("n,nab->ab", mass, each), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("condition", [1e3, 1e9])
@pytest.mark.parametrize("n", [5, 128, 129, 301])
def test_inverse_by_halves(n, condition):
    rng = np.random.default_rng(n)
    turn, values = np.linalg.qr(rng.normal(size=(n, n)))[0], np.geomspace(1 / condition, 1, n)
    matrix = (turn * values) @ turn.T
    matrix = 0.5 * (matrix + matrix.T)
    found, wanted = inverse_by_halves(jnp.array(matrix)), (turn / values) @ turn.T
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14 * condition**2)
    assert np.abs(found @ matrix - np.eye(n)).max() < 1e-14 * n * condition

"""The inner integrals of in-sample probes: against plain sums, and their derivatives."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, ndtr

from nfl_pruning.links import parse_link
from nfl_pruning.losses import LOSSES
from nfl_pruning.theory.integrators.conditioned.cell import Kind
from nfl_pruning.theory.integrators.conditioned.inner import Inner, inner_integrals

ROWS, NODES, STEP = 3, 40, 1e-5
XI = np.linspace(-5, 5, NODES)
WEIGHT = np.exp(-0.5 * XI**2)
PLAIN: tuple[Any, ...] = (  # made into arrays of JAX in float64, by each test
    np.array([-1.0, 0.3, 2.0]), 0.8, np.array([0.5, 4.0, 2.0]), np.array([-0.6, 0.2, 1.1]), 0.9, 0.7
)  # fmt: skip
NUMBERS = Inner(*PLAIN)


def moved(name: str, by: float) -> Inner:
    return NUMBERS._replace(**{name: getattr(NUMBERS, name) + by})


@partial(jax.jit, static_argnames=("loss", "label", "rows"))
def compute(loss: str, label: int, inner: Inner, rows: int = 1) -> jax.Array:
    """In float64: the caller's."""
    kind = Kind(parse_link("probit"), LOSSES[loss], False, (1, -1))
    nodes, weight = (jnp.tile(jnp.asarray(part), (rows, 1)) for part in (XI, WEIGHT))
    return inner_integrals(kind, label, nodes, weight, Inner(*map(jnp.asarray, inner)))


@partial(jax.jit, static_argnames="loss")
def slope(loss: str, here: Inner, direction: Inner) -> jax.Array:
    """The derivative along a direction, in float64: the caller's."""
    return jax.jvp(lambda n: compute(loss, 1, n), (here,), (direction,))[1]


@pytest.mark.parametrize("label", [1, -1])
def test_values_are_plain_sums(label):
    with jax.enable_x64(True):
        found, apart = (np.asarray(compute("squared", label, NUMBERS, rows)) for rows in (1, ROWS))
    assert np.abs(found - apart).max() < 1e-13  # every row with nodes of its own
    shift, spread, step, mean, lean, noise = NUMBERS
    v, grip = shift[:, None] + spread * XI, (step / (1 + step))[:, None]
    place = (mean[:, None] + lean * XI) / np.hypot(1, noise)
    chance, slope = ndtr(place), np.exp(-0.5 * place**2) / np.sqrt(2 * np.pi) / np.hypot(1, noise)
    d = (v - 1) * grip
    values = np.stack([chance * d, slope * d, chance * d**2, chance * grip])
    expected = np.stack([values @ WEIGHT, values @ (WEIGHT * XI)])
    assert np.abs(found - expected).max() < 1e-12


@pytest.mark.parametrize("loss", ["logistic", "squared"])
@pytest.mark.parametrize("name", Inner._fields)
def test_derivatives_are_those_of_the_values(loss, name):
    with jax.enable_x64(True):
        ahead, behind = (np.asarray(compute(loss, 1, moved(name, by))) for by in (STEP, -STEP))
        here = Inner(*map(jnp.asarray, NUMBERS))
        direction = Inner(*(jnp.full_like(v, f == name) for f, v in here._asdict().items()))
        change = np.asarray(slope(loss, here, direction))
    numerical = ((ahead - behind) / (2 * STEP))[:, :3]
    assert np.abs(change[:, :3] - numerical).max() < 1e-8
    assert np.abs(numerical).max() > 1e-2  # something moves
    assert not np.any(change[:, 3])  # documented: the fourth has no derivative


def test_logistic_pull_solves_its_equation():
    """The pull D that the integrals use: P D over P at one node gives it back."""
    kind = Kind(parse_link("logistic"), LOSSES["logistic"], False, (1, -1))
    with jax.enable_x64(True):
        one = Inner(*(jnp.asarray(v) for v in ([0.4], 0.0, [3.0], [0.0], 0.0, 0.0)))
        found = np.asarray(inner_integrals(kind, 1, jnp.zeros((1, 1)), jnp.ones((1, 1)), one))
    d = found[0, 0, 0] / 0.5  # P(+1 | 0) = 1/2
    assert abs(d + 3.0 * expit(-(0.4 - d))) < 1e-13

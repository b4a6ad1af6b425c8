"""Links smoothed by noise, looked up in a table, against plain sums over the noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from nfl_pruning.links import LINKS, parse_link
from nfl_pruning.losses import LOSSES
from nfl_pruning.theory.fast.cell import Kind
from nfl_pruning.theory.fast.smooth import smoothed

M = np.concatenate([np.linspace(-70, 70, 701), np.random.default_rng(0).normal(size=200)])


def by_summing(m: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """E expit(m + noise eta) and its slope, by a trapezoidal rule."""
    eta = np.linspace(-9, 9, 4001)
    weight = np.exp(-0.5 * eta**2) / np.sqrt(2 * np.pi) * (eta[1] - eta[0])
    p = expit(m[:, None] + noise * eta)
    return p @ weight, (p * (1 - p)) @ weight


def kind(link: str, labels: tuple[int, ...]) -> Kind:
    return Kind(parse_link(link), LOSSES["logistic"], False, labels)


@pytest.mark.parametrize("noise", [0.0, 0.3, 2.0, 20.0])
@pytest.mark.parametrize("label", [1, -1])
def test_the_logistic_link(noise, label):
    with jax.enable_x64(True):
        found = smoothed(kind("logistic", (1, -1)), label, jnp.asarray(M), jnp.asarray(noise))
        found = [np.asarray(part) for part in found]
    for mine, theirs in zip(found, by_summing(M, noise), strict=True):
        assert np.abs(mine - theirs).max() < 1e-12


def test_one_label_stands_for_both_when_folded():
    with jax.enable_x64(True):
        m, noise = jnp.asarray(M), jnp.asarray(0.7)
        alone = smoothed(kind("logistic", (1,)), 1, m, noise)[0]
        assert np.abs(alone - 2 * by_summing(M, 0.7)[0]).max() < 1e-12


@pytest.mark.parametrize("link", ["flip:0.2:logistic", "probit", "steps:-1,2:0.1,0.6,0.9"])
def test_derivatives_and_complements(link):
    assert {"logistic", "probit"} <= set(LINKS)
    with jax.enable_x64(True):
        m, noise, step = jnp.linspace(-4, 4, 41), jnp.asarray(0.8), 1e-5
        both = kind(link, (1, -1))

        def at(m, noise):
            return jnp.stack(smoothed(both, 1, m, noise))

        for tangent in ((jnp.ones_like(m), 0.0 * noise), (0 * m, 1.0 + 0 * noise)):
            slope = jax.jvp(at, (m, noise), tangent)[1]
            ahead, behind = (at(m + s * tangent[0], noise + s * tangent[1]) for s in (step, -step))
            assert np.abs(slope - (ahead - behind) / (2 * step)).max() < 1e-9
        other = smoothed(both, -1, -m, noise)[0]  # margins of label -1 are folded
        assert np.abs(at(m, noise)[0] + other - 1).max() < 1e-13

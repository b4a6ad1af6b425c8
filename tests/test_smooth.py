"""Links smoothed by noise, looked up in a table, against plain sums over the noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from nfl_pruning.links import LINKS, parse_link
from nfl_pruning.losses import LOSSES
from nfl_pruning.theory.integrators.conditioned.cell import Kind
from nfl_pruning.theory.integrators.conditioned.smooth import smoothed

M = np.concatenate([np.linspace(-70, 70, 701), np.random.default_rng(0).normal(size=200)])


def by_summing(m: np.ndarray, noise: float) -> list[np.ndarray]:
    """E expit(m + noise eta) and its first three derivatives, by a trapezoidal rule."""
    eta = np.linspace(-9, 9, 4001)
    weight = np.exp(-0.5 * eta**2) / np.sqrt(2 * np.pi) * (eta[1] - eta[0])
    p = expit(m[:, None] + noise * eta)
    slope = p * (1 - p)
    parts = p, slope, slope * (1 - 2 * p), slope * (1 - 6 * slope)
    return [part @ weight for part in parts]


def kind(link: str, labels: tuple[int, ...]) -> Kind:
    return Kind(parse_link(link), LOSSES["logistic"], False, labels)


@pytest.mark.parametrize("noise", [0.0, 0.3, 2.0, 20.0])
@pytest.mark.parametrize("label", [1, -1])
def test_the_logistic_link(noise, label):
    with jax.enable_x64(True):
        found = smoothed(kind("logistic", (1, -1)), label, jnp.asarray(M), jnp.asarray(noise))
        found = [np.asarray(part) for part in found]
    expected = by_summing(label * M, noise)
    if label < 0:
        expected = [1 - expected[0], expected[1], -expected[2], expected[3]]
    # higher derivatives of the table's polynomials carry more of its rounding
    for mine, theirs, allowed in zip(found, expected, (1e-12, 1e-12, 1e-11, 5e-11), strict=True):
        assert np.abs(mine - theirs).max() < allowed


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
        here = smoothed(both, 1, m, noise)

        def change(of, in_m, in_noise):
            ahead, behind = (smoothed(both, 1, m + s * in_m, noise + s * in_noise)[of]
                             for s in (step, -step))  # fmt: skip
            return (ahead - behind) / (2 * step)

        for of in range(2):
            assert np.abs(change(of, 1, 0) - here[of + 1]).max() < 1e-9
        for of in range(2):  # the heat equation
            assert np.abs(change(of, 0, 1) - noise * here[of + 2]).max() < 1e-9
        other = smoothed(both, -1, -m, noise)[0]  # margins of label -1 are folded
        assert np.abs(here.chance + other - 1).max() < 1e-13

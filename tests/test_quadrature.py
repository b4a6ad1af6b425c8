"""Panels end on jumps and resolve layers; the rules integrate what they claim to."""

# scipy's stubs are looser than its results.

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from nfl_pruning.numerics.quadrature import (
    NORMAL_RANGE,
    graded_edges,
    merge_edges,
    normal_cdf,
    normal_density,
    panel_nodes,
)


@pytest.mark.parametrize("host", [True, False])
@pytest.mark.parametrize("width", [1e-6, 1e-3, 1.0])
def test_graded_panels_resolve_a_layer(width, host):
    """The normal mean of Phi((x - c) / w) is Phi(-c / sqrt(1 + w^2))."""
    with jax.enable_x64(True):
        wrap = np.asarray if host else jnp.asarray
        edges = graded_edges(wrap([0.8]), wrap([width]), n_panels=40)
        x, w = panel_nodes(edges, 10)
        edges = np.asarray(edges)
        value = np.sum(np.asarray(w * normal_density(x)) * ndtr((np.asarray(x) - 0.8) / width))
    assert (np.diff(edges) > 0).all() and edges[0] == -NORMAL_RANGE and edges[-1] == NORMAL_RANGE
    assert abs(value - ndtr(-0.8 / np.hypot(1, width))) < 1e-11


def test_a_jump_needs_an_edge():
    plain = np.linspace(-NORMAL_RANGE, NORMAL_RANGE, 39)
    exact = ndtr(0.6744897502) - ndtr(-0.6744897502)
    errors = []
    for edges in (merge_edges(plain, np.array([-0.6744897502, 0.6744897502])), plain):
        x, w = panel_nodes(edges, 8)
        errors.append(abs(np.sum(w * normal_density(x) * (np.abs(x) < 0.6744897502)) - exact))
    assert errors[0] < 1e-14 and errors[1] > 1e-4  # without edges it is useless


def test_jumps_outside_the_range_are_harmless():
    edges = merge_edges(np.array([-1.0, 0.0, 1.0]), np.array([-5.0, 0.5, 7.0]))
    assert (np.diff(edges) >= 0).all()
    x, w = panel_nodes(edges, 4)
    np.testing.assert_allclose(np.sum(w * x**6), 2 / 7, rtol=1e-14)


def test_normal_cdf_keeps_its_lower_tail():
    x = np.linspace(-37, 8, 200)
    with jax.enable_x64(True):
        np.testing.assert_allclose(normal_cdf(x), ndtr(x), rtol=1e-12)

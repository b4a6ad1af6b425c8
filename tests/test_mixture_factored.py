"""Low rank plus a diagonal by Woodbury's identity, next to the same covariances, whole."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from nfl_pruning import Problem, solve
from nfl_pruning.inputs import LowRank, Mixture
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.theory.mixture.closing import Given, Moments, close, noise_of
from nfl_pruning.theory.mixture.factored import Factored
from nfl_pruning.theory.mixture.geometry import Dense
from nfl_pruning.theory.mixture.space import space_of

COMPONENTS, FEATURES, RANK, OUTPUTS = 3, 14, 2, 2
CLOSED = jax.jit(close, static_argnames="free")


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def mixtures(n_features, *, offset=0.0):
    """The same mixture twice: its covariances as they are made, and whole."""
    rng = np.random.default_rng(5)
    variances = np.exp(0.5 * rng.normal(size=(COMPONENTS, n_features)))
    law = LowRank(variances, 0.6 * rng.normal(size=(COMPONENTS, n_features, RANK)))
    means = 0.6 * rng.normal(size=(COMPONENTS, n_features))
    whole = np.stack([law.covariance(c, n_features) for c in range(COMPONENTS)])
    more = LowRank(law.diagonal + offset, law.factors)
    weights, labels = np.array([0.5, 0.3, 0.2]), np.arange(COMPONENTS)
    return [Mixture(weights, means, one, labels) for one in (more, whole)]


def geometries(**given) -> Any:
    found = [space_of(mixture).geometry for mixture in mixtures(FEATURES, **given)]
    assert isinstance(found[0], Factored) and isinstance(found[1], Dense)
    return found


def moments(n_own, seed):
    """Any moments: symmetric squares and responses, the rest free."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(2, COMPONENTS, OUTPUTS, OUTPUTS))
    square, response = raw @ np.swapaxes(raw, -1, -2) / 4
    shape = (COMPONENTS, OUTPUTS, OUTPUTS)
    force, given, shared = (
        rng.normal(size=shape[:2]),
        rng.normal(size=shape),
        rng.normal(size=shape),
    )
    return Moments(0.1 * force, square, response, 0.3 * given, 0.1 * shared * n_own)


def apart(found, wanted):
    """The largest difference of two lists of arrays, relative to each."""
    return max(
        float(np.abs(x - y).max() / np.abs(y).max())
        for x, y in zip(found, wanted, strict=True)
        if np.abs(y).max() > 0
    )


def closed(geometry, n_parts):
    """Law, rows and operators of a fit that reads a probe with so many of its parts.

    The parts: rows; noise, as a pilot has; G, as a probe has that was fitted on the samples.
    """
    state = np.zeros((COMPONENTS, OUTPUTS))
    given = Given(np.random.default_rng(1).normal(size=(OUTPUTS, FEATURES)) / 4)
    if n_parts > 1:
        _, fit = CLOSED(geometry, moments(0, 1), state, given, ridge=0.1, samples_per_feature=2.0,
                        free=True)  # fmt: skip
        inverse, square = jax.tree.map(np.asarray, (fit.inverse, fit.square))
        noise = jax.tree.map(np.asarray, noise_of(geometry, inverse, square))
        given = Given(np.asarray(fit.rows), noise, inverse if n_parts > 2 else None)
    law, fit = CLOSED(geometry, moments(n_parts > 2, 2), state, given, ridge=0.07,
                      samples_per_feature=3.0, free=True)  # fmt: skip
    return [*map(np.asarray, law), np.asarray(fit.rows)], given


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("n_parts", [1, 2, 3])
def test_fits_close_as_with_whole_covariances(n_parts):
    factored, dense = geometries()
    found, wanted = closed(factored, n_parts)[0], closed(dense, n_parts)[0]
    assert apart(found, wanted) < 1e-12
    assert apart(closed(geometries(offset=0.01)[0], n_parts)[0], wanted) > 1e-3  # the control


@pytest.mark.usefixtures("float64")
def test_operators_act_as_whole_matrices():
    both, rng = geometries(), np.random.default_rng(2)
    rows, basis = (
        rng.normal(size=(OUTPUTS, FEATURES)),
        np.linalg.qr(rng.normal(size=(FEATURES,) * 2))[0],
    )
    seen = []
    for geometry in both:
        given = closed(geometry, 3)[1]
        parts = [geometry.overlap(rows, rows), *geometry.nearest(basis)]
        for operator in (given.noise, given.inverse):
            turned = geometry.transpose(geometry.compose(operator, given.inverse))
            for one in (operator, turned, -operator):
                parts += [
                    geometry.rows(one, rows), geometry.trace(one), geometry.between_means(one),
                    geometry.diagonal(one, basis),
                ]  # fmt: skip
        seen.append([np.asarray(part) for part in parts])
    assert apart(*seen) < 1e-12


@pytest.mark.parametrize("probe", ["weights", "cross-fit:3:0.05"])
def test_limits_are_those_of_whole_covariances(probe):
    found = []
    for mixture in mixtures(20):
        problem = Problem(
            inputs=mixture, score="el2n", keep_fraction=0.4, samples_per_feature=6, ridge=0.05,
            intercept=True, probe=WeightsProbe(mixture.means) if probe == "weights" else probe,
        )  # fmt: skip
        found.append(solve(problem, tolerance=2e-3))
    for name in ("test_error", "test_loss", "error_estimate"):
        one, other = (getattr(solution, name) for solution in found)
        assert one == pytest.approx(other, rel=1e-9)
    assert found[0].status == "certified"
    assert set(found[0].observables) == set(found[1].observables)


def test_two_classes_take_whole_matrices():
    law = mixtures(FEATURES)[0]
    two = dataclasses.replace(law, labels=np.array([0, 1, 1]))
    assert isinstance(space_of(two).geometry, Dense)

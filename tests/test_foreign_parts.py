"""Losses, a link and a selection that somebody adds from outside, through theory, trials and data.

Each is chosen so that its limit is known from a built-in one.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nfl_pruning import (
    InvalidArgumentError,
    Problem,
    Status,
    limit_function,
    load_dataset,
    prune,
    simulate,
    solve,
    sweep,
)
from nfl_pruning.links import Link, Steps
from nfl_pruning.losses import Loss, logistic_prox
from nfl_pruning.numerics.arrays import choose
from nfl_pruning.selections import SELECTIONS, Stratum, Window, register_selection
from nfl_pruning.selections.base import RankSelection

BASE = Problem(samples_per_feature=6, keep_fraction=0.4, probe="fixed:0.8", signal=2, ridge=0.02)

# 2 softplus(-t / 2): theta is twice that of the logistic loss at twice the ridge.
COOL = Loss(
    "cool-logistic",
    value=lambda t: 2 * jax.nn.softplus(-t / 2),
    derivative=lambda t: -jax.nn.sigmoid(-t / 2),
    prox=lambda v, step: 2 * logistic_prox(v / 2, step / 2),
    prox_residual=lambda v, step: -step * jax.nn.sigmoid(-logistic_prox(v / 2, step / 2)),
)
# Twice the hinge: the hinge at half the ridge.
DOUBLE_HINGE = Loss(
    "double-hinge",
    value=lambda t: 2 * jnp.maximum(1 - t, 0.0),
    derivative=lambda t: jnp.where(t < 1, -2.0, 0.0),
    prox=lambda v, step: v + jnp.clip(1 - v, 0.0, 2 * step),
    prox_residual=lambda v, step: -jnp.clip(1 - v, 0.0, 2 * step),
    kinks=lambda step: (jnp.ones_like(step), 1 - 2 * step),
    smooth=False,
)
# Margins of at least 2: twice the max-margin fit.
WIDE_MARGIN = Loss(
    "wide-margin",
    value=lambda t: jnp.where(t >= 2, 0.0, jnp.inf),
    derivative=lambda t: jnp.where(t >= 2, 0.0, -jnp.inf),
    prox=lambda v, step: jnp.maximum(v, 2.0),
    prox_residual=lambda v, step: -jnp.maximum(2 - v, 0.0) + 0 * step,
    kinks=lambda step: (2 * jnp.ones_like(step),),
    hard=True,
    smooth=False,
)
TWO_STEPS = Link("two-steps", Steps(0.05, (-1.0, 1.0), (0.5, 1.5), (0.4, 0.5)))


@pytest.fixture(scope="module")
def middle():
    """A selection that keeps the middle of the order; ``share`` of the rest comes before it."""

    @register_selection("inner")
    @dataclass(frozen=True)
    class Middle(RankSelection):
        before: float = 0.5

        def strata(self, keep_fraction):
            rest = 1 - keep_fraction
            first = choose(rest > 0, self.before * rest, 0.0)
            return Stratum(first, 0.0), Stratum(keep_fraction, 1.0), Stratum(rest - first, 0.0)

    yield Middle
    SELECTIONS._members.pop("inner")


def trials_of(problem):
    return simulate(problem, n_features=40, n_trials=4, seed=0)


def same(a, b, *, norm=1.0):
    assert a.status is b.status is Status.CERTIFIED
    assert abs(a.cosine - b.cosine) < 1e-9 and abs(a.norm / b.norm / norm - 1) < 1e-9


def slope_of(problem, **at):
    """The cosine's derivative in one number."""
    ((name, value),) = at.items()
    with jax.enable_x64(True):
        f = limit_function(problem)
        return float(jax.jit(jax.grad(lambda x: f(**{name: x}).cosine))(value))


def difference(problem_at, value, step=2e-3):
    """The same by fourth-order differences of ``solve``."""
    up, down, far, near = (solve(problem_at(value + k * step)).cosine for k in (1, -1, 2, -2))
    return (8 * (up - down) - far + near) / (12 * step)


def test_a_smooth_loss_is_solved_swept_differentiated_and_simulated():
    ours = BASE.replace(loss=COOL)
    known = solve(BASE.replace(ridge=0.04))
    same(solve(ours), known, norm=2)
    assert abs(float(sweep(ours, keep_fraction=[0.4])["cosine"][0]) - known.cosine) < 1e-8
    known = difference(lambda r: BASE.replace(ridge=0.04, keep_fraction=r), 0.4)
    assert abs(slope_of(ours, keep_fraction=0.4) - known) < 1e-7
    a, b = (trials_of(p) for p in (ours, BASE.replace(ridge=0.04)))
    np.testing.assert_allclose(a.values("cosine"), b.values("cosine"), atol=1e-6)
    missing = solve(ours.replace(ridge=0))
    assert missing.status is Status.UNSUPPORTED and "names no constraint" in missing.message


def test_a_loss_with_a_corner_is_solved_and_never_simulated_as_another():
    ours = BASE.replace(loss=DOUBLE_HINGE)
    same(solve(ours), solve(BASE.replace(loss="hinge", ridge=0.01)))
    with pytest.raises(InvalidArgumentError, match="'double-hinge' has corners"):
        simulate(ours, n_features=20, n_trials=2)


def test_a_hard_loss_is_solved_and_never_simulated_as_another():
    hard = BASE.replace(loss=WIDE_MARGIN, link="sign", samples_per_feature=2)
    same(solve(hard), solve(hard.replace(loss="max-margin")), norm=2)
    with pytest.raises(InvalidArgumentError, match="'wide-margin' has corners"):
        simulate(hard, n_features=20, n_trials=2)


def test_a_link_is_solved_swept_and_simulated():
    ours = BASE.replace(link=TWO_STEPS)
    exact = solve(ours)
    assert exact.status is Status.CERTIFIED
    assert abs(float(sweep(ours, keep_fraction=[0.4])["cosine"][0]) - exact.cosine) < 1e-8
    trials = simulate(ours, n_features=100, n_trials=24, seed=1)
    assert trials.standard_error("cosine") < 0.02
    assert abs(trials.z_score("cosine", exact.cosine)) < 4
    wrong = solve(ours.replace(link="logistic")).cosine
    assert abs(wrong - exact.cosine) > 0.05  # the trials could tell


def test_a_selection_is_solved_swept_differentiated_simulated_and_applied(middle):
    ours, window = (BASE.replace(selection=s) for s in (middle(0.5), Window(0.3)))
    exact = solve(window)
    same(solve(ours), exact)
    grid = sweep(ours, before=[0.25, 0.5])
    assert abs(float(grid["cosine"][1]) - exact.cosine) < 1e-8
    assert (grid["method"] == "compiled").all()
    known = 0.6 * difference(lambda offset: BASE.replace(selection=Window(offset)), 0.3)
    assert abs(slope_of(ours, before=0.5) - known) < 1e-7
    a, b = trials_of(ours), trials_of(window)
    np.testing.assert_allclose(a.values("cosine"), b.values("cosine"))
    subset = prune(load_dataset("digits"), keep_fraction=0.3, selection="inner:0.5", seed=0)
    assert len(subset.indices) == round(0.3 * 1797)


def test_a_selection_of_plain_numbers_alone_is_solved_one_by_one():
    class Plain(RankSelection):
        name, uses = "plain", frozenset({"score", "keep"})

        def strata(self, keep_fraction):
            if keep_fraction > 0.5:  # no array can be asked this
                return Stratum(keep_fraction, 1.0), Stratum(1 - keep_fraction, 0.0)
            return Stratum(keep_fraction, 1.0), Stratum(1 - keep_fraction, 0.0)

    ours = BASE.replace(selection=Plain())
    found = sweep(ours, keep_fraction=[0.4, 0.6])
    expected = sweep(BASE, keep_fraction=[0.4, 0.6])
    np.testing.assert_allclose(found["cosine"], expected["cosine"], atol=1e-8)
    with jax.enable_x64(True), pytest.raises(InvalidArgumentError, match="'plain' asks for plain"):
        jax.jit(lambda r: limit_function(ours)(keep_fraction=r).cosine)(0.4)

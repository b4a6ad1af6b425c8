"""Taking the first k by bisection is what sorting does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nfl_pruning.kernels.order import ordered_integers, take_largest
from nfl_pruning.selections.finite import Counts, rank_weights, select


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_integers_order_like_floats(dtype):
    values = np.array([-np.inf, -3.5, -1e-300, -0.0, 0.0, 1e-30, 2.0, np.inf], dtype)
    values = np.unique(values)  # -1e-300 is 0 in float32
    with jax.enable_x64(True):
        integers = np.asarray(ordered_integers(jnp.asarray(values)))
        zeros = np.asarray(ordered_integers(jnp.asarray([0.0, -0.0], dtype)))
    assert (np.diff(integers) > 0).all()
    assert zeros[0] == zeros[1]


@pytest.mark.parametrize("count", [0, 1, 7, 99, 100])
@pytest.mark.parametrize("levels", [3, 10**6])
def test_the_largest_are_taken_with_and_without_ties(count, levels):
    rng = np.random.default_rng(count)
    first, second = rng.integers(-levels, levels, 150), rng.integers(0, 4, 150)
    among = np.zeros(150, bool)
    among[rng.permutation(150)[:100]] = True
    keys = (jnp.asarray(first, jnp.int32), jnp.asarray(second, jnp.int32))
    mask = np.asarray(jax.jit(take_largest)(keys, jnp.asarray(count), jnp.asarray(among)))
    members = np.flatnonzero(among)
    order = members[np.lexsort((members, -second[members], -first[members]))]
    assert set(np.flatnonzero(mask)) == set(order[:count])


def test_extreme_integers_do_not_overflow():
    info = np.iinfo(np.int32)
    numbers = jnp.asarray([info.min, info.max, 0, info.max - 1, info.min + 1], jnp.int32)
    for count in range(6):
        mask = np.asarray(take_largest((numbers,), jnp.asarray(count), jnp.ones(5, bool)))
        assert set(np.flatnonzero(mask)) == set([1, 3, 2, 4, 0][:count])


def test_ties_and_exploration_are_uniform():
    """Every row of a tie is taken equally often, and exploration is uniform in its band."""
    counts = (Counts(3, 3, 1.0), Counts(7, 2, 3.5))
    values = jnp.asarray([5.0, 5.0] + [1.0] * 8, jnp.float32)
    keys = jax.random.split(jax.random.key(0), 4000)
    weights, probabilities = jax.vmap(lambda k: rank_weights(k, values, counts, "hardest"))(keys)
    weights, probabilities = np.asarray(weights), np.asarray(probabilities)
    assert (weights[:, :2] == 1).all()
    assert (np.sum(weights > 0, axis=1) == 5).all()
    sure, explored = (weights[:, 2:] == 1).mean(0), (weights[:, 2:] == 3.5).mean(0)
    for frequency, chance in [(sure, 1 / 8), (explored, 2 / 8)]:
        assert np.abs(frequency - chance).max() < 4.5 * np.sqrt(chance * (1 - chance) / 4000)
    np.testing.assert_allclose(np.sort(np.unique(probabilities)), [2 / 7, 1], rtol=1e-6)


def test_nothing_is_taken_of_nothing():
    """An empty band, as the rest is when everything is kept; its level lies at the range's end."""
    with jax.enable_x64(True):
        for dtype in (jnp.int32, jnp.int64):
            numbers, nobody = jnp.arange(5, dtype=dtype), jnp.zeros(5, bool)
            mask = jax.jit(take_largest)((numbers,), jnp.asarray(0), nobody)
            assert not np.asarray(mask).any()


@pytest.mark.parametrize("keep", ["hardest", "easiest"])
def test_keeping_everything_ends(keep):
    for selection in ("threshold", "exact", "random"):
        found = select(
            jax.random.key(0), np.arange(9.0), 1.0, keep=keep, selection=selection, exploit=1.0
        )
        np.testing.assert_array_equal(found.weights, np.ones(9))

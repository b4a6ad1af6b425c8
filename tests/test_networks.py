"""Training, paired experiments and verdicts."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from nfl_pruning.data import make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.kernels.convolution import convolve, max_pool
from nfl_pruning.networks.augmentation import make_augment
from nfl_pruning.networks.comparison.verdicts import paired, verdicts
from nfl_pruning.networks.models import CNN, ResNet, make_model
from nfl_pruning.networks.scoring import logits_of
from nfl_pruning.networks.training import (
    Recipe,
    Samples,
    Training,
    is_finite,
    make_samples,
    rate,
    replica,
    train_replicas,
)
from nfl_pruning.numerics.holm import holm


def table(n=60, d=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return make_dataset("table", rng.normal(size=(n, d)) + 2 * np.eye(classes, d)[y], y)


def trained(model, samples, training, n_keys=2, **more):
    keys = jax.random.split(jax.random.key(0), n_keys)
    return train_replicas(keys, samples, model=model, training=training, **more)


def first_leaf(params):
    return np.asarray(jax.tree.leaves(params)[0])


class TestTraining:
    @pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
    def test_one_full_batch_step_by_hand(self, optimiser):
        """Weighted mean loss, decay and optimiser, against optax called directly."""
        data = table(8)
        x, y = jnp.asarray(data.x, jnp.float32), jnp.asarray(data.y)
        weights = np.array([[1.0, 3, 2, 2, 0.5, 1, 1, 1]])
        model = make_model("logistic", 3, (5,))
        training = Training(
            epochs=1, batch_size=8, optimiser=optimiser, learning_rate=0.1, weight_decay=0.01
        )
        samples = make_samples(x, np.arange(8)[None], data.y[None], weights=weights)
        start = {}
        state = trained(
            model,
            samples,
            training,
            1,
            on_epoch=lambda e, s: start.setdefault(e, replica(s.params, 0)),
        )

        def objective(params):
            losses = optax.softmax_cross_entropy_with_integer_labels(model.apply(params, x)[0], y)
            return jnp.sum(weights[0] * losses) / weights.sum()

        grads = jax.grad(objective)(start[0])
        if optimiser == "sgd":  # first Nesterov step: (1 + momentum) times the decayed gradient
            step = jax.tree.map(lambda g, p: -0.1 * 1.9 * (g + 0.01 * p), grads, start[0])
        else:  # first Adam step is the sign, where the gradient is not tiny
            step = jax.tree.map(
                lambda g, p: -0.1 * (g / (jnp.abs(g) + 1e-8) + 0.01 * p), grads, start[0]
            )
        for found, before, change in zip(
            *(jax.tree.leaves(tree) for tree in (replica(state.params, 0), start[0], step)),
            strict=True,
        ):
            np.testing.assert_allclose(found, before + change, rtol=1e-4, atol=1e-6)

    def test_replicas_do_not_depend_on_their_neighbours(self):
        data = table()
        rows = np.stack([np.arange(0, 30), np.arange(30, 60)])
        samples = make_samples(jnp.asarray(data.x, jnp.float32), rows, data.y[rows])
        model, training = make_model("mlp", 3, (5,)), Training(epochs=2, batch_size=8)
        keys = jax.random.split(jax.random.key(0), 2)
        both = train_replicas(keys, samples, model=model, training=training)
        alone = make_samples(samples.x, rows[1:], data.y[rows[1:]])
        one = train_replicas(keys[1:], alone, model=model, training=training)
        for a, b in zip(jax.tree.leaves(both.params), jax.tree.leaves(one.params), strict=True):
            np.testing.assert_allclose(a[1], b[0], rtol=2e-4, atol=1e-5)

    def test_stepping_one_by_one_is_the_same_training(self, monkeypatch):
        data = table()
        samples = make_samples(
            jnp.asarray(data.x, jnp.float32),
            np.tile(np.arange(60), (2, 1)),
            np.tile(data.y, (2, 1)),
        )
        model, training = make_model("mlp", 3, (5,)), Training(epochs=2, batch_size=16)
        stacked = trained(model, samples, training)
        monkeypatch.setattr("nfl_pruning.networks.training.is_dense", lambda model: False)
        single = trained(model, samples, training)
        np.testing.assert_array_equal(stacked.step, single.step)
        for a, b in zip(
            jax.tree.leaves(stacked.params), jax.tree.leaves(single.params), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)

    def test_a_network_of_convolutions_learns(self):
        rng = np.random.default_rng(0)
        y = np.arange(80) % 2
        x = rng.normal(size=(80, 8, 8)) * 0.3
        x[y == 1, :4] += 1.0
        for model in (CNN(2, (8, 8), (4, 4), 8), ResNet(2, (8, 8), (8, 8))):
            flat = jnp.asarray(x.reshape(80, -1), jnp.float32)
            samples = make_samples(flat, np.arange(80)[None], y[None])
            state = trained(model, samples, Training(epochs=12, batch_size=16), 1)
            logits = logits_of(model, state.params, flat, rows=np.arange(80)[None])
            assert (logits[0].argmax(1) == y).mean() > 0.95

    def test_pooling_and_convolution_are_what_flax_does(self):
        """Values and gradients, of odd sizes and many channels too, ties apart."""
        rng = np.random.default_rng(0)
        for size, channels in (((8, 8), 3), ((7, 5), 2), ((2, 3), 1)):
            x = jnp.asarray(rng.normal(size=(4, *size, channels)), jnp.float32)
            np.testing.assert_array_equal(max_pool(x), nn.max_pool(x, (2, 2), (2, 2)))
            ours, theirs = (
                jax.grad(lambda x, f=f: jnp.sum(jnp.sin(f(x))))(x)
                for f in (max_pool, lambda x: nn.max_pool(x, (2, 2), (2, 2)))
            )
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        assert max_pool(jnp.ones((2, 1, 4, 3))).shape == (2, 1, 4, 3)
        for channels, strides, padding in (
            (1, (1, 1), "SAME"),
            (1, (2, 1), "VALID"),
            (3, (1, 1), "SAME"),
        ):
            x = jnp.asarray(rng.normal(size=(4, 9, 8, channels)), jnp.float32)
            plain: Any = nn.Conv(5, (3, 2), strides, padding)
            params = plain.init(jax.random.key(0), x)
            fast: Any = nn.Conv(5, (3, 2), strides, padding, conv_general_dilated=convolve)
            np.testing.assert_allclose(fast.apply(params, x), plain.apply(params, x), atol=1e-5)
            found, wanted = (
                jax.grad(lambda p, x, m=m: jnp.sum(jnp.sin(m.apply(p, x))), argnums=(0, 1))(
                    params, x
                )
                for m in (fast, plain)
            )
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
                np.testing.assert_allclose(a, b, atol=2e-5)

    def test_a_window_of_ties_gives_its_gradient_once(self):
        gradient = jax.grad(lambda x: jnp.sum(max_pool(x)))(jnp.ones((1, 4, 4, 1)))
        np.testing.assert_array_equal(gradient.sum(axis=(1, 2, 3)), [4])

    def test_augmentation_moves_and_mirrors(self):
        """Each result is a shifted, perhaps mirrored copy; every shift and both sides occur."""
        image = np.zeros((8, 8))
        image[3, 2] = 1.0
        augment = make_augment("flip-crop", (8, 8))
        assert augment is not None
        x = jnp.asarray(np.tile(image.ravel(), (400, 1)))
        moved = np.asarray(augment(jax.random.key(0), x)).reshape(400, 8, 8)
        assert (moved.sum(axis=(1, 2)) == 1).all()
        places = {tuple(np.argwhere(one)[0]) for one in moved}
        assert places == {(3 + i, c + j) for i in (-1, 0, 1) for c in (2, 5) for j in (-1, 0, 1)}
        np.testing.assert_array_equal(moved, augment(jax.random.key(0), x).reshape(400, 8, 8))
        assert make_augment("none", None) is None
        with pytest.raises(InvalidArgumentError, match="needs images"):
            make_augment("flip-crop", (5,))

    def test_augmentation_changes_training_and_nothing_else(self):
        rng = np.random.default_rng(0)
        x, y = jnp.asarray(rng.normal(size=(40, 64)), jnp.float32), np.arange(40) % 2
        samples = make_samples(x, np.arange(40)[None], y[None])
        model, found = make_model("logistic", 2, (8, 8)), {}
        for name in ("none", "flip-crop"):
            training = Training(epochs=2, batch_size=10, augmentation=name)
            found[name] = first_leaf(trained(model, samples, training, 1, shape=(8, 8)).params)
        assert np.abs(found["none"] - found["flip-crop"]).max() > 1e-3

    def test_the_rate_is_a_cosine(self):
        steps = jnp.arange(11)
        wanted = optax.cosine_decay_schedule(0.05, 10)(steps)
        np.testing.assert_allclose(
            rate(0.05, steps, jnp.asarray(10.0)), wanted, rtol=1e-5, atol=1e-9
        )

    def test_budgets(self):
        by_epochs = Training(epochs=10, batch_size=20)
        assert by_epochs.plan(1000, 1000) == (20, 50, 10)
        assert by_epochs.plan(100, 1000) == (20, 5, 10)
        assert by_epochs.plan(7, 1000) == (7, 1, 10)
        by_steps = Training(epochs=10, batch_size=20, budget="steps")
        assert by_steps.plan(100, 1000).steps == 500
        assert by_steps.plan(7, 1000).steps == 500

    def test_unweighted_is_equal_weights_at_any_scale(self):
        data = table()
        x, rows = jnp.asarray(data.x, jnp.float32), np.arange(60)[None]
        model, training = make_model("logistic", 3, (5,)), Training(epochs=1, batch_size=16)
        plain = trained(model, make_samples(x, rows, data.y[None]), training, 1)
        scaled = make_samples(x, rows, data.y[None], weights=np.full((1, 60), 7.0))
        np.testing.assert_array_equal(
            first_leaf(plain.params), first_leaf(trained(model, scaled, training, 1).params)
        )

    def test_divergence_is_seen(self):
        data = table()
        samples = make_samples(jnp.asarray(data.x, jnp.float32), np.arange(60)[None], data.y[None])
        hot = Training(epochs=40, batch_size=8, learning_rate=1e30)
        state = trained(make_model("mlp", 3, (5,)), samples, hot, 1)
        assert not is_finite(state.params)[0]

    @pytest.mark.parametrize(
        "choice", [{"epochs": 0}, {"optimiser": "adam"}, {"learning_rate": 0}, {"budget": "time"}]
    )
    def test_bad_settings(self, choice):
        with pytest.raises(InvalidArgumentError):
            Training(**choice)

    def test_tables_have_no_convolutions(self):
        with pytest.raises(InvalidArgumentError, match="needs images"):
            make_model("cnn", 2, (5,))


class TestVerdicts:
    def test_paired_is_the_t_test(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(0.9, 0.01, 8), rng.normal(0.89, 0.01, 8)
        verdict = paired("rule", 0.1, a, b)
        test = stats.ttest_rel(100 * a, 100 * b)
        low, high = test.confidence_interval(0.95)
        assert verdict.difference is not None
        assert verdict.half_width is not None
        assert verdict.p_value == pytest.approx(test.pvalue)
        assert verdict.difference - verdict.half_width == pytest.approx(low)
        assert verdict.difference + verdict.half_width == pytest.approx(high)

    def test_holm_by_hand(self):
        adjusted = holm([0.01, 0.04, 0.03, np.nan])
        assert adjusted == pytest.approx([0.04, 0.09, 0.09, np.nan], nan_ok=True)

    def test_family_and_texts(self):
        noise = np.array([0.0, 0.01, -0.01, 0.02, -0.02])
        base = 0.8 + noise
        accuracy = {
            0.1: {
                "random": base,
                "worse": base - 0.1 + noise[::-1] / 50,
                "same": base + noise[::-1],
            },
            0.9: {"random": base, "worse": base + 0.1 + noise[::-1] / 50, "same": base},
        }
        found = {(v.rule, v.keep_fraction): v for v in verdicts(accuracy)}
        assert found["worse", 0.1].text == "loses to random"
        smaller = found["worse", 0.1].p_value or 0.0
        assert found["worse", 0.1].p_holm == pytest.approx(2 * smaller)
        assert smaller > 0
        assert found["same", 0.1].text == "undecided"
        assert found["worse", 0.9].p_holm is None
        assert found["worse", 0.9].text == "beats random"
        assert found["same", 0.9].text == "undecided"

    def test_diverged_repeats_are_counted_not_averaged(self):
        verdict = paired("rule", 0.1, np.array([0.9, np.nan, 0.8]), np.array([0.8, 0.8, 0.8]))
        assert verdict.failed == 1
        assert verdict.difference == pytest.approx(5.0)


def test_weights_are_scaled_over_all_rows_or_in_each_batch():
    """One step from equal starts: its length in the gradient's direction tells the scale."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
    rows, labels = np.arange(8)[None], np.arange(8)[None] % 2
    heavy = np.array([[1.0, 1, 1, 1, 9, 9, 9, 9]])
    model, one = make_model("logistic", 2, (3,)), jax.random.split(jax.random.key(0), 1)

    def moved(normalised, weights):
        training = Training(
            epochs=1, batch_size=4, weight_decay=0.0, learning_rate=1e-3, normalised=normalised
        )
        samples = make_samples(x, rows, labels, weights=weights)
        recipe = Recipe(model, training, None)
        batch = Samples(x, *(part[0, 4:] for part in samples[1:]))
        start = recipe.start(one[0], x)
        after = recipe.step(start, batch, one[0], jnp.asarray(2.0))
        return jax.tree.map(lambda a, b: np.asarray(a - b), after.params, start.params)

    plain = jax.tree.leaves(moved("kept", np.ones((1, 8))))
    for normalised, factor in (("kept", 1.8), ("batch", 1.0)):  # nine times, of a mean of five
        for ours, theirs in zip(jax.tree.leaves(moved(normalised, heavy)), plain, strict=True):
            np.testing.assert_allclose(ours, factor * theirs, rtol=1e-3, atol=1e-9)
    with pytest.raises(InvalidArgumentError, match="normalised"):
        Training(normalised="epoch")

"""Training, paired experiments and verdicts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from nfl_pruning.data import make_dataset
from nfl_pruning.networks.experiment import make_arm, measure, probe_scores, refit
from nfl_pruning.networks.models import CNN, ResNet, make_model
from nfl_pruning.networks.scoring import logits_of
from nfl_pruning.networks.splits import make_split, noisy_labels
from nfl_pruning.networks.training import Training, is_finite, make_samples, replica, train
from nfl_pruning.networks.verdicts import holm, paired, verdicts
from nfl_pruning.scores import SCORES
from nfl_pruning.validation import InvalidArgumentError


def table(n=60, d=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return make_dataset("table", rng.normal(size=(n, d)) + 2 * np.eye(classes, d)[y], y)


def trained(model, samples, training, n_keys=2, **more):
    keys = jax.random.split(jax.random.key(0), n_keys)
    return train(keys, samples, model=model, training=training, **more)


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
        both = train(keys, samples, model=model, training=training)
        alone = make_samples(samples.x, rows[1:], data.y[rows[1:]])
        one = train(keys[1:], alone, model=model, training=training)
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


class TestExperiment:
    def test_split_and_label_noise(self):
        data = table(100)
        split = make_split(jax.random.key(0), data, repeats=3, label_noise=0.2)
        assert split.train_rows.shape == (3, 70)
        for i in range(3):
            assert not set(split.train_rows[i]) & set(split.test_rows[i])
            np.testing.assert_array_equal(split.test_labels[i], data.y[split.test_rows[i]])
            wrong = split.train_labels[i] != data.y[split.train_rows[i]]
            assert wrong.sum() == 14
        assert set(split.train_rows[0]) != set(split.train_rows[1])

    def test_a_test_part_stays_apart(self):
        data, test = table(40), table(20, seed=1)
        split = make_split(jax.random.key(0), data, test, repeats=2, n_train=25)
        assert split.train_rows.max() < 40
        np.testing.assert_array_equal(split.test_rows, [np.arange(40, 60)] * 2)
        np.testing.assert_array_equal(split.test_labels[1], test.y)

    def test_noise_reaches_every_other_class_alike(self):
        noisy = noisy_labels(jax.random.key(0), np.zeros(6000, int), 0.5, 4)
        counts = np.bincount(noisy, minlength=4)
        assert counts[0] == 3000
        assert np.abs(counts[1:] - 1000).max() < 4 * np.sqrt(1000)

    @pytest.fixture(scope="class")
    @staticmethod
    def outcome():
        data = table(150, seed=3)
        root, split = jax.random.key(1), make_split(jax.random.key(0), data, repeats=3)
        model, training = make_model("mlp", 3, (5,)), Training(epochs=5, batch_size=16)
        keys = probe_scores(
            root, split, scores=[SCORES["el2n"]], model=model, training=training, epochs={"el2n": 3}
        )
        arms = [
            make_arm("random", protocol="random"),
            make_arm("hard", score="el2n"),
        ]
        rest = {"model": model, "training": training}
        found = refit(root, split, keys, arms=arms, keep_fraction=0.2, **rest)
        full = refit(root, split, keys, arms=arms[:2], keep_fraction=1.0, **rest)
        return split, keys, found, full

    def test_shapes_and_counts(self, outcome):
        _, keys, found, _ = outcome
        assert keys["el2n"].shape == (3, 105)
        assert found["hard"].kept == 21
        assert found["hard"].accuracy.shape == (3,)
        assert (found["random"].loss > 0).all()

    def test_rules_are_paired(self, outcome):
        """Keeping everything, all rules train the same network; repeats differ."""
        _, _, _, full = outcome
        np.testing.assert_allclose(full["hard"].loss, full["random"].loss, rtol=1e-5)
        assert len(set(full["random"].loss)) == 3

    def test_measure_reports_divergence_as_nan(self, outcome):
        split = outcome[0]
        model = make_model("logistic", 3, (5,))
        params = jax.vmap(lambda key: model.init(key, split.x[:1]))(
            jax.random.split(jax.random.key(0), 2)
        )
        bad = jax.tree.map(lambda leaf: leaf.at[1].set(jnp.nan), params)
        pairs = measure(model, bad, split, np.array([0, 1]))
        assert np.isfinite(pairs[0]).all()
        assert np.isnan(pairs[1]).all()

    def test_counts_left_to_chance_are_refused(self):
        with pytest.raises(InvalidArgumentError, match="power:1"):
            make_arm("power", protocol="power:1")


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
        assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.04, 0.09, 0.09, None])

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

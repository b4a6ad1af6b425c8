"""Splits, probes, refits and what they report, in paired experiments on a small table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nfl_pruning.data import make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.comparison.arms import make_arm
from nfl_pruning.networks.comparison.experiment import probe_scores, refit, repeat_keys
from nfl_pruning.networks.comparison.splits import make_split, noisy_labels
from nfl_pruning.networks.measuring import measure
from nfl_pruning.networks.models import make_model
from nfl_pruning.networks.scoring import logits_of
from nfl_pruning.networks.training import Training, make_samples, train_replicas
from nfl_pruning.scores import SCORES


def table(n=60, d=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return make_dataset("table", rng.normal(size=(n, d)) + 2 * np.eye(classes, d)[y], y)


class TestExperiment:
    def test_split_and_label_noise(self):
        data = table(100)
        split = make_split(jax.random.key(0), data, repeats=3, label_noise=0.2)
        assert split.train_rows.shape == (3, 70)
        for i in range(3):
            assert not set(split.train_rows[i]) & set(split.test_rows[i])
            np.testing.assert_array_equal(split.test_labels[i], data.y[split.test_rows[i] % 100])
            wrong = split.train_labels[i] != data.y[split.train_rows[i] % 100]
            assert wrong.sum() == 14
        assert set(split.train_rows[0] % 100) != set(split.train_rows[1] % 100)

    def test_moments_of_a_table_are_those_of_the_training_rows(self):
        data = table(100)
        split = make_split(jax.random.key(0), data, repeats=3, validation=0.2, imbalance=3)
        for i in range(3):
            one = split.only(i)
            own = data.x[one.train_rows[0]]
            wanted = (data.x - own.mean(axis=0)) / own.std(axis=0)
            np.testing.assert_allclose(one.x, wanted, atol=1e-5)
            for name in ("train_rows", "valid_rows", "test_rows"):
                ours, alone = getattr(split, name)[i], getattr(one, name)[0]
                np.testing.assert_array_equal(split.x[ours], one.x[alone])

    def test_grey_levels_are_scaled_by_a_fixed_map(self):
        grey = np.random.default_rng(0).uniform(size=(40, 2, 2))
        data = make_dataset("grey", grey, np.arange(40) % 2)
        split = make_split(jax.random.key(0), data, repeats=3)
        np.testing.assert_array_equal(split.x, (2 * data.x - 1).astype(np.float32))
        assert split.test_rows.max() < 40

    def test_one_repeat_alone_is_what_it_is_among_others(self):
        data = table(100)
        split = make_split(jax.random.key(0), data, repeats=3, label_noise=0.2)
        model, training = make_model("logistic", 3, (5,)), Training(epochs=2, batch_size=10)
        rest = {"scores": [SCORES["loss"]], "model": model, "training": training}
        root, when = jax.random.key(1), {"loss": 2}
        together = probe_scores(root, split, epochs=when, **rest)["loss"]
        alone = probe_scores(root, split.only(2), epochs=when, **rest)["loss"]
        np.testing.assert_allclose(alone[0], together[2], rtol=1e-4)
        np.testing.assert_array_equal(split.only(2).test_rows[0], split.test_rows[2] % 100)

    def test_imbalance_thins_classes_in_geometric_steps(self):
        data = table(600)
        plain = make_split(jax.random.key(0), data, repeats=2)
        split = make_split(jax.random.key(0), data, repeats=2, imbalance=9)
        for i in range(2):
            counts = np.bincount(split.train_labels[i])
            np.testing.assert_allclose(counts / counts[0], [1, 1 / 3, 1 / 9], atol=0.02)
            assert set(split.train_rows[i]) < set(plain.train_rows[i])
            np.testing.assert_array_equal(split.test_rows[i], plain.test_rows[i])

    def test_repeats_depend_on_each_other_only_where_classes_are_thinned(self):
        data = table(100)
        for imbalance, same in ((1, True), (3, False)):
            few, many = (
                make_split(jax.random.key(0), data, repeats=count, imbalance=imbalance)
                for count in (1, 8)
            )
            own, among = few.only(0).train_rows, many.only(0).train_rows
            assert (own.shape == among.shape and bool((own == among).all())) == same

    def test_validation_rows_are_apart_and_choose_the_epoch(self):
        data = table(300)
        split = make_split(jax.random.key(0), data, repeats=2, validation=0.2)
        assert split.valid_rows.shape == (2, 42)
        assert split.train_rows.shape == (2, 168)
        for i in range(2):
            parts = [set(rows[i]) for rows in (split.train_rows, split.valid_rows, split.test_rows)]
            assert len(set.union(*parts)) == sum(map(len, parts)) == 300
        model, training = make_model("mlp", 3, (5,)), Training(epochs=4, batch_size=16)
        accuracy = {}

        def watch(epoch, state):
            logits = logits_of(model, state.params, split.x, rows=split.valid_rows[:1])
            tested = measure(model, state.params, split, np.array([0]))[0]
            accuracy[epoch] = ((logits[0].argmax(1) == split.valid_labels[0]).mean(), tested)

        arms, root = [make_arm("random", protocol="random")], jax.random.key(1)
        rest = {"model": model, "training": training}
        found = refit(root, split.only(0), {}, arms=arms, keep_fraction=1.0, **rest)["random"]
        samples = make_samples(split.x, split.train_rows[:1], split.train_labels[:1])
        train_replicas(repeat_keys(root, np.array([0]))["refit"], samples, on_epoch=watch, **rest)
        best = max(range(1, 5), key=lambda epoch: accuracy[epoch][0])  # the first of the best
        assert found.epoch[0] == best
        assert (found.accuracy[0], found.loss[0]) == pytest.approx(accuracy[best][1], rel=1e-4)

    def test_a_probe_that_diverged_leaves_its_rules_without_a_result(self):
        data = table(100)
        split = make_split(jax.random.key(0), data, repeats=2)
        keys = {"loss": np.random.default_rng(0).normal(size=(2, 70))}
        keys["loss"][1, 3] = np.nan
        arms = [make_arm("random", protocol="random"), make_arm("hard", score="loss")]
        rest = {"model": make_model("logistic", 3, (5,)), "training": Training(2, 10)}
        found = refit(jax.random.key(1), split, keys, arms=arms, keep_fraction=0.5, **rest)
        assert np.isfinite(found["random"].accuracy).all()
        np.testing.assert_array_equal(np.isnan(found["hard"].accuracy), [False, True])

    def test_a_test_part_stays_apart(self):
        data, test = table(40), table(20, seed=1)
        split = make_split(jax.random.key(0), data, test, repeats=2, n_train=25)
        assert (split.train_rows % 60).max() < 40
        np.testing.assert_array_equal(split.test_rows % 60, [np.arange(40, 60)] * 2)
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

"""Scores on networks, each against a slow and obvious computation, and planted samples."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.networks.gradients import chunk_gain, chunk_gap, gradient_gain, unit_error
from nfl_pruning.networks.models import CNN, MLP, MODELS, Logistic, ResNet, make_model
from nfl_pruning.networks.scoring import Look, Recorder, look_at, train_and_score
from nfl_pruning.networks.training import Training, make_samples
from nfl_pruning.scores import SCORES, Context

SMALL = {
    "logistic": Logistic(4),
    "mlp": MLP(4, (12, 7)),
    "cnn": CNN(4, (8, 7), (3, 5), 6),
    "resnet": ResNet(4, (8, 7), (8, 16)),
}


def setting(name, *, n=3):
    """A network with no parameter at zero, inputs and labels."""
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.normal(size=(n, 56)), jnp.float32), jnp.asarray(rng.integers(0, 4, n))
    model = SMALL[name]
    params = jax.jit(model.init)(jax.random.key(0), x[:1])
    noise = lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(1), leaf.shape)  # noqa: E731
    return model, jax.tree.map(noise, params), x, y


def per_sample_gradients(model, params, x, y):
    """The slow way: every sample's whole gradient, a tree of leaves (n, ...)."""

    @jax.jit
    @jax.grad
    def gradient(params, one, label):
        logits = model.apply(params, one[None])[0][0]
        return optax.softmax_cross_entropy_with_integer_labels(logits, label)

    found = [gradient(params, one, label) for one, label in zip(x, y, strict=True)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found)


def norms(tree):
    leaves = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(tree)]
    return np.linalg.norm(np.concatenate(leaves, axis=1), axis=1)


def last_layer(gradients):
    layers = sorted(name for name in gradients["params"] if name.startswith("Dense"))
    return gradients["params"][layers[-1]]


class TestGradients:
    @pytest.mark.parametrize(
        "name", [n if n != "resnet" else pytest.param(n, marks=pytest.mark.slow) for n in MODELS]
    )
    def test_grand_is_the_norm_of_each_samples_gradient(self, name):
        model, params, x, y = setting(name)
        gradients = per_sample_gradients(model, params, x, y)
        for scope, part in (("full", gradients), ("last-layer", last_layer(gradients))):
            keys = look_at(model, params, (x, y), look=Look((SCORES["grand"],), scope))
            found = SCORES["grand"].publish(jnp.asarray(keys["grand"]))
            np.testing.assert_allclose(found, norms(part), rtol=2e-5, err_msg=scope)

    def test_logits_scope_makes_grand_el2n(self):
        model, params, x, y = setting("mlp")
        look = Look((SCORES["grand"], SCORES["el2n"]), scope="logits")
        keys = look_at(model, params, (x, y), look=look)
        published = [SCORES[name].publish(jnp.asarray(keys[name])) for name in ("grand", "el2n")]
        np.testing.assert_allclose(*published, rtol=1e-6)

    @pytest.mark.slow
    def test_convolution_strides_and_padding(self):
        import flax.linen as nn

        class Net(nn.Module):
            padding: str
            strides: tuple[int, int]

            @nn.compact
            def __call__(self, x):
                x = x.reshape(len(x), 9, 8, 1)
                x = nn.Conv(3, (3, 2), self.strides, self.padding)(x)
                x = jnp.tanh(nn.Conv(5, (2, 2), padding=self.padding, use_bias=False)(x))
                return nn.Dense(3)(x.reshape(len(x), -1)), x

        rng = np.random.default_rng(0)
        x, y = jnp.asarray(rng.normal(size=(4, 72)), jnp.float32), jnp.array([0, 1, 2, 0])
        for padding, strides in (("SAME", (2, 1)), ("VALID", (1, 1)), ("VALID", (2, 2))):
            model = Net(padding, strides)
            params = jax.jit(model.init)(jax.random.key(0), x)
            gain = chunk_gain(model, params, x, y, "full")
            size = gain * SCORES["el2n"](model.apply(params, x)[0], y)
            wanted = norms(per_sample_gradients(model, params, x, y))
            np.testing.assert_allclose(size, wanted, rtol=2e-5, err_msg=f"{padding} {strides}")

    def test_unknown_layers_are_refused(self):
        import flax.linen as nn

        class Net(nn.Module):
            @nn.compact
            def __call__(self, x):
                x = nn.LayerNorm()(x)
                return nn.Dense(3)(x), x

        x = jnp.ones((2, 4))
        params = Net().init(jax.random.key(0), x)
        with pytest.raises(InvalidArgumentError, match="LayerNorm"):
            gradient_gain(Net(), params, x, labels=jnp.array([0, 1]), scope="full")

    def test_samples_the_network_is_sure_of_keep_their_order(self):
        """In float32 the plain gradient of these is exactly zero, and they would all tie."""
        logits = jnp.array([[40.0, 0.0, 1.0], [60.0, 0.0, 1.0]], jnp.float32)
        labels = jnp.array([0, 0])
        plain = jax.nn.softmax(logits) - jax.nn.one_hot(labels, 3)
        assert float(jnp.abs(plain[:, 0]).max()) == 0
        direction = unit_error(logits, labels)
        np.testing.assert_allclose(jnp.linalg.norm(direction, axis=1), 1, rtol=1e-6)
        expected = np.array([-(1 + np.e), 1, np.e])
        np.testing.assert_allclose(direction[0], expected / np.linalg.norm(expected), rtol=1e-5)
        keys = SCORES["el2n"].rank_key(logits, labels)
        assert np.isfinite(keys).all()
        assert keys[0] > keys[1] + 19

    def test_gap_gradient_is_the_input_gradient_of_logit_gaps(self):
        model, params, x, _ = setting("mlp")
        found = chunk_gap(model, params, x)
        jacobian = jax.jit(jax.jacobian(lambda one: model.apply(params, one[None])[0][0]))
        for i in range(3):
            top = int(jnp.argmax(model.apply(params, x[i : i + 1])[0][0]))
            slopes = np.asarray(jacobian(x[i]))
            wanted = [np.linalg.norm(slopes[top] - slopes[k]) for k in range(4)]
            np.testing.assert_allclose(found[i], wanted, rtol=1e-5, atol=1e-6)


class TestTrajectories:
    """By hand, on trajectories of three classes; axis order (sample, time, class)."""

    @staticmethod
    def path(*guesses):
        return jnp.asarray(np.eye(3)[np.array(guesses)], float)

    def test_forgetting_counts_events_and_never_learned(self):
        path = self.path([0, 0, 0, 0], [0, 1, 0, 2], [1, 2, 1, 2], [1, 1, 0, 0], [0, 1, 1, 1])
        labels = jnp.zeros(5, int)
        score = SCORES["forgetting"](path[:, -1], labels, Context(trajectory=path))
        np.testing.assert_array_equal(score, [0, 2, 4, 0, 1])

    def test_aum_is_minus_the_mean_margin(self):
        rng = np.random.default_rng(0)
        path, labels = rng.normal(size=(6, 5, 3)), rng.integers(0, 3, 6)
        found = SCORES["aum"](path[:, -1], labels, Context(trajectory=path))
        for i in range(6):
            margins = [
                path[i, t, labels[i]] - max(path[i, t, k] for k in range(3) if k != labels[i])
                for t in range(5)
            ]
            assert float(found[i]) == pytest.approx(-np.mean(margins), rel=1e-5)

    def test_needs_are_said(self):
        with pytest.raises(InvalidArgumentError, match="needs trajectory"):
            SCORES["aum"](jnp.ones((2, 3)), jnp.array([0, 1]))


def test_deepfool_is_the_distance_to_the_boundary_of_a_linear_model():
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(4, 5)), rng.normal(size=(7, 4))
    logits = x @ w
    gap = np.array([[np.linalg.norm(w[:, z.argmax()] - w[:, k]) for k in range(5)] for z in logits])
    found = SCORES["deepfool"](logits, np.zeros(7, int), Context(gap_gradient=gap))
    for i in range(7):
        top = logits[i].argmax()
        distances = [
            (logits[i, top] - logits[i, k]) / np.linalg.norm(w[:, top] - w[:, k])
            for k in range(5)
            if k != top
        ]
        assert float(found[i]) == pytest.approx(-min(distances), rel=1e-5)
        nearest = [k for k in range(5) if k != top][int(np.argmin(distances))]
        step = (
            (w[:, nearest] - w[:, top]) * min(distances) / np.linalg.norm(w[:, nearest] - w[:, top])
        )
        moved = (x[i] + step) @ w
        assert moved[top] == pytest.approx(moved[nearest])


def test_prototypicality_is_the_distance_to_the_nearest_centre():
    rng = np.random.default_rng(0)
    features, centres = rng.normal(size=(9, 4)), rng.normal(size=(3, 4))
    context = Context(features=features, prototypes=centres)
    found = SCORES["prototypicality"](np.zeros((9, 2)), np.zeros(9, int), context)
    wanted = [min(np.linalg.norm(a - c) for c in centres) for a in features]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


class TestPlanted:
    """Easy samples sit deep in their class, hard ones near the boundary, some are mislabelled."""

    @pytest.fixture(scope="class")
    @staticmethod
    def ranks():
        rng = np.random.default_rng(0)
        n = 600
        y = rng.integers(0, 3, n)
        depth = np.where(np.arange(n) < 200, 6.0, 3.0)
        depth[200:300] = 0.8
        centres = np.eye(3, 8)
        x = depth[:, None] * centres[y] + 0.6 * rng.normal(size=(n, 8))
        labels = y.copy()
        labels[300:330] = (labels[300:330] + 1) % 3
        model = make_model("mlp", 3, (8,))
        samples = make_samples(jnp.asarray(x, jnp.float32), np.arange(n)[None], labels[None])
        names = [name for name in SCORES if name != "random"]
        recorder, _ = train_and_score(
            jax.random.split(jax.random.key(0), 1),
            samples,
            model=model,
            training=Training(epochs=8, batch_size=50, learning_rate=0.02),
            look=Look(tuple(SCORES[name] for name in names)),
            epochs={key: [8] for key in names},
        )
        groups = {"easy": slice(0, 200), "hard": slice(200, 300), "wrong": slice(300, 330)}
        found = {}
        for name in names:
            order = recorder.of(name, 8)[0].argsort(kind="stable").argsort(kind="stable")
            found[name] = {group: np.median(order[rows]) for group, rows in groups.items()}
        return found

    @pytest.mark.parametrize(
        "name",
        [
            *("el2n", "grand", "loss", "entropy", "least-confidence", "margin", "aum", "deepfool"),
            "forgetting",
        ],
    )
    def test_easy_rank_below_hard(self, ranks, name):
        assert ranks[name]["easy"] < ranks[name]["hard"] - 100

    @pytest.mark.parametrize("name", ["el2n", "grand", "loss", "aum", "forgetting"])
    def test_label_aware_scores_rank_mislabelled_samples_hardest(self, ranks, name):
        assert ranks[name]["wrong"] > 560
        assert ranks[name]["wrong"] > ranks[name]["hard"]

    @pytest.mark.parametrize("name", ["entropy", "least-confidence", "margin", "deepfool"])
    def test_label_agnostic_scores_do_not(self, ranks, name):
        assert ranks[name]["wrong"] < ranks[name]["hard"]


def test_samples_far_from_every_cluster_are_the_least_prototypical():
    """Two classes sit in tight clusters; one sample in ten lies between the clusters."""
    rng = np.random.default_rng(2)
    y = np.arange(300) % 2
    x = 4.0 * np.eye(2, 8)[y] + 0.2 * rng.normal(size=(300, 8))
    x[:30] = 2.0 + 1.5 * rng.normal(size=(30, 8))
    score, samples = (
        SCORES["prototypicality"],
        make_samples(jnp.asarray(x, jnp.float32), np.arange(300)[None], y[None]),
    )
    recorder, _ = train_and_score(
        jax.random.split(jax.random.key(0), 1),
        samples,
        model=make_model("mlp", 2, (8,)),
        training=Training(epochs=3, batch_size=50),
        look=Look((score,)),
        epochs={score.name: [3]},
    )
    hardest = np.argsort(recorder.of(score.name, 3)[0])[-30:]
    assert np.mean(hardest < 30) > 0.9


class TestSteps:
    def test_the_step_asked_for_is_the_step_scored(self):
        """Scores at epoch 2 of 4 are those of a network whose training was cut there."""
        rng = np.random.default_rng(0)
        x, y = jnp.asarray(rng.normal(size=(40, 6)), jnp.float32), rng.integers(0, 3, (1, 40))
        model, training = make_model("mlp", 3, (6,)), Training(epochs=4, batch_size=10)
        samples = make_samples(x, np.arange(40)[None], y)
        keys, look, kept = jax.random.split(jax.random.key(0), 1), Look((SCORES["loss"],)), {}

        def keep(epoch, state):
            kept[epoch] = jax.tree.map(lambda leaf: np.array(leaf[0]), state.params)

        recorder, _ = train_and_score(
            keys,
            samples,
            model=model,
            training=training,
            look=look,
            epochs={"loss": [0, 2, 4]},
            on_epoch=keep,
        )
        assert recorder.steps == {0: 0, 2: 8, 4: 16}
        assert recorder.of("loss", 2).shape == (1, 40)
        for epoch in (0, 2, 4):
            logits = model.apply(kept[epoch], x)[0]
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(y[0]))
            found = SCORES["loss"].publish(recorder.of("loss", epoch)[0])
            np.testing.assert_allclose(found, loss, rtol=1e-4, atol=1e-6)
        short, _ = train_and_score(
            keys, samples, model=model, training=training, look=look, epochs={"loss": [2]}
        )
        np.testing.assert_array_equal(short.of("loss", 2), recorder.of("loss", 2))

    def test_a_state_at_another_step_is_refused(self):
        x, model = jnp.ones((4, 3)), make_model("logistic", 2, (3,))
        samples = make_samples(x, np.arange(4)[None], np.array([[0, 1, 0, 1]]))
        training, look = Training(epochs=2, batch_size=2), Look((SCORES["loss"],))
        keys = jax.random.split(jax.random.key(0), 1)
        _, state = train_and_score(
            keys, samples, model=model, training=training, look=look, epochs={"loss": [1]}
        )
        recorder = Recorder(model, samples, look, {"loss": [2]}, steps_per_epoch=2)
        with pytest.raises(RuntimeError, match="step 4 were asked for"):
            recorder(2, state)

    def test_epochs_out_of_range_are_refused(self):
        samples = make_samples(jnp.ones((4, 3)), np.arange(4)[None], np.array([[0, 1, 0, 1]]))
        for epoch, score in ((3, "loss"), (-1, "loss"), (0, "forgetting")):
            with pytest.raises(InvalidArgumentError, match="epoch"):
                train_and_score(
                    jax.random.split(jax.random.key(0), 1),
                    samples,
                    model=make_model("logistic", 2, (3,)),
                    training=Training(epochs=2),
                    look=Look((SCORES[score],)),
                    epochs={score: [epoch]},
                )

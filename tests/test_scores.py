"""Every registered score points the right way, in every dtype, and means what its name says."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.scores import NEEDS, SCORES, Context, Score, binary_logits, register_score

NAMES = sorted(SCORES)
RANKED = [name for name in NAMES if name != "random"]
FROM_LOGITS = [name for name in RANKED if SCORES[name].needs <= {"input_norm"}]
CLASSES = (2, 4)
STEPS = 6
ROWS = 240  # in most tests, so that they share compiled scores


@partial(jax.jit, static_argnames=("name", "units"))
def _evaluate(name, logits, labels, context, units):
    score = SCORES[name] if units else SCORES[name].rank_key
    return score(logits, labels, Context(**context))


def ranks(name, logits, labels, context, units=False):
    """Rank keys; of the context the score gets what it declares to need, and nothing else."""
    known = {need: getattr(context, need) for need in sorted(SCORES[name].needs)}
    return _evaluate(name, logits, labels, known, units=units)


published = partial(ranks, units=True)


def one_vs_rest(margins, labels, classes):
    """Logits whose label is ``margin`` ahead of every other class, which tie."""
    logits = np.zeros((len(margins), classes))
    logits[np.arange(len(margins)), labels] = margins
    return logits


def planted(margins, labels, classes, *, spread):
    """Samples with these margins of the label, and a context that agrees with them.

    Over training the margin swings by 3 around its final value; features lie at the given distance
    from the only prototype; gradients in input space have norm 1.
    """
    logits = one_vs_rest(margins, labels, classes)
    swing = 3.0 * (-1.0) ** np.arange(STEPS)
    path = [one_vs_rest(margins + step, labels, classes) for step in swing]
    features = np.stack([spread, np.zeros_like(spread)], axis=-1)
    return logits, Context(
        input_norm=jnp.ones(len(margins)),
        features=jnp.asarray(features),
        gradient_norm=jnp.asarray(spread),
        trajectory=jnp.asarray(np.stack(path, axis=1)),
        gap_gradient=jnp.ones((len(margins), classes)),
        prototypes=jnp.zeros((1, 2)),
    )


def keys_of(name, margins, *, classes, spread, dtype=np.float64):
    labels = np.arange(len(margins)) % classes
    with jax.enable_x64(dtype == np.float64):
        logits, context = planted(np.asarray(margins), labels, classes, spread=np.asarray(spread))
        return np.asarray(ranks(name, logits.astype(dtype), labels, context))


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [
        (2, np.float32),
        (4, np.float64),
        pytest.param(2, np.float64, marks=pytest.mark.slow),
        pytest.param(4, np.float32, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", RANKED)
def test_easy_rank_below_hard_and_those_below_mislabelled(name, classes, dtype):
    margins = np.concatenate(
        [np.linspace(6, 9, 80), np.linspace(0, 1, 80), np.linspace(-9, -6, 80)]
    )
    spread = np.repeat([0.1, 2.0, 2.0], 80)
    keys = keys_of(name, margins, classes=classes, spread=spread, dtype=dtype)
    easy, hard, mislabelled = keys.reshape(3, 80)
    assert keys.dtype == dtype and np.isfinite(keys).all()
    assert easy.max() < hard.min()
    if SCORES[name].label_aware:
        assert hard.max() < mislabelled.min()


@pytest.mark.parametrize("name", NAMES)
def test_random_alone_ranks_nothing(name):
    keys = keys_of(name, np.linspace(-5, 5, ROWS), classes=2, spread=np.linspace(0, 1, ROWS))
    assert (np.ptp(keys) == 0) == (name == "random")


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", NAMES)
def test_label_awareness_is_declared_truly(name, classes):
    labels = np.arange(ROWS) % classes
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        _, context = planted(rng.normal(size=ROWS), labels, classes, spread=rng.uniform(size=ROWS))
        path = jnp.asarray(rng.normal(size=(ROWS, STEPS, classes)))
        context = Context(**{**vars(context), "trajectory": path})
        logits = rng.normal(size=(ROWS, classes))
        before, after = (ranks(name, logits, y, context) for y in (labels, 1 - labels % 2))
    assert np.any(np.asarray(before) != np.asarray(after)) == SCORES[name].label_aware


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FROM_LOGITS)
def test_saturated_logits_rank_strictly(name, dtype):
    """Probabilities are 0 and 1 to machine precision here; the ranks must not be."""
    score, margins = SCORES[name], np.linspace(60, -60, ROWS).astype(dtype)
    if not score.label_aware:
        margins = np.tile(np.linspace(60, 0, ROWS // 2), 2).astype(dtype)
        margins[ROWS // 2 :] *= -1
    with jax.enable_x64(dtype == np.float64):
        context = Context(input_norm=jnp.ones(len(margins), dtype))
        keys = np.asarray(ranks(name, binary_logits(margins), np.ones(len(margins), int), context))
    for part in [keys] if score.label_aware else np.split(keys, 2):
        assert (np.diff(part) > 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted({*FROM_LOGITS} - {"grand"}))
def test_extreme_logits_rank_strictly(name, dtype):
    """Far beyond the range of exp; GraNd is a product with the norm, so it does saturate."""
    margins = np.linspace(5000, 100, ROWS).astype(dtype)
    keys = keys_of(name, margins, classes=2, spread=np.ones(ROWS), dtype=dtype)
    assert np.isfinite(keys).all() and (np.diff(keys) > 0).all()
    if SCORES[name].label_aware:
        wrong = keys_of(name, -margins, classes=2, spread=np.ones(ROWS), dtype=dtype)
        assert np.isfinite(wrong).all() and (np.diff(wrong) < 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FROM_LOGITS)
def test_saturated_classes_rank_strictly(name, dtype):
    """Four classes: ever surer of the label, and ever surer of one wrong class."""
    margins, labels = np.linspace(1, 60, ROWS), np.zeros(ROWS, int)
    with jax.enable_x64(dtype == np.float64):
        context = Context(input_norm=jnp.ones(ROWS, dtype))
        right = one_vs_rest(margins, labels, 4).astype(dtype)
        wrong = one_vs_rest(margins, labels + 1, 4).astype(dtype)
        easier = np.diff(ranks(name, right, labels, context))
        harder = np.diff(ranks(name, wrong, labels, context))
    assert (easier < 0).all()
    if SCORES[name].label_aware and name != "grand":
        assert (harder > 0).all()


def naive_forgetting(context, labels):
    counts = []
    for path, label in zip(np.asarray(context.trajectory), labels, strict=True):
        correct = [int(np.argmax(step)) == label for step in path]
        forgotten = sum(a and not b for a, b in pairwise(correct))
        counts.append(forgotten if any(correct) else len(correct))
    return np.array(counts)


def naive_aum(context, labels):
    values = []
    for path, label in zip(np.asarray(context.trajectory), labels, strict=True):
        values.append(np.mean([step[label] - np.delete(step, label).max() for step in path]))
    return -np.array(values)


def naive_deepfool(logits, context):
    values = []
    for row, slopes in zip(logits, np.asarray(context.gap_gradient), strict=True):
        top = int(np.argmax(row))
        others = [k for k in range(len(row)) if k != top]
        values.append(min((row[top] - row[k]) / slopes[k] for k in others))
    return -np.array(values)


def naive(name, logits, labels, context):
    """The literature's formula, written the short way."""
    p = softmax(logits, axis=-1)
    error = np.linalg.norm(p - np.eye(p.shape[-1])[labels], axis=-1)
    two = np.sort(p, axis=-1)[:, :-3:-1]
    log_p = logits - logsumexp(logits, axis=-1, keepdims=True)
    distance = np.asarray(context.features)[:, None] - np.asarray(context.prototypes)
    return {
        "el2n": lambda: error,
        "grand": lambda: error * np.asarray(context.input_norm),
        "loss": lambda: -log_p[np.arange(len(labels)), labels],
        "entropy": lambda: -np.sum(p * log_p, axis=-1),
        "least-confidence": lambda: 1 - p.max(axis=-1),
        "margin": lambda: 1 - (two[:, 0] - two[:, 1]),
        "random": lambda: np.zeros(len(labels)),
        "forgetting": lambda: naive_forgetting(context, labels),
        "aum": lambda: naive_aum(context, labels),
        "deepfool": lambda: naive_deepfool(logits, context),
        "prototypicality": lambda: np.linalg.norm(distance, axis=-1).min(axis=-1),
    }[name]()


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", NAMES)
def test_published_units_are_the_formula(name, classes):
    rng = np.random.default_rng(classes)
    n = ROWS
    logits, labels = 3 * rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    with jax.enable_x64(True):
        context = Context(
            input_norm=jnp.asarray(rng.uniform(0.5, 2, n)),
            features=jnp.asarray(rng.normal(size=(n, 5))),
            gradient_norm=jnp.asarray(rng.uniform(0.5, 2, n)),
            trajectory=jnp.asarray(rng.normal(size=(n, STEPS, classes))),
            gap_gradient=jnp.asarray(rng.uniform(0.5, 2, (n, classes))),
            prototypes=jnp.asarray(rng.normal(size=(3, 5))),
        )
        value = np.asarray(published(name, logits, labels, context))
        key = np.asarray(ranks(name, logits, labels, context))
    np.testing.assert_allclose(value, naive(name, logits, labels, context), rtol=1e-12, atol=1e-13)
    order = np.argsort(key)
    assert (np.diff(value[order]) >= -1e-14).all()  # publish is increasing


@pytest.mark.parametrize("name", FROM_LOGITS)
def test_ranks_ignore_a_shift_of_all_logits_and_the_shape(name):
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(4, 60, 4)), rng.integers(0, 4, (4, 60))
    with jax.enable_x64(True):
        context = Context(input_norm=jnp.ones((4, 60)))
        keys = np.asarray(ranks(name, logits, labels, context))
        shifted = np.asarray(ranks(name, logits + 7.0, labels, context))
        whole = Context(input_norm=jnp.ones(ROWS))
        flat = ranks(name, logits.reshape(ROWS, 4), labels.ravel(), whole)
    assert keys.shape == (4, 60)
    np.testing.assert_allclose(keys, shifted, rtol=1e-12)
    np.testing.assert_allclose(keys.ravel(), np.asarray(flat), rtol=1e-13)


@pytest.mark.parametrize("name", FROM_LOGITS)
def test_an_impossible_third_class_changes_no_rank(name):
    margins = np.linspace(-30, 30, ROWS)
    labels = np.ones(ROWS, int)
    with jax.enable_x64(True):
        two = np.asarray(binary_logits(margins))
        three = np.concatenate([two, np.full((ROWS, 1), -1e4)], axis=-1)
        context = Context(input_norm=jnp.ones(ROWS))
        a, b = (np.asarray(published(name, logits, labels, context)) for logits in (two, three))
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if SCORES[name].needs])
def test_a_missing_need_is_refused_in_a_sentence(name):
    logits, labels = np.zeros((3, 2)), np.zeros(3, int)
    with pytest.raises(InvalidArgumentError) as refusal:
        SCORES[name].rank_key(logits, labels)
    for part in (name, *SCORES[name].needs):
        assert part in str(refusal.value)


def test_a_need_that_is_declared_reaches_the_score():
    context = Context(input_norm=jnp.array([1.0, 2.0]))
    keys = SCORES["grand"](jnp.zeros((2, 2)), jnp.zeros(2, int), context)
    np.testing.assert_allclose(keys[1] / keys[0], 2.0, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_names_summaries_and_needs_are_complete(name):
    score = SCORES[name]
    assert score.name == name and score.summary.endswith(".") and score.needs <= {*NEEDS}


def test_registration_refuses_doubles_and_unknown_needs():
    with pytest.raises(InvalidArgumentError, match="registered already"):
        register_score("el2n", label_aware=True)(lambda logits, labels, context: logits[..., 0])
    with pytest.raises(InvalidArgumentError, match=r"needs must be among input_norm.*got 'karma'"):
        register_score("karmic", label_aware=True, needs=("karma",))
    assert "karmic" not in SCORES
    with pytest.raises(InvalidArgumentError, match="nearest: el2n"):
        SCORES["el2m"]


def test_a_score_of_one_number_fills_the_shape():
    flat = Score("flat", lambda logits, labels, context: jnp.zeros(()), label_aware=False)
    assert flat.rank_key(np.zeros((3, 4, 2)), np.zeros((3, 4), int)).shape == (3, 4)


@pytest.mark.parametrize("name", ["el2n", "grand", "entropy"])
def test_scores_have_finite_slopes_at_certain_predictions(name):
    """Reverse and forward, also where the error's norm, or a part of it, is exactly 0."""
    score, context = SCORES[name], Context(input_norm=jnp.ones(()))
    rows = [(5, -5, 0), (1000, 0, 0), (0, 1000, 1000), (40, 0, 0), (0, 3, 3), (2, 1, 0), (0, 0, 9)]
    with jax.enable_x64(True):
        logits = jnp.repeat(jnp.array([[*row, 0.5] for row in rows]), 4, axis=0)
        labels = jnp.tile(jnp.arange(4), len(rows))
        function = lambda z, y: score.rank_key(z, y, context)  # noqa: E731
        slopes = [jax.jit(jax.vmap(way(function))) for way in (jax.grad, jax.jacfwd)]
        back, forth = (np.asarray(slope(logits, labels)) for slope in slopes)
        assert np.isfinite(back).all()
        np.testing.assert_allclose(back, forth, rtol=1e-10, atol=1e-13)
        z, values = np.asarray(logits), jax.jit(function)
        plain = (np.abs(z).max(1) < 10) & (z[:, 1] != z[:, 2])
        for i in range(4):
            move = 1e-6 * np.eye(4)[i]
            step = np.asarray(values(z + move, labels) - values(z - move, labels)) / 2e-6
            np.testing.assert_allclose(back[plain, i], step[plain], rtol=1e-6, atol=1e-7)

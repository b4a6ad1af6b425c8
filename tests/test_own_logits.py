"""Scores from people's own logits and embeddings, against formulas written out."""

import numpy as np
import pytest
from scipy.special import softmax

from nfl_pruning.data import make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning import own_logits
from nfl_pruning.pruning.own_logits import score_logits

RNG = np.random.default_rng(0)
N, C, T = 12, 3, 4
Y = np.arange(N) % C
DATA = make_dataset("mine", RNG.normal(size=(N, 2)), Y)
PATH = RNG.normal(size=(T, N, C)) * 2
EMBEDDINGS = RNG.normal(size=(N, 5))


def el2n(logits):
    return np.linalg.norm(softmax(logits, axis=-1) - np.eye(C)[Y], axis=-1)


def aum():
    own = PATH[:, np.arange(N), Y]
    others = np.where(np.eye(C, dtype=bool)[Y], -np.inf, PATH).max(axis=-1)
    return (others - own).mean(axis=0)


def forgetting():
    right = PATH.argmax(axis=-1) == Y
    events = (right[:-1] & ~right[1:]).sum(axis=0)
    return np.where(right.any(axis=0), events, T)


def last_layer():
    """The gradient of the loss in the last layer's weights and bias, by the outer product."""
    error = softmax(PATH[-1], axis=-1) - np.eye(C)[Y]
    inputs = np.hstack([EMBEDDINGS, np.ones((N, 1))])
    return np.linalg.norm(np.einsum("ik,ij->ikj", error, inputs).reshape(N, -1), axis=1)


CASES = {
    "el2n": (PATH[-1], None, el2n(PATH[-1])),
    "el2n over epochs": (PATH, None, el2n(PATH).mean(axis=0)),
    "aum": (PATH, None, aum()),
    "forgetting": (PATH, None, forgetting()),
    "grand": (PATH[-1], EMBEDDINGS, last_layer()),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [1, 10**6], ids=["chunks of a row", "whole"])
def test_scores_are_their_formulas(case, rows, monkeypatch):
    logits, embeddings, expected = CASES[case]
    monkeypatch.setattr(own_logits, "NUMBERS_PER_CHUNK", rows)
    found = score_logits(DATA, logits, score=case.split()[0], embeddings=embeddings)
    np.testing.assert_allclose(found.values, expected, rtol=1e-9)
    assert not np.allclose(found.values, expected[::-1])


def test_prototypicality_needs_no_logits():
    found = score_logits(DATA, score="prototypicality", embeddings=EMBEDDINGS)
    with_logits = score_logits(DATA, PATH[0], score="prototypicality", embeddings=EMBEDDINGS)
    np.testing.assert_allclose(found.values, with_logits.values)
    assert found.values.shape == (N,) and (found.values >= 0).all()
    clusters = 100 * np.eye(C, 5)[np.arange(N) % C]  # four rows about each of three centres
    clusters[:, 4] = np.repeat([1.0, -1.0, 2.0, -2.0], C)
    distances = score_logits(DATA, score="prototypicality", embeddings=clusters).values
    np.testing.assert_allclose(distances, np.abs(clusters[:, 4]), rtol=1e-6)


def test_columns_are_labels_where_these_are_whole_numbers():
    gaps = make_dataset("gaps", DATA.x, np.array([0, 2, 5])[Y])
    wide = np.full((N, 6), -30.0)
    wide[:, [0, 2, 5]] = PATH[-1]
    np.testing.assert_allclose(score_logits(gaps, wide).values, el2n(PATH[-1]), rtol=1e-6)
    names = make_dataset("names", DATA.x, np.array(["a", "b", "c"])[Y])
    np.testing.assert_allclose(score_logits(names, PATH[-1]).values, el2n(PATH[-1]))
    with pytest.raises(InvalidArgumentError, match="3 classes; got 6"):
        score_logits(names, wide)


def test_tensors_are_welcome():
    torch = pytest.importorskip("torch")
    found = score_logits(DATA, torch.tensor(PATH[-1], requires_grad=True))
    np.testing.assert_allclose(found.values, el2n(PATH[-1]))


@pytest.mark.parametrize(
    ("logits", "how", "words"),
    [
        (softmax(PATH[-1], axis=-1), {}, "probabilities"),
        (PATH[-1][:-1], {}, r"\(12, classes\)"),
        (PATH[-1], {"score": "forgetting"}, "epochs"),
        (PATH[-1], {"score": "grand"}, "embeddings"),
        (None, {"score": "el2n"}, "needs logits"),
        (PATH[-1], {"score": "deepfool"}, "gap_gradient"),
        (PATH[-1], {"score": "grand", "embeddings": EMBEDDINGS[1:]}, r"\(12, width\)"),
        (np.where(PATH[-1] > 0, np.nan, PATH[-1]), {}, "finite"),
        (PATH[-1].astype(str), {}, "real numbers"),
    ],
)
def test_what_does_not_fit_is_refused(logits, how, words):
    with pytest.raises(InvalidArgumentError, match=words):
        score_logits(DATA, logits, **how)

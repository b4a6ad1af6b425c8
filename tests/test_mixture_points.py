"""Points of many classes: rare labels have fewer, and nothing else changes."""

import numpy as np
import pytest

from nfl_pruning import solve
from nfl_pruning.inputs import Mixture
from nfl_pruning.theory.mixture.many_classes import points
from nfl_pruning.theory.mixture.many_classes.points import labelled_points, normal_points
from test_mixture_limit import three_classes, three_problem

N, SIZE = 1024, 5


def noisy(n_classes, noise):
    """The law of labels that are wrong with a probability, each wrong one alike."""
    right = np.eye(n_classes)
    return (1 - noise) * right + noise * (1 - right) / (n_classes - 1)


def test_certain_labels_have_the_points_of_their_component():
    found = labelled_points(np.eye(3), N, SIZE, np.random.SeedSequence(4))
    children = np.random.SeedSequence(4).spawn(3)
    np.testing.assert_array_equal(
        found[3], np.concatenate([normal_points(N, SIZE, child) for child in children])
    )
    np.testing.assert_array_equal(found[0], np.repeat(np.arange(3), N))
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], np.full(3 * N, 1 / N))


def test_rare_labels_have_fewer_points_of_their_own():
    law = noisy(10, 0.1)
    component, label, mass, x = labelled_points(law, N, SIZE, np.random.SeedSequence(4))
    assert len(x) == 10 * (N + 9 * N // 8)  # the root of 0.011 is above 1/16 and below 1/8
    total = np.zeros_like(law)
    np.add.at(total, (component, label), mass)
    np.testing.assert_allclose(total, law, rtol=1e-12)
    firsts = []
    for y in range(10):
        own = x[(component == 0) & (label == y)]
        np.testing.assert_allclose(own.mean(0), 0, atol=1e-14)
        np.testing.assert_allclose(own.T @ own / len(own), np.eye(SIZE), atol=1e-12)
        firsts.append(own[0, 0])
    assert len(set(firsts)) == 10  # no label borrows another's


def test_labels_of_next_to_no_share_have_enough_points_to_be_whitened():
    law = np.array([[1 - 1e-9, 1e-9]])
    _, label, _, x = labelled_points(law, N, SIZE, np.random.SeedSequence(1))
    rare = x[label == 1]
    assert len(rare) == 32  # the power of two above four times the dimensions
    np.testing.assert_allclose(rare.T @ rare / len(rare), np.eye(SIZE), atol=1e-12)


@pytest.mark.parametrize(
    ("score", "changes"),
    [
        ("entropy", {"balance": "equal", "exploit": 0.5, "selection": "exact"}),
        pytest.param("el2n", {}, marks=pytest.mark.slow),
    ],
)
def test_limits_are_those_of_as_many_points_for_every_label(score, changes, monkeypatch):
    clean, _ = three_classes()

    def of(noise):
        mixture = Mixture(clean.weights, clean.means, clean.covariances, noisy(3, noise))
        problem = three_problem(score, "hardest", 0.4, inputs=mixture).replace(**changes)
        return solve(problem, tolerance=1e-3)

    fewer, wrong = of(0.1), of(0.12)
    monkeypatch.setattr(points, "_count", lambda n_points, *_: n_points)
    as_many = of(0.1)
    assert fewer.status == as_many.status == "certified"
    error = np.hypot(fewer.error_estimate, as_many.error_estimate)
    for name in ("test_error", "test_loss"):
        assert 0 < abs(getattr(fewer, name) - getattr(as_many, name)) < 4 * error
    assert abs(wrong.test_error - as_many.test_error) > 10 * error  # the control: other labels

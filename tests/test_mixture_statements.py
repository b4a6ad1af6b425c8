"""What the statements on mixtures rest on: their settings are what they claim, and can fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from nfl_pruning.inputs import Mixture
from nfl_pruning.statements.mixtures import clustered_labels, three_classes, verifier
from nfl_pruning.theory.solve import solve


def test_clusters_have_the_covariance_and_the_logistic_labels_of_the_single_gaussian():
    law = clustered_labels.clusters("random", 3).inputs
    assert isinstance(law, Mixture)
    whole = sum(
        p * (law.covariance(c) + np.outer(law.means[c], law.means[c]))
        for c, p in enumerate(law.weights)
    )
    np.testing.assert_allclose(whole, np.eye(3), atol=1e-12)
    x = np.random.default_rng(0).normal(size=(5, 3))
    spreads: list[Any] = [law.covariance(c) for c in range(2)]  # scipy's hints know numbers alone
    one, two = (multivariate_normal(law.means[c], spreads[c]).logpdf(x) for c in range(2))
    np.testing.assert_allclose(two - one, clustered_labels.SIGNAL * x[:, 0], atol=1e-10)
    assert not np.allclose(two - one, 2 * clustered_labels.CENTRE * x[:, 0])  # of variance 1


@pytest.mark.parametrize("changes", [{}, {"ridge": 0.5, "loss": "squared"}])
def test_the_transition_is_where_as_many_wrong_labels_stay_as_right_ones(changes):
    def error(rate):
        problem = verifier.problem_of(4.0, rate).replace(**changes)
        return verifier.clean(solve(problem).test_error)

    assert abs(error(verifier.TRANSITION) - 0.5) < 1e-8
    assert error(verifier.TRANSITION - 0.05) < 0.49  # the control: a rate beside it
    assert error(verifier.TRANSITION + 0.05) > 0.51


def test_scores_of_three_classes_keep_a_predicted_part_in_common():
    share, error = three_classes.expected_overlap()
    assert error < 0.002
    assert 0.5 < share < 0.95  # neither one rule nor chance, which has 0.2
    found = three_classes.measured_overlap("quick", 3)
    assert abs(found.mean() - share) < 5 * np.hypot(error, found.std(ddof=1) / np.sqrt(len(found)))


def test_scores_of_two_classes_keep_the_same(monkeypatch):
    """The control: where there is one order, nothing differs."""
    monkeypatch.setattr(three_classes, "PAIR", ("el2n", "el2n"))
    assert np.all(three_classes.measured_overlap("quick", 3) == 1)

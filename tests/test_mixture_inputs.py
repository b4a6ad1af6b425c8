"""Mixtures, their probes and an oracle: what they mean, refuse and say of themselves."""

# Texts stand for objects here, and wrong ones are given on purpose.
# pyright: reportArgumentType=false

import json
import pickle

import jax
import numpy as np
import pytest

from nfl_pruning import Problem, simulate, solve
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import LowRank, Mixture, parse_inputs
from nfl_pruning.inputs.mixture import simplex_corners
from nfl_pruning.inputs.mixture_draw import bucket
from nfl_pruning.probes import CrossFitProbe, WeightsProbe, parse_probe
from nfl_pruning.scores.base import Context
from nfl_pruning.selections import Verifier, make_selection
from nfl_pruning.selections.finite import propensity_probabilities
from nfl_pruning.theory.mixture.limit import _as_wide_as_the_probe

KEY = jax.random.key(3)
RNG = np.random.default_rng(5)
ROOTS = RNG.normal(size=(2, 4, 4))
MEANS = RNG.normal(size=(2, 4))
FORMS = {
    "scalar": np.array([0.5, 2.0]),
    "diagonal": np.array([[0.1, 1.0, 2.0, 0.0], [1.0, 0.5, 3.0, 0.2]]),
    "full": ROOTS @ ROOTS.transpose(0, 2, 1),
    "low-rank": LowRank(np.array([[0.1, 1.0, 2.0, 0.0], [1.0, 0.5, 3.0, 0.2]]), ROOTS[:, :, :2]),
}


def mixture(form="full", labels=(0, 1)):
    return Mixture([0.3, 0.7], MEANS, FORMS[form], labels)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": [0.5, 0.4]}, "weights must sum to 1; got 0.9"),
        ({"weights": [1.5, -0.5]}, "weights must be positive; got -0.5"),
        ({"weights": "many"}, "weights must be finite numbers"),
        ({"means": np.zeros((3, 4))}, "means must be one for each of the 2 weights; got 3"),
        ({"means": [[0, np.nan], [0, 0]]}, "means must be finite numbers"),
        ({"covariances": -1.0}, "scalar covariances must be positive; got -1"),
        ({"covariances": np.ones((2, 3))}, "must have the 4 features of the means; got 3"),
        ({"covariances": np.ones((3,))}, "one for each of the 2 weights; got 3"),
        ({"covariances": -np.ones((2, 4))}, "diagonal covariances must be at least 0; got -1"),
        ({"covariances": -np.eye(4) + np.zeros((2, 4, 4))}, "no negative eigenvalue"),
        ({"covariances": np.triu(np.ones((2, 4, 4)))}, "must be symmetric; that of component 0"),
        ({"covariances": {"full": 1, "scalar": 2}}, "scalar, diagonal, full, or diagonal and"),
        ({"labels": [0, 2]}, "every class up to the largest code must have a component; 1 has"),
        ({"labels": [0.5, 1]}, "labels must be class codes"),
        ({"labels": [[0.5, 0.4], [0, 1]]}, "labels of a component must sum to 1; got 0.9"),
        ({"labels": [[1.0], [1.0]]}, "at least 2 classes; got 1"),
        ({"labels": [[1.0, 0], [1, 0]]}, "class 1 has none"),
        ({"labels": [0, 1, 2]}, "for each of the 2 components"),
    ],
)
def test_what_is_no_mixture_is_refused_in_one_sentence(change, sentence):
    given = {"weights": [0.3, 0.7], "means": MEANS, "covariances": FORMS["full"], "labels": [0, 1]}
    Mixture(**given)  # the control: unchanged it is one
    with pytest.raises(InvalidArgumentError, match=sentence) as refusal:
        Mixture(**given | change)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("form", FORMS)
def test_samples_have_the_moments_that_were_asked_for(form):
    """40,000 samples: four standard errors of every mean and covariance, and shares."""
    law = mixture(form, [[0.9, 0.1], [0.2, 0.8]])
    x, component, y = law.draw(KEY, 40_000)
    assert y is not None and x.dtype == np.float64
    for c in range(2):
        rows = x[component == c]
        n, sigma = len(rows), law.covariance(c)
        assert abs(n / 40_000 - law.weights[c]) < 4 * (0.21 / 40_000) ** 0.5
        spread = np.diag(sigma)
        assert (np.abs(rows.mean(0) - MEANS[c]) <= 4 * np.sqrt(spread / n) + 1e-12).all()
        error = np.sqrt((sigma**2 + np.outer(spread, spread)) / n)
        assert (np.abs(np.cov(rows.T) - sigma) <= 4.5 * error + 1e-12).all()
        share = law.label_law[c, 1]
        assert abs(y[component == c].mean() - share) < 4 * (share * (1 - share) / n) ** 0.5
    assert not np.allclose(law.covariance(0), law.covariance(1))  # else components could be swapped
    np.testing.assert_allclose(law.times(1, np.eye(4)), law.covariance(1))
    np.testing.assert_allclose(
        law.covariances.traces(4), [np.trace(law.covariance(c)) for c in range(2)]
    )


def test_equal_keys_give_equal_samples_whatever_their_number():
    law = mixture()
    few, many = law.draw(KEY, 30), law.draw(KEY, 32)
    assert bucket(30) == bucket(32)  # the same size is drawn, and cut
    np.testing.assert_array_equal(few[0], many[0][:30])
    other = law.draw(jax.random.fold_in(KEY, 1), 30)
    assert not np.allclose(few[0], other[0])


def test_sizes_are_few_and_waste_little():
    sizes = {bucket(n) for n in range(8, 10_001)}
    assert len(sizes) < 50
    assert all(n <= bucket(n) <= 1.25 * n + 2 for n in range(8, 10_001))


def test_scalar_covariances_stand_for_any_number_of_features():
    law = mixture("scalar")
    assert law.any_size and not mixture().any_size
    x = law.draw(KEY, 5, 9)[0]
    assert x.shape == (5, 9)
    np.testing.assert_allclose(law.input_norms() ** 2, FORMS["scalar"])
    full = mixture().input_norms() ** 2
    expected = [(np.trace(FORMS["full"][c]) + MEANS[c] @ MEANS[c]) / 4 for c in range(2)]
    np.testing.assert_allclose(full, expected)
    with pytest.raises(InvalidArgumentError, match="n_features must be at least the mixture's 4"):
        law.draw(KEY, 5, 3)
    with pytest.raises(InvalidArgumentError, match="n_features must be the mixture's 4; got 9"):
        mixture().draw(KEY, 5, 9)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_corners_of_a_simplex(k):
    corners = simplex_corners(k)
    expected = np.full((k, k), -1 / (k - 1)) + (1 + 1 / (k - 1)) * np.eye(k)
    np.testing.assert_allclose(corners @ corners.T, expected, atol=1e-14)
    assert corners[0, 0] == 1
    law = Mixture.simplex(k, 2.0, label_noise=0.1)
    np.testing.assert_allclose(law.label_law.sum(1), 1)
    np.testing.assert_allclose(np.diag(law.label_law), 0.9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("labels", [(0, 1), [[0.9, 0.1], [0.2, 0.8]], None])
def test_json_and_text_make_the_same_mixture_again(form, labels, tmp_path):
    law = mixture(form, labels)
    assert Mixture.from_dict(json.loads(json.dumps(law.to_dict()))) == law
    path = law.save(tmp_path / "law.json")
    again = parse_inputs(f"components:{path}")
    assert again == law and hash(again) == hash(law)
    assert parse_inputs(again.label) == law
    problem = Problem(inputs=again, probe="cross-fit:5:0.1", intercept=True, balance="equal")
    assert Problem(**problem.describe()) == problem
    assert pickle.loads(pickle.dumps(problem)) == problem
    assert problem.replace(intercept=False) != problem != problem.replace(balance="none")


def test_mixtures_that_differ_have_other_names(tmp_path):
    law = mixture()
    others = [
        Mixture([0.31, 0.69], MEANS, FORMS["full"], [0, 1]),
        Mixture([0.3, 0.7], MEANS + 1e-9, FORMS["full"], [0, 1]),
        Mixture([0.3, 0.7], MEANS, FORMS["full"] * (1 + 1e-9), [0, 1]),
        Mixture([0.3, 0.7], MEANS, FORMS["full"], [1, 0]),
        mixture(labels=None),
    ]
    names = {one.label for one in (law, *others)}
    assert len(names) == 6 and law.label == mixture().label
    path = others[0].save(tmp_path / "law.json")
    read = parse_inputs(f"components:{path}")
    law.save(path)  # another law under the old name
    with pytest.raises(InvalidArgumentError, match="holds another mixture"):
        parse_inputs(read.label)


@pytest.mark.parametrize("text", ["{", "[1]", '{"weights": [1]}', '{"weight": [1]}'])
def test_a_file_that_is_no_mixture_is_refused(text, tmp_path):
    path = tmp_path / "law.json"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError):
        parse_inputs(f"components:{path}")
    with pytest.raises(InvalidArgumentError, match="with a file that exists"):
        parse_inputs("components:nowhere.json")


def test_probes_of_given_weights(tmp_path):
    margin = WeightsProbe([1.0, 2.0], 0.5)
    assert margin.n_classes == 2
    np.testing.assert_array_equal(margin.matrix, [[0, 0], [1, 2]])
    np.testing.assert_array_equal(margin.offsets, [0, 0.5])
    three = WeightsProbe(np.ones((3, 2)), [1, 2, 3])
    assert (three.n_classes, three.n_features) == (3, 2)
    path = three.save(tmp_path / "probe.json")
    again = parse_probe(f"weights:{path}")
    assert again == three and parse_probe(again.label) == three
    assert three != WeightsProbe(np.ones((3, 2)), [1, 2, 4])
    for wrong, sentence in (
        (([[1.0, 2.0]],), "at least 2 logits"),
        ((np.ones((3, 2)), [1, 2]), r"intercepts must have shape \(3,\)"),
        (([np.inf],), "must be finite"),
    ):
        with pytest.raises(InvalidArgumentError, match=sentence):
            WeightsProbe(*wrong)
    with pytest.raises(InvalidArgumentError, match=r"weights:FILE.json"):
        parse_probe("weights:nowhere.json")


def test_a_cross_fitted_probe_has_whole_folds():
    assert parse_probe("cross-fit:5:0.1") == CrossFitProbe(5, 0.1)
    assert parse_probe(CrossFitProbe(5, 0.1).label) == CrossFitProbe(5, 0.1)
    for text in ("cross-fit:1:0.1", "cross-fit:2.5:0.1", "cross-fit:5:0", "cross-fit:5"):
        with pytest.raises(InvalidArgumentError):
            parse_probe(text)


def test_a_verifier_keeps_by_truth_alone():
    right = np.array([True, False, True, True, False])
    rule = make_selection("verifier:0.8:0.2")
    assert isinstance(rule, Verifier) and rule.label == "verifier:0.8:0.2"
    context = Context(label_is_right=right, component=np.zeros(5, int))
    key = rule.base.rank_key(np.zeros((5, 2)), np.zeros(5, int), context)
    chance = np.asarray(propensity_probabilities(rule.log_propensity(key), 0.28))
    np.testing.assert_allclose(chance, np.where(right, 0.4, 0.1), rtol=1e-5)
    perfect = np.asarray(propensity_probabilities(Verifier(1, 0).log_propensity(key), 0.3))
    np.testing.assert_allclose(perfect, np.where(right, 0.5, 0.0), rtol=1e-5, atol=1e-12)
    filled = np.asarray(propensity_probabilities(Verifier(1, 0).log_propensity(key), 0.8))
    np.testing.assert_allclose(filled, np.where(right, 1.0, 0.5), rtol=1e-5)
    with pytest.raises(InvalidArgumentError, match="needs label_is_right"):
        rule.base.rank_key(np.zeros((5, 2)), np.zeros(5, int))
    with pytest.raises(InvalidArgumentError, match="must keep something"):
        Verifier(0, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"intercept": True}, "an intercept"),
        ({"balance": "equal"}, "balance 'equal'"),
        ({"probe": "cross-fit:5:0.1"}, "probe 'cross-fit"),
        ({"probe": WeightsProbe([1.0])}, "probe 'weights"),
    ],
)
def test_a_spectrum_refuses_what_it_does_not_know(change, words):
    """Theory and trials say so, rather than leave it out: the same problem without it is solved."""
    problem = Problem(inputs="power:1:1:20", keep_fraction=0.5, probe="fixed:0.5", ridge=0.1)
    assert problem.only_for_mixtures == ""
    changed = problem.replace(**change)
    found = solve(changed)
    assert found.status.name == "UNSUPPORTED" and words in found.message
    with pytest.raises(InvalidArgumentError, match=words):
        simulate(changed, n_trials=1, n_features=20)


def test_entries_that_mean_nothing_are_refused():
    with pytest.raises(InvalidArgumentError, match="intercept must be True or False; got 1"):
        Problem(intercept=1)
    with pytest.raises(InvalidArgumentError, match="balance must be one of"):
        Problem(balance="fair")
    with pytest.raises(InvalidArgumentError, match="class quotas need a protocol"):
        Problem(balance="equal", selection="verifier:1:0")


def test_a_probe_may_have_more_coordinates_than_the_means():
    """Of scalar covariances: the limit then takes the means in the probe's coordinates."""
    law = mixture("scalar")
    wide = _as_wide_as_the_probe(Problem(inputs=law, probe=WeightsProbe(np.ones(6))), law)
    np.testing.assert_array_equal(wide.means, np.pad(MEANS, ((0, 0), (0, 2))))
    same = _as_wide_as_the_probe(Problem(inputs=law, probe=WeightsProbe(np.ones(3))), law)
    assert same is law
    full = Problem(inputs=mixture(), probe=WeightsProbe(np.ones(6)), keep_fraction=0.5)
    found = solve(full)
    assert found.status.name == "UNSUPPORTED" and "the mixture only 4" in found.message
    with pytest.raises(InvalidArgumentError, match="at most the mixture's 4 features; got 6"):
        simulate(full, n_trials=1)

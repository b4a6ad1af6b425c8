"""Softmax fits, fitted mixtures, and what is seen of data before they are trusted."""

import numpy as np
import pytest

from mixture_reference import fit_margin
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.realdata.diagnostics import HeldOut, near_copies, repeated, tails
from nfl_pruning.realdata.fitted.clusters import likely_classes
from nfl_pruning.realdata.fitted.fitting import fit_components, fit_mixture, log_densities, widened
from nfl_pruning.realdata.fitted.shrinkage import means_without_noise, shrunk_eigenvalues
from nfl_pruning.realdata.fitted.space import fit_space
from nfl_pruning.realdata.rounds.probing import parse_rows_probe
from nfl_pruning.realdata.rounds.softmax import ABSENT, fit_softmax


def rows(seed=0, n=600, d=8, n_classes=3, distance=1.5, clusters=1):
    """Rows of a mixture whose classes each own clusters, and their codes."""
    rng = np.random.default_rng(seed)
    means = distance * np.random.default_rng(99).normal(size=(n_classes, clusters, d))
    y, own = rng.integers(n_classes, size=n), rng.integers(clusters, size=n)
    return means[y, own] + rng.normal(size=(n, d)), y


def test_two_classes_are_the_margin_with_its_ridge():
    x, y = rows(n=300, n_classes=2)
    weights = np.random.default_rng(1).uniform(0.5, 3, 300)
    found = fit_softmax(x, y, 2, ridge=0.02, weights=weights, n=500, tolerance=1e-10)
    expected = fit_margin(x, 2 * y - 1, 0.02, weights, n=500)
    other = fit_margin(x, 2 * y - 1, 0.04, weights, n=500)
    np.testing.assert_allclose(found.weights[:, 1], expected[:-1], atol=2e-6)
    assert np.abs(found.weights[:, 1] - other[:-1]).max() > 1e-3  # a control: twice the ridge
    assert (found.weights[:, 0] == 0).all() and found.gradient < 1e-9


def test_two_logits_at_twice_the_ridge_are_one_margin():
    x, y = rows(n=200, n_classes=2)
    margin = fit_softmax(x, y, 2, ridge=0.05, tolerance=1e-10)
    pair = fit_softmax(x, y, 3, ridge=0.1, tolerance=1e-10)  # class 2 does not occur
    gap = pair.weights[:, 1] - pair.weights[:, 0]
    np.testing.assert_allclose(gap, margin.weights[:, 1], atol=1e-7)
    assert pair.intercepts[2] == ABSENT and (pair.logits(x).argmax(axis=1) < 2).all()


def test_the_gradient_is_zero_and_a_start_changes_nothing():
    x, y = rows(n=400)
    x = x * np.geomspace(1, 1e-3, x.shape[1])  # badly conditioned
    found = fit_softmax(x, y, 3, ridge=0.01, tolerance=1e-9)
    chance = np.exp(found.logits(x) - found.logits(x).max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    slope = x.T @ (chance - np.eye(3)[y]) / 400 + 0.01 * found.weights
    assert np.abs(slope).max() < 1e-8
    assert np.abs(slope + 0.01 * found.weights).max() > 1e-4  # a control: another ridge
    again = fit_softmax(x, y, 3, ridge=0.01, tolerance=1e-9, start=found)
    np.testing.assert_allclose(again.weights, found.weights, atol=1e-6)


def test_one_class_alone_is_predicted_everywhere():
    x, _ = rows(n=50)
    found = fit_softmax(x, np.full(50, 2), 4, ridge=0.1)
    assert (found.logits(x).argmax(axis=1) == 2).all()


def test_shrinkage_undoes_the_noise_of_eigenvalues():
    rng, true = np.random.default_rng(0), np.geomspace(1, 50, 60)
    x = rng.normal(size=(150, 60)) * np.sqrt(true)
    values, axes = np.linalg.eigh(x.T @ x / 150)
    best = np.diag(axes.T @ np.diag(true) @ axes)  # what no one can see
    error = np.abs(np.log(shrunk_eigenvalues(values, 150) / best)).mean()
    plain = np.abs(np.log(values / best)).mean()
    assert error < 0.12 < 0.3 < plain


def test_means_keep_their_signal_and_lose_their_noise():
    rng, d = np.random.default_rng(0), 100
    sizes, signal = np.full(10, 50), np.zeros((10, d))
    signal[:, 0] = np.linspace(-3, 3, 10)
    noisy = signal + rng.normal(size=(10, d)) / np.sqrt(50)
    found = means_without_noise(noisy - noisy.mean(axis=0), sizes)
    assert ((found - signal) ** 2).sum() < 0.5 * ((noisy - signal) ** 2).sum()
    assert np.abs(found[:, 0] - signal[:, 0]).max() < 0.6


def test_the_number_of_components_is_chosen_on_held_out_rows():
    few = {"candidates": (1, 3), "wrong_labels": False}
    many, one = (
        fit_components(*rows(n=900, clusters=count, distance=3), 3, rng=rng, **few)
        for count, rng in ((3, np.random.default_rng(0)), (1, np.random.default_rng(0)))
    )
    assert many.per_class >= 3 and one.per_class == 1
    assert many.held_out["3"] > many.held_out["1"]


def test_a_fitted_mixture_gives_new_rows_the_density_of_the_true_one():
    x, y = rows(n=2000, distance=2)
    found = fit_components(x, y, 3, rng=np.random.default_rng(0), components=1)
    new, codes = found.draw(np.random.default_rng(1), 4000)
    for label in range(3):
        assert abs((codes == label).mean() - (y == label).mean()) < 0.03
        gap = new[codes == label].mean(axis=0) - x[y == label].mean(axis=0)
        assert np.abs(gap).max() < 0.15
        inner = np.cov(new[codes == label].T) - np.eye(8)
        assert np.abs(inner).max() < 0.2
    wide = widened(found, 2.0)
    assert log_densities(wide.components, x).max(axis=1).mean() < -8  # a control: too wide
    spread = np.cov(wide.draw(np.random.default_rng(1), 4000)[0].T).trace()
    assert spread > np.cov(new.T).trace() + 15  # 8 features, variances 4 instead of 1


def test_wrong_labels_are_seen_where_they_are_and_not_elsewhere():
    x, y = rows(n=1500, distance=3)
    rng = np.random.default_rng(3)
    flip = rng.random(1500) < 0.12
    noisy = np.where(flip, rng.integers(3, size=1500), y)
    found = fit_components(x, noisy, 3, rng=np.random.default_rng(0), components=1)
    clean = fit_components(x, y, 3, rng=np.random.default_rng(0), components=1)
    assert abs(found.wrong_labels - (noisy != y).mean()) < 0.03
    assert clean.wrong_labels == 0
    laws = np.stack([c.labels for c in found.components])
    assert 0.85 < laws.max(axis=1).mean() < 0.97
    assert (likely_classes(x, noisy, 3, 0)[0] == y).mean() > 0.96


def test_from_data_makes_inputs_of_a_problem():
    x, y = rows(n=300)
    found = Mixture.from_data(x, np.array(["a", "b", "c"])[y], components=1)
    assert found.n_classes == 3 and found.n_features == 8 and found.n_components == 3
    np.testing.assert_allclose(found.means[0], x[y == 0].mean(axis=0), atol=0.2)
    again = fit_mixture(x, y, components=1)
    assert again == found
    assert fit_mixture(x + 1.0, y, components=1) != found


def test_many_features_have_structure_instead_of_full_covariances():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(300, 5))
    y = rng.integers(2, size=400)
    x = (rng.normal(size=(400, 5)) + 2 * y[:, None]) @ factors.T + rng.normal(size=(400, 300))
    found = fit_mixture(x, y, components=1, directions=20)
    assert found.n_features == 300 and found.covariances.form == "low-rank"
    total = np.cov((x - np.stack([x[y == k].mean(axis=0) for k in (0, 1)])[y]).T).trace()
    assert abs(np.trace(found.covariance(0)) / total - 1) < 0.25


def test_the_space_is_a_rotation_that_says_what_it_drops():
    x, _ = rows(n=500, d=12)
    space = fit_space(x, scale="none", rng=np.random.default_rng(0))
    np.testing.assert_allclose(
        np.linalg.norm(space(x), axis=1), np.linalg.norm(x - x.mean(axis=0), axis=1)
    )
    few = fit_space(x, scale="none", most=3, rng=np.random.default_rng(0))
    lost = 1 - few(x).var(axis=0).sum() / x.var(axis=0).sum()
    assert few.dropped == pytest.approx(lost) and "rest holds" in few.sentence


def test_copies_are_counted_and_other_rows_are_not():
    x, y = rows(n=200)
    assert repeated(x, y) == (0.0, 0.0)
    twice = np.concatenate([x, x[:50]])
    copies, conflicting = repeated(twice, np.concatenate([y, (y[:50] + 1) % 3]))
    assert copies == pytest.approx(0.2) and conflicting == pytest.approx(0.4)
    rng = np.random.default_rng(0)
    assert near_copies(rng, x) == 0.0
    shaken = np.concatenate([x, x[:100] + 1e-4 * rng.normal(size=(100, 8))])
    assert near_copies(rng, shaken) == pytest.approx(2 / 3, abs=0.02)
    assert near_copies(rng, x, x[:20]) == 1.0 and near_copies(rng, x, rows(seed=5)[0]) == 0.0


def test_heavy_tails_show_and_normal_rows_have_none():
    rng, found = np.random.default_rng(0), {}
    for name in ("normal", "heavy"):
        x, y = rows(n=2000, d=20)
        if name == "heavy":
            x = x + rng.standard_t(3, size=x.shape) * 2
        mixture = fit_components(x[:1000], y[:1000], 3, rng=rng, wrong_labels=False, components=1)
        directions = np.linalg.qr(rng.normal(size=(20, 3)))[0]
        found[name] = tails([HeldOut(mixture, x[1000:], y[1000:], directions)])
    assert found["normal"][0] < 1.3 and found["normal"][1] < 1
    assert found["heavy"][0] > 1.5 and found["heavy"][1] > 1


@pytest.mark.parametrize("text", ["pilot:0", "pilot:0.6", "cross-fit:1", "cross-fit:2.5", "x", ""])
def test_a_probe_that_is_none_is_refused(text):
    with pytest.raises(InvalidArgumentError, match="probe must be"):
        parse_rows_probe(text)


@pytest.mark.parametrize("text", ["pilot:0.3", "cross-fit:4", "in-sample"])
def test_a_probe_scores_every_row_and_reads_back(text):
    x, y = rows(n=200)
    probe = parse_rows_probe(text)
    logits = probe.logits(np.random.default_rng(0), x, y, 3)
    assert probe.label == text and logits.shape == (200, 3) and np.isfinite(logits).all()
    assert (logits.argmax(axis=1) == y).mean() > 0.7


def test_cross_fitted_logits_have_not_seen_their_rows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 60)), rng.integers(2, size=120)  # nothing to learn
    honest = parse_rows_probe("cross-fit:4").logits(rng, x, y, 2)
    seen = parse_rows_probe("in-sample").logits(rng, x, y, 2)
    assert (honest.argmax(axis=1) == y).mean() < 0.65 < 0.85 < (seen.argmax(axis=1) == y).mean()

"""Trials of mixtures: the fit, exact population values, selections, and section 8's limits."""

# Trials may hold arrays or None; a test fails where that is wrong.
# pyright: reportArgumentType=false

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.special import expit, ndtr
from sklearn.linear_model import LogisticRegression

from nfl_pruning import Problem, simulate
from nfl_pruning.cli.main import main
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.inputs import Mixture
from nfl_pruning.losses import LOSSES
from nfl_pruning.montecarlo import paired, training_set
from nfl_pruning.montecarlo.components.trial import make_job, prune_trial, root_key
from nfl_pruning.montecarlo.fits.logits import LogitLoss, fit_logits, minimise
from nfl_pruning.probes import WeightsProbe
from nfl_pruning.records import RecordStore
from nfl_pruning.scores.base import SCORES, Context
from nfl_pruning.selections import SELECTIONS, PropensitySelection, make_selection
from nfl_pruning.theory.mixture.worth import Outputs, largest_probabilities, worth
from nfl_pruning.theory.observables import observables

LOGISTIC, SQUARED = LOSSES["logistic"], LOSSES["squared"]
THREE = Mixture.simplex(3, 1.5, [1, 1, 0.6], [0.5, 0.3, 0.2])
CORNERS = THREE.means / 1.5
PROBE = WeightsProbe(1.2 * np.hstack([0.8 * CORNERS, 0.6 * CORNERS]), [0.3, 0, -0.3])
TWO = Mixture([0.6, 0.4], [[-1.0, 0], [1, 0]], [1, 0.5], [0, 1])
MARGIN = WeightsProbe([1.2, 0.9], 0.2)
BASE = Problem(
    samples_per_feature=6, keep_fraction=0.3, inputs=THREE, probe=PROBE, ridge=0.02, intercept=True
)
BASE_2 = BASE.replace(inputs=TWO, probe=MARGIN, samples_per_feature=5)
RNG = np.random.default_rng(2)


def rows(k, n=300, d=20):
    x, _, y = Mixture.simplex(k, 2.0).draw(jax.random.key(k), n, d)
    assert y is not None
    weights = np.where(RNG.random(n) < 0.3, 0.0, RNG.choice([1.0, 20.0], n)) / n
    return x, y, weights


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_fits_are_those_of_scikit_learn(k, intercept):
    """Heavy weights, dropped rows; C is 1 / (ridge n) with n counted before pruning."""
    x, y, weights = rows(k)
    ours = fit_logits(x, y, weights, ridge=0.02, loss=LOGISTIC, n_classes=k, intercept=intercept)
    assert ours.code == 0 and ours.gradient_norm < 1e-11
    solver = "newton-cholesky" if k == 2 else "newton-cg"
    theirs = LogisticRegression(
        C=1 / 0.02, tol=1e-12, max_iter=10_000, solver=solver, fit_intercept=intercept
    ).fit(x, y, sample_weight=weights)
    np.testing.assert_allclose(ours.weights, theirs.coef_, atol=1e-6)
    shift = 0 if k == 2 else ours.intercepts.mean() - theirs.intercept_.mean()
    np.testing.assert_allclose(ours.intercepts - shift, theirs.intercept_, atol=1e-6)
    other = fit_logits(x, y, weights, ridge=0.021, loss=LOGISTIC, n_classes=k, intercept=intercept)
    assert np.abs(other.weights - theirs.coef_).max() > 1e-4


def test_two_logits_at_twice_the_ridge_are_the_margin():
    x, y, weights = rows(2)
    margin = fit_logits(x, y, weights, ridge=0.02, loss=LOGISTIC, n_classes=2, intercept=False)
    with jax.enable_x64(True):
        both, norm, _, _ = minimise(
            jnp.asarray(x), jnp.asarray(y), jnp.asarray(weights), 0.04, 1e-11,
            what=LogitLoss(LOGISTIC, 2, False),
        )  # fmt: skip
    both = np.asarray(both)
    assert np.asarray(norm) < 1e-11
    np.testing.assert_allclose(both[1] - both[0], margin.weights[0], atol=1e-9)


@pytest.mark.parametrize("k", [2, 3])
def test_squared_loss_is_ridge_regression_against_all(k):
    x, y, weights = rows(k)
    ours = fit_logits(x, y, weights, ridge=0.02, loss=SQUARED, n_classes=k, intercept=True)
    target = np.where(y > 0, 1.0, -1.0)[:, None] if k == 2 else np.eye(k)[y]
    wide = np.hstack([x, np.ones((len(x), 1))])
    penalty = 0.02 * np.diag([1.0] * x.shape[1] + [0.0])
    normal = (wide * weights[:, None]).T @ wide + penalty
    expected = np.linalg.solve(normal, (wide * weights[:, None]).T @ target).T
    np.testing.assert_allclose(ours.weights, expected[:, :-1], atol=1e-9)
    np.testing.assert_allclose(ours.intercepts, expected[:, -1], atol=1e-9)


def test_what_cannot_be_fitted_is_named():
    x, y, weights = rows(3)
    gone = np.where(y == 2, 0.0, weights)
    assert fit_logits(x, y, gone, ridge=0.02, loss=LOGISTIC, n_classes=3, intercept=True).code == 6
    bound = fit_logits(x, y, gone, ridge=0.02, loss=LOGISTIC, n_classes=3, intercept=False)
    assert bound.code == 0  # without an intercept the ridge bounds every logit
    rare = Mixture([0.97, 0.03], [[-1.0, 0], [1, 0]], 1.0, [0, 1])
    found = simulate(
        BASE_2.replace(inputs=rare, keep_fraction=0.05, keep="easiest"), n_trials=4, n_features=20
    )
    assert set(found.failures.values()) == {"class-without-samples"}
    assert np.isnan(found.mean("test_error")) and found.failed > 0
    with pytest.raises(InvalidArgumentError, match="ridge > 0; got 0"):
        simulate(BASE.replace(ridge=0), n_trials=1, n_features=20)
    with pytest.raises(InvalidArgumentError, match="smooth losses; got 'hinge'"):
        simulate(BASE.replace(loss="hinge"), n_trials=1, n_features=20)


def test_one_margin_has_closed_forms():
    weights, b = np.array([[0.8, -0.5, 0.3]]), np.array([0.1])
    law = Mixture([0.6, 0.4], [[-1.0, 0], [1, 0]], [1, 0.5], [[0.9, 0.1], [0, 1]])
    value = worth(BASE_2.replace(inputs=law), law, weights, b)
    mean, deviation = law.placed(3) @ weights[0] + b, np.sqrt([0.98, 0.49])
    up = ndtr(mean / deviation)
    assert value.test_error == pytest.approx(
        0.6 * (0.9 * up[0] + 0.1 * (1 - up[0])) + 0.4 * (1 - up[1]), abs=1e-12
    )
    first = 0.6 * 0.9 * up[0] / 0.54
    second = (0.06 * (1 - up[0]) + 0.4 * (1 - up[1])) / 0.46
    np.testing.assert_allclose(value.class_error, [first, second], atol=1e-12)
    h = np.concatenate(
        [m + s * RNG.normal(size=400_000) for m, s in zip(mean, deviation, strict=True)]
    )
    share = np.repeat([0.6, 0.4], 400_000) / 400_000
    chance = np.repeat([0.1, 1.0], 400_000)
    loss = share @ (chance * np.logaddexp(0, -h) + (1 - chance) * np.logaddexp(0, h))
    assert value.test_loss == pytest.approx(loss, abs=4e-3)
    confidence, right = expit(abs(h)), np.where(h > 0, chance, 1 - chance)
    bins = (confidence * 15).astype(int)
    gap = sum(abs(share[bins == i] @ (right - confidence)[bins == i]) for i in range(15))
    assert value.calibration_error == pytest.approx(gap, abs=3e-3)
    scaled = worth(BASE_2, law, value.calibration_slope * weights, value.calibration_slope * b)
    assert scaled.calibration_slope == pytest.approx(1, abs=1e-6)
    assert scaled.test_loss < value.test_loss


@pytest.mark.parametrize("link", ["logistic", "sign", "probit", "flip:0.1"])
def test_a_teacher_on_one_component_is_the_known_problem(link):
    law = Mixture([1.0], [[0.0, 0.0]], 1.0)
    problem = Problem(inputs=law, link=link, signal=2.0)
    value = worth(problem, law, np.array([[1.2, 0.9]]), np.zeros(1))
    known = observables(problem.teacher, LOGISTIC, cosine=0.8, norm=1.5)
    for name in ("test_error", "test_loss", "calibration_slope"):
        assert getattr(value, name) == pytest.approx(float(known[name]), abs=1e-8)


def test_the_largest_of_several_logits():
    """Against 400,000 samples of each of two laws of five logits, to four standard errors."""
    root = RNG.normal(size=(2, 5, 5))
    outputs = Outputs(RNG.normal(size=(2, 5)), root @ root.transpose(0, 2, 1))
    found = largest_probabilities(outputs)
    np.testing.assert_allclose(found, largest_probabilities(outputs, 2**13), atol=3e-4)
    for c in range(2):
        v = outputs.means[c] + RNG.normal(size=(400_000, 5)) @ root[c].T
        seen = np.bincount(v.argmax(1), minlength=5) / 400_000
        assert (np.abs(found[c] - seen) < 4 * np.sqrt(seen * (1 - seen) / 400_000) + 3e-4).all()
    equal = largest_probabilities(Outputs(np.zeros((1, 5)), np.eye(5)[None]))
    np.testing.assert_allclose(equal, 0.2, atol=1e-12)


def test_softmax_and_margin_agree_on_two_classes():
    """K logits are integrated by other means than one margin: the two meet at K = 2."""
    weights, b = np.array([[0.8, -0.5, 0.3]]), np.array([0.1])
    one = worth(BASE_2, TWO, weights, b)
    two = worth(BASE_2, TWO, np.vstack([0 * weights, weights]), np.append(0, b))
    assert one.test_error == pytest.approx(two.test_error, abs=1e-9)
    assert one.test_loss == pytest.approx(two.test_loss, abs=2e-4)
    assert one.calibration_slope == pytest.approx(two.calibration_slope, abs=2e-3)
    assert one.calibration_error == pytest.approx(two.calibration_error, abs=2e-3)


def trial(problem, number=0, d=40):
    job = make_job(problem, d, 1e-11)
    return prune_trial(job, jax.random.fold_in(root_key(0), number))


@pytest.mark.parametrize("score", ["el2n", "loss", "margin", "entropy", "grand"])
@pytest.mark.parametrize("keep", ["hardest", "easiest"])
def test_the_kept_are_those_that_the_registered_score_ranks_first(score, keep):
    pruned = trial(BASE.replace(score=score, keep=keep))
    x, _, y = pruned.samples
    logits = x[:, :4] @ PROBE.weights.T + PROBE.intercepts
    with jax.enable_x64(True):
        context = Context(input_norm=np.linalg.norm(x, axis=1) / 40**0.5)
        rank = np.asarray(SCORES[score].rank_key(logits, y, context))
    order = np.argsort(rank if keep == "easiest" else -rank, kind="stable")
    assert set(np.flatnonzero(pruned.weights)) == set(order[:72].tolist())  # 0.3 * 6 * 40


def test_rules_differ_with_three_classes_and_share_their_data():
    kept = {s: trial(BASE.replace(score=s)) for s in ("el2n", "loss", "margin", "entropy", "grand")}
    for one in kept.values():
        np.testing.assert_array_equal(one.samples.x, kept["el2n"].samples.x)
    sets = {tuple(np.flatnonzero(one.weights)) for one in kept.values()}
    assert len(sets) == 5
    assert not np.allclose(trial(BASE, 1).samples.x, kept["el2n"].samples.x)


NUMBERS = {"soft": ":0.5", "power": ":1", "window": ":0.1", "coverage": ":0.1"}
NUMBERS |= {"verifier": ":0.9:0.3", "clipped": ":2", "middle": ":0.1:1"}
NUMBERS |= {"stratified": ":4", "neyman": ":4:0.5"}
UNBIASED = ("exact", "middle", "stratified", "neyman")


@pytest.mark.parametrize("name", SELECTIONS)
def test_every_protocol_prunes_a_mixture(name):
    """By count 72 of 240 stay; by propensity about as many; unbiased weights sum to 240."""
    rule = make_selection(f"{name}{NUMBERS.get(name, '')}", exploit=0.4)
    weights = trial(BASE.replace(selection=rule)).weights
    kept = np.count_nonzero(weights)
    assert abs(kept - 72) <= (30 if isinstance(rule, PropensitySelection) else 0)
    assert (weights.sum() == pytest.approx(240)) == (name in UNBIASED)


def test_quotas_keep_what_each_class_is_owed():
    sizes = np.bincount(trial(BASE).samples.y)
    for balance, expected in (("proportional", 0.3 * sizes), ("equal", np.full(3, 24.0))):
        pruned = trial(BASE.replace(balance=balance))
        kept = np.bincount(pruned.samples.y[pruned.weights > 0], minlength=3)
        assert kept.sum() == 72 and (np.abs(kept - expected) < 1).all()
    free = trial(BASE)
    kept = np.bincount(free.samples.y[free.weights > 0], minlength=3)
    assert (np.abs(kept - 0.3 * sizes) > 2).any()


def test_a_verifier_reads_whether_labels_are_right():
    noisy = Mixture.simplex(3, 1.5, label_noise=0.3)
    problem = BASE.replace(inputs=noisy, selection="verifier:0.9:0.1", probe="fixed:1")
    pruned = trial(problem, d=300)
    right = pruned.samples.y == noisy.likeliest[pruned.samples.component]
    kept = pruned.weights > 0
    assert 0.65 < right.mean() < 0.75
    # Keep probabilities 0.9 c and 0.1 c with mean 0.3: c = 0.3 / (0.7 * 0.9 + 0.3 * 0.1).
    for mask, chance in ((right, 0.409), (~right, 0.0455)):
        error = (chance * (1 - chance) / mask.sum()) ** 0.5
        assert abs(kept[mask].mean() - chance) < 4 * error + 0.01
    with pytest.raises(InvalidArgumentError, match="a verifier needs labels"):
        trial(problem.replace(inputs=Mixture([1.0], [[0.0]], 1.0)))


def test_a_cross_fitted_probe_never_sees_what_it_scores():
    """Its folds' scores are those of fits to the others; the in-sample probe's are not."""
    problem = BASE_2.replace(probe="cross-fit:2:0.05", score="loss", keep_fraction=0.5)
    pruned = trial(problem, d=20)
    x, _, y = pruned.samples
    keys = jax.random.split(jax.random.fold_in(root_key(0), 0), 5)
    order = np.argsort(np.asarray(jax.random.bits(keys[4], (112,)))[:100], kind="stable")
    margins = np.empty(100)
    for fold in range(2):
        inside, others = order[fold::2], order[1 - fold :: 2]
        fit = fit_logits(
            x[others], y[others], np.full(50, 1 / 50), ridge=0.05, loss=LOGISTIC, n_classes=2,
            intercept=True,
        )  # fmt: skip
        margins[inside] = fit.logits(x[inside])[:, 0]
    hardest = np.argsort(np.where(y > 0, 1, -1) * margins)[:50]
    assert set(np.flatnonzero(pruned.weights)) == set(hardest.tolist())
    seen = trial(problem.replace(probe="in-sample:0.05"), d=20)
    assert set(np.flatnonzero(seen.weights)) != set(hardest.tolist())


def test_trials_depend_on_their_number_alone_and_resume(tmp_path):
    store, done = RecordStore(tmp_path), []
    whole = simulate(BASE_2, n_trials=4, n_features=20, seed=3)
    simulate(BASE_2, n_trials=2, n_features=20, seed=3, records=store)
    again = simulate(
        BASE_2, n_trials=4, n_features=20, seed=3, records=store, progress=lambda *n: done.append(n)
    )
    assert done[-1] == (4, 4)
    for name in whole.trials:
        np.testing.assert_array_equal(whole.trials[name], again.trials[name])
    assert len(set(whole.values("test_error"))) == 4
    other = simulate(BASE_2.replace(keep="easiest"), n_trials=4, n_features=20, seed=3)
    difference, error = paired(other, whole, "test_error")
    assert difference == pytest.approx(other.mean("test_error") - whole.mean("test_error"))
    assert error > 0
    fitted = training_set(BASE_2, n_features=20, trial=1, seed=3)
    fit = fit_logits(
        fitted.x, fitted.y, fitted.weights / 100, ridge=0.02, loss=LOGISTIC, n_classes=2,
        intercept=True,
    )  # fmt: skip
    assert np.linalg.norm(fit.weights) == pytest.approx(whole.values("norm")[1], abs=1e-9)
    elsewhere = Mixture([0.6, 0.4], [[-1.0, 0], [1, 0]], [1, 0.6], [0, 1])
    moved = simulate(BASE_2.replace(inputs=elsewhere), n_trials=4, n_features=20, seed=3)
    with pytest.raises(InvalidArgumentError, match="agree in law"):
        paired(moved, whole, "test_error")


def test_budgets_and_stops_are_obeyed():
    with pytest.raises(InvalidArgumentError, match=r"memory must be at least \d+ MiB"):
        simulate(BASE_2, n_trials=1, n_features=20, memory="10MiB")
    early = simulate(BASE_2, n_trials=60, n_features=20, until=("worst_class_error", 1.0))
    assert early.n_trials == 32
    with pytest.raises(InvalidArgumentError, match="n_features must be given"):
        simulate(BASE_2, n_trials=1)
    with pytest.raises(InvalidArgumentError, match="given by its weights"):
        simulate(BASE_2.replace(probe="fixed:1"), n_trials=1, n_features=20)
    with pytest.raises(InvalidArgumentError, match="must have the mixture's 2 classes; got 3"):
        simulate(BASE_2.replace(probe=PROBE), n_trials=1, n_features=20)


LIMITS = [  # rule, problem's changes, error in the limit, control: a value that it is not
    ("fresh", {"keep_fraction": 0.6}, 0.20434025, 0.15694689),
    ("seen", {"keep_fraction": 0.6, "probe": "in-sample:0.02"}, 0.15694689, 0.20434025),
    ("random", {"selection": "random"}, 0.18803930, 0.15694689),
]


@pytest.mark.parametrize(("name", "change", "limit", "other"), LIMITS)
def test_two_classes_come_near_the_limit(name, change, limit, other):
    """docs/equations.md's two-class values; what is left at 120 features is of order 1 / d."""
    found = simulate(BASE_2.replace(**change), n_trials=8, n_features=120, seed=1)
    error = found.standard_error("test_error")
    assert found.failed == 0 and error < 0.006
    assert abs(found.mean("test_error") - limit) < 4 * error + 0.4 / 120
    assert abs(found.mean("test_error") - other) > 4 * error + 0.4 / 120


def test_the_command_line_takes_a_file(tmp_path):
    law, probe = TWO.save(tmp_path / "law.json"), MARGIN.save(tmp_path / "probe.json")
    arguments = (
        f"simulate --inputs components:{law} --probe weights:{probe} --intercept --ridge 0.02 "
        "--n-features 20 --n-trials 4 --keep-fraction 0.3 --seed 3 --json"
    )
    found = json.loads(CliRunner().invoke(main, arguments.split()).output)
    expected = simulate(BASE_2, n_trials=4, n_features=20, seed=3)
    for name in ("test_error", "worst_class_error", "mean_0"):
        assert found[name]["mean"] == pytest.approx(expected.mean(name), abs=1e-12)
    table = CliRunner().invoke(main, arguments.replace(" --json", "").split()).output
    assert "worst class error" in table and "components:" in table
    for wrong, sentence in (
        (
            "simulate --spectrum power:1:1:20 --intercept",
            "--spectrum cannot go with --intercept",
        ),
        (f"{arguments} --spectrum power:1:1:20", "--spectrum cannot go with --inputs"),
        ("simulate --inputs gaussian", "inputs must be components:FILE.json"),
    ):
        done = CliRunner().invoke(main, wrong.split())
        assert done.exit_code != 0 and sentence in done.output

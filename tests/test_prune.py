"""Pruning real data: the probe, the scores, the subset, the file and the command."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.cluster import KMeans

from nfl_pruning.cli.main import main
from nfl_pruning.data import load_dataset, make_dataset
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.pruning.multinomial import fit_multinomial, fit_scaling, stratified_rows
from nfl_pruning.pruning.notes import HARD_RULES
from nfl_pruning.pruning.probing import DataProbe, parse_data_probe, probe_outputs, score_dataset
from nfl_pruning.pruning.run import prune
from nfl_pruning.scores import SCORES, Score, register_score
from nfl_pruning.selections import SELECTIONS


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def blobs():
    """Three Gaussian classes of unequal size in four dimensions."""
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1, 2], [30, 50, 20])
    x = rng.normal(size=(100, 4)) + 1.5 * np.eye(3, 4)[y]
    return make_dataset("blobs", x, np.array(["ant", "bee", "cat"])[y])


def run(*arguments):
    return CliRunner().invoke(main, ["prune", *map(str, arguments)])


def refused(result, *words):
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr


class TestFit:
    """The multinomial fit, against its stated objective minimised by a generic optimiser."""

    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_minimises_its_objective(self, n_classes):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(60, 3)), rng.integers(0, n_classes, 60)
        weights, ridge = rng.uniform(0.2, 4, 60), 0.05
        columns = 1 if n_classes == 2 else n_classes

        def unpack(flat):
            table = flat.reshape(4, columns)
            full = np.hstack([np.zeros((4, 1)), table]) if columns == 1 else table
            return table[:3], full[:3], full[3]

        def objective(flat):
            penalised, slopes, offsets = unpack(flat)
            losses = -log_softmax(x @ slopes + offsets, axis=1)[np.arange(60), y]
            return np.average(losses, weights=weights) + ridge / 2 * (penalised**2).sum()

        best = minimize(objective, np.zeros(4 * columns), options={"gtol": 1e-7})
        _, slopes, offsets = unpack(best.x)
        model = fit_multinomial(x, y, n_classes=n_classes, ridge=ridge, weights=7 * weights)
        assert model.converged
        np.testing.assert_allclose(
            softmax(model.logits(x), axis=1), softmax(x @ slopes + offsets, axis=1), atol=2e-3
        )

    def test_absent_classes_get_no_probability(self):
        x, y = np.random.default_rng(1).normal(size=(20, 2)), np.repeat([1, 3], 10)
        p = softmax(fit_multinomial(x, y, n_classes=5).logits(x), axis=1)
        assert p[:, [0, 2, 4]].max() == 0
        one = fit_multinomial(x, np.full(20, 2), n_classes=5).logits(x)
        assert (one.argmax(axis=1) == 2).all()

    def test_scaling_by_kind(self):
        x = np.array([[0.0, 10.0, 5.0], [2.0, 50.0, 5.0]])
        each = fit_scaling(x)(x)
        np.testing.assert_allclose(each, [[-1, -1, 0], [1, 1, 0]])
        common = fit_scaling(x, is_image=True)(x)
        np.testing.assert_allclose(common[0, 1] / common[0, 0], 20)
        np.testing.assert_allclose((common**2).sum(axis=1) / 3, 1)
        np.testing.assert_array_equal(fit_scaling(x, "none")(x), x)

    def test_constant_features_stay_at_rounding_size(self):
        x = np.stack([np.full(50, 0.1) * 3, np.arange(50.0)], axis=1)
        assert np.abs(fit_scaling(x)(x)[:, 0]).max() < 1e-12

    def test_stratified_rows_are_disjoint_and_hold_every_class(self):
        y = np.repeat([0, 1, 2], [200, 20, 2])
        first, second = stratified_rows(np.random.default_rng(0), y, 0.1, 2)
        assert not set(first) & set(second)
        for rows in (first, second):
            np.testing.assert_array_equal(np.bincount(y[rows]), [20, 2, 1])

    def test_a_class_too_small_for_a_pilot_is_named(self):
        with pytest.raises(InvalidArgumentError, match="class 2 has 1"):
            stratified_rows(np.random.default_rng(0), np.array([0, 0, 1, 1, 2]), 0.2, 2)


class TestProbe:
    def test_no_sample_is_scored_by_a_pilot_probe_that_saw_it(self, blobs):
        x, y = blobs.x, blobs.y
        logits = probe_outputs(np.random.default_rng(5), x, blobs, probe=DataProbe(0.3)).logits
        first, second = stratified_rows(np.random.default_rng(5), y, 0.3, 2)
        rest = np.setdiff1d(np.arange(100), first)
        for fitted, scored in ((first, rest), (second, first)):
            assert not set(fitted) & set(scored)
            model = fit_multinomial(x[fitted], y[fitted], n_classes=3)
            np.testing.assert_allclose(logits[scored], model.logits(x[scored]), atol=1e-10)

    def test_pilot_scores_look_harder_than_in_sample_ones(self, digits):
        key, el2n = jax.random.key(0), SCORES["el2n"]
        pilot = score_dataset(key, digits, score=el2n, probe=parse_data_probe("pilot:0.1"))
        inside = score_dataset(key, digits, score=el2n, probe=parse_data_probe("in-sample"))
        assert pilot.values.mean() > 1.3 * inside.values.mean()
        assert pilot.converged
        assert inside.converged

    def test_context_of_a_linear_probe(self, blobs):
        """gradient_norm is the norm of the loss gradient in coefficients and intercepts."""
        probe = parse_data_probe("in-sample")

        def read(entry, take=lambda values: values):
            score = Score(entry, lambda z, y, c: take(getattr(c, entry)), True, frozenset({entry}))
            return score_dataset(jax.random.key(0), blobs, score=score, probe=probe).values

        x = fit_scaling(blobs.x)(blobs.x)
        model = fit_multinomial(x, blobs.y, n_classes=3)
        error = softmax(model.logits(x), axis=1) - np.eye(3)[blobs.y]
        with_intercept = np.hstack([x, np.ones((100, 1))])
        full = np.einsum("ij,ik->ijk", with_intercept, error).reshape(100, -1)
        np.testing.assert_allclose(read("gradient_norm"), np.linalg.norm(full, axis=1), rtol=1e-6)
        np.testing.assert_allclose(read("input_norm"), np.linalg.norm(x, axis=1) / 2, rtol=1e-6)
        np.testing.assert_allclose(read("features", lambda v: v[:, 1]), x[:, 1])
        top, columns = model.logits(x).argmax(axis=1), model.coefficients.T
        wanted = np.linalg.norm(columns[top] - columns[2], axis=1)
        found = read("gap_gradient", lambda v: v[:, 2])
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-12)

    def test_prototypicality_is_the_distance_to_k_means_centres(self, blobs):
        key, probe = jax.random.key(0), parse_data_probe("in-sample")
        found = score_dataset(key, blobs, score=SCORES["prototypicality"], probe=probe).values
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        x = fit_scaling(blobs.x)(blobs.x)
        centres = KMeans(3, n_init="auto", random_state=int(rng.integers(2**31))).fit(x)
        np.testing.assert_allclose(found, centres.transform(x).min(axis=1), rtol=1e-6)

    def test_planted_mislabelled_samples_are_hardest(self, digits):
        labels = digits.y.copy()
        wrong = np.arange(0, 1797, 60)
        labels[wrong] = (labels[wrong] + 5) % 10
        noisy = make_dataset("noisy", digits.x.reshape(-1, 8, 8), labels)
        for name in ("el2n", "grand", "loss"):
            scored = score_dataset(
                jax.random.key(1), noisy, score=SCORES[name], probe=parse_data_probe("pilot")
            )
            ranks = scored.rank_key.argsort().argsort()
            assert np.median(ranks[wrong]) > 1720, name


class TestPrune:
    def test_threshold_keeps_the_top_scores(self, digits):
        pruned = prune(digits, seed=0, keep_fraction=0.2, selection="threshold")
        assert len(pruned.indices) == 359
        dropped = np.setdiff1d(np.arange(1797), pruned.indices)
        assert pruned.scores[pruned.indices].min() >= pruned.scores[dropped].max()
        easiest = prune(digits, seed=0, keep_fraction=0.2, keep="easiest", selection="threshold")
        assert easiest.scores[easiest.indices].max() <= pruned.scores[pruned.indices].min()

    def test_exact_calibration_weighs_the_data_in_full(self, digits):
        pruned = prune(digits, seed=0, keep_fraction=0.1, selection="exact", exploit=0.25)
        assert len(pruned.indices) == 180
        np.testing.assert_allclose(pruned.weights.sum(), 1797)
        np.testing.assert_allclose(pruned.keep_probabilities.sum(), 180)
        weights = pruned.weights[pruned.indices]
        np.testing.assert_allclose(weights * pruned.keep_probabilities[pruned.indices], 1)
        size = weights.sum() ** 2 / (weights**2).sum()
        assert pruned.effective_sample_size == pytest.approx(size)
        assert 1 < size < 180

    def test_the_default_is_exact_calibration_half_by_score(self, digits):
        default = prune(digits, seed=0)
        assert (default.config["protocol"], default.config["exploit"]) == ("exact", 0.5)
        same = prune(digits, seed=0, keep_fraction=0.3, selection="exact", exploit=0.5)
        np.testing.assert_array_equal(default.weights, same.weights)
        np.testing.assert_allclose(default.weights.sum(), 1797)
        assert HARD_RULES not in default.warnings

    def test_hard_rules_say_what_they_lost(self, digits):
        for selection, exploit in (("threshold", 0.5), ("window:0.1", 0.5), ("exact", 1.0)):
            hard = prune(digits, seed=0, selection=selection, exploit=exploit, probe="in-sample")
            assert HARD_RULES in hard.warnings
        some = prune(digits, seed=0, selection="threshold", keep_fraction=0.7, probe="in-sample")
        assert HARD_RULES not in some.warnings
        for options in ((), ("--protocol", "threshold")):
            said = " ".join(run("digits", *options).output.split())
            assert "lost up to 67 points" in said
            assert "nfl-pruning compare" in said

    def test_what_hard_rules_lost_is_what_the_page_says(self):
        page = (Path(__file__).parent.parent / "docs" / "networks.md").read_text()
        section = page.split("### MLP, 60,000 images, equal epochs, clean labels")[1].split("###")[
            0
        ]
        rows = [row.split("|")[2:5] for row in section.splitlines() if " hardest |" in row]
        gaps = [float(cell.split("±")[0].replace("−", "-")) for row in rows for cell in row]
        assert len(gaps) == 12
        assert f"up to {-min(gaps):.0f} points" in HARD_RULES

    def test_seed_decides(self, digits):
        first, again = (prune(digits, seed=3, keep_fraction=0.1) for _ in range(2))
        np.testing.assert_array_equal(first.indices, again.indices)
        np.testing.assert_array_equal(first.scores, again.scores)
        other = prune(digits, seed=4, keep_fraction=0.1)
        assert set(first.indices) != set(other.indices)

    def test_random_needs_no_probe(self, blobs):
        pruned = prune(blobs, seed=0, selection="random", keep_fraction=0.5)
        assert pruned.config["probe"] is None
        assert len(pruned.indices) == 50

    def test_power_reads_the_probe_and_keeps_the_hard(self, digits):
        pruned = prune(digits, seed=0, selection="power:1", keep_fraction=0.2)
        assert abs(len(pruned.indices) - 359.4) < 4 * np.sqrt(359)
        probabilities = pruned.keep_probabilities
        np.testing.assert_allclose(probabilities.sum(), 359.4, rtol=1e-6)
        order = pruned.scores.argsort()
        assert (np.diff(probabilities[order]) >= -1e-12).all()

    def test_class_quotas(self, blobs):
        pruned = prune(blobs, seed=0, keep_fraction=0.3, balance="equal")
        assert {kept for _, kept in pruned.class_counts.values()} == {10}
        pruned = prune(blobs, seed=0, keep_fraction=0.3, balance="proportional")
        assert [kept for _, kept in pruned.class_counts.values()] == [9, 15, 6]
        with pytest.raises(InvalidArgumentError, match="fixed count"):
            prune(blobs, seed=0, selection="power:1", balance="equal")

    def test_given_scores_decide_alone(self, digits):
        scores = np.arange(1797)[::-1]
        pruned = prune(digits, seed=0, scores=scores, keep_fraction=0.01, selection="threshold")
        np.testing.assert_array_equal(pruned.indices, np.arange(18))
        assert pruned.config["score"] == "given"
        with pytest.raises(InvalidArgumentError, match="power:1"):
            prune(digits, seed=0, scores=scores, selection="power:1")

    def test_class_counts_are_the_realised_ones(self, blobs):
        pruned = prune(blobs, seed=0, keep_fraction=0.3)
        kept = blobs.y[pruned.indices]
        for code, name in enumerate(("ant", "bee", "cat")):
            assert pruned.class_counts[name] == ((blobs.y == code).sum(), (kept == code).sum())

    def test_a_class_that_vanished_is_said(self, blobs):
        pruned = prune(
            blobs, seed=0, scores=np.arange(100), keep_fraction=0.1, selection="threshold"
        )
        assert any("ant, bee" in sentence for sentence in pruned.warnings)

    def test_a_score_beyond_a_linear_probe_says_so(self, blobs):
        score = Score(
            "late", lambda logits, labels, context: logits[..., 0], True, frozenset({"trajectory"})
        )
        with pytest.raises(InvalidArgumentError, match="'late' needs trajectory"):
            prune(blobs, seed=0, score=score)

    def test_a_registered_score_works_at_once(self, blobs):
        try:

            @register_score("worst-logit", label_aware=False)
            def worst_logit(logits, labels, context):
                return -logits.max(-1)

            pruned = prune(blobs, seed=0, score="worst-logit", probe="in-sample")
        finally:
            SCORES._members.pop("worst-logit", None)
        assert len(pruned.indices) == 30


class TestFile:
    def test_round_trip_without_pickle(self, digits, tmp_path):
        pruned = prune(digits, seed=0, keep_fraction=0.1, selection="soft:0.5")
        path = pruned.save(tmp_path / "subset.npz")
        with np.load(path, allow_pickle=False) as archive:
            assert set(archive) == {
                "indices",
                "weights",
                "scores",
                "keep_probabilities",
                "order",
                "priority",
                "rank_keys",
                "data_hash",
                "config",
            }
            for name in ("indices", "weights", "scores", "keep_probabilities"):
                np.testing.assert_array_equal(archive[name], getattr(pruned, name))
            assert str(archive["data_hash"]) == digits.hash
            assert json.loads(str(archive["config"]))["protocol"] == "soft:0.5"

    def test_a_failed_write_leaves_nothing(self, digits, tmp_path, monkeypatch):
        pruned = prune(digits, seed=0, selection="random")
        (tmp_path / "subset.npz").write_text("precious")

        def fail(*args, **kwargs):
            args[0].write(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(np, "savez_compressed", fail)
        with pytest.raises(OSError, match="disk full"):
            pruned.save(tmp_path / "subset.npz", force=True)
        assert [path.name for path in tmp_path.iterdir()] == ["subset.npz"]
        assert (tmp_path / "subset.npz").read_text() == "precious"


class TestCommand:
    def test_writes_what_it_says(self, digits, tmp_path):
        out = tmp_path / "subset.npz"
        result = run("digits", "--keep-fraction", 0.1, "--protocol", "exact", "--out", out)
        assert result.exit_code == 0, result.output
        for word in ("10.02 %", "Effective sample size", "Scoring took", "Pilot rows may be kept"):
            assert word in " ".join(result.output.split())
        same = prune(digits, seed=0, keep_fraction=0.1, selection="exact")
        with np.load(out) as archive:
            np.testing.assert_array_equal(archive["indices"], same.indices)
        again = run("digits", "--scores", out, "--keep-fraction", 0.1, "--json")
        found = json.loads(again.stdout)
        assert found["n_kept"] == 180
        assert found["out"] is None

    @pytest.mark.parametrize("text", ["window:0.1", "coverage:0.1", "power:1", "soft:0.5"])
    def test_help_lists_the_protocols_that_work(self, blobs, text):
        assert prune(blobs, seed=0, selection=text).config["protocol"] == text
        said = run("--help").output
        for_data = set(SELECTIONS) - {"verifier"}  # which reads what data do not tell
        assert all(re.search(rf"\b{name}\b", said) for name in for_data)

    def test_json_is_strict_and_alone(self):
        result = run("--protocol", "random", "--json", "--keep-fraction", 0.5)
        found = json.loads(result.stdout, parse_constant=pytest.fail)
        assert found["n_kept"] == 899
        assert set(found["keep_fraction_by_class"]) == set("0123456789")
        assert set(found["seconds"]) == {"scoring", "selecting"}

    def test_own_table(self, tmp_path):
        rng = np.random.default_rng(0)
        rows = [
            f"{a:.3f},{'yes' if a + b > 0 else 'no'},{b:.3f}" for a, b in rng.normal(size=(80, 2))
        ]
        (tmp_path / "t.csv").write_text("a,label,b\n" + "\n".join(rows) + "\n")
        found = json.loads(run(tmp_path / "t.csv", "--keep-fraction", 0.25, "--json").stdout)
        assert found["n_kept"] == 20
        assert set(found["keep_fraction_by_class"]) == {"yes", "no"}

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--keep-fraction", "1.2"], ["keep_fraction", "(0, 1]", "1.2"]),
            (["--keep-fraction", "0"], ["keep_fraction"]),
            (["--keep-fraction", "nan"], ["keep_fraction", "nan"]),
            (["--keep-fraction", "0.1,0.2"], ["keep_fraction", "0.1,0.2"]),
            (["--keep-fraction", "0.0001"], ["fewer than one sample"]),
            (["--exploit", "inf"], ["exploit", "[0, 1]"]),
            (["--exploit=-0.3"], ["exploit", "-0.3"]),
            (["--protocol", "exact", "--exploit", "0.99", "--keep-fraction", "0.01"], ["explore"]),
            (["--protocol", "exactly"], ["nearest: exact"]),
            (["--protocol", "soft:2"], ["[0, 1]"]),
            (["--score", "el3n"], ["nearest: el2n"]),
            (["--keep", "hard"], ["hardest, easiest"]),
            (["--probe", "fixed:1"], ["in-sample", "fixed:1"]),
            (["--probe", "pilot:0.8"], ["(0, 0.5]", "0.8"]),
            (["--probe-ridge", "0"], ["(0, inf)"]),
            (["--scale", "big"], ["per-feature"]),
            (["--balance", "fair"], ["proportional"]),
            (["--seed", "-1"], ["seed", "-1"]),
            (["--seed", "x"], ["seed", "'x'"]),
            (["digit"], ["nearest: digits"]),
            (["--scores", "nowhere.npy"], ["nowhere.npy"]),
            (["--sore", "el2n"], ["--sore"]),
        ],
    )
    def test_bad_input_is_one_sentence(self, tmp_path, arguments, words):
        refused(run(*arguments, "--out", tmp_path / "subset.npz"), *words)
        assert not list(tmp_path.iterdir())

    def test_bad_output_is_refused_before_any_work(self, tmp_path):
        (tmp_path / "old.npz").write_text("precious")
        refused(run("--out", tmp_path / "old.npz"), "--force")
        assert (tmp_path / "old.npz").read_text() == "precious"
        refused(run("--out", tmp_path / "none" / "x.npz"), "folder")
        refused(run("--out", tmp_path / "x.txt"), ".npz")
        forced = run("--protocol", "random", "--out", tmp_path / "old.npz", "--force")
        assert forced.exit_code == 0
        assert [path.name for path in tmp_path.iterdir()] == ["old.npz"]

"""Advice on data whose truth is known, and on data that break an assumption each."""

import json

import jax
import numpy as np
import pytest
from click.testing import CliRunner

from nfl_pruning.cli.main import main
from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.realdata.advise import advise
from nfl_pruning.realdata.policies import RANDOM, Policy, make_policies
from nfl_pruning.realdata.rounds.departure import Prior, infer
from nfl_pruning.realdata.rounds.refits import ALL, Rows, Setting, feasible, keep_rows, run_cells
from nfl_pruning.records import to_json
from nfl_pruning.selections import select

D, K, N = 6, 3, 480
MEANS = 1.1 * np.random.default_rng(7).normal(size=(K, D))
TINY = {"keep_fractions": [0.3], "scores": [Policy("el2n")], "scale": "none", "components": 1}
QUICK = {"keep_fractions": [0.2, 0.5], "scores": ["el2n"], "exploits": [0.5], "scale": "none"}


def rows(seed=0, n=N):
    rng = np.random.default_rng(seed)
    y = rng.integers(K, size=n)
    return MEANS[y] + rng.normal(size=(n, D)), y


@pytest.fixture(scope="module")
def advice():
    return advise(*rows(), **QUICK)


@pytest.fixture(scope="module")
def truth(advice):
    """Accuracy of every cell in percent: refits to fresh draws of the law, tested on many rows."""
    setting = Setting(K, 0.01, advice.source.probe)
    cells = [(one.policy, one.keep_fraction) for one in advice.predictions]
    rounds = [
        run_cells(
            np.random.default_rng(i), Rows(*rows(100 + i)), Rows(*rows(500, 8000)), cells, setting
        )
        for i in range(6)
    ]
    return {cell: 100 * np.mean([one[cell].accuracy for one in rounds]) for cell in cells}


def test_predictions_hold_the_truth_and_shifted_ones_do_not(advice, truth):
    def share(shift):
        inside = [
            one.low <= truth[one.policy, one.keep_fraction] + shift <= one.high
            for one in advice.predictions
        ]
        return np.mean(inside)

    gaps = [abs(one.value - truth[one.policy, one.keep_fraction]) for one in advice.predictions]
    # So many rows tell an accuracy to 1.7 points; differences between policies better than that.
    assert np.median(gaps) < 3 and max(gaps) < 8
    paired = [
        one.against_random - truth[one.policy, one.keep_fraction] + truth[RANDOM, one.keep_fraction]
        for one in advice.predictions
    ]
    assert np.median(np.abs(paired)) < 1.2
    assert share(0) >= 0.85 > 0.4 > share(-12)  # a control: truth 12 points worse
    widths = [one.high - one.low for one in advice.predictions if one.policy == RANDOM]
    assert max(widths) < 14


def test_the_advice_loses_little_against_hindsight(advice, truth):
    spreads = []
    for fraction in advice.keep_fractions:
        best = max(value for cell, value in truth.items() if cell[1] == fraction)
        worst = min(value for cell, value in truth.items() if cell[1] == fraction)
        chosen = advice.recommended(fraction)
        assert best - truth[chosen.policy, fraction] < 1.5
        spreads.append(best - worst)
    assert max(spreads) > 3  # a control: there was something to lose


def test_the_same_seed_gives_the_same_advice():
    first, again, other = (advise(*rows(n=300), **TINY, seed=seed) for seed in (0, 0, 1))
    assert to_json(again.to_dict()) == to_json(first.to_dict())
    assert to_json(other.to_dict()) != to_json(first.to_dict())


def test_the_answer_is_plain_and_complete(advice):
    said = " ".join(advice.sentences())
    assert not advice.refused and ("Keep" in said or "Do not prune" in said)
    plain = json.loads(to_json(advice.to_dict()))
    assert set(plain["recommended"]) == {"0.2", "0.5"} and len(plain["predictions"]) == 9
    frame = advice.to_dataframe()
    assert len(frame) == 9 and {"policy", "predicted", "low", "high"} <= set(frame.columns)
    assert advice.random_needs(advice.random_at(0.5)) == pytest.approx(0.5)
    assert advice.random_needs(advice.all_data) == pytest.approx(1.0, abs=0.4)
    assert advice.cost["scoring"] == pytest.approx(0.4)


def test_tolerance_decides_how_much_to_keep(advice):
    from dataclasses import replace

    strict, generous = replace(advice, tolerance=-50.0), replace(advice, tolerance=90.0)
    assert strict.smallest is None and "Do not prune" in strict.sentences()[0]
    assert generous.smallest.keep_fraction == 0.2
    with pytest.raises(InvalidArgumentError, match="keep_fraction must be given"):
        strict.apply()


def test_applying_keeps_the_rows_of_the_policy(advice):
    calibrated = Policy("el2n", "hardest", 0.5)
    pruned = advice.apply(0.5, policy=calibrated)
    assert len(pruned.indices) == N // 2 and pruned.weights.sum() == pytest.approx(N)
    hard = advice.apply(0.2, policy=Policy("el2n"))
    scores = advice.source.scores(Policy("el2n"))
    kept = np.zeros(N, bool)
    kept[hard.indices] = True
    assert scores[kept].min() >= scores[~kept].max()
    assert scores[~kept].mean() < scores[kept].mean()
    with pytest.raises(InvalidArgumentError, match="keep_fraction must be one of"):
        advice.apply(0.3)


def test_rows_are_kept_as_select_keeps_them():
    rng = np.random.default_rng(0)
    rank = rng.normal(size=500)
    for policy in make_policies(["el2n"], [0.5]):
        for fraction in (0.33,):
            kept, weights = keep_rows(3, rank, (policy, fraction))
            key = jax.random.key(0)
            other = select(key, rank, fraction, keep=policy.keep, selection=policy.selection)
            assert len(kept) == len(other.indices)
            assert weights.sum() == pytest.approx(other.weights.sum())
            if policy.exploit == 1 and not policy.is_random:
                assert (kept == other.indices).all()
    assert feasible((RANDOM, 0.1), 100) and not feasible((RANDOM, 0.001), 100)


BROKEN = {
    "shuffled": ("next to nothing", True),
    "copies": ("repeat an earlier row", True),
    "near copies": ("copies with small changes", True),
    "rare": ("rarest class", True),
    "leak": ("test rows", True),
    "heavy": ("heavier tails", False),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_assumptions_are_refused_or_flagged(case, advice):
    rng, test = np.random.default_rng(3), None
    x, y = rows()
    if case == "shuffled":
        y = rng.permutation(y)
    elif case == "copies":
        x, y = np.repeat(x[:100], 5, axis=0), np.repeat(y[:100], 5)
    elif case == "near copies":
        x, y = np.repeat(x[:100], 5, axis=0), np.repeat(y[:100], 5)
        x = x + 1e-4 * rng.normal(size=x.shape)
    elif case == "rare":
        y = np.where((y == 2) & (rng.random(len(y)) < 0.95), 0, y)
    elif case == "leak":
        test = (x[:100], y[:100])
    elif case == "heavy":
        x = 2 * MEANS[y] + rng.standard_t(3, size=x.shape)
    text, refused = BROKEN[case]
    found = advise(x, y, test=test, **TINY)
    said = [*found.reasons, *found.flags]
    assert any(text in sentence for sentence in said) and (found.refused or not refused)
    assert not any(text in sentence for sentence in [*advice.reasons, *advice.flags])  # a control
    if found.refused:
        assert not found.predictions and "No advice" in found.sentences()[0]
        with pytest.raises(InvalidArgumentError, match="none was given"):
            found.apply(0.5)


def test_test_rows_of_their_own_are_no_leak(advice):
    assert advise(*rows(), test=rows(5), **TINY).diagnostics.leaked == 0.0
    assert advice.diagnostics.leaked is None


def test_given_logits_take_the_probes_place(advice):
    x, y = rows()
    logits = (x @ MEANS.T) - 0.5 * (MEANS**2).sum(axis=1)  # the best there are
    found = advise(x, y, logits=logits, **TINY)
    assert found.about["probe"] == "given" and found.cost["scoring"] == 0
    by_logits = found.source.scores(Policy("el2n"))
    assert np.corrcoef(by_logits, advice.source.scores(Policy("el2n")))[0, 1] > 0.5
    assert not any("trained on these rows" in flag for flag in found.flags)
    seen = 5.0 * np.eye(K)[y] + np.random.default_rng(0).normal(size=(N, K))
    told = advise(x, y, logits=seen, **TINY)
    assert any("trained on these rows" in flag for flag in told.flags)
    with pytest.raises(InvalidArgumentError, match="logits must be"):
        advise(x, y, logits=logits[:-1], **QUICK)


@pytest.mark.parametrize("target", ["worst-class", "loss"])
def test_other_targets_are_predicted_on_their_own_scale(target, advice):
    found = advise(*rows(), target=target, **TINY)
    whole = found.all_data
    assert whole.low < whole.value < whole.high
    if target == "loss":
        assert 0 < whole.value < 2 and found.random_at(0.3).value > whole.value
    else:
        assert whole.value < advice.all_data.value


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"keep_fractions": []}, "keep_fractions must list"),
        ({"keep_fractions": [1.0]}, "keep_fractions must be a number in"),
        ({"scores": "el2n"}, "scores must be a list"),
        ({"scores": ["forgetting"]}, "scores must need logits"),
        ({"target": "speed"}, "target must be one of"),
        ({"probe": "oracle"}, "probe must be"),
        ({"checks": "none"}, "checks must be one of"),
        ({"tolerance": -1}, "tolerance must be a number"),
        ({"ridge": 0}, "ridge must be a number"),
        ({"seed": 2.5}, "seed must be a whole number"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(change, text):
    with pytest.raises(InvalidArgumentError, match=text):
        advise(*rows(), **QUICK | change)


def test_measured_departures_correct_cells_like_them():
    hard, easy = (Policy("el2n"), 0.2), (Policy("el2n", "easiest"), 0.2)
    alike, base = (Policy("margin"), 0.2), (RANDOM, 0.2)
    predicted = {ALL: -2.0, base: -1.8, hard: -0.5, alike: -0.6, easy: -0.6}
    told = infer(list(predicted), predicted, {ALL: (0.0, 0.02), hard: (0.5, 0.02)}, prior=Prior())
    mean = dict(zip(predicted, told.mean, strict=True))
    spread = dict(zip(predicted, np.sqrt(np.diag(told.covariance)), strict=True))
    assert mean[hard] > 0.4 and abs(mean[ALL]) < 0.2
    assert 0.1 < mean[alike] < mean[hard] and abs(mean[easy]) < 0.15  # a control: the other end
    assert spread[hard] < 0.12 < spread[alike] < spread[easy]


def test_the_page_holds_everything_in_one_file(advice, tmp_path):
    path = advice.report(tmp_path / "advice.html")
    text = path.read_text()
    assert text.count("data:image/svg+xml") == 3 and "http://" not in text.replace(
        "http://www.w3.org", ""
    )
    assert "Should data be pruned?" in text and "All predictions" in text
    with pytest.raises(InvalidArgumentError, match="exists already"):
        advice.report(path)
    with pytest.raises(InvalidArgumentError, match=r"ends in \.html"):
        advice.report(tmp_path / "advice.txt")


def test_the_command_prints_tables_json_and_files(tmp_path):
    x, y = rows()
    np.savez(tmp_path / "own.npz", x=x, y=y)
    asked = [
        "advise", str(tmp_path / "own.npz"), "--keep-fraction", "0.2,0.5", "--scores", "el2n",
        "--exploit", "0.5", "--scale", "none", "--tolerance", "20", "--components", "1",
    ]  # fmt: skip
    runner = CliRunner()
    out, report = str(tmp_path / "subset.npz"), str(tmp_path / "page.html")
    shown = runner.invoke(main, [*asked, "--out", out, "--report", report])
    assert shown.exit_code == 0, shown.output
    assert "Keep" in shown.stdout and max(map(len, _told(shown.stdout))) <= 80
    with np.load(out) as found:
        assert len(found["indices"]) == round(0.2 * N)
    told = runner.invoke(main, [*asked, "--json"])
    assert told.exit_code == 0 and json.loads(told.stdout)["refused"] is False
    np.savez(tmp_path / "own.npz", x=x, y=np.random.default_rng(0).permutation(y))
    refused = runner.invoke(main, asked)
    assert refused.exit_code == 1 and "No advice" in refused.stdout
    bad = runner.invoke(main, [*asked, "--out", out])
    assert bad.exit_code == 2 and "exists already" in bad.stderr


def _told(text):
    """All lines but those that name files."""
    return [line for line in text.splitlines() if "Written" not in line and "/" not in line]

"""The search of networks: what tuning may see, who is declared, and what the page then says."""

import numpy as np
import pytest
from scipy.stats import kendalltau

import network_second
from generated import ROOT
from nfl_pruning.experiments.scripts import load
from nfl_pruning.networks.comparison.arms import Arm
from nfl_pruning.records import RecordStore


@pytest.fixture(scope="module")
def simulation():
    return load(ROOT / "simulations" / "networks_search.py")


@pytest.fixture(scope="module")
def parts(simulation):
    import _search

    return _search


def test_every_policy_is_a_rule_of_its_own(simulation, parts):
    for wider in (False, True):
        policies = parts.family(simulation.BASE["scores"], wider=wider)
        names = [policy["name"] for policy in policies]
        assert len(set(names)) == len(names) > 100
        assert all(isinstance(parts.arm(policy), Arm) for policy in policies)
        for kind, fits in parts.KINDS.items():
            assert 0 < sum(map(fits, policies)) <= len(policies), kind
    unbiased = [p["name"] for p in policies if parts.is_unbiased(p)]
    assert "el2n hardest exact exploit 0.2" in unbiased
    for word in ("soft", "clipped", "threshold", "batch", ":0 "):
        assert not any(word in name for name in unbiased), word


def test_tuning_reads_no_test_image_and_noise_reaches_its_validation(parts):
    train, _ = parts.parts("digits")
    for noise in (0.0, 0.3):
        tuning = parts.split_of("digits", None, noise, parts.TUNING, 2)
        fresh = parts.split_of("digits", None, noise, parts.FRESH, 2)
        n = len(train)
        assert len(tuning.table) == n < len(fresh.table)  # its table has no test image at all
        own = [tuning.only(i) for i in range(2)]
        for one in own:
            assert not set(one.train_rows[0]) & set(one.test_rows[0])
            wrong = (one.test_labels[0] != train.y[one.test_rows[0]]).mean()
            assert wrong == pytest.approx(noise, abs=0.01)
        assert set(own[0].test_rows[0]) != set(own[1].test_rows[0])
        assert (fresh.only(0).test_rows >= n).all() and (fresh.only(0).train_rows < n).all()
        truth = np.concatenate([train.y, parts.parts("digits")[1].y])
        np.testing.assert_array_equal(
            fresh.only(1).test_labels[0], truth[fresh.only(1).test_rows[0]]
        )


TINY = {"data": "digits", "model": "logistic", "epochs": 2, "score_epoch": 1, "batch_size": 32}
TINY |= {"scores": ["el2n"], "grand_probes": 1, "n_train": 300, "fresh": 3}
TINY |= {"fractions": [0.2], "rounds": [[1, None], [1, 3]]}


def test_run_declares_confirms_resumes_and_draws(simulation, parts, monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "HARDEST", [("soft:0", 0.2), ("exact", 0.2), ("middle:0.1:1", 0.2)])
    monkeypatch.setattr(parts, "EASIEST", [("threshold", 1.0)])
    monkeypatch.setattr(parts, "SIZES", ())
    monkeypatch.setitem(simulation.PRESETS, "quick", [simulation.BASE | TINY])
    store = RecordStore(tmp_path / "records")
    simulation.run("quick", store, lambda done, total: None)
    before = {path.name: path.read_text() for path in store.folder.glob("*.json")}
    simulation.run("quick", store, lambda done, total: None)
    assert before == {path.name: path.read_text() for path in store.folder.glob("*.json")}
    (declared,) = store.select(kind="networks_search declared")
    best = declared["result"]["0.2"]
    finalists = best["finalists"]
    assert best["any"]["policy"]["name"] == max(finalists, key=finalists.__getitem__)
    assert 3 <= len(finalists) < len(best["first_round"])
    tuning = store.select(kind="networks_search tuning")
    fresh = store.select(kind="networks_search fresh")
    assert {r["config"]["repeat"] for r in tuning} == {0, 1}
    assert {r["config"]["repeat"] for r in fresh} == {0, 1, 2}
    (victim,) = [r for r in fresh if r["config"]["repeat"] == 1][:1]
    store.path(victim["config"]).unlink()
    simulation.run("quick", store, lambda done, total: None)
    assert store.get(victim["config"]) == victim["result"]
    figure = load(ROOT / "figures" / "networks_search.py")
    assert [path.suffix for path in figure.draw(store, tmp_path / "out")] == [".pdf", ".png"]


def records(folder, gains, tuned=1.0):
    """A store whose one declared policy has these gains on fresh seeds, in points."""
    store, policy = RecordStore(folder), {"name": "p", "protocol": "soft:0", "exploit": 0.1}
    policy |= {"score": "el2n", "keep": "hardest"}
    base = load(ROOT / "simulations" / "networks_search.py").BASE
    about = {name: value for name, value in base.items() if name not in ("rounds", "fresh")}
    own = {"policy": policy, "gains": [tuned / 100]}
    kinds = dict.fromkeys(("any", "calibrated", "unbiased"), own)
    config = {"kind": "networks_search declared", **about, "rounds": [[1, None]]}
    store.put(config, {"0.1": kinds | {"finalists": {}, "first_round": {}}})
    for part, values in (("tuning", [tuned]), ("fresh", gains)):
        for repeat, gain in enumerate(values):
            config = {"kind": f"networks_search {part}", **about, "repeat": repeat, "fraction": 0.1}
            hard = {"el2n hardest threshold": 0.2} if part == "fresh" else {}
            store.put(config, {"accuracy": {"random": 0.8, "p": 0.8 + gain / 100} | hard})
    return store


@pytest.mark.parametrize(
    ("gains", "verdict", "said"),
    [
        ([0.9, 1.1, 1.0, 1.2], "beats random", "beats random: +1.1 ± 0.2 points"),
        ([-0.9, 1.1, -1.0, 0.7], "undecided", "does not beat random beyond chance"),
        ([-0.9, -1.1, -1.0, -1.2], "loses to random", "loses to random: −1.1"),
        ([0.9, 1.1], None, "no verdict yet"),
    ],
)
def test_the_verdict_is_of_fresh_seeds_alone(tmp_path, gains, verdict, said):
    """Whatever tuning saw (+1 point in each case), fresh seeds decide."""
    figure = load(ROOT / "figures" / "networks_search.py")
    (setting,) = figure.results(records(tmp_path, gains))
    (one,) = setting.declared  # one policy is all three kinds
    assert one.tuned == pytest.approx(1.0)
    assert (None if one.verdict is None else one.verdict.text) == verdict
    assert said in network_second.sentence(one)
    assert one.hard == pytest.approx(-60)


def test_tau_and_regret():
    figure = load(ROOT / "figures" / "networks_ranking.py")
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 6, 16), rng.integers(0, 6, 16)
        assert figure._tau(a, b) == pytest.approx(kendalltau(a, b)[0])
    true = np.linspace(0.7, 0.9, 8)

    def record(subset):
        pairs = {"1": {"random": np.stack([true, true], 1).tolist()}}
        return {"result": {"accuracy": pairs | {"0.1": {"rule": subset}}}}

    for own, tau, regret in ((true - 0.3, 1, 0), (-true, -1, 20)):
        pairs = [[value, 0.0] for value in own]  # the second half is not for choosing
        found = figure.ranked([record(pairs)] * 3, "0.1", "rule")
        assert found.tau == pytest.approx(tau) and found.regret == pytest.approx(regret)
        assert found.tau_ends == pytest.approx((tau, tau))
    gone = figure.ranked([record([[None, None], *[[v, 0.0] for v in true[1:]]])], "0.1", "rule")
    assert gone.failed == 1 and gone.tau == pytest.approx(1)


def test_break_even_by_hand():
    """MLP and EL2N: (5 + t / s + c t) / (10 (1 - r)) refits with one probe."""
    text = network_second.break_even()
    row = next(line for line in text.splitlines() if line.startswith("| MLP, el2n | 1 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    work = 5 + float(cells[2])
    for cell, fraction in zip(cells[3:7], (0.03, 0.1, 0.3, 0.7), strict=True):
        assert float(cell) == pytest.approx(work / (10 * (1 - fraction)), abs=0.06)
    assert cells[7] == f"{10 * work:.0f} %"

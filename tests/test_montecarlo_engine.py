"""The engine's promises: memory, resuming, stopping, verdicts, laws, probes, devices and hosts."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from nfl_pruning.inputs import Clouds, HeavyTails, Isotropic, parse_inputs
from nfl_pruning.montecarlo import (
    beats_random,
    engine,
    estimate_cost,
    holm,
    request,
    simulate,
    training_set,
)
from nfl_pruning.montecarlo.request import Request
from nfl_pruning.montecarlo.resources import COMPILER_BYTES, parse_memory, trial_bytes
from nfl_pruning.montecarlo.trials import Layout
from nfl_pruning.probes import FixedProbe, InSampleProbe, PilotProbe
from nfl_pruning.problem import Problem
from nfl_pruning.records import RecordStore
from nfl_pruning.validation import InvalidArgumentError

BASE = Problem(samples_per_feature=6, keep_fraction=0.3, probe=FixedProbe(0.8)).replace(
    signal=2.0, ridge=0.05 / 6
)
RANDOM = BASE.replace(selection="random")


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 2**32), ("500 MB", 5 * 10**8), (1024, 1024), ("1.5kb", 1500)]
)
def test_memory_sizes_are_read(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1GB", "4 parsecs", "0", "1e400"])
def test_bad_memory_sizes_are_refused(text):
    with pytest.raises(InvalidArgumentError, match="memory must be a positive size"):
        parse_memory(text)


def test_a_run_that_cannot_fit_is_refused_before_it_starts():
    with pytest.raises(
        InvalidArgumentError, match=r"memory must be at least \d+ MiB for 1 trial of 300000"
    ):
        simulate(BASE, n_features=50000, n_trials=1, memory="400MiB")


def test_results_of_many_trials_count_towards_the_memory():
    with pytest.raises(
        InvalidArgumentError, match=r"memory must be at least \d+ MiB for 1000000000"
    ):
        estimate_cost(BASE, n_features=50, n_trials=10**9, memory="2GiB")
    few, many = (estimate_cost(BASE, n_features=50, n_trials=n).total_bytes for n in (1, 10**6))
    assert many - few > 10**6 * 20 * 8


def test_records_are_those_of_the_code_that_made_them(monkeypatch):
    """A score that changed under its name, and a package that changed, begin anew."""

    def job(problem):
        return asked.describe(problem, 20, ["kept"])

    asked = Request(1, 20, 0, None, None, "auto", None, None, 1e-9)

    score = BASE.score
    changed = replace(score, difficulty=lambda logits, labels, context: -logits[..., 0])
    assert job(BASE) == job(BASE.replace(keep="hardest"))
    assert job(BASE) != job(BASE.replace(score=changed))
    before = job(BASE)
    monkeypatch.setattr(request, "source_hash", lambda: "other code")
    assert job(BASE) != before


def test_rows_that_do_not_fit_are_drawn_again_and_nothing_changes():
    plan = engine.make_job(BASE, n_features=100, seed=0).plan
    least, most = (trial_bytes(plan, Layout(store=store)) for store in (False, True))
    memory = COMPILER_BYTES + (least + most) // 2
    assert not estimate_cost(BASE, n_features=100, memory=memory).layout.store
    assert estimate_cost(BASE, n_features=100, memory="4GiB").layout.store
    small = simulate(BASE, n_features=100, n_trials=3, memory=memory)
    large = simulate(BASE, n_features=100, n_trials=3)
    for name in ("cosine", "norm"):
        np.testing.assert_allclose(small.trials[name], large.trials[name], rtol=0, atol=1e-8)


def test_cost_is_described_in_words():
    assert "64 trials" in estimate_cost(BASE, n_features=400).describe(64)


def test_a_run_that_broke_continues_and_ends_with_the_same_numbers(tmp_path, monkeypatch):
    store, computed = RecordStore(tmp_path), []
    run_trials = engine.run_trials

    def counted(job, run, trials):
        computed.append(len(trials))
        return run_trials(job, run, trials)

    def stop(done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "run_trials", counted)
    with pytest.raises(KeyboardInterrupt):
        simulate(BASE, n_features=50, n_trials=300, records=store, progress=stop)
    resumed = simulate(BASE, n_features=50, n_trials=300, records=store)
    again = simulate(BASE, n_features=50, n_trials=300, records=store)
    fresh = simulate(BASE, n_features=50, n_trials=300)
    assert computed[0] == 300
    assert 0 < computed[1] < 300
    assert computed[2:] == [0, 300]
    for name in ("cosine", "norm", "gradient_norm", "kept"):
        np.testing.assert_array_equal(resumed.trials[name], fresh.trials[name])
        np.testing.assert_array_equal(again.trials[name], fresh.trials[name])


def test_records_of_other_problems_are_not_mixed_up(tmp_path):
    store = RecordStore(tmp_path)
    simulate(BASE, n_features=50, n_trials=4, records=store)
    other = BASE.replace(ridge=0.02)
    recorded = simulate(other, n_features=50, n_trials=4, records=store)
    np.testing.assert_array_equal(
        recorded.trials["norm"], simulate(other, n_features=50, n_trials=4).trials["norm"]
    )


def test_stops_when_precise_enough():
    simulation = simulate(BASE, n_features=50, n_trials=4000, until=("norm", 0.01))
    assert 32 < simulation.n_trials < 4000
    assert simulation.standard_error("norm") <= 0.01
    shorter = simulate(BASE, n_features=50, n_trials=simulation.n_trials)
    np.testing.assert_array_equal(simulation.trials["norm"], shorter.trials["norm"])
    with pytest.raises(InvalidArgumentError, match="observable"):
        simulate(BASE, n_features=50, n_trials=4, until=("cosin", 0.1))


def test_holm_on_a_worked_example():
    """0.01, 0.04, 0.03 of three: 3 * 0.01; then 2 * 0.03; then max(0.06, 1 * 0.04)."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])


@pytest.mark.slow
def test_verdicts_against_random():
    random_rule = simulate(RANDOM, n_features=50, n_trials=60)
    family = {
        "easiest": simulate(BASE.replace(keep="easiest"), n_features=50, n_trials=60),
        "hardest": simulate(BASE, n_features=50, n_trials=60),
        "random": simulate(RANDOM, n_features=50, n_trials=60),
    }
    for name in ("cosine", "test_error"):
        verdicts = beats_random(family, random_rule, name)
        words = {rule: verdict.verdict for rule, verdict in verdicts.items()}
        assert words == {"easiest": "better", "hardest": "worse", "random": "undecided"}
    with pytest.raises(InvalidArgumentError, match="observable"):
        beats_random(family, random_rule, "norm")


def test_false_claims_are_as_rare_as_promised():
    """Random against random on other draws: 200 families of 3, at most 5 % with a claim."""
    rng = np.random.default_rng(0)
    claims = 0
    for _ in range(200):
        x = rng.standard_normal((4, 20))
        t = (x[1:] - x[0]).mean(1) / ((x[1:] - x[0]).std(1, ddof=1) / np.sqrt(20))
        claims += holm(list(2 * stats.t.sf(np.abs(t), 19))).min() <= 0.05
    assert claims <= 10 + 4 * np.sqrt(200 * 0.05 * 0.95)
    assert claims > 0


@pytest.mark.parametrize(
    "law",
    [HeavyTails(12.0), Clouds(0.8, "across"), Clouds(0.8, "teacher")],
    ids=lambda law: law.label,
)
def test_laws_have_mean_zero_and_unit_covariance(law):
    everything = Problem(samples_per_feature=2000.0)
    x = training_set(everything.replace(inputs=law), n_features=5, trial=0).x
    root = np.sqrt(len(x))
    assert np.abs(x.mean(0)).max() < 4.5 / root
    assert np.abs(x.T @ x / len(x) - np.eye(5)).max() < 4.5 * 3 / root
    assert not np.allclose((x**4).mean(0), 3, atol=0.3)


def test_laws_have_text_forms():
    for law in (Isotropic(), HeavyTails(4.0), Clouds(0.5, "teacher")):
        assert parse_inputs(law.label) == law
    for bad in ("heavy-tails:2", "mixture:1", "mixture:0.5:up", "cauchy", "mixture:a"):
        with pytest.raises(InvalidArgumentError):
            parse_inputs(bad)


@pytest.mark.slow
def test_clouds_across_keep_the_limit_and_heavy_tails_do_not():
    """Only the covariance of directions across the plane is felt; a random length is felt."""
    problem = BASE.replace(keep="easiest")
    cosine, norm = 0.7920, 2.0914  # of the normal law's limit
    mixture = simulate(problem.replace(inputs="mixture:0.8:across"), n_features=300, n_trials=40)
    heavy = simulate(problem.replace(inputs="heavy-tails:4"), n_features=300, n_trials=40)
    assert mixture.standard_error("cosine") < 0.004
    assert abs(mixture.z_score("cosine", cosine)) < 4
    assert abs(mixture.z_score("norm", norm)) < 4
    assert abs(heavy.z_score("norm", norm)) > 6
    assert "test_error" not in heavy.trials
    assert heavy.to_dict()["law"] == "heavy-tails:4"


def test_what_a_law_cannot_supply_is_said():
    with pytest.raises(InvalidArgumentError, match="input_norm"):
        simulate(BASE.replace(score="grand", inputs="mixture"), n_features=9, n_trials=1)


FITTED_PROBES = {  # problem, then cosine and norm of its proportional limit
    "pilot": (
        {"samples_per_feature": 5.0, "keep_fraction": 0.4, "probe": PilotProbe(3.0, 0.02),
         "ridge": 0.02},
        -0.0803, 1.9450,
    ),
    "in-sample": (
        {"score": "margin", "probe": InSampleProbe(0.1 / 6)},
        0.30758281, 1.77364300,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param("pilot", marks=pytest.mark.slow), "in-sample"])
def test_fitted_probes_agree_with_their_limits(name):
    changes, cosine, norm = FITTED_PROBES[name]
    simulation = simulate(BASE.replace(**changes), n_features=300, n_trials=30, seed=1)
    assert simulation.failed == 0
    assert simulation.standard_error("cosine") < 0.02
    assert simulation.standard_error("norm") < 0.03
    assert abs(simulation.z_score("cosine", cosine)) < 4
    assert abs(simulation.z_score("norm", norm)) < 4


def test_in_sample_keeps_what_its_own_probe_finds_hard():
    """The probe refitted here on all samples ranks the kept ones hardest."""
    from sklearn.linear_model import LogisticRegression

    problem = BASE.replace(probe=InSampleProbe(0.02))
    everything = training_set(problem.replace(keep_fraction=1.0), n_features=20, trial=2)
    probe = LogisticRegression(
        C=1 / (0.02 * 120), fit_intercept=False, solver="newton-cholesky", tol=1e-12
    ).fit(everything.x, everything.y)
    margins = everything.y * probe.decision_function(everything.x)
    kept = training_set(problem, n_features=20, trial=2)
    assert set(kept.rows) == set(np.argsort(margins)[:36])


CHILD = """
import sys, json
import jax
jax.config.update("jax_cpu_collectives_implementation", "gloo")
where, split, rank, port, folder = sys.argv[1:6]
if where == "host":
    jax.distributed.initialize("127.0.0.1:" + port, num_processes=2, process_id=int(rank))
from nfl_pruning.montecarlo import simulate
from nfl_pruning.probes import FixedProbe
from nfl_pruning.problem import Problem
from nfl_pruning.records import RecordStore
problem = Problem(samples_per_feature=6, keep_fraction=0.3, probe=FixedProbe(0.8)).replace(
    signal=2.0, ridge=0.05 / 6)
n_features, n_trials = (100, 40_000) if where == "kill" else (50, 70)
records = None if folder == "-" else RecordStore(folder)
print("started", flush=True)
found = simulate(problem, n_features=n_features, n_trials=n_trials, split=split, records=records)
print(json.dumps([jax.device_count(), list(found.trials["cosine"]), list(found.trials["norm"])]))
"""


def child(*arguments, devices=1):
    flags = f"--xla_force_host_platform_device_count={devices}"
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": root}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def numbers(process):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    devices, *table = json.loads(out.splitlines()[-1])
    return devices, np.array(table)


def reference(n_trials, n_features=50):
    found = simulate(BASE, n_features=n_features, n_trials=n_trials)
    return np.array([found.trials["cosine"], found.trials["norm"]])


@pytest.mark.slow
@pytest.mark.parametrize("split", ["trials", "rows"])
def test_eight_devices_give_the_numbers_of_one(split):
    devices, table = numbers(child("device", split, "0", "0", "-", devices=8))
    assert devices == 8
    np.testing.assert_allclose(table, reference(70), rtol=0, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["trials", "rows"])
def test_two_hosts_give_the_numbers_of_one(split, tmp_path):
    """Though one of them has records of some trials, and the other does not."""
    simulate(BASE, n_features=50, n_trials=30, records=RecordStore(tmp_path / "0"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    pair = [child("host", split, rank, port, str(tmp_path / rank)) for rank in "01"]
    for devices, table in map(numbers, pair):
        assert devices == 2
        np.testing.assert_allclose(table, reference(70), rtol=0, atol=1e-8)


@pytest.mark.slow
def test_killed_at_random_moments_and_ended_with_the_same_numbers(tmp_path):
    """Twenty kills, two processes sharing the folder, until well before all trials are there."""
    moments, records = random.Random(0), []
    for _ in range(10):
        pair = [child("kill", "trials", "0", "0", str(tmp_path)) for _ in range(2)]
        for process in pair:
            assert process.stdout is not None
            process.stdout.readline()
        for process in pair:
            time.sleep(moments.uniform(0, 8))
            process.send_signal(signal.SIGKILL)
            process.communicate()
        records.append(len(list(tmp_path.rglob("*.json"))))
    print("records after each pair of kills:", records)
    assert len(set(records)) > 3  # kills met runs at work, and the next one went on from there
    _, table = numbers(child("kill", "trials", "0", "0", str(tmp_path)))
    np.testing.assert_array_equal(table, reference(40_000, 100))

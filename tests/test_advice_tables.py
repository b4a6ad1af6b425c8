"""The tables of the advice benchmark: luck, departures, regrets, and which tasks are held back."""

from pathlib import Path

import numpy as np
import pytest

from nfl_pruning.experiments.scripts import load

SIMULATIONS = Path(__file__).parent.parent / "simulations"
FRACTIONS = (0.1, 0.3, 0.5)


@pytest.fixture(scope="module")
def tables():
    return load(SIMULATIONS / "_advice.py")


@pytest.fixture(scope="module")
def benchmark():
    return load(SIMULATIONS / "advice.py")


def record(seed, n=1000, test_rows=8000, times=1.0, bias=0.0):
    """A task whose predictions are wrong by luck alone, ``times`` as much, and by ``bias``."""
    rng = np.random.default_rng(seed)
    shared, cells = times * rng.normal(), []
    for fraction, truth in zip((*FRACTIONS, 1.0), (75.0, 85.0, 89.0, 90.0), strict=True):
        for place, policy in enumerate(("random", "el2n hardest")):
            value = truth - place * fraction
            error = 1 - value / 100
            size = 100 * np.sqrt(error * (1 - error) * (1 / n + 1 / test_rows))
            predicted = value + shared * size + bias
            cells.append(
                {
                    "policy": policy,
                    "keep_fraction": fraction,
                    "predicted": predicted,
                    "by_mixture": predicted,
                    "low": predicted - 2,
                    "high": predicted + 2,
                    "truth": value,
                    "scatter": 0.0,
                    "refits": 3,
                    "refits_inside": 2,
                }
            )
    result = {
        "refused": False,
        "cells": cells,
        "test_rows": test_rows,
        "recommended": {str(f): "random" for f in FRACTIONS},
    }
    return {"config": {"n": n}, "result": result}


def test_luck_is_the_binomial_error_of_both_samples(tables):
    cell = {"truth": 90.0, "scatter": 1.5, "refits": 9}
    shared, own = tables.luck(cell, 1000, 10**12)
    assert shared == pytest.approx(0.9487, abs=1e-4) and own == pytest.approx(0.5)
    assert tables.luck(cell, 1000, 1000)[0] == pytest.approx(np.sqrt(2) * shared)


def test_luck_alone_gives_its_own_medians_and_more_than_luck_shows(tables):
    def measured(**how):
        found = [record(seed, **how) for seed in range(60)]
        told = tables.departures(found)
        much = told["fraction"] >= tables.MUCH
        medians = tables.by_luck(told, much)
        told_rms = tables.column(found)[
            "what they share, in standard errors of luck, root mean square"
        ]
        return np.median(np.abs(told["departure"][much])), medians, float(told_rms)

    median, expected, rms = measured()
    low, high = np.quantile(expected, [0.005, 0.995])
    assert low < median < high and high - low < 0.6 and rms == pytest.approx(1, abs=0.3)
    for how in ({"times": 3.0}, {"bias": 3.0}):  # controls
        median, expected, rms = measured(**how)
        assert median > np.quantile(expected, 0.995) and rms > 1.8


def test_regrets_are_those_of_what_was_recommended(tables):
    result = record(0)["result"]
    assert tables.regrets(result) == pytest.approx(np.zeros(3))
    worse = result | {"recommended": {str(f): "el2n hardest" for f in FRACTIONS}}
    assert tables.regrets(worse) == pytest.approx(FRACTIONS)


def test_no_held_back_task_was_seen_before(benchmark):
    def seen(task, others):
        few = len(task["classes"]) < 10
        return any(
            task == other or (few and task["classes"] == other["classes"]) for other in others
        )

    before = [*benchmark.TUNING, *benchmark.EARLIER]
    assert not any(seen(task, before) for task in benchmark.HELD_BACK)
    assert seen(benchmark.EARLIER[0], before)  # a control
    assert {task["seed"] for task in benchmark.HELD_BACK}.isdisjoint(t["seed"] for t in before)
    sizes = [task["n"] for task in benchmark.HELD_BACK]
    assert min(sizes) == 500 and max(sizes) == 20_000
    small = {tuple(t["classes"]) for t in benchmark.HELD_BACK if len(t["classes"]) < 10}
    assert len(small) >= 10
    assert {t["features"] for t in benchmark.HELD_BACK} == {
        "mlp", "cnn", "random", "pixels", "digits",
    }  # fmt: skip


def test_the_order_of_the_tasks_is_a_lot_that_stays(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "load_dataset", lambda name: type("D", (), {"content_hash": ""}))
    listed = [job.config for job in benchmark.jobs("paper")]
    parts = [config["part"] for config in listed]
    assert parts == sorted(parts, key=["planted", "held-back", "earlier", "tuning"].index)
    held = [config for config in listed if config["part"] == "held-back"]
    own = [(c["features"], c["classes"], c["n"]) for c in held]
    declared = [(t["features"], t["classes"], t["n"]) for t in benchmark.HELD_BACK]
    assert own != declared and sorted(own) == sorted(declared)
    assert listed == [job.config for job in benchmark.jobs("paper")]


def test_hindsight_takes_the_luckiest_of_equal_policies(tables):
    rng, policies, refits, scatter = np.random.default_rng(3), 11, 3, 1.2

    def measured(gap, own):
        """Truths of policies that are as good as each other but for the recommended one."""
        truth = 80 - gap * (np.arange(policies) == 0)
        truth = truth + own / np.sqrt(refits) * rng.normal(size=policies)
        cells = [
            {"policy": str(i), "keep_fraction": 0.1, "truth": t, "scatter": own, "refits": refits}
            for i, t in enumerate(truth)
        ]
        return {"recommended": {"0.1": "0"}, "cells": cells}

    def left(gap, own):
        found = [measured(gap, own) for _ in range(60)]
        lost = np.array([tables.regrets(one)[0] for one in found])
        return lost.mean(), (lost - [tables.flattery(one, 400)[0] for one in found]).mean()

    by_luck, corrected = left(0.0, scatter)
    # nothing was lost; noise once more tells of sqrt(2) - 1 of it where all are equal
    assert by_luck > 0.9 and 0.4 * by_luck < corrected < 0.75 * by_luck
    assert left(3.0, scatter)[1] > 2.5  # what is lost stays lost
    assert left(3.0, 0.0) == pytest.approx((3.0, 3.0))

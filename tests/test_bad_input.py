"""Bad input: one sentence that names the argument, the range and the value, and nothing else."""

from __future__ import annotations

import math
from typing import Any, cast

import jax
import numpy as np
import pytest

from nfl_pruning import (
    FixedProbe,
    InvalidArgumentError,
    Problem,
    Student,
    Teacher,
    make_selection,
    select,
    simulate,
)
from nfl_pruning.adversary.find import find_adversary
from nfl_pruning.data import load_dataset
from nfl_pruning.inputs import parse_spectrum
from nfl_pruning.pruning.run import prune
from nfl_pruning.statements import STATEMENTS
from nfl_pruning.validation import check_seed
from shell import shell

CASES = [
    ("solve --signal -1", "signal", "[0, inf)", "-1"),
    ("solve --signal inf", "signal", "[0, inf)", "inf"),
    ("solve --signal nan", "signal", "[0, inf)", "nan"),
    ("solve --signal 1e999", "signal", "[0, inf)", "inf"),
    ("solve --signal two", "signal", "[0, inf)", "'two'"),
    ("solve --signal 1,,2", "signal", "[0, inf)", "''"),
    ("solve --samples-per-feature 0", "samples_per_feature", "(0, inf)", "0"),
    ("solve --samples-per-feature=-2", "samples_per_feature", "(0, inf)", "-2"),
    ("solve --ridge -0.1", "ridge", "[0, inf)", "-0.1"),
    ("solve --keep-fraction 0", "keep_fraction", "(0, 1]", "0"),
    ("solve --keep-fraction 1.2", "keep_fraction", "(0, 1]", "1.2"),
    ("solve --keep-fraction 0.5,1.2", "keep_fraction", "(0, 1]", "1.2"),
    ("solve --exploit 1.5", "exploit", "[0, 1]", "1.5"),
    ("solve --protocol exact --exploit -0.5", "exploit", "[0, 1]", "-0.5"),
    ("solve --probe fixed:1.5", "alignment", "[-1, 1]", "1.5"),
    ("solve --probe fixed:0.5:-1", "norm", "[0, inf)", "-1"),
    ("solve --probe fixed:nan", "alignment", "[-1, 1]", "nan"),
    ("solve --probe fixd:0.5", "probe", "fixed:COSINE[:NORM]", "'fixd:0.5'"),
    ("solve --probe fixed", "probe", "fixed:COSINE[:NORM]", "'fixed'"),
    ("solve --link logit", "link", "nearest: logistic", "'logit'"),
    ("solve --link steps:0:0.1,1.2", "link", "[0, 1]", "1.2"),
    ("solve --link steps:1,0:0.1,0.2,0.3", "breaks", "increasing", "1.0, 0.0"),
    ("solve --link steps:0:0.1", "link", "2 values", "1"),
    ("solve --link steps:zero:0.1,0.2", "link", "steps:BREAKS:VALUES", "zero"),
    ("solve --loss hing", "loss", "logistic, squared", "'hing'"),
    ("solve --score eln2", "score", "nearest: el2n", "'eln2'"),
    ("solve --keep hard", "keep", "nearest: hardest", "'hard'"),
    ("solve --protocol exat", "protocol", "nearest: exact", "'exat'"),
    ("solve --protocol soft", "protocol", "soft:EXPONENT", "'soft'"),
    ("solve --protocol soft:1.5", "exponent", "[0, 1]", "1.5"),
    ("solve --protocol power:nan", "exponent", "(-inf, inf)", "nan"),
    ("simulate --n-features 1", "n_features", "at least 2", "1"),
    ("simulate --n-features 10.5", "n_features", "whole number", "10.5"),
    ("simulate --n-trials 0", "n_trials", "at least 1", "0"),
    ("simulate --seed -1", "seed", "at least 0", "-1"),
    ("simulate --seed 9223372036854775808", "seed", "below 2^63", "9223372036854775808"),
    ("simulate --seed " + 5000 * "9", "seed", "below 2^63", "999"),
    *(
        (f"{command} --seed {seed}", "seed", "at least 0 and below 2^32", seed)
        for command in ("score", "train", "compare", "prune", "verify", "adversary")
        for seed in (str(2**32), "-1", "--1", "1,2", "²", 5000 * "9")
    ),
    ("simulate --n-features 50 --keep-fraction 0.001", "keep_fraction", "fewer than one", "0.001"),
    ("simulate --n-features 20 --keep-fraction 0.01 --protocol exact", "explore", "exploit", "100"),
    ("solve --goal test_loss", "--goal", "needs --best", "test_loss"),
    ("solve --best ridge --goal loss", "goal", "test_error, test_loss", "'loss'"),
    ("solve --best beta", "best", "exploit, exponent, ridge", "'beta'"),
    ("solve --best ridge,ridge", "best", "distinct", "'ridge,ridge'"),
    ("solve --best exploit", "exploit", "exact or soft", "'threshold'"),
    ("solve --best ridge --loss hinge", "best", "losses with a derivative", "loss 'hinge'"),
    ("adversary --keep-fraction 0.3,0.5", "keep_fraction", "(0, 1)", "'0.3,0.5'"),
    ("adversary --effort 6,x", "effort", "at least 1", "'6,x'"),
    ("prune --scores x.npz --probe in-sample", "--probe", "--scores", "in-sample"),
    ("prune --scores x.npz --score loss", "--score", "--scores", "loss"),
    ("prune x.npz --data-dir .", "data_dir", "'x.npz'", "'.'"),
    ("score --gradient logits", "--gradient", "--score grand", "logits"),
    ("compare --score el2n,loss --gradient logits", "--gradient", "--score grand", "logits"),
    ("reproduce --preset quik", "preset", "nearest: quick", "'quik'"),
    ("list scors", "kind", "nearest: scores", "'scors'"),
    ("prune no-such-data", "data set", "digits", "no-such-data"),
    ("prune missing.npz", "missing.npz", "", ""),
    ("prune digits --keep-fraction 2", "keep_fraction", "(0, 1]", "2"),
    ("solv", "solv", "nearest: solve", ""),
    ("solve --keep-fractoin 0.3", "--keep-fractoin", "nearest: --keep-fraction", ""),
    ("solve --signal", "--signal", "requires an argument", ""),
    ("solve extra", "extra", "", ""),
    ("--no-such-option", "--no-such-option", "", ""),
]


@pytest.mark.parametrize(
    ("line", "argument", "allowed", "value"), CASES, ids=lambda text: text[:80]
)
def test_one_sentence_and_exit_code_2(
    capsys, tmp_path, monkeypatch, line, argument, allowed, value
):
    monkeypatch.chdir(tmp_path)
    ran = shell(capsys, *line.split(" "))
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("Error: ")
    assert ran.err.endswith(".\n")
    assert ran.err.count("\n") == 1
    for part in (argument, allowed, value):
        assert part in ran.err
    assert list(tmp_path.iterdir()) == []


def test_seeds_end_where_keys_would_repeat():
    """Outside float64 a key drops the high bits of its seed; inside, 63 bits count."""
    words = lambda seed: tuple(jax.random.key_data(jax.random.key(seed)).tolist())  # noqa: E731
    assert check_seed(2**32 - 1) == 2**32 - 1
    assert len({words(seed) for seed in (0, 1, 2**32 - 1)}) == 3
    with jax.enable_x64(True):
        assert len({words(check_seed(s, bits=63)) for s in (0, 2**32, 2**63 - 1)}) == 3


def test_json_output_stays_empty_on_bad_input(capsys):
    ran = shell(capsys, "solve", "--ridge", "-1", "--json")
    assert (ran.code, ran.out) == (2, "")


def test_a_sweep_with_one_bad_value_computes_nothing(capsys, monkeypatch):
    def never(problem):
        raise AssertionError("solved before all values were checked")

    monkeypatch.setattr("nfl_pruning.theory.solve.solve", never)
    assert shell(capsys, "solve", "--keep-fraction", "0.5,0.7,3").code == 2


KEY = jax.random.key(0)
DIGITS = load_dataset("digits")
IDENTITY = parse_spectrum("power:1:1:20")
RIDGED = Problem(student=Student(ridge=0.1))

BAD: list[Any] = [
    (lambda: Problem(samples_per_feature=0), "samples_per_feature"),
    (lambda: Problem(keep_fraction=math.nan), "keep_fraction"),
    (lambda: Problem(keep_fraction=True), "keep_fraction"),
    (lambda: Problem(keep="hard"), "keep"),
    (lambda: Teacher(signal=-1), "signal"),
    (lambda: Student(ridge=math.inf), "ridge"),
    (lambda: FixedProbe(1.01), "alignment"),
    (lambda: FixedProbe(0.5, -1), "norm"),
    (lambda: make_selection("exact", exploit=2), "exploit"),
    (lambda: make_selection("soft:x"), "soft"),
    (lambda: simulate(Problem(), n_features=0, n_trials=1), "n_features"),
    (lambda: simulate(Problem(), n_features=10, n_trials=cast(Any, 1.5)), "n_trials"),
    (lambda: find_adversary("el2n", 0.3, seed=2**32), "seed"),
    (lambda: prune(DIGITS, seed=2**32), "seed"),
    (lambda: STATEMENTS["grand-el2n"].check(seed=2**32), "seed"),
    (lambda: simulate(Problem(), n_features=10, n_trials=1, seed=2**63), "seed"),
    (lambda: simulate(RIDGED.replace(inputs=IDENTITY), n_trials=1, seed=2**63), "seed"),
    (lambda: select(KEY, np.array([0.0, np.nan]), 0.5), "1 of 2"),
    (lambda: select(KEY, np.zeros((1, 1)), 0.5), "shape"),
    (lambda: select(KEY, np.zeros(0), 0.5), "shape"),
    (lambda: select(KEY, np.arange(2.0), 0.1), "fewer than one sample"),
    (lambda: select(KEY, np.arange(2.0), 1.1), "keep_fraction"),
    (lambda: select(KEY, np.arange(9), 0.12, selection="exact"), "explore"),
]


@pytest.mark.parametrize(("call", "names"), BAD, ids=range(len(BAD)))
def test_the_library_raises_one_sentence(call, names):
    with pytest.raises(InvalidArgumentError) as refused:
        call()
    sentence = str(refused.value)
    assert names in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence

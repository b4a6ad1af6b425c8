"""The adversary: certified gaps against brute force, and three scores that a user wrote."""

from __future__ import annotations

import sys

import jax.numpy as jnp
import numpy as np
import pytest

from nfl_pruning import SCORES, InvalidArgumentError, Score
from nfl_pruning.adversary.certify import certify
from nfl_pruning.adversary.find import FOUND, NONE_EXISTS, NONE_FOUND, find_adversary, load_score
from nfl_pruning.adversary.laws import EXPLICIT, RANGES, Law
from nfl_pruning.adversary.population import Nodes, law_nodes, minimiser, risk
from nfl_pruning.adversary.ranking import provably_constant, ranker
from nfl_pruning.adversary.search import soft_gap, to_law, to_raw
from shell import shell

USER = """
import jax.numpy as jnp

def constant(logits, labels, context):
    return jnp.full(logits.shape[:-1], 3.0)

def hashed(logits, labels, context):
    x = context.inputs
    value = jnp.sin(x[..., 0] * 12.9898 + x[..., 1] * 78.233) * 43758.5453
    return value - jnp.floor(value)

def norm(logits, labels, context):
    return jnp.linalg.norm(context.inputs, axis=-1)

def two_numbers(logits, labels, context):
    return logits

def two_arguments(logits, labels):
    return labels

def undefined(logits, labels, context):
    return jnp.log(-jnp.exp(logits[..., 0]))
"""


@pytest.fixture
def user(tmp_path, monkeypatch):
    (tmp_path / "user_scores_for_tests.py").write_text(USER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "user_scores_for_tests"
    sys.modules.pop("user_scores_for_tests", None)


def brute_force(law: Law, score: Score, fraction: float, keep: str) -> tuple[float, float]:
    """The gap from large samples: mean and standard error over repeats."""
    nodes = law_nodes(law, 97)
    best, _ = minimiser(nodes)
    rank = ranker(score, law, best, keep)
    gaps = []
    for seed in range(8):
        x, y = law.sample(np.random.default_rng(seed), 100_000)
        order = np.argsort(-rank(x, y))[: round(fraction * len(x))]
        mass = np.stack([y[order] > 0, y[order] < 0]) / len(order)
        gaps.append(risk(minimiser(Nodes(x[order], mass))[0], nodes) - risk(best, nodes))
    return float(np.mean(gaps)), float(np.std(gaps, ddof=1) / np.sqrt(len(gaps)))


@pytest.mark.parametrize(
    ("name", "law", "fraction", "keep"),
    [("el2n", "outer-flip", 0.8, "hardest"), ("grand", "two-regimes", 0.5, "hardest"),
     ("entropy", "two-regimes", 0.3, "easiest")],
)  # fmt: skip
def test_certified_gaps_agree_with_large_samples(name, law, fraction, keep):
    got = certify(EXPLICIT[law], SCORES[name], fraction, keep)
    mean, error = brute_force(EXPLICIT[law], SCORES[name], fraction, keep)
    assert got.resolved and got.error < 1e-3
    assert error < 0.05 * got.gap  # precise enough to see a twentieth
    assert abs(mean - got.gap) < 5.5 * error + 3e-5  # and what fits of 10^4 samples add
    assert abs(mean - 1.5 * got.gap) > 5.5 * error  # control


def test_ties_are_split():
    """Forgetting has two values; between them a share is kept at random, as samples are."""
    got = certify(EXPLICIT["outer-flip"], SCORES["forgetting"], 0.5, "hardest")
    assert got.resolved and not got.binding and 0.05 < got.gap < 0.15


def test_laws_are_probability_laws():
    for law in EXPLICIT.values():
        nodes = law_nodes(law, 97)
        assert np.isclose(nodes.mass.sum(), 1, atol=1e-9)
        theta = np.array([0.7, -0.4, 0.2])
        x, y = law.sample(np.random.default_rng(0), 400_000)
        wrong = (np.sign(x @ theta[:2] + theta[2]) != y).mean()
        assert abs(law.zero_one_error(theta) - wrong) < 4.5 * np.sqrt(0.25 / 400_000)
    with pytest.raises(InvalidArgumentError, match="balance"):
        Law(balance=1.5)


def test_the_search_space_covers_the_family():
    law = EXPLICIT["two-regimes"]
    again = to_law(to_raw(law))
    for name, (low, high) in RANGES.items():
        assert abs(getattr(again, name) - getattr(law, name)) <= 0.021 * (high - low)


def test_gradients_of_the_softened_gap_are_those_of_differences():
    import jax

    with jax.enable_x64(True):
        raw, share = jnp.asarray(to_raw(EXPLICIT["two-regimes"])), jnp.asarray(0.4)
        gap = jax.jit(lambda raw: soft_gap(raw, SCORES["entropy"], share, jnp.ones(())))
        slope = np.asarray(jax.jit(jax.grad(gap))(raw))
        for i in (0, 1, 2, 7):  # balance, separation, angle, a label probability
            step = jnp.zeros_like(raw).at[i].set(1e-4)
            numeric = float(gap(raw + step) - gap(raw - step)) / 2e-4
            assert np.isclose(slope[i], numeric, rtol=1e-3, atol=1e-6)


def test_a_constant_is_random_pruning_provably(user):
    found = find_adversary(f"{user}:constant", 0.3)
    assert found.outcome == NONE_EXISTS and found.bound == 0
    assert not provably_constant(load_score(f"{user}:hashed"))
    assert not provably_constant(SCORES["el2n"])
    assert provably_constant(SCORES["random"])


@pytest.mark.parametrize(
    ("name", "word"),
    [("two_numbers", "fails"), ("two_arguments", "fails"), ("undefined", "finite")],
)  # fmt: skip
def test_a_score_that_is_none_is_told_so(user, name, word):
    with pytest.raises(InvalidArgumentError, match=f"{name}.*{word}"):
        find_adversary(f"{user}:{name}", 0.5)


def test_a_module_that_breaks_is_told_so(tmp_path, monkeypatch):
    (tmp_path / "broken_scores_for_tests.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidArgumentError, match=r"cannot be imported \(division by zero\)"):
        load_score("broken_scores_for_tests:score")


def test_a_hash_is_not_refuted_and_gets_a_bound(user):
    found = find_adversary(f"{user}:hashed", 0.5, effort=2)
    assert found.outcome == NONE_FOUND
    assert found.bound is not None and 0 < found.bound < 0.01


def test_the_norm_alone_fails_on_a_law(user):
    found = find_adversary(f"{user}:norm", 0.5, effort=2)
    assert found.outcome == FOUND
    assert found.certificate is not None and found.simulated is not None
    assert found.certificate.gap > 0.05 > 10 * found.certificate.error
    assert found.simulated.mean > 10 * found.simulated.error
    assert f"{found.simulated.n_samples} samples" in found.comparison


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["hardest", "easiest"])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("name", [name for name in SCORES if name != "random"])
def test_every_registered_score_fails_on_some_law(name, fraction, keep):
    assert find_adversary(name, fraction, keep=keep).outcome == FOUND


def test_the_command_line(capsys, user, tmp_path):
    ran = shell(capsys, "adversary", "--score", f"{user}:constant", "--json")
    assert ran.code == 0 and ran.json["outcome"] == NONE_EXISTS and ran.json["law"] is None
    plot = tmp_path / "law.png"
    constant = ("adversary", "--score", f"{user}:constant", "--out", str(plot))
    assert f"so {plot} was not written" in shell(capsys, *constant).out
    assert shell(capsys, *constant, "--json").json["out"] is None and not plot.exists()
    ran = shell(capsys, "adversary", "--score", f"{user}:norm", "--keep-fraction", "0.5",
                "--effort", "1", "--out", str(plot))  # fmt: skip
    assert ran.code == 0 and ran.out.startswith("Found") and f"Plot: {plot}" in ran.out
    assert plot.stat().st_size > 10_000
    assert all(len(line) <= 80 for line in ran.out.splitlines()[1:])


def test_a_module_in_the_folder_is_found_and_the_path_stays(capsys, tmp_path, monkeypatch):
    (tmp_path / "user_scores_here.py").write_text(f"from beside_it import LEVEL\n{USER}")
    (tmp_path / "beside_it.py").write_text("LEVEL = 3.0\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    ran = shell(capsys, "adversary", "--score", "user_scores_here:constant", "--json")
    assert ran.code == 0 and ran.json["outcome"] == NONE_EXISTS
    assert sys.path == before
    with pytest.raises(InvalidArgumentError, match="cannot be imported"):
        load_score("user_scores_here:constant")  # the control: Python's path does not hold it
    sys.modules.pop("beside_it")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("--score", "el3n"), "el2n"), (("--score", "no.such:thing"), "module"),
     (("--keep-fraction", "1"), "keep_fraction"), (("--keep", "best"), "hardest"),
     (("--out", "law.txt"), "out"), (("--effort", "0"), "effort")],
)  # fmt: skip
def test_bad_input_is_one_sentence(capsys, arguments, word):
    ran = shell(capsys, "adversary", *arguments)
    assert ran.code == 2 and word in ran.err and ran.err.count("\n") == 1

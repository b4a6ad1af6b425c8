"""Where ridge-free fits stop to exist: published thresholds, linear programs, plain grids."""

# Texts stand for objects and numbers may be None here; a test fails where that is wrong.
# pyright: reportArgumentType=false, reportOptionalOperand=false, reportOperatorIssue=false

import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from scipy.stats import norm

from nfl_pruning.probes import FixedProbe
from nfl_pruning.problem import Problem
from nfl_pruning.theory.probe_limit import selection_law
from nfl_pruning.theory.proportional import solve
from nfl_pruning.theory.separability import separability_threshold


def threshold(problem):
    return separability_threshold(problem, selection_law(problem))


PRUNED = Problem(keep_fraction=0.5, score="margin", probe=FixedProbe(0.8)).replace(
    signal=2, ridge=0
)


@pytest.mark.parametrize(("signal", "ratio"), [(2, 0.3449301284), (10, 0.0989587964), (0, 0.5)])
def test_unpruned_thresholds(signal, ratio):
    """Candes and Sur (2020)."""
    assert abs(1 / threshold(Problem().replace(signal=signal)) - ratio) < 2e-10


@pytest.mark.parametrize(("signal", "ratio"), [(2, 0.3449301284), (10, 0.0989587964)])
def test_status_flips_within_a_thousandth(signal, ratio):
    some = Problem().replace(signal=signal, ridge=0)
    below = solve(some.replace(samples_per_feature=1 / (ratio - 1e-3)))
    above = solve(some.replace(samples_per_feature=1 / (ratio + 1e-3)))
    assert below.status.value == "certified" and below.norm > 10
    assert above.status.value == "separable"
    assert above.norm is None and above.cosine is None and above.test_loss is None
    assert f"{1 / ratio:.4g}"[:4] in above.message


def test_pruned_threshold():
    assert abs(threshold(PRUNED) - 4.937) < 5e-4


def test_pruned_threshold_on_a_plain_grid():
    x, w = np.polynomial.legendre.leggauss(400)
    t = norm.ppf(0.75)
    u, u_weight = t * x, t * w * norm.pdf(t * x)
    g, g_weight = 8 * x, 8 * w * norm.pdf(8 * x)
    u, g = np.meshgrid(u, g, indexing="ij")
    mass = u_weight[:, None] * g_weight
    chance = 1 / (1 + np.exp(-2 * (0.8 * u + 0.6 * g)))

    def objective(c):
        total = 0.0
        for y, p in ((1, chance), (-1, 1 - chance)):
            m = y * (c[0] * u + c[1] * g)
            total += np.sum(mass * p * ((1 + m**2) * norm.cdf(m) + m * norm.pdf(m)))
        return total

    best = minimize(objective, [-0.3, -0.3], method="BFGS", options={"gtol": 1e-10})
    assert abs(1 / best.fun - threshold(PRUNED)) < 1e-7


@pytest.mark.parametrize(
    ("keep", "fraction"), [("hardest", 0.05), ("easiest", 0.3)], ids=["wrong", "right"]
)
def test_label_aware_rules_on_one_side_of_zero_are_always_separable(keep, fraction):
    problem = Problem(keep_fraction=fraction, keep=keep, probe=FixedProbe(0.8)).replace(
        signal=2, ridge=0, samples_per_feature=150
    )
    assert threshold(problem) == np.inf
    assert solve(problem).status.value == "separable"


def test_weights_do_not_matter_but_the_keep_probability_does():
    plain = PRUNED.replace(score="el2n", selection="exact")
    assert abs(threshold(plain) - threshold(plain.replace(selection="soft:0.2"))) < 1e-9
    assert threshold(plain) > threshold(PRUNED.replace(keep_fraction=1.0))
    np.testing.assert_allclose(  # random pruning scales the threshold
        threshold(PRUNED.replace(selection="random")),
        threshold(PRUNED.replace(keep_fraction=1.0)) * 2,
        rtol=1e-9,
    )


@pytest.mark.slow
def test_linear_programs_change_their_mind_at_the_threshold():
    """Twelve data sets of 120 features on each side: separable below, not above."""
    critical = threshold(PRUNED)
    separable = []
    for delta in (0.82 * critical, 1.18 * critical):
        count = 0
        for seed in range(12):
            rng = np.random.default_rng(seed)
            n, d = int(delta * 120), 120
            x = rng.normal(size=(n, d))
            y = np.where(rng.uniform(size=n) < 1 / (1 + np.exp(-2 * x[:, 0])), 1, -1)
            margin = np.abs(0.8 * x[:, 0] + 0.6 * x[:, 1])
            kept = np.argsort(margin)[: n // 2]
            program = linprog(
                np.zeros(d),
                A_ub=-(y[:, None] * x)[kept],
                b_ub=-np.ones(len(kept)),
                bounds=(None, None),
            )
            count += program.status == 0
        separable.append(count)
    assert separable[0] >= 11 and separable[1] <= 1

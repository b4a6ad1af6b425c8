"""Where ridge-free fits stop to exist: published thresholds, linear programs, plain grids."""

# Texts stand for objects and numbers may be None here; a test fails where that is wrong.
# pyright: reportArgumentType=false, reportOptionalOperand=false, reportOperatorIssue=false

import math

import numpy as np
import pytest
from scipy.optimize import linprog, minimize, minimize_scalar
from scipy.special import expit, ndtr
from scipy.stats import norm

from nfl_pruning import existence_threshold
from nfl_pruning.montecarlo import training_set
from nfl_pruning.probes import FixedProbe
from nfl_pruning.problem import Problem
from nfl_pruning.theory.existence.separability import separability_threshold
from nfl_pruning.theory.probe_limit import selection_law
from nfl_pruning.theory.solve import solve


def threshold(problem):
    return separability_threshold(problem, selection_law(problem))


PRUNED = Problem(keep_fraction=0.5, score="margin", probe=FixedProbe(0.8)).replace(
    signal=2, ridge=0
)


@pytest.mark.parametrize(("signal", "ratio"), [(2, 0.3449301284), (10, 0.0989587964), (0, 0.5)])
def test_unpruned_thresholds(signal, ratio):
    """Candes and Sur (2020)."""
    assert abs(1 / threshold(Problem().replace(signal=signal)) - ratio) < 2e-10


@pytest.mark.parametrize(
    ("signal", "ratio"),
    [(10, 0.0989587964), pytest.param(2, 0.3449301284, marks=pytest.mark.slow)],
)
def test_status_flips_within_a_thousandth(signal, ratio):
    some = Problem().replace(signal=signal, ridge=0)
    below = solve(some.replace(samples_per_feature=1 / (ratio - 1e-3)))
    above = solve(some.replace(samples_per_feature=1 / (ratio + 1e-3)))
    assert below.status.value == "certified" and below.norm > 10
    assert above.status.value == "separable"
    assert math.isnan(above.norm) and math.isnan(above.cosine) and math.isnan(above.test_loss)
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


def test_the_public_threshold_reads_the_loss_and_the_selection():
    assert existence_threshold(PRUNED) == threshold(PRUNED)
    assert existence_threshold(PRUNED.replace(loss="hinge")) == threshold(PRUNED)
    assert abs(existence_threshold(PRUNED.replace(loss="squared")) - 2) < 1e-9
    pilot = PRUNED.replace(probe="pilot:3:0.02")
    aligned = solve(pilot.replace(ridge=0.1)).state["probe_alignment"]
    same = existence_threshold(PRUNED.replace(probe=FixedProbe(aligned)))
    assert abs(existence_threshold(pilot) - same) < 1e-9 and aligned < 0.8


IN_SAMPLE = PRUNED.replace(probe="in-sample:0.02", score="el2n")


def test_a_probe_on_the_same_samples_changes_nothing_where_all_are_kept():
    """Keeping all, what the probe knows is irrelevant, but its equations are all in use."""
    for ridge in (0.02, 0.5):
        everything = IN_SAMPLE.replace(keep_fraction=1.0, probe=f"in-sample:{ridge}")
        assert abs(existence_threshold(everything) - 1 / 0.3449301284) < 1e-7


@pytest.mark.slow
def test_the_gate_and_the_solutions_agree_for_in_sample_probes():
    """Above the threshold a fit whose norm diverges towards it, below a direction, both certified.

    The threshold comes from a saddle point, the norms from the five equations of the fit.
    """
    critical = existence_threshold(IN_SAMPLE)
    norms = []
    for factor in (1.3, 1.1, 1.03):
        above = solve(IN_SAMPLE.replace(samples_per_feature=factor * critical))
        assert above.status.value == "certified"
        norms.append(above.norm)
    assert 1.8 * norms[0] < norms[1] and 1.8 * norms[1] < norms[2]
    margins = []
    for factor in (0.8, 0.9, 0.97):
        problem = IN_SAMPLE.replace(samples_per_feature=factor * critical)
        below = solve(problem)
        assert below.status.value == "separable" and math.isnan(below.norm)
        hard = solve(problem.replace(loss="max-margin"))
        assert hard.status.value == "certified"
        assert abs(hard.cosine - below.direction_cosine) < 1e-8
        margins.append(1 / hard.norm)
    slope = (margins[1] - margins[2]) / 0.07  # margins fall to 0 at the threshold, in a line
    assert abs(margins[2] - 0.03 * slope) < 0.15 * margins[2]


def separable_share(problem, n_features, trials):
    """Share of data sets whose kept samples a linear program separates."""
    count = 0
    for trial in range(trials):
        data = training_set(problem, n_features=n_features, trial=trial)
        program = linprog(
            np.zeros(n_features),
            A_ub=-(data.y[:, None] * data.x),
            b_ub=-np.ones(len(data.y)),
            bounds=(None, None),
        )
        count += program.status == 0
    return count / trials


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"score": "margin", "probe": "in-sample:0.1"},
        {"score": "margin", "keep": "easiest"},
        {"selection": "exact", "keep_fraction": 0.4},
    ],
    ids=["aware hardest", "agnostic hardest", "agnostic easiest", "calibrated"],
)
def test_linear_programs_change_their_mind_at_the_in_sample_threshold(changes):
    """Samples whose own probe pruned them: separable below, not above, and half at the threshold.

    The control is the threshold of a fresh probe with the same alignment: nearly all samples are
    separable there, or nearly none.
    """
    problem = IN_SAMPLE.replace(**changes)
    critical = existence_threshold(problem)

    def share(factor):
        return separable_share(problem.replace(samples_per_feature=factor * critical), 60, 16)

    assert share(0.7) >= 0.9 and share(1.4) <= 0.15
    assert 0.15 < share(1.0) < 0.85
    aligned = solve(problem.replace(samples_per_feature=critical, ridge=0.1)).state
    fresh = existence_threshold(problem.replace(probe=FixedProbe(aligned["probe_alignment"])))
    assert not 0.15 < share(min(fresh / critical, 2.0)) < 0.85


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


@pytest.mark.parametrize("signal", [20, 1000, 1e5])
def test_with_all_samples_kept_the_probe_does_not_matter(signal):
    """Against one integral over the teacher's margin, refined towards the link's rise."""
    edges = np.concatenate([[0], np.geomspace(1e-3 / signal, 10, 400)])
    x, w = np.polynomial.legendre.leggauss(40)
    half, middle = 0.5 * np.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    z, mass = (middle + half * x).ravel(), (half * w).ravel() * 2
    mass = mass * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)

    def part(m):
        return (1 + m * m) * ndtr(m) + m * np.exp(-m * m / 2) / np.sqrt(2 * np.pi)

    def value(log_t):
        t = np.exp(log_t)
        return mass @ (expit(signal * z) * part(-t * z) + expit(-signal * z) * part(t * z))

    ends = (-3, np.log(1e3 * signal))
    best = minimize_scalar(value, bounds=ends, method="bounded", options={"xatol": 1e-10})
    true = 1 / best.fun  # pyright: ignore[reportAttributeAccessIssue]
    for alignment in (0.0, 0.8, 1.0):
        problem = Problem(keep_fraction=1.0, probe=FixedProbe(alignment)).replace(signal=signal)
        found = existence_threshold(problem.replace(ridge=0))
        assert abs(found / true - 1) < 1e-6


def test_a_threshold_that_hangs_on_few_samples():
    """Keep-hardest near the probe's error: a plain tensor grid gives 109.31671864 (scipy)."""
    problem = Problem(keep_fraction=0.3, probe=FixedProbe(0.8)).replace(signal=2, ridge=0)
    assert abs(existence_threshold(problem) / 109.31671864 - 1) < 1e-8

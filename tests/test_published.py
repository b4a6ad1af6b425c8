"""Published numbers: other people's tables, and equations that share nothing with the package."""

# Numbers may be None here; a test fails where that is wrong.

import numpy as np
import pytest
from scipy.optimize import root
from scipy.special import expit

from nfl_pruning import FixedProbe, Problem, make_selection, solve

pytestmark = pytest.mark.optimised

# --- unpruned maximum likelihood -----------------------------------------------------------------


def scaled(ratio, signal):
    """(alpha, lambda, sigma) of Sur and Candes: bias, proximal step, scaled noise."""
    found = solve(Problem(samples_per_feature=1 / ratio).replace(signal=signal, ridge=0))
    assert found.status.value == "certified"
    return (
        found.cosine * found.norm / signal,
        found.state["kappa"],
        found.state["tau"] / np.sqrt(ratio),
    )


@pytest.mark.parametrize(
    ("extra", "alpha", "step", "sigma"),
    [
        (0.0, 1.50, 3.03, 4.75),
        (0.5, 1.51, 3.12, 4.84),
        (1.0, 1.55, 3.42, 5.13),
        (2.0, 1.75, 4.83, 6.45),
        (2.5, 1.95, 6.26, 7.73),
    ],
)
def test_models_without_an_intercept(extra, alpha, step, sigma):
    """Zhao, Sur and Candes (2022), table 13: d/n = 0.2, signal^2 = 5 + extra^2, two decimals."""
    found = scaled(0.2, np.sqrt(5 + extra**2))
    np.testing.assert_allclose(found, (alpha, step, sigma), atol=0.011)


def three_equations(unknowns, ratio, signal):
    """Sur and Candes (2019), equation 5, on a fixed tensor grid."""
    alpha, step, sigma = unknowns
    x, w = np.polynomial.legendre.leggauss(200)
    g, weight = 9 * x, 9 * w * np.exp(-((9 * x) ** 2) / 2) / np.sqrt(2 * np.pi)
    z, noise = np.meshgrid(g, g, indexing="ij")
    mass = np.outer(weight, weight) * 2 * expit(signal * z)
    v = -alpha * signal * z + np.sqrt(ratio) * sigma * noise
    low, high = v - step, v.copy()
    for _ in range(55):  # the proximal point of softplus, by bisection
        middle = 0.5 * (low + high)
        up = middle + step * expit(middle) < v
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    p = expit(0.5 * (low + high))
    return [
        np.sum(mass * (step * p) ** 2) / ratio**2 - sigma**2,
        np.sum(mass * z * step * p),
        np.sum(mass / (1 + step * p * (1 - p))) - (1 - ratio),
    ]


@pytest.mark.parametrize(("ratio", "signal"), [(0.1, 5**0.5), (0.2, 1.0)])
def test_maximum_likelihood_solves_the_published_equations(ratio, signal):
    found = scaled(ratio, signal)
    start = np.array(found) * [1.03, 0.97, 1.02]
    solution = root(three_equations, start, args=(ratio, signal), tol=1e-12)
    assert np.abs(solution.fun).max() < 1e-11
    np.testing.assert_allclose(found, solution.x, rtol=1e-8)


# --- Kolossov, Montanari and Tandon (2023) -------------------------------------------------------

# Test errors of their published files, by exponent, at 20, 50 and 80 % kept; ridge 0.001, teacher
# of norm 5, labels right with probability 0.95.
PERFECT = {  # n = 6870, d = 3000, the surrogate is the teacher
    -1: (0.29413, 0.27879, 0.27052),
    -0.5: (0.30629, 0.28606, 0.27248),
    0: (0.36684, 0.30633, 0.27648),
    0.5: (0.42223, 0.33211, 0.2517),
    1: (0.44555, 0.33731, 0.24844),
}
IMPERFECT = {  # n = 34345, d = 932, the surrogate's margin is 2.75 along the teacher, 0.95 across
    -1: (0.23347, 0.14388, 0.10348),
    -0.5: (0.20267, 0.13188, 0.10166),
    0: (0.14983, 0.10748, 0.09382),
    0.5: (0.12807, 0.09238, 0.08489),
    1: (0.12175, 0.08716, 0.08429),
}
NOISY = Problem().replace(link="flip:0.05", ridge=0.001)
SETTINGS = {
    "perfect": (PERFECT, NOISY.replace(samples_per_feature=6870 / 3000, probe="fixed:1:5"), 4e-3),
    "imperfect": (
        IMPERFECT,
        NOISY.replace(
            samples_per_feature=34345 / 932,
            probe=FixedProbe(2.75 / np.hypot(2.75, 0.95), np.hypot(2.75, 0.95)),
        ),
        6e-3,
    ),
}


@pytest.mark.parametrize(
    "surrogate",
    [n if n == "imperfect" else pytest.param(n, marks=pytest.mark.slow) for n in SETTINGS],
)
def test_selection_with_a_surrogate(surrogate):
    """The whole grid, to the accuracy of their integrals: a trapezoidal rule of step 0.2 or 0.25.

    Their error shows where the rule is smooth: at exponent 0 the rows agree ten times as well. The
    control is the rule with its exponent's sign turned round.
    """
    table, problem, accuracy = SETTINGS[surrogate]
    errors = {a: [solve(_kept(problem, a, r)).test_error for r in (0.2, 0.5, 0.8)] for a in table}
    difference = {a: np.array(errors[a]) - table[a] for a in table}
    assert all(np.abs(gap).max() < accuracy for gap in difference.values())
    assert np.abs(difference[0]).max() < 4e-4
    assert all(np.abs(np.subtract(errors[-a], table[a])).max() > 2 * accuracy for a in (-1, 1))


def _kept(problem, exponent, keep_fraction):
    return problem.replace(selection=f"power:{exponent:g}", keep_fraction=keep_fraction)


# --- probes on the same samples ------------------------------------------------------------------

IN_SAMPLE = Problem(samples_per_feature=6, keep_fraction=0.3).replace(
    signal=2, ridge=0.05 / 6, probe=f"in-sample:{0.1 / 6}"
)
CALIBRATED = Problem(
    samples_per_feature=5, keep_fraction=0.4, selection=make_selection("exact", exploit=0.6)
).replace(signal=1.5, ridge=0.02, probe="in-sample:0.02")


@pytest.mark.parametrize(
    ("problem", "cosine", "norm", "chi"),
    [
        pytest.param(
            IN_SAMPLE.replace(keep_fraction=0.5), 0.7037, 0.8784, 1.273, marks=pytest.mark.slow
        ),
        (IN_SAMPLE, -0.66507995, 1.92834714, 2.784598),
        (IN_SAMPLE.replace(keep_fraction=0.5, keep="easiest"), 0.8464, 2.6840, -1.273),
        (IN_SAMPLE.replace(keep="easiest"), 0.8309, 2.0634, -1.036),
        pytest.param(
            IN_SAMPLE.replace(keep_fraction=0.5, score="margin"),
            0.79777005,
            1.91985629,
            0.515889,
            marks=pytest.mark.slow,
        ),
        (IN_SAMPLE.replace(score="margin"), 0.30758281, 1.77364300, 1.371261),
        pytest.param(
            IN_SAMPLE.replace(score="margin", keep="easiest"),
            0.77566115,
            2.13556917,
            -0.843416,
            marks=pytest.mark.slow,
        ),
        (CALIBRATED, 0.5125, 1.9344, 0.8305),
        (CALIBRATED.replace(score="margin"), 0.5789, 2.4352, 0.2123),
    ],
)
def test_in_sample_probes(problem, cosine, norm, chi):
    """Values solved apart, and confirmed by simulation at d = 500 and 600 to about 1 %."""
    solution = solve(problem)
    assert solution.status.value == "certified"
    for found, value in ((solution.cosine, cosine), (solution.norm, norm)):
        digits = 8 if value * 1e4 % 1 > 1e-6 and round(value, 4) != value else 4
        assert abs(found - value) < 0.51 * 10.0**-digits + 1e-9
    chi_digits = 6 if round(chi, 4) != chi else 3
    assert abs(solution.state["chi"] - chi) < 0.51 * 10.0**-chi_digits + 1e-9


def test_a_pilot_probe():
    problem = Problem(samples_per_feature=5, keep_fraction=0.4).replace(
        signal=2, ridge=0.02, probe="pilot:3:0.02"
    )
    solution = solve(problem)
    assert abs(solution.state["probe_alignment"] - 0.7521) < 5.1e-5
    np.testing.assert_allclose([solution.cosine, solution.norm], [-0.0803, 1.9450], atol=6e-5)


# --- the perceptron ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "error"),
    [(0.5, 0.32884975), (1, 0.26571147), (2, 0.18847861), (5, 0.09382701), (10, 0.04918340)],
)
def test_the_perceptron_of_largest_margin(delta, error):
    """One problem: noiseless teacher, hard margin (Sorscher et al. 2022 without pruning)."""
    problem = Problem(samples_per_feature=delta).replace(link="sign", loss="max-margin")
    solution = solve(problem)
    assert solution.status.value == "certified"
    assert abs(solution.test_error - error) < 6e-9
    assert 0 < solution.state["nu"] < 1


def test_the_perceptron_pruned_hard_beats_random_with_much_data_and_loses_with_little():
    """Sorscher et al. (2022): with a perfect probe, keep-hardest pays once data are plentiful."""
    problem = Problem(keep_fraction=0.3, score="margin").replace(link="sign", loss="max-margin")
    for delta, sign in ((1.0, 1), (30.0, -1)):
        hard = solve(problem.replace(samples_per_feature=delta)).test_error
        random = solve(problem.replace(samples_per_feature=delta, selection="random")).test_error
        assert sign * (hard - random) > 0.005

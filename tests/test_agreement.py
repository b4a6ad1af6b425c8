"""Theory against simulation over a random design of problems.

Each problem gives z = (simulated mean - limit) / standard error. Were theory and simulation to
agree exactly, z would follow Student's t with (trials - 1) degrees of freedom, so the root mean
square of the z's has a known law, found here by drawing it. Finite systems differ from the limit by
c / d; at the size used here that is far below a standard error, and its 1/d law is shown apart.
"""

import numpy as np
import pytest

from nfl_pruning import SCORES, FixedProbe, Problem, Teacher, make_selection, simulate, solve
from nfl_pruning.links import parse_link

N_FEATURES, N_TRIALS, N_PROBLEMS = 400, 160, 64
LINKS = ("logistic", "probit", "sign", "steps:0:0.1,0.9", "steps:-0.5,1:0.1,0.6,0.9")
LOSSES = ("logistic", "logistic", "squared")
RANKINGS = ("el2n", "entropy", "loss", "margin")  # GraNd is below: at finite d it feels the norm
PROTOCOLS = ("threshold", "threshold", "exact", "soft:0.5", "power:1", "random")


def random_problem(index: int) -> Problem:
    """Problem ``index`` of the design: every rule, link and loss in turn, numbers at random."""
    draw = np.random.default_rng([2026, index])
    return Problem(
        samples_per_feature=float(draw.uniform(2, 8)),
        keep_fraction=float(draw.uniform(0.2, 0.9)),
        score=SCORES[RANKINGS[index % 4]],
        keep=("hardest", "easiest")[(index // 2) % 2],
        selection=make_selection(PROTOCOLS[index % 6], exploit=float(draw.uniform(0.2, 0.8))),
        teacher=Teacher(parse_link(LINKS[index % 5]), float(draw.uniform(0.5, 4))),
        probe=FixedProbe(float(draw.uniform(-0.5, 1))),
    ).replace(loss=LOSSES[index % 3], ridge=float(10 ** draw.uniform(-2, -0.5)))


def root_mean_square_range(n_trials: int, count: int) -> np.ndarray:
    """Central 99.9 % range of the root mean square of ``count`` independent t variables."""
    t = np.random.default_rng(0).standard_t(n_trials - 1, size=(100_000, count))
    return np.quantile(np.sqrt((t**2).mean(axis=1)), [0.0005, 0.9995])


def simulated(problem: Problem) -> tuple[float, float]:
    """Mean and standard error of the cosine, past the gate on precision."""
    run = simulate(problem, n_features=N_FEATURES, n_trials=N_TRIALS, seed=7)
    assert run.failed == 0
    assert run.standard_error("cosine") <= 0.004, problem.describe()
    return run.mean("cosine"), run.standard_error("cosine")


def shifted(problem: Problem) -> Problem:
    """The problem with its threshold moved: 5 % more of the data counts as kept."""
    return problem.replace(keep_fraction=min(1.0, 1.05 * problem.keep_fraction))


@pytest.mark.slow
def test_random_design_agrees_and_a_shifted_threshold_does_not():
    problems = [random_problem(i) for i in range(N_PROBLEMS)]
    solutions = [solve(problem) for problem in problems]
    assert all(s.status.value == "certified" for s in solutions)
    means, errors = np.array([simulated(problem) for problem in problems]).T
    z = (means - [s.cosine for s in solutions]) / errors
    low, high = root_mean_square_range(N_TRIALS, N_PROBLEMS)
    print(f"rms z {np.sqrt((z**2).mean()):.3f} in [{low:.3f}, {high:.3f}], max {abs(z).max():.2f}")
    assert low < np.sqrt((z**2).mean()) < high
    assert abs(z).max() < 4.5
    ruled = [i for i, p in enumerate(problems) if p.selection.name == "threshold"]
    wrong = (means[ruled] - [solve(shifted(problems[i])).cosine for i in ruled]) / errors[ruled]
    low, high = root_mean_square_range(N_TRIALS, len(ruled))
    print(f"control: rms z {np.sqrt((wrong**2).mean()):.3f} outside [{low:.3f}, {high:.3f}]")
    assert not low < np.sqrt((wrong**2).mean()) < high


PLAIN = Problem(
    samples_per_feature=4.0, keep_fraction=0.4, keep="easiest", probe=FixedProbe(0.8)
).replace(signal=2.0, ridge=0.02)
NORM_SENSITIVE = random_problem(42).replace(score=SCORES["grand"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "name", "sizes", "trials"),
    [
        (PLAIN, "norm", (10, 20, 40), (64_000, 32_000, 16_000)),
        (NORM_SENSITIVE, "cosine", (100, 200, 400), (1200, 1200, 1200)),
    ],
    ids=["el2n", "grand"],
)
def test_the_bias_of_finite_systems_shrinks_like_one_over_d(problem, name, sizes, trials):
    limit = getattr(solve(problem), name)
    runs = [
        simulate(problem, n_features=d, n_trials=n, seed=3)
        for d, n in zip(sizes, trials, strict=True)
    ]
    bias = np.array([run.mean(name) - limit for run in runs])
    error = np.array([run.standard_error(name) for run in runs])
    assert (abs(bias) > 6 * error).all()  # precise enough to see it at every size
    scaled, spread = bias * np.array(sizes), error * np.array(sizes)
    print("d * bias:", scaled, "+-", spread)
    rate = np.polyfit(np.log(sizes), np.log(abs(bias)), 1)[0]
    slack = 3 * spread[-1] / abs(scaled[-1]) / np.log(4) + 0.2  # next order in 1/d
    assert abs(rate + 1) < slack
    assert abs(rate + 0.5) > slack  # control: it is not a 1 / sqrt(d) law

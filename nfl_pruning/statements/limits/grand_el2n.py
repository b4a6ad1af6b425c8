"""GraNd ranks like EL2N as the number of features grows."""

from __future__ import annotations

import numpy as np

from nfl_pruning.numerics.quadrature import gauss_legendre
from nfl_pruning.problem import Problem
from nfl_pruning.scores.evaluate import evaluate
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring.summary import extrapolate, mean_and_error

SIGNAL = 2.0
NORMS = (1.0, 2.0)  # moderate probe norms, where the 1/d law sets in early
LARGE_NORM = 6.0
FEATURES = (64, 256)
SIZES = {"quick": (20_000, 60), "paper": (100_000, 400)}
OVERLAP = {"n_features": 10, "keep_fraction": 0.1}


def error_density(s: np.ndarray, norm: float) -> np.ndarray:
    """Density of s = -y b u for a perfect probe of that norm; the error is sigmoid(s)."""
    u = s / norm
    return 2 / (1 + np.exp(SIGNAL * u)) * np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi) / norm


def constant(norm: float) -> float:
    """Lim d (1 - rank correlation) = 3 E[f(E)^2], f the density of E = log EL2N.

    log GraNd = E + log(||x|| / sqrt d), whose second term has variance 1 / (2 d). A small
    independent disturbance e of E moves its rank by f(E) e, and Spearman's correlation is
    1 - 6 E[(difference of ranks)^2].
    """
    x, w = gauss_legendre(400)
    s = 9 * norm * x
    p = error_density(s, norm)
    slope = 1 / (1 + np.exp(s))  # dE / ds
    return float(3 * np.sum(9 * norm * w * p**3 / slope**2))


def draw(rng: np.random.Generator, n: int, n_features: int, norm: float) -> list[np.ndarray]:
    """Rank keys of EL2N and of GraNd for n samples, from the package's scores."""
    u = rng.standard_normal(n)
    positive = rng.random(n) < 1 / (1 + np.exp(-SIGNAL * u))
    size = np.sqrt((u**2 + rng.chisquare(n_features - 1, n)) / n_features)
    logits = np.asarray(np.stack([np.zeros(n), norm * u], -1))
    scores = (Problem(score=name).score for name in ("el2n", "grand"))
    return [evaluate(s, logits, positive.astype(int), {"input_norm": size})[0] for s in scores]


def rank_distance(a: np.ndarray, b: np.ndarray) -> float:
    """1 - Spearman's correlation."""
    ranks = [np.argsort(np.argsort(v)) / len(v) for v in (a, b)]
    return float(6 * np.mean((ranks[0] - ranks[1]) ** 2))


def overlap_limit(norm: float) -> float:
    """Share of EL2N's hardest that GraNd keeps too, at the sizes of ``OVERLAP``, by quadrature."""
    d, r = OVERLAP["n_features"], OVERLAP["keep_fraction"]
    s = np.linspace(-9 * norm, 9 * norm, 4001)
    p = error_density(s, norm) * (s[1] - s[0])
    from scipy.stats import chi2

    log_error = -np.logaddexp(0, -s)

    def above(level: float) -> np.ndarray:  # P(log GraNd > level | s)
        need = d * np.exp(2 * (level - log_error)) - (s / norm) ** 2
        return chi2.sf(need, d - 1)

    low, high = -40.0, 5.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if p @ above(middle) > r else (low, middle)
    hardest = np.clip((np.cumsum(p[::-1])[::-1] - r) / p, 0, 1)  # share of each cell left out
    return float(np.sum(p * (1 - hardest) * above(low)) / r)


def measure(preset: str, seed: int) -> Measured:
    """D (1 - rank correlation) at two sizes, extrapolated; and the overlap of kept sets."""
    n, repeats = SIZES[preset]
    rng = np.random.default_rng([seed, 10])
    quantities, series = [], []
    for norm in (*NORMS, LARGE_NORM):
        found = [
            np.array([rank_distance(*draw(rng, n, d, norm)) for _ in range(repeats)])
            for d in FEATURES
        ]
        limit = constant(norm)
        if norm in NORMS:
            scaled = [d * values for d, values in zip(FEATURES, found, strict=True)]
            value = extrapolate(FEATURES[0], scaled[0], FEATURES[1], scaled[1])
            text = f"d (1 − rank correlation), probe norm {norm:g}"
            quantities.append(Quantity(text, limit, *value, 0.15 * limit, repeats - 1))
        else:
            last = mean_and_error(FEATURES[1] * found[1])
            text = f"d (1 − rank correlation) at d = {FEATURES[1]}, probe norm {norm:g}"
            quantities.append(Quantity(text, 0.5 * limit, *last, 0.1 * limit, repeats - 1, "below"))
        look = {1.0: "agnostic-easiest", 2.0: "aware-easiest", 6.0: "aware-hardest"}[norm]
        d = [float(v) for v in FEATURES]
        means = [mean_and_error(v) for v in found]
        series += [
            Series(f"limit law, norm {norm:g}", d, [limit / v for v in d], look=look),
            Series(f"samples, norm {norm:g}", d, [m for m, _ in means], [e for _, e in means],
                   look, points=True),
        ]  # fmt: skip
    shared = []
    for _ in range(repeats):
        a, b = draw(rng, n, int(OVERLAP["n_features"]), LARGE_NORM)
        k = round(OVERLAP["keep_fraction"] * n)
        shared.append(len(np.intersect1d(np.argsort(a)[-k:], np.argsort(b)[-k:])) / k)
    value = mean_and_error(np.array(shared))
    text = f"shared part of the hardest 10 %, d = 10, norm {LARGE_NORM:g}"
    quantities.append(Quantity(text, overlap_limit(LARGE_NORM), *value, 0.02, repeats - 1))
    plot = Plot("One minus the rank correlation of GraNd and EL2N", "features", "1 − correlation",
                series, x_log=True, y_log=True)  # fmt: skip
    return Measured(quantities, [plot])


STATEMENT = Statement(
    identifier="grand-el2n",
    title="GraNd ranks like EL2N as features grow, with error of order 1/d",
    claim=(
        "For a linear probe GraNd = EL2N times `‖x‖/√d`, so `1 − rank correlation = C/d + "
        "o(1/d)` with `C = 3 ∫ f^{3}`, f the density of log EL2N. For large probe norms b it grows "
        "like `exp(2 b^{2}/3)`, since confident errors all have EL2N near its maximum: then "
        "the law sets in late, and at d = 10 the two keep different samples."
    ),
    assumptions=("inputs N(0, I)", "logistic link, signal 2, a probe along the teacher"),
    source="Paul, Ganguli and Dziugaite 2021 (the scores); the constant is derived here.",
    why="The norm concentrates: log(‖x‖/√d) has variance 1/(2d).",
    measure=measure,
)

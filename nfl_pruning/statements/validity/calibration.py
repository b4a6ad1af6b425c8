"""Exact calibration is unbiased for every score, and valid; soft calibration trades."""

from __future__ import annotations

from itertools import combinations

import jax
import numpy as np
from jax import Array

from nfl_pruning.problem import Problem
from nfl_pruning.selections import RankSelection, make_selection
from nfl_pruning.selections.finite import realised_counts
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring import fitting, sampling
from nfl_pruning.statements.measuring.planar import Plane, cut_of, rule_of
from nfl_pruning.statements.measuring.summary import extrapolate, mean_and_error, seedless

N_FEATURES, SIGNAL = 2, 1.5
CASES = {
    "aware-hardest": ("el2n", "hardest", 0.3, 0.5),
    "agnostic-hardest": ("entropy", "hardest", 0.2, 0.6),
    "aware-easiest": ("el2n", "easiest", 0.3, 0.5),
}  # look: score, keep, keep fraction, exploitation share
SIZES = {"quick": ((800, 1600), (3200, 1200)), "paper": ((800, 20000), (6400, 8000))}
EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SIMULATED = (0.0, 0.5, 1.0)
SOFT = ("el2n", "easiest", 0.5)  # score, keep, exploitation share
# keep fraction: sizes (samples, repeats) on the two sides of where exponent 1 overtakes 1/2
SOFT_SIZES = {
    "quick": {0.05: ((1600, 4800), (9600, 1200)), 0.1: ((600, 7200), (3200, 1200))},
    "paper": {
        0.05: ((1600, 24000), (9600, 4800)),
        0.1: ((600, 36000), (3200, 9600)),
        0.2: ((240, 72000), (1200, 9600)),
    },
}
PART = 400  # data sets at a time
MOST_EXCESS = 1.0


def problem_of(look: str, exponent: float = 1.0) -> Problem:
    """A calibrated problem; exponent 1 is exact calibration."""
    return _problem(*CASES[look], exponent)


def soft_problem(fraction: float, exponent: float) -> Problem:
    """Soft calibration of label-aware keep-easiest."""
    score, keep, exploit = SOFT
    return _problem(score, keep, fraction, exploit, exponent)


def _problem(score: str, keep: str, fraction: float, exploit: float, exponent: float) -> Problem:
    soft = f"soft:{exponent}" if exponent < 1 else "exact"
    base = Problem(
        keep_fraction=fraction, score=score, keep=keep, probe="fixed:0.7",
        selection=make_selection(soft, exploit=exploit),
    )  # fmt: skip
    return base.replace(signal=SIGNAL)


@seedless
def limits(problem: Problem) -> tuple[float, float, np.ndarray]:
    """Limiting excess loss, its coefficient of 1/n without first-order bias, and the limit of fits.

    By quadrature. With e the keep probability of explored samples and w their weight, the
    estimating equation averages grad over the exploited set and w S grad over the rest. Three parts
    vary: the full sample; the empirical threshold, which moves samples with the mean gradient m at
    the threshold from weight w e to 1; and the choice of a fixed number of explored samples, whose
    covariance is that of grad *within* the explored set. Exact calibration has w e = 1, so the
    threshold drops out, and all fits tend to the best parameter.
    """
    look_rule = rule_of(problem)
    assert isinstance(problem.selection, RankSelection)
    first, rest = problem.selection.strata(problem.keep_fraction)
    share, e, w = first.share, rest.keep_probability, rest.weight
    cut = cut_of(problem, look_rule, share)
    plane = Plane(problem, (cut, -cut))
    inside = plane.inside(look_rule, cut)
    theta = plane.minimiser(np.where(inside, 1.0, w * e))
    grad = plane.scores(theta)

    def cov(values: np.ndarray, mass: np.ndarray) -> np.ndarray:
        mass = mass / mass.sum()
        mean = np.einsum("iln,ln->i", values, mass)
        return np.einsum("iln,ln,jln->ij", values, mass, values, optimize=True) - np.outer(
            mean, mean
        )

    strip = Plane(problem, (cut + 0.02, cut - 0.02, -cut + 0.02, -cut - 0.02))
    near = strip.inside(look_rule, cut + 0.02) != strip.inside(look_rule, cut - 0.02)
    at_cut = np.einsum("iln,ln->i", strip.scores(theta), strip.mass * near)
    at_cut /= np.sum(strip.mass * near)
    # what a sample adds: its gradient at its mean weight, less what it shifts at the threshold
    moved = (1 - w * e) * at_cut[:, None, None] * (inside - share)
    influence = grad * np.where(inside, 1.0, w * e) - moved
    spread = cov(influence, plane.mass)
    spread = spread + (1 - share) * w**2 * e * (1 - e) * cov(grad, plane.mass * ~inside)
    inverse = np.linalg.inv(plane.derivatives(theta, np.where(inside, 1.0, w * e))[2])
    everything = np.ones_like(plane.mass)
    here, _, hessian = plane.derivatives(theta, everything)
    rho = getattr(problem.probe, "alignment")  # noqa: B009
    best = SIGNAL * np.array([rho, np.sqrt(1 - rho**2)])
    gap = here - plane.derivatives(best, everything)[0]
    student = np.array([rho * theta[0] + np.sqrt(1 - rho**2) * theta[1],
                        np.sqrt(1 - rho**2) * theta[0] - rho * theta[1]])  # fmt: skip
    return gap, float(0.5 * np.trace(hessian @ inverse @ spread @ inverse)), student


def excess(problem: Problem, data: sampling.DataSets) -> np.ndarray:
    """Excess losses of the fits on pruned data sets."""
    weights = sampling.prune(problem, data, sampling.fixed_margins(problem, data.x))
    theta = fitting.fit(data.x, data.y, weights, limits(problem)[2])
    return fitting.excess_loss(problem, theta)


def data_sets(preset: str, seed: int, problem: Problem) -> list[sampling.DataSets]:
    """The preset's data sets."""
    return [
        sampling.draw(
            jax.random.fold_in(jax.random.key(seed), 900 + i), problem, (repeats, n, N_FEATURES)
        )
        for i, (n, repeats) in enumerate(SIZES[preset])
    ]


def enumerated(look: str) -> float:
    """Largest error of the mean weighted risk over *all* subsets of 9 samples, an identity."""
    problem = problem_of(look).replace(keep_fraction=5 / 9)
    assert isinstance(problem.selection, RankSelection)
    first, rest = realised_counts(problem.selection.strata(5 / 9), 9)
    losses = np.exp(np.arange(9) / 3.0)  # any numbers will do; in priority order
    sums = [
        first.weight * losses[: first.kept].sum() + rest.weight * losses[list(chosen)].sum()
        for chosen in combinations(range(first.size, 9), rest.kept)
    ]
    return float(np.mean(sums) / losses.sum())


def measure(preset: str, seed: int) -> Measured:
    """The identity, the limit with its variance, and the ends of soft calibration."""
    quantities, plots = [], []
    for look in CASES:
        problem = problem_of(look)
        few, many = data_sets(preset, seed, problem)
        n, n2 = few.y.shape[1], many.y.shape[1]
        text = f"mean over all subsets of the weighted risk, {look}"
        quantities.append(Quantity(text, 1.0, enumerated(look), 1e-12, 1e-3, dof=None))
        margins = sampling.fixed_margins(problem, few.x)
        losses = np.logaddexp(0, -few.y * few.x[..., 0])
        weighted = (sampling.prune(problem, few, margins) * losses).sum(1) / losses.sum(1)
        text = f"weighted over full risk, drawn subsets, {look}"
        quantities.append(Quantity(text, 1.0, *mean_and_error(weighted), 0.05, len(weighted) - 1))
        gap, coefficient, _ = limits(problem)
        a, b = excess(problem, few), excess(problem, many)
        scaled = extrapolate(n, n * a, n2, n2 * b)
        quantities += [
            Quantity(f"limiting excess loss by quadrature, {look}", 0.0, gap, 1e-9, 1e-6, None),
            Quantity(f"n times excess loss, {look}", coefficient, *scaled, 0.6 * coefficient,
                     len(b) - 1),
        ]  # fmt: skip
        whole = problem.replace(selection=make_selection("exact", exploit=1.0))
        hard = problem.replace(selection="threshold")
        part = slice(0, sampling.BATCH)
        some = sampling.DataSets(few.x[part], few.y[part], few.keys[part])
        same = [sampling.prune(p, some, margins[part]) for p in (whole, hard)]
        text = f"weights at exploit 1 against the threshold rule, {look}"
        quantities.append(
            Quantity(text, 0.0, float(np.abs(same[0] - same[1]).max()), 1e-12, 1e-3, None)
        )
    quantities += [*_soft(preset, seed, plots), _unweighted(preset, seed)]
    return Measured(quantities, plots)


def _soft(preset: str, seed: int, plots: list[Plot]) -> list[Quantity]:
    """Soft calibration: which exponent wins at few and at many samples, for each keep fraction."""
    quantities = []
    for number, (fraction, sizes) in enumerate(SOFT_SIZES[preset].items()):
        key = jax.random.fold_in(jax.random.key(seed), 950 + number)
        theory = {s: limits(soft_problem(fraction, s))[:2] for s in EXPONENTS}
        found = {n: _excesses(fraction, n, repeats, jax.random.fold_in(key, n))
                 for n, repeats in sizes}  # fmt: skip
        for (n, values), relation in zip(found.items(), ("above", "below"), strict=True):
            value = mean_and_error(values[1.0] - values[0.5])
            text = (f"excess loss, at most {MOST_EXCESS:g}, of exponent 1 less that of 1/2, "
                    f"r = {fraction:g}, n = {n}")  # fmt: skip
            quantities.append(Quantity(text, 0.0, *value, 3e-4, len(values[1.0]) - 1, relation))
        plots.append(_soft_plot(fraction, theory, found))
    return quantities


def _excesses(fraction: float, n: int, repeats: int, key: Array) -> dict[float, np.ndarray]:
    """Excess losses by exponent on the same data sets, drawn in parts that fit memory."""
    found: dict[float, list[np.ndarray]] = {s: [] for s in SIMULATED}
    for start in range(0, repeats, PART):
        part = jax.random.fold_in(key, start)
        data = sampling.draw(part, soft_problem(fraction, 1.0), (PART, n, N_FEATURES))
        for s, values in found.items():
            # one fit in 10^5 is nearly separable and has an excess of 8 by itself
            values.append(np.minimum(excess(soft_problem(fraction, s), data), MOST_EXCESS))
    return {s: np.concatenate(values) for s, values in found.items()}


def _unweighted(preset: str, seed: int) -> Quantity:
    """Exponent 0 keeps the bias that calibration removes: its limit, label-aware keep-hardest."""
    problem = problem_of("aware-hardest", 0.0)
    limit = limits(problem)[0]
    key = jax.random.fold_in(jax.random.key(seed), 940)
    (n, few), (n2, many) = (
        (n, excess(problem, sampling.draw(jax.random.fold_in(key, n), problem,
                                          (repeats, n, N_FEATURES))))
        for n, repeats in SIZES[preset]
    )  # fmt: skip
    value = extrapolate(n, few, n2, many)
    text = "limiting excess loss, exponent 0, aware-hardest"
    return Quantity(text, limit, *value, 0.25 * limit, len(many) - 1)


def _soft_plot(
    fraction: float,
    theory: dict[float, tuple[float, float]],
    found: dict[int, dict[float, np.ndarray]],
) -> Plot:
    series, best = [], []
    for (n, values), mark in zip(found.items(), ("soft", "exact"), strict=True):
        curve = [gap + c / n for gap, c in theory.values()]
        means = [mean_and_error(v) for v in values.values()]
        best.append(EXPONENTS[int(np.argmin(curve))])
        series += [
            Series(f"n = {n}, gap + C/n", list(theory), curve, look=mark),
            Series(f"n = {n}, simulated", list(values), [m for m, _ in means],
                   [e for _, e in means], mark, points=True),
        ]  # fmt: skip
    return Plot(f"Soft calibration (label-aware, keep easiest, r = {fraction:g}): the best "
                f"exponent grows, from {best[0]:g} to {best[-1]:g}",
                "exponent of the inverse keep probability", "excess loss", series,
                y_log=True)  # fmt: skip


STATEMENT = Statement(
    identifier="calibration",
    title="Exact calibration is unbiased for every score, hence valid; soft calibration trades",
    claim=(
        "Keep `α r n` samples by score and `(1 − α) r n` of the others uniformly, these with "
        "weight `1/e`, e their keep probability. The mean of the weighted risk over the draw is "
        "the full risk, for every score, so the fit is consistent for every `α < 1` with "
        "`n · excess → ½ tr H^{−1}(G + (1 − α r)(1/e − 1) G_2)`, G the covariance of the gradient "
        "and `G_2` that within the explored part. At `α = 1` it is the threshold rule. Weights "
        "`e^{−s}` with `s < 1` have a limiting gap but less variance: the best s grows with n, "
        "and s = 1 overtakes s = 1/2 at the larger n the smaller r is."
    ),
    assumptions=(
        "the exploited set is the top of the order; explored counts are fixed",
        "logistic link and loss, no ridge, d = 2, a probe at cosine 0.7 (for the rates)",
    ),
    source="Ayed and Hayou 2023 (calibration protocols); the variance is derived here.",
    why="Horvitz and Thompson's estimator is unbiased whatever decides the strata.",
    measure=measure,
)

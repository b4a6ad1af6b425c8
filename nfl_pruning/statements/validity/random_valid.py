"""Random pruning is consistent and valid at every keep fraction."""

from __future__ import annotations

import jax
import numpy as np

from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring import distance, fitting, sampling
from nfl_pruning.statements.measuring.planar import Plane
from nfl_pruning.statements.measuring.summary import (
    extrapolate,
    mean_and_error,
    rate_and_error,
    seedless,
)
from nfl_pruning.theory.observables import zero_one_error

N_FEATURES = 2
SIGNAL = 2.0
# (n, repeats, keep fractions): the kept counts span two orders of magnitude
SIZES = {
    "quick": ((1600, 2400, (0.25, 1.0)), (3200, 400, (0.1, 0.5))),
    "paper": ((1600, 30000, (0.25, 1.0)), (12800, 4000, (0.1, 0.5, 1.0))),
}


@seedless
def limits() -> tuple[float, float]:
    """What m times excess loss and m times excess 0-1 error tend to, by quadrature.

    The fit on m independent samples is normal around the truth with covariance H^-1 / m, H the
    Hessian of the risk: the loss then exceeds the best by d / (2 m), and the error by half its
    curvature in the angle times the angle's variance.
    """
    problem = Problem(selection="random").replace(signal=SIGNAL)
    plane = Plane(problem)
    _, _, hessian = plane.derivatives(np.array([SIGNAL, 0.0]), np.ones_like(plane.mass))
    angle = np.array([0.0, 1e-2])
    error = zero_one_error(problem.teacher, np.cos(angle))
    curvature = 2 * (error[1] - error[0]) / angle[1] ** 2
    variance = np.linalg.inv(hessian)[1, 1] / SIGNAL**2
    return N_FEATURES / 2, float(0.5 * curvature * variance)


def measure(preset: str, seed: int) -> Measured:
    """Distances to the data law, and excess risks, at several sizes and keep fractions."""
    base = Problem(selection="random").replace(signal=SIGNAL)
    cdf = distance.law_cdf(distance.data_density(base))
    risk_limit, error_limit = limits()
    found, quantities, truth = [], [], np.array([SIGNAL, 0.0])
    for number, (n, repeats, fractions) in enumerate(SIZES[preset]):
        key = jax.random.fold_in(jax.random.key(seed), 100 + number)
        data = sampling.draw(key, base, (repeats, n, N_FEATURES))
        for fraction in fractions:
            problem = base.replace(keep_fraction=fraction)
            weights = sampling.prune(problem, data, np.zeros_like(data.y))
            t, some = data.y * data.x[..., 0], slice(0, 400)
            gap = distance.distances(distance.empirical_cdf(t[some], weights[some] > 0), cdf)
            loss, error = _excess(base, fitting.fit(data.x, data.y, weights, truth))
            m = round(fraction * n)
            found.append((m, gap, loss, error))
            expected = distance.mean_distance(cdf, m)
            quantities.append(
                Quantity(f"W1 of y z to the data law, keep {fraction:g} of {n}", expected,
                         *mean_and_error(gap), matters=0.25 * expected, dof=len(gap) - 1)
            )  # fmt: skip
    few, many = found[:2]
    for name, place, limit in (("loss", 2, risk_limit), ("0-1 error", 3, error_limit)):
        value, error = extrapolate(few[0], few[0] * few[place], many[0], many[0] * many[place])
        text = f"kept count times excess {name}, in the limit"
        quantities.append(Quantity(text, limit, value, error, 0.5 * limit))
    rate = rate_and_error(few[0], few[2], many[0], many[2])
    quantities.append(Quantity("exponent of excess loss in the kept count", -1.0, *rate, 0.3))
    return Measured(quantities, _plots(found, cdf, risk_limit))


def _excess(problem: Problem, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Excess loss and excess 0-1 error of fits, shape (repeats,)."""
    cosine = theta[:, 0] / np.linalg.norm(theta, axis=1)
    best = zero_one_error(problem.teacher, 1.0)
    return fitting.excess_loss(problem, theta), zero_one_error(problem.teacher, cosine) - best


def _plots(found: list, cdf: np.ndarray, risk_limit: float) -> list[Plot]:
    found = sorted(found, key=lambda row: row[0])
    m = [float(row[0]) for row in found]
    gaps, risks = ([mean_and_error(row[i]) for row in found] for i in (1, 2))

    def points(label: str, values: list) -> Series:
        means, errors = zip(*values, strict=True)
        return Series(label, m, list(means), list(errors), "random", points=True)

    exact = [distance.mean_distance(cdf, int(k)) for k in m]
    labels = ("kept samples", "distance")
    return [
        Plot("W1 distance of the kept y z to the data law", labels[0], labels[1],
             [Series("theory, independent samples", m, exact, look="random"),
              points("random pruning", gaps)], x_log=True, y_log=True),
        Plot("Excess loss of the fit", labels[0], "excess loss",
             [Series("d / (2 kept)", m, [risk_limit / k for k in m], look="random"),
              points("random pruning", risks)], x_log=True, y_log=True),
    ]  # fmt: skip


STATEMENT = Statement(
    identifier="random-valid",
    title="Random pruning is consistent and valid at every keep fraction",
    claim=(
        "A uniformly random subset of `m = r n` samples is a sample of size m of the data law. So "
        "its empirical measure tends to the data law (`E W_1 = ∫ E|F_m − F| dt`, of order "
        "`m^{−1/2}`), and the fit tends to the best: excess loss `d/(2m)` in a well-specified "
        "model, excess 0-1 error of order `1/m` too."
    ),
    assumptions=(
        "logistic link and loss, no ridge, d = 2 fixed, inputs N(0, I)",
        "the projection y⟨x, θ*⟩ stands for the law of (x, y)",
    ),
    source="Ayed and Hayou 2023 (consistency implies validity); constants derived here.",
    why="Subsets chosen without looking at the samples are independent samples.",
    measure=measure,
)

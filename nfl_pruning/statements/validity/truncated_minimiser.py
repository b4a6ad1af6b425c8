"""The fit on the kept samples converges to the minimiser under the truncated law."""

from __future__ import annotations

import jax
import numpy as np

from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring import fitting, sampling
from nfl_pruning.statements.measuring.planar import Plane, cut_of, rule_of
from nfl_pruning.statements.measuring.summary import (
    extrapolate,
    mean_and_error,
    rate_and_error,
    seedless,
)

N_FEATURES = 3
SIGNAL = 1.5
SIZES = {"quick": ((800, 400), (3200, 400)), "paper": ((1600, 4000), (12800, 2000))}
CASES = {
    "fixed probe, el2n, keep hardest 60 %": ("fixed:0.8", "el2n", "hardest", 0.6),
    "fixed probe, entropy, keep hardest 30 %": ("fixed:0.8", "entropy", "hardest", 0.3),
    "probe fitted to the samples, el2n, keep hardest 60 %": ("fixed:1", "el2n", "hardest", 0.6),
    "probe fitted to the samples, loss, keep easiest 85 %": ("fixed:1", "loss", "easiest", 0.85),
}


def problem_of(case: str) -> Problem:
    """The limiting problem of a case: a fitted probe tends to the teacher."""
    probe, score, keep, fraction = CASES[case]
    base = Problem(probe=probe, score=score, keep=keep, keep_fraction=fraction)
    return base.replace(signal=SIGNAL)


@seedless
def limit(problem: Problem) -> np.ndarray:
    """The minimiser under the truncated law, in the coordinates (teacher, other, unseen)."""
    rule = rule_of(problem)
    cut = cut_of(problem, rule, problem.keep_fraction)
    plane = Plane(problem, (cut, -cut))
    a, b = plane.minimiser(plane.inside(rule, cut))
    rho = getattr(problem.probe, "alignment")  # noqa: B009
    across = np.sqrt(1 - rho**2)
    # what is zero by symmetry comes out of the quadrature as rounding
    return np.round([rho * a + across * b, across * a - rho * b, 0.0], 12)


def measure(preset: str, seed: int) -> Measured:
    """Fits at two sizes against the limit: the mean, and the rate of the distance."""
    quantities, plots = [], []
    for case in CASES:
        problem = problem_of(case)
        target = limit(problem)
        found = []
        for number, (n, repeats) in enumerate(SIZES[preset]):
            key = jax.random.fold_in(jax.random.key(seed), 300 + number)
            data = sampling.draw(key, problem, (repeats, n, N_FEATURES))
            if case.startswith("probe fitted"):
                probe = fitting.fit(data.x, data.y, np.ones_like(data.y))
                margins = np.einsum("rnd,rd->rn", data.x, probe)
            else:
                margins = sampling.fixed_margins(problem, data.x)
            theta = fitting.fit(data.x, data.y, sampling.prune(problem, data, margins), target)
            found.append((n, theta, np.linalg.norm(theta - target, axis=1)))
        (n, few, off), (n2, many, off2) = found
        for axis, name in enumerate(("along the teacher", "across it")):
            value = extrapolate(n, few[:, axis], n2, many[:, axis])
            text = f"student {name}, {case}"
            quantities.append(Quantity(text, float(target[axis]), *value, 0.4, len(many) - 1))
        rate = rate_and_error(n, off, n2, off2)
        text = f"exponent in n of the distance, {case}"
        quantities.append(Quantity(text, -0.5, *rate, 0.4, len(many) - 1))
        sizes, means = [float(n), float(n2)], [mean_and_error(v) for v in (off, off2)]
        scale = means[-1][0] * np.sqrt(n2)
        plots.append(
            Plot(f"Distance to the truncated law's minimiser: {case}", "samples", "distance",
                 [Series("slope -1/2", sizes, [scale / np.sqrt(s) for s in sizes]),
                  Series("simulated fits", sizes, [m for m, _ in means], [e for _, e in means],
                         "aware-hardest", points=True)], x_log=True, y_log=True)
        )  # fmt: skip
    return Measured(quantities, plots)


STATEMENT = Statement(
    identifier="truncated-minimiser",
    title="The fit converges to the minimiser under the truncated law, at rate 1/√n",
    claim=(
        "With d fixed, `θ_n → θ_r = argmin E[ℓ(y⟨x, θ⟩) | kept]` and `‖θ_n − θ_r‖ = O(n^{−1/2})`, "
        "for a fixed score and for one computed by a probe that was fitted to the very samples "
        "(its limit is then the score of the best parameter)."
    ),
    assumptions=(
        "a unique minimiser in the interior: a label-aware rule must keep more than its probe's "
        "error (hardest) or accuracy (easiest), else the kept set is separable",
        "scores converge uniformly and have no atom at the threshold",
        "logistic link and loss, no ridge, d = 3",
    ),
    source="Ayed and Hayou 2023 (convergence); minimisers by quadrature.",
    why="The kept measure converges (truncated-law) and the risk is strictly convex.",
    measure=measure,
)

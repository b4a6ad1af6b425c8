"""What a score keeps converges to the truncated law, at a positive distance from the data law."""

from __future__ import annotations

import jax
import numpy as np

from nfl_pruning.problem import Problem
from nfl_pruning.statements.base import Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.measuring import distance, sampling
from nfl_pruning.statements.measuring.summary import mean_and_error, rate_and_error

KEEP_FRACTION = 0.3
SIZES = {"quick": ((800, 400), (3200, 400)), "paper": ((800, 4000), (12800, 2000))}
RULES = {
    "aware-hardest": {"score": "el2n", "keep": "hardest"},
    "aware-easiest": {"score": "loss", "keep": "easiest"},
    "agnostic-hardest": {"score": "entropy", "keep": "hardest"},
    "agnostic-easiest": {"score": "margin", "keep": "easiest"},
}


def problem_of(look: str) -> Problem:
    """The pruning problem of a rule, by its name in figures."""
    base = Problem(probe="fixed:0.8", keep_fraction=KEEP_FRACTION)
    return base.replace(signal=2.0, **RULES[look])


def measure(preset: str, seed: int) -> Measured:
    """Distances of the kept y z to both laws."""
    everything = distance.law_cdf(distance.data_density(problem_of("aware-hardest")))
    quantities, plots = [], []
    for look in RULES:
        problem = problem_of(look)
        density = distance.data_density(problem)
        truncated = distance.law_cdf(density * distance.kept_share(problem))
        limit = float(distance.distances(truncated, everything))
        found = []
        for number, (n, repeats) in enumerate(SIZES[preset]):
            key = jax.random.fold_in(jax.random.key(seed), 200 + number)
            data = sampling.draw(key, problem, (repeats, n, 2))
            weights = sampling.prune(problem, data, sampling.fixed_margins(problem, data.x))
            cdf = distance.empirical_cdf(data.y * data.x[..., 0], weights > 0)
            found.append((n, distance.distances(cdf, truncated), cdf))
        to_data = distance.distances(found[-1][2], everything)
        rate = rate_and_error(*found[0][:2], *found[1][:2])
        dof = len(to_data) - 1
        quantities += [
            Quantity(f"W1 to the data law, {look}", limit, *mean_and_error(to_data),
                     matters=0.1 * limit, dof=dof),
            Quantity(f"exponent in n of W1 to the truncated law, {look}", -0.5, *rate, 0.25, dof),
        ]  # fmt: skip
        plots.append(_plot(look, density, truncated, found[-1][2]))
    return Measured(quantities, plots)


def _plot(look: str, density: np.ndarray, truncated: np.ndarray, cdf: np.ndarray) -> Plot:
    shown = slice(200, 1101, 30)
    t = distance.GRID[shown].tolist()
    error = cdf.std(0, ddof=1) / np.sqrt(len(cdf))
    return Plot(
        f"Distribution of y z among the kept 30 %: {look.replace('-', ', keep ')}",
        "label times teacher input, y z", "distribution function",
        [Series("data law", t, distance.law_cdf(density)[shown].tolist()),
         Series("truncated law", t, truncated[shown].tolist(), look=look),
         Series("kept samples", t, cdf.mean(0)[shown].tolist(), error[shown].tolist(), look,
                points=True)],
    )  # fmt: skip


STATEMENT = Statement(
    identifier="truncated-law",
    title="A score's kept samples follow the truncated law, not the data law",
    claim=(
        "Let g be a score without an atom at its r-quantile `q_r`. The empirical measure of the "
        "kept samples tends to `ν_r = law of (x, y) given that g is on the kept side of q_r`, and "
        "its Wasserstein-1 distance to the data law tends to `W_1(ν_r, law) > 0`; the distance to "
        "`ν_r` itself falls like `n^{−1/2}`."
    ),
    assumptions=(
        "a fixed probe at cosine 0.8 to the teacher, logistic link, r = 0.3",
        "no atom of the score at the threshold",
        "the projection y⟨x, θ*⟩ stands for the law of (x, y): a lower bound of the distance",
    ),
    source="Ayed and Hayou 2023 (truncated law); the distance by quadrature is derived here.",
    why="The empirical quantile converges, so the kept set converges to a fixed set of positive "
    "and not full mass.",
    measure=measure,
)

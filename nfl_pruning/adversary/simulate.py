"""The gap on samples of a law: pruned by the package's selection, against random pruning."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from nfl_pruning.adversary.laws import Law
from nfl_pruning.adversary.population import Nodes, law_nodes, minimiser, risk
from nfl_pruning.adversary.ranking import ranker
from nfl_pruning.scores.base import Score
from nfl_pruning.selections import select

SLICES = 97


class SimulatedGap(NamedTuple):
    """Excess loss over random pruning's on the same samples.

    Attributes:
        mean, error: over repeats, with its standard error.
        repeats, n_samples: how it was simulated.
        losses: mean excess loss of (score, random).
    """

    mean: float
    error: float
    repeats: int
    n_samples: int
    losses: tuple[float, float]


def simulate_gap(
    law: Law,
    score: Score,
    keep_fraction: float,
    *,
    keep: str = "hardest",
    seed: int = 0,
    n_samples: int = 8000,
    repeats: int = 24,
) -> SimulatedGap:
    """Draw samples, prune them by the score and at random, fit both, and compare test losses.

    The probe is the best parameter of the law; test losses are exact, by quadrature.
    """
    nodes = law_nodes(law, SLICES)
    best, _ = minimiser(nodes)
    least = risk(best, nodes)
    rank = ranker(score, law, best, keep)
    rows = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        x, y = law.sample(rng, n_samples)
        key, other = jax.random.split(jax.random.fold_in(jax.random.key(seed), repeat))
        chosen = select(key, rank(x, y), keep_fraction).indices  # the priority knows the direction
        lots = select(other, np.zeros(n_samples), keep_fraction).indices
        rows.append([risk(_fit(x[i], y[i]), nodes) - least for i in (chosen, lots)])
    values = np.array(rows)
    gap = values[:, 0] - values[:, 1]
    error = float(gap.std(ddof=1) / np.sqrt(repeats))
    losses = (float(values[:, 0].mean()), float(values[:, 1].mean()))
    return SimulatedGap(float(gap.mean()), error, repeats, n_samples, losses)


def _fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The parameter of least mean loss over samples, in the ball."""
    mass = np.stack([y > 0, y < 0]) / len(y)
    return minimiser(Nodes(x, mass))[0]

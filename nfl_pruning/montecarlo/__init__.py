"""Monte Carlo: the same problem that theory solves, drawn, pruned and fitted at finite size."""

from nfl_pruning.montecarlo.engine import TrainingSet, estimate_cost, simulate, training_set
from nfl_pruning.montecarlo.estimates.controlled import controlled
from nfl_pruning.montecarlo.estimates.decisions import TrialsVerdict, beats_random
from nfl_pruning.montecarlo.estimates.simulation import OBSERVABLES, Simulation, paired
from nfl_pruning.numerics.holm import holm

__all__ = [
    "OBSERVABLES",
    "Simulation",
    "TrainingSet",
    "TrialsVerdict",
    "beats_random",
    "controlled",
    "estimate_cost",
    "holm",
    "paired",
    "simulate",
    "training_set",
]

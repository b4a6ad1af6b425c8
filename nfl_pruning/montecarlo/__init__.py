"""Monte Carlo: the same problem that theory solves, drawn, pruned and fitted at finite size."""

from nfl_pruning.montecarlo.engine import TrainingSet, simulate, training_set
from nfl_pruning.montecarlo.estimate import OBSERVABLES, Simulation, paired

__all__ = ["OBSERVABLES", "Simulation", "TrainingSet", "paired", "simulate", "training_set"]

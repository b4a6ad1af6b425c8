"""How a simulation is asked for, whatever the law of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nfl_pruning.inputs import Isotropic
from nfl_pruning.montecarlo.estimates.decisions import Until
from nfl_pruning.problem import Problem
from nfl_pruning.records import RecordStore, code_hash, settings_of_jax, software, source_hash

Progress = Callable[[int, int], object]


class Request(NamedTuple):
    """The arguments of ``simulate`` beside the problem; see there."""

    n_trials: int
    n_features: int | None
    seed: int
    progress: Progress | None
    memory: str | int | None
    split: str
    records: RecordStore | None
    until: Until | None
    tolerance: float

    def describe(self, problem: Problem, n_features: int, fields: Sequence[str]) -> dict[str, Any]:
        """What fixes the numbers of every trial, for records."""
        return {
            "kind": "trials",
            "problem": problem.replace(inputs=Isotropic()).describe(),
            "n_features": n_features,
            "seed": self.seed,
            "law": problem.inputs.label,
            "tolerance": self.tolerance,
            "fields": fields,
            "source": source_hash(),
            "software": software(),
            "random_generator": settings_of_jax()["random_generator"],
            "score": code_hash(problem.score.difficulty),
        }

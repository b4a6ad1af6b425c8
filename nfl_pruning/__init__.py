"""Score-based data pruning, solved, simulated and applied: one problem, three faces.

The names below are the public interface. They load on first use, so that importing the package
is quick, starts no device and changes no global setting.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nfl_pruning.adversary.find import Finding as Finding
    from nfl_pruning.adversary.find import find_adversary as find_adversary
    from nfl_pruning.data.dataset import Dataset as Dataset
    from nfl_pruning.data.dataset import make_dataset as make_dataset
    from nfl_pruning.data.load import load_dataset as load_dataset
    from nfl_pruning.errors import InvalidArgumentError as InvalidArgumentError
    from nfl_pruning.errors import UnsupportedProblemError as UnsupportedProblemError
    from nfl_pruning.inputs import HeavyTails as HeavyTails
    from nfl_pruning.inputs import Isotropic as Isotropic
    from nfl_pruning.inputs import LowRank as LowRank
    from nfl_pruning.inputs import Mixture as Mixture
    from nfl_pruning.inputs import Spectrum as Spectrum
    from nfl_pruning.inputs import power_law as power_law
    from nfl_pruning.links import LINKS as LINKS
    from nfl_pruning.losses import LOSSES as LOSSES
    from nfl_pruning.montecarlo import simulate as simulate
    from nfl_pruning.networks.comparison.compare import compare as compare
    from nfl_pruning.networks.comparison.plan import ComparisonPlan as ComparisonPlan
    from nfl_pruning.networks.comparison.result import Comparison as Comparison
    from nfl_pruning.networks.score import NetworkScores as NetworkScores
    from nfl_pruning.networks.score import ScoringPlan as ScoringPlan
    from nfl_pruning.networks.score import score as score
    from nfl_pruning.networks.train import TrainedNetworks as TrainedNetworks
    from nfl_pruning.networks.train import train as train
    from nfl_pruning.networks.training import Training as Training
    from nfl_pruning.numerics.status import Status as Status
    from nfl_pruning.probes import FixedProbe as FixedProbe
    from nfl_pruning.probes import WeightsProbe as WeightsProbe
    from nfl_pruning.problem import Problem as Problem
    from nfl_pruning.problem import Student as Student
    from nfl_pruning.problem import Teacher as Teacher
    from nfl_pruning.pruning import Pruned as Pruned
    from nfl_pruning.pruning import prune as prune
    from nfl_pruning.realdata.advice import Advice as Advice
    from nfl_pruning.realdata.advise import advise as advise
    from nfl_pruning.scores import SCORES as SCORES
    from nfl_pruning.scores import Context as Context
    from nfl_pruning.scores import Score as Score
    from nfl_pruning.scores import register_score as register_score
    from nfl_pruning.selections import SELECTIONS as SELECTIONS
    from nfl_pruning.selections import make_selection as make_selection
    from nfl_pruning.selections import register_selection as register_selection
    from nfl_pruning.selections import select as select
    from nfl_pruning.statements.verification import Verification as Verification
    from nfl_pruning.statements.verification import verify as verify
    from nfl_pruning.theory.derivatives.limit_function import limit_function as limit_function
    from nfl_pruning.theory.derivatives.limit_values import limit_values as limit_values
    from nfl_pruning.theory.existence.threshold import existence_threshold as existence_threshold
    from nfl_pruning.theory.optimal.best_numbers import best_numbers as best_numbers
    from nfl_pruning.theory.optimal.best_rule import optimal_rule as optimal_rule
    from nfl_pruning.theory.solution import Solution as Solution
    from nfl_pruning.theory.solve import solve as solve
    from nfl_pruning.theory.sweep import sweep as sweep

_HOMES = {
    "nfl_pruning.networks.score": (
        "NetworkScores",
        "ScoringPlan",
        "score",
    ),
    "nfl_pruning.networks.train": (
        "TrainedNetworks",
        "train",
    ),
    "nfl_pruning.networks.training": ("Training",),
    "nfl_pruning.networks.comparison.compare": ("compare",),
    "nfl_pruning.networks.comparison.plan": ("ComparisonPlan",),
    "nfl_pruning.networks.comparison.result": ("Comparison",),
    "nfl_pruning.statements.verification": (
        "Verification",
        "verify",
    ),
    "nfl_pruning.adversary.find": (
        "Finding",
        "find_adversary",
    ),
    "nfl_pruning.data.dataset": (
        "Dataset",
        "make_dataset",
    ),
    "nfl_pruning.inputs": (
        "HeavyTails",
        "Isotropic",
        "LowRank",
        "Mixture",
        "Spectrum",
        "power_law",
    ),
    "nfl_pruning.data.load": ("load_dataset",),
    "nfl_pruning.links": ("LINKS",),
    "nfl_pruning.losses": ("LOSSES",),
    "nfl_pruning.montecarlo": ("simulate",),
    "nfl_pruning.numerics.status": ("Status",),
    "nfl_pruning.probes": ("FixedProbe", "WeightsProbe"),
    "nfl_pruning.problem": ("Problem", "Student", "Teacher"),
    "nfl_pruning.pruning": ("Pruned", "prune"),
    "nfl_pruning.realdata.advice": ("Advice",),
    "nfl_pruning.realdata.advise": ("advise",),
    "nfl_pruning.scores": ("SCORES", "Context", "Score", "register_score"),
    "nfl_pruning.selections": ("SELECTIONS", "make_selection", "register_selection", "select"),
    "nfl_pruning.theory.optimal.best_numbers": ("best_numbers",),
    "nfl_pruning.theory.existence.threshold": ("existence_threshold",),
    "nfl_pruning.theory.derivatives.limit_function": ("limit_function",),
    "nfl_pruning.theory.derivatives.limit_values": ("limit_values",),
    "nfl_pruning.theory.optimal.best_rule": ("optimal_rule",),
    "nfl_pruning.theory.solve": ("solve",),
    "nfl_pruning.theory.solution": ("Solution",),
    "nfl_pruning.theory.sweep": ("sweep",),
    "nfl_pruning.errors": ("InvalidArgumentError", "UnsupportedProblemError"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll] (each name once)
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Selections: from ranks (or probabilities) to keep probabilities and weights."""

from nfl_pruning.selections.base import (
    SELECTIONS,
    PropensitySelection,
    RankSelection,
    Selection,
    Stratum,
    ValueSelection,
    make_selection,
    register_selection,
)
from nfl_pruning.selections.calibration import ExactCalibration, SoftCalibration
from nfl_pruning.selections.coverage import Coverage
from nfl_pruning.selections.explored import (
    ClippedCalibration,
    MiddleCalibration,
    NeymanCalibration,
    StratifiedCalibration,
)
from nfl_pruning.selections.finite import Selected, select
from nfl_pruning.selections.piecewise import Piecewise
from nfl_pruning.selections.power import Power
from nfl_pruning.selections.random import Random
from nfl_pruning.selections.threshold import Threshold
from nfl_pruning.selections.verifier import Verifier
from nfl_pruning.selections.window import Window

__all__ = [
    "SELECTIONS",
    "ClippedCalibration",
    "Coverage",
    "ExactCalibration",
    "MiddleCalibration",
    "NeymanCalibration",
    "Piecewise",
    "Power",
    "PropensitySelection",
    "Random",
    "RankSelection",
    "Selected",
    "Selection",
    "SoftCalibration",
    "StratifiedCalibration",
    "Stratum",
    "Threshold",
    "ValueSelection",
    "Verifier",
    "Window",
    "make_selection",
    "register_selection",
    "select",
]

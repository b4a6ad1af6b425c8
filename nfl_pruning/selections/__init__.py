"""Selections: from ranks (or probabilities) to keep probabilities and weights."""

from nfl_pruning.selections.base import (
    SELECTIONS,
    PropensitySelection,
    RankSelection,
    Selection,
    Stratum,
    make_selection,
    register_selection,
)
from nfl_pruning.selections.calibration import ExactCalibration, SoftCalibration
from nfl_pruning.selections.finite import Selected, select
from nfl_pruning.selections.piecewise import Piecewise
from nfl_pruning.selections.power import Power
from nfl_pruning.selections.random import Random
from nfl_pruning.selections.threshold import Threshold

__all__ = [
    "SELECTIONS",
    "ExactCalibration",
    "Piecewise",
    "Power",
    "PropensitySelection",
    "Random",
    "RankSelection",
    "Selected",
    "Selection",
    "SoftCalibration",
    "Stratum",
    "Threshold",
    "make_selection",
    "register_selection",
    "select",
]

"""Laws of the inputs, each one description for theory and simulation."""

from nfl_pruning.inputs.base import INPUTS, Inputs, parse_inputs
from nfl_pruning.inputs.clouds import Clouds
from nfl_pruning.inputs.heavy_tails import HeavyTails
from nfl_pruning.inputs.isotropic import Isotropic
from nfl_pruning.inputs.spectrum import Spectrum, parse_spectrum, power_law

__all__ = [
    "INPUTS",
    "Clouds",
    "HeavyTails",
    "Inputs",
    "Isotropic",
    "Spectrum",
    "parse_inputs",
    "parse_spectrum",
    "power_law",
]

"""Laws of the inputs, each one description for theory and simulation."""

from nfl_pruning.inputs.base import INPUTS, Inputs, parse_inputs
from nfl_pruning.inputs.clouds import Clouds
from nfl_pruning.inputs.covariances import Covariances, LowRank
from nfl_pruning.inputs.heavy_tails import HeavyTails
from nfl_pruning.inputs.isotropic import Isotropic
from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.inputs.spectrum import Spectrum, parse_spectrum, power_law

__all__ = [
    "INPUTS",
    "Clouds",
    "Covariances",
    "HeavyTails",
    "Inputs",
    "Isotropic",
    "LowRank",
    "Mixture",
    "Spectrum",
    "parse_inputs",
    "parse_spectrum",
    "power_law",
]

"""The claims of the theory as statements that can be checked and refuted, in reading order."""

from nfl_pruning.registry import Registry
from nfl_pruning.statements import (
    calibration,
    grand_el2n,
    label_agnostic,
    random_valid,
    truncated_law,
    truncated_minimiser,
)
from nfl_pruning.statements.base import Evidence, Measured, Plot, Quantity, Series, Statement

STATEMENTS: Registry[Statement] = Registry("statement")
for _module in (
    random_valid,
    truncated_law,
    truncated_minimiser,
    label_agnostic,
    calibration,
    grand_el2n,
):
    STATEMENTS.add(_module.STATEMENT.identifier, _module.STATEMENT)

__all__ = ["STATEMENTS", "Evidence", "Measured", "Plot", "Quantity", "Series", "Statement"]

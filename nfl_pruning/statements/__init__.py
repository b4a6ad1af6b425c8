"""The claims of the theory as statements that can be checked and refuted, in reading order."""

from nfl_pruning.registry import Registry
from nfl_pruning.statements import (
    calibration,
    class_quotas,
    clustered_labels,
    grand_el2n,
    high_compression,
    in_sample,
    label_agnostic,
    mixture_calibration,
    no_free_lunch,
    other_side,
    plateau,
    proportional_limit,
    random_valid,
    three_classes,
    truncated_law,
    truncated_minimiser,
    universal,
    verifier,
)
from nfl_pruning.statements.base import Evidence, Measured, Plot, Quantity, Series, Statement

STATEMENTS: Registry[Statement] = Registry("statement")
for _module in (
    random_valid,
    truncated_law,
    truncated_minimiser,
    no_free_lunch,
    high_compression,
    plateau,
    universal,
    label_agnostic,
    calibration,
    grand_el2n,
    proportional_limit,
    in_sample,
    other_side,
    three_classes,
    class_quotas,
    clustered_labels,
    mixture_calibration,
    verifier,
):
    STATEMENTS.add(_module.STATEMENT.identifier, _module.STATEMENT)

__all__ = ["STATEMENTS", "Evidence", "Measured", "Plot", "Quantity", "Series", "Statement"]

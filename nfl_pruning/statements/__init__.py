"""The claims of the theory as statements that can be checked and refuted, in reading order."""

from nfl_pruning.registry import Registry
from nfl_pruning.statements.base import Evidence, Measured, Plot, Quantity, Series, Statement
from nfl_pruning.statements.limits import grand_el2n, in_sample, other_side, proportional_limit
from nfl_pruning.statements.mixtures import (
    class_quotas,
    clustered_labels,
    mixture_calibration,
    three_classes,
    verifier,
)
from nfl_pruning.statements.validity import (
    calibration,
    high_compression,
    label_agnostic,
    no_free_lunch,
    plateau,
    random_valid,
    truncated_law,
    truncated_minimiser,
    universal,
)

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

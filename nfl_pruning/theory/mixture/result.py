"""What a solved mixture says, under the names that simulation gives the same numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nfl_pruning.inputs.mixture import Mixture
from nfl_pruning.problem import Problem
from nfl_pruning.theory.mixture.worth import POINTS, Outputs, worth_of


@dataclass(frozen=True)
class Answer:
    """A solved limit.

    Attributes:
        found: whether there is a solution. flaw: why numbers are not certified, or do not exist.
        residual: largest scaled change of the unknowns by one more round.
        error: estimate of the error of the test error.
        values: fields of a :class:`Solution`. observables: further numbers, by name.
        scrambles: independent randomisations behind ``error``; 0 where nothing is random.
    """

    found: bool
    flaw: str
    residual: float
    error: float = float("nan")
    values: dict[str, float] = field(default_factory=dict)
    observables: dict[str, float] = field(default_factory=dict)
    scrambles: int = 0


def values_of(
    problem: Problem,
    mixture: Mixture,
    outputs: Outputs,
    intercepts: np.ndarray,
    kept: np.ndarray,
    *,
    on_teacher: np.ndarray | None = None,
    seed: int = 0,
    points: int = POINTS,
) -> dict[str, float]:
    """Every number of a fit by name, those of a :class:`Solution`'s fields among them.

    Args:
        problem: that was solved.
        mixture: its inputs.
        outputs: law of the margin, or of K logits, on each component.
        intercepts: of the fit, (1,) or (K,).
        kept: mass kept of each component and class, shape (C, K).
        on_teacher: see :func:`worth_of`.
        seed: see there.
        points: see there.
    """
    value = worth_of(problem, mixture, outputs, on_teacher, seed=seed, points=points)
    found = {
        "test_error": value.test_error,
        "test_loss": value.test_loss,
        "calibration_slope": value.calibration_slope,
        "worst_class_error": float(np.max(value.class_error)),
        "calibration_error": value.calibration_error,
    }
    found |= {f"class_error_{k}": float(error) for k, error in enumerate(value.class_error)}
    if mixture.labels is not None:
        by_class = kept.sum(0) / mixture.class_shares
        found |= {f"kept_class_{k}": float(share) for k, share in enumerate(by_class)}
    by_component = kept.sum(1) / mixture.weights
    found |= {f"kept_component_{c}": float(share) for c, share in enumerate(by_component)}
    variances = np.diagonal(outputs.covariances, axis1=1, axis2=2)
    for j, intercept in enumerate(intercepts):
        end = "" if len(intercepts) == 1 else f"_{j}"
        found[f"intercept{end}"] = float(intercept)
        for c in range(mixture.n_components):
            found[f"mean_{c}{end}"] = float(outputs.means[c, j])
            found[f"variance_{c}{end}"] = float(variances[c, j])
    return found


FIELDS = ("test_error", "test_loss", "calibration_slope", "cosine", "norm")


def split(found: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Fields of a :class:`Solution`, and the rest."""
    fields = {name: found[name] for name in FIELDS if name in found}
    return fields, {name: value for name, value in found.items() if name not in FIELDS}

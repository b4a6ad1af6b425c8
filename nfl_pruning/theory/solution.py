"""What is known of a limit: how the search ended, the numbers, the evidence for their digits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from nfl_pruning.inputs import Mixture, Spectrum
from nfl_pruning.numerics.status import Status
from nfl_pruning.problem import Problem

CERTIFIED_ERROR = 1e-6
NUMBERS = (
    "cosine",
    "norm",
    "test_error",
    "test_loss",
    "excess_risk",
    "calibration_slope",
    "direction_cosine",
    "boundary_excess_risk",
    "residual",
    "error_estimate",
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Solution:
    """The limit of a problem, with the evidence for its digits; its numbers are a pytree's leaves.

    Numbers that do not exist are NaN (null in JSON); they are those of a fit where
    ``status.has_estimate``.

    Attributes:
        problem: what was solved.
        status: how it ended.
        message: the status in a sentence, with particulars.
        cosine: between student and teacher; with a covariance the correlation of their margins on
            fresh inputs.
        norm: of the student; with a covariance the standard deviation of its margin.
        test_error: P(sign of the margin differs from a fresh noisy label). test_loss: expected
            loss of a fresh sample.
        excess_risk: test_loss minus the least that the features, and with abundant data the ball,
            allow: the Delta(r) of the theorems.
        calibration_slope: factor on the margin that would minimise the logistic test loss.
        direction_cosine: for separable samples, the cosine of the max-margin (for squared loss:
            least-norm interpolating) direction, the limit of a vanishing ridge; with abundant data
            that of the minimiser on the ball's boundary.
        boundary_excess_risk: with abundant data, excess risk of that point; it depends on the
            radius.
        residual: largest scaled residual of the limit equations.
        error_estimate: max(|change of cosine|, relative change of norm, |change of test error|)
            between the two finest quadratures; the numbers are the finer one's.
        state: a_u, a_p (along the probe and across it), tau, kappa (under a constraint
            nu = samples_per_feature * ridge * kappa, which no ridge changes); chi (how much the
            refit feels that a sample moved its own score) for in-sample probes; with abundant data
            theta_u, theta_p; and what is known of the probe.
        limit: ``"proportional"`` or ``"abundant"``.
        n_features: with abundant data, number of features where a score of the norm sees it.
        radius: of the ball, with abundant data. binding: whether the minimiser lies on it.
        observables: for a mixture, what :func:`simulate` measures by the same names: errors of each
            class and of the worst, expected calibration error, shares kept of each class and
            component, intercepts, mean and variance of the logits on each component.
    """

    problem: Problem = field(metadata={"static": True})
    status: Status = field(metadata={"static": True})
    message: str = field(metadata={"static": True})
    cosine: float = math.nan
    norm: float = math.nan
    test_error: float = math.nan
    test_loss: float = math.nan
    excess_risk: float = math.nan
    calibration_slope: float = math.nan
    direction_cosine: float = math.nan
    boundary_excess_risk: float = math.nan
    residual: float = math.nan
    error_estimate: float = math.nan
    state: dict[str, float] = field(default_factory=dict)
    limit: str = field(default="proportional", metadata={"static": True})
    n_features: int | None = field(default=None, metadata={"static": True})
    radius: float = field(default=math.nan, metadata={"static": True})
    binding: bool = field(default=False, metadata={"static": True})
    observables: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        shown = ("cosine", "norm", "test_error", "direction_cosine", "error_estimate")
        numbers = {name: finite(getattr(self, name)) for name in shown}
        parts = [f"{name}={value:.6g}" for name, value in numbers.items() if value is not None]
        inside = ", ".join([f"status={self.status.value!r}", *parts])
        return f"Solution({inside}, problem={self.problem!r})"

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe values; what does not exist (or is infinite) is None."""
        values: dict[str, Any] = {name: finite(getattr(self, name)) for name in NUMBERS}
        if self.limit == "abundant":
            del values["residual"]
            values |= {"n_features": self.n_features, "radius": self.radius}
            values["binding"] = self.binding
        else:
            del values["boundary_excess_risk"]
        values |= {
            "status": self.status.value,
            "message": self.message,
            "state": {name: finite(value) for name, value in self.state.items()},
            "problem": self.problem.describe(),
        }
        if self.observables:
            values["observables"] = {n: finite(v) for n, v in self.observables.items()}
        inputs = self.problem.inputs
        return values | (inputs.describe() if isinstance(inputs, Spectrum | Mixture) else {})


def finite(value: float | None) -> float | None:
    """A plain float, or None where there is no finite number."""
    return float(value) if value is not None and np.isfinite(value) else None


def verdict(error: float, flaw: str) -> tuple[Status, str]:
    """Whether numbers are certified, and that in words."""
    if flaw:
        return Status.NOT_CERTIFIED, f"Solved, but not certified. {flaw}"
    status = Status.CERTIFIED if error <= CERTIFIED_ERROR else Status.NOT_CERTIFIED
    return status, status.sentence

"""What trials say: means, standard errors and differences, with failures counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.montecarlo.estimates.controls import ROW_CONTROLS
from nfl_pruning.montecarlo.trials import FAILURES, Table
from nfl_pruning.problem import Problem
from nfl_pruning.theory.observables import observables
from nfl_pruning.validation import check_choice

OBSERVABLES = ("cosine", "norm", "test_error", "test_loss", "excess_risk", "calibration_slope")
DERIVED = OBSERVABLES[2:]
DERIVED_AT_ONCE = 2048
LARGER_IS_BETTER = {"cosine": True, "test_error": False, "test_loss": False, "excess_risk": False}
LARGER_IS_BETTER |= {"worst_class_error": False, "calibration_error": False}


class Trials(Mapping[str, np.ndarray]):
    """Observables of every trial by name; what follows from cosine and norm is computed when read.

    Derived observables are population values under the normal law of inputs, so they exist only
    for that law.
    """

    def __init__(self, problem: Problem, known: dict[str, np.ndarray], *, derive: bool) -> None:
        self._problem, self._known = problem, known
        self._names = [*known, *(DERIVED if derive else ())]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._known and name in self._names:
            cosine, norm = self._known["cosine"], self._known["norm"]
            self._known |= _derive(self._problem, cosine, norm)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _derive(problem: Problem, cosine: np.ndarray, norm: np.ndarray) -> dict[str, np.ndarray]:
    """Population values, in parts: each trial takes hundreds of quadrature nodes."""
    parts = [
        _derive_part(problem, cosine[i : i + DERIVED_AT_ONCE], norm[i : i + DERIVED_AT_ONCE])
        for i in range(0, max(len(cosine), 1), DERIVED_AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _derive_part(problem: Problem, cosine: np.ndarray, norm: np.ndarray) -> dict[str, np.ndarray]:
    """Padded to a power of two, so that few shapes are ever compiled."""
    count = len(cosine)
    padding = (0, max(32, 1 << (count - 1).bit_length()) - count)
    cosine, norm = (np.pad(part, padding, constant_values=np.nan) for part in (cosine, norm))
    values = observables(problem.teacher, problem.student.loss, cosine=cosine, norm=norm)
    return {name: np.asarray(value)[:count] for name, value in values.items()}


@dataclass(frozen=True)
class Simulation:
    """Trials of a problem at a finite number of features.

    Attributes:
        problem, n_features, n_trials, seed: what was simulated.
        trials: one float64 array of shape (n_trials,) for each of ``OBSERVABLES`` and for ``kept``
            (samples kept), ``gradient_norm``, ``steps`` and ``passes`` of the fit, and the control
            variates of ``ROW_CONTROLS``. Observables are exact population values of the
            fitted student; they are NaN where a fit failed.
        failures: for each failed trial its number and the reason's name.
        observables: names of what ``to_dict`` tells.
    """

    problem: Problem
    n_features: int
    n_trials: int
    seed: int
    trials: Mapping[str, np.ndarray] = field(repr=False)
    failures: dict[int, str]
    observables: tuple[str, ...] = OBSERVABLES

    @property
    def law(self) -> str:
        """Text form of the law of the inputs."""
        return self.problem.inputs.label

    @property
    def failed(self) -> int:
        """Number of trials without a fit."""
        return len(self.failures)

    def values(self, name: str, *, skip_failed: bool = False) -> np.ndarray:
        """The trials of one observable; failed ones are NaN, or left out on request."""
        values = self.trials[check_choice("observable", name, self.trials)]
        return values[np.isfinite(values)] if skip_failed else values

    def mean(self, name: str, *, skip_failed: bool = False) -> float:
        """Mean over trials. NaN when a trial failed, unless ``skip_failed`` leaves those out.

        The mean over successes alone is a mean under the condition of success: report
        ``failed`` beside it.
        """
        values = self.values(name, skip_failed=skip_failed)
        return float(np.mean(values)) if len(values) else math.nan

    def standard_error(self, name: str, *, skip_failed: bool = False) -> float:
        """Standard error of the mean from the spread of trials; NaN below two trials."""
        values = self.values(name, skip_failed=skip_failed)
        if len(values) < 2:
            return math.nan
        return float(np.std(values, ddof=1) / np.sqrt(len(values)))

    def z_score(self, name: str, value: float, *, skip_failed: bool = False) -> float:
        """(mean - value) in standard errors: how far a theory's value is from the simulation."""
        difference = self.mean(name, skip_failed=skip_failed) - value
        error = self.standard_error(name, skip_failed=skip_failed)
        return float(np.divide(difference, error)) if error else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: problem, sizes, mean and standard error of each observable.

        None stands for what does not exist, as after a failed trial.
        """

        def known(value: float) -> float | None:
            return value if math.isfinite(value) else None

        names = [name for name in self.observables if name in self.trials]
        table = {name: known(self.mean(name)) for name in names}
        errors = {name: known(self.standard_error(name)) for name in names}
        return {
            "problem": self.problem.describe(),
            "law": self.law,
            "n_features": self.n_features,
            "n_trials": self.n_trials,
            "seed": self.seed,
            "failed": self.failed,
            "failures": dict(Counter(self.failures.values())),
            "kept": known(float(np.mean(self.trials["kept"]))),
            "mean": table,
            "standard_error": errors,
        }


def make_simulation(problem: Problem, table: Table, *, n_features: int, seed: int) -> Simulation:
    """Turn fitted directions into observables, with failed trials named and set to NaN."""
    codes = table["code"]
    failed = codes != 0
    norm = np.where(failed, np.nan, table["norm"])
    along = np.where(failed, np.nan, table["along"])
    known = {"cosine": np.divide(along, norm, out=np.zeros_like(norm), where=norm != 0)}
    known["norm"] = norm
    for name in ("kept", "gradient_norm", "steps", "passes", *ROW_CONTROLS):
        known[name] = table[name].astype(float)
    failures = {int(i): FAILURES[int(codes[i])] for i in np.flatnonzero(failed)}
    trials = Trials(problem, known, derive=problem.inputs.has_limit)
    return Simulation(problem, n_features, len(codes), seed, trials, failures)


def paired(simulation: Simulation, baseline: Simulation, name: str) -> tuple[float, float]:
    """Mean difference of two rules on the same samples, and its standard error.

    Trials share data when seed, number of features and number of samples agree; then what they
    have in common cancels. A trial that failed under either rule makes the difference NaN.

    Raises:
        InvalidArgumentError: the two simulations do not share their samples.
    """
    for what in ("n_features", "n_trials", "seed", "law"):
        ours, theirs = getattr(simulation, what), getattr(baseline, what)
        if ours != theirs:
            raise InvalidArgumentError(
                f"paired simulations must agree in {what}; got {ours} and {theirs}."
            )
    ours, theirs = (_data_law(s.problem) for s in (simulation, baseline))
    if ours != theirs:
        raise InvalidArgumentError(
            f"paired simulations must share link, signal and samples_per_feature; got {ours} and "
            f"{theirs}."
        )
    difference = simulation.values(name) - baseline.values(name)
    if len(difference) < 2:
        raise InvalidArgumentError("a paired difference needs at least 2 trials; got 1.")
    error = np.std(difference, ddof=1) / np.sqrt(len(difference))
    return float(np.mean(difference)), float(error)


def _data_law(problem: Problem) -> tuple[str, float, float]:
    return problem.teacher.link.name, problem.teacher.signal, problem.samples_per_feature

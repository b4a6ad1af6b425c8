"""What a simulation is compiled for: shapes and functions, and the numbers that may change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jax import Array

from nfl_pruning.inputs.isotropic import UnitCovariance
from nfl_pruning.links import Link
from nfl_pruning.probes import FixedProbe, InSampleProbe, PilotProbe
from nfl_pruning.problem import Problem
from nfl_pruning.scores.base import SCORES, Score
from nfl_pruning.selections import PropensitySelection, RankSelection
from nfl_pruning.selections.finite import Counts, realised_counts
from nfl_pruning.validation import InvalidArgumentError

SUPPLIED = frozenset({"input_norm"})  # of the things that a score may need


@dataclass(frozen=True)
class Plan:
    """What is fixed when the simulation is compiled: shapes and functions.

    Attributes:
        n_samples, n_features: size of the data before pruning.
        capacity: number of rows that the kept samples are given; the rest of them is padding.
        link, score: the problem's.
        counts: whole-number strata of a rank selection, or None for a propensity selection.
        selection: a propensity selection, or None.
        keep: which end of the order stays.
        law: law of the inputs.
        pilot: plan of the samples that a pilot probe is fitted to, or None.
        in_sample: whether the probe is fitted to the samples that it scores; all rows are then
            drawn, and the capacity is the number of samples.
    """

    n_samples: int
    n_features: int
    capacity: int
    link: Link
    score: Score
    counts: tuple[Counts, ...] | None
    selection: PropensitySelection | None
    keep: str
    law: UnitCovariance
    pilot: Plan | None = None
    in_sample: bool = False


class Parameters(NamedTuple):
    """The problem's numbers, which may change without recompiling; float64 scalars.

    Attributes:
        scale: teacher margin per unit of the first coordinate.
        alignment, probe_norm: of a fixed probe; not used for others.
        probe_ridge: of a fitted probe; not used for a fixed one.
        keep_fraction, ridge: the problem's.
    """

    scale: Array
    alignment: Array
    probe_norm: Array
    probe_ridge: Array
    keep_fraction: Array
    ridge: Array


def refuse_mixture_parts(problem: Problem) -> None:
    """Raise where a problem has what trials of mixtures alone have."""
    if part := problem.only_for_mixtures:
        raise InvalidArgumentError(
            f"{part} is simulated for inputs of components alone; got inputs "
            f"{problem.inputs.label!r}."
        )


def make_plan(problem: Problem, n_features: int) -> Plan:
    """Shapes and functions for a problem at a finite number of features.

    Raises:
        InvalidArgumentError: nothing would be kept, or the score needs what is not simulated.
    """
    refuse_mixture_parts(problem)
    missing = sorted(problem.ranking_score.needs - SUPPLIED)
    if missing:
        raise InvalidArgumentError(
            f"score {problem.ranking_score.name!r} needs {' and '.join(missing)}, which a linear "
            "probe on simulated samples does not have; use one of logits, labels and input norm."
        )
    law = problem.inputs
    if not isinstance(law, UnitCovariance):
        raise InvalidArgumentError(
            f"these trials draw inputs of unit covariance; got {law.label!r}."
        )
    if problem.ranking_score.needs and not law.knows_norm:
        raise InvalidArgumentError(
            f"score {problem.ranking_score.name!r} needs input_norm, which covariate law "
            f"{law.label!r} does not supply; use another score or law."
        )
    n = int(np.floor(problem.samples_per_feature * n_features + 0.5))
    selection, counts, capacity = _shapes(problem, n)
    plan = Plan(
        n, n_features, capacity, problem.teacher.link, problem.ranking_score, counts, selection,
        problem.keep, law,
    )  # fmt: skip
    probe = problem.probe
    if isinstance(probe, PilotProbe):
        if not law.rotates:
            raise InvalidArgumentError(
                f"a pilot probe needs a law of inputs that looks alike in all directions but the "
                f"teacher's; got {law.label!r}."
            )
        size = int(np.floor(probe.samples_per_feature * n_features + 0.5))
        if size < 1:
            raise InvalidArgumentError(
                f"pilot samples_per_feature {probe.samples_per_feature:g} at {n_features} features "
                "gives fewer than one sample."
            )
        pilot = replace(plan, n_samples=size, capacity=size, score=SCORES["random"], selection=None)
        plan = replace(plan, pilot=pilot)
    if isinstance(probe, InSampleProbe):
        plan = replace(plan, in_sample=True, capacity=n)
    return plan


def _shapes(
    problem: Problem, n: int
) -> tuple[PropensitySelection | None, tuple[Counts, ...] | None, int]:
    """Propensity selection, strata and number of rows to provide for the kept samples."""
    selection = problem.selection
    if isinstance(selection, RankSelection):
        counts = realised_counts(selection.strata(problem.keep_fraction), max(n, 1))
        return None, counts, sum(stratum.kept for stratum in counts)
    if not isinstance(selection, PropensitySelection):
        raise InvalidArgumentError(f"protocol {selection.name!r} has no rule for finite samples.")
    r = problem.keep_fraction
    if r * n < 1:
        raise InvalidArgumentError(
            f"keep_fraction {r:g} of {n} samples keeps fewer than one sample."
        )
    spread = 8 * np.sqrt(n * r * (1 - r)) + 8  # beyond it the trial is reported as failed
    return selection, None, min(n, int(np.ceil(r * n + spread)))


def make_numbers(problem: Problem) -> tuple[float, ...]:
    """The problem's numbers in the order of :class:`Parameters`."""
    probe = problem.probe
    if isinstance(probe, FixedProbe):
        about_probe = (probe.alignment, problem.probe_norm, 0.0)
    else:
        assert isinstance(probe, (PilotProbe, InSampleProbe))  # make_plan refuses others
        about_probe = (0.0, 0.0, probe.ridge)
    return (problem.teacher.scale, *about_probe, problem.keep_fraction, problem.student.ridge)

"""Two classes, from a problem to certified numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from nfl_pruning.problem import Problem
from nfl_pruning.theory.mixture.result import Answer, split, values_of
from nfl_pruning.theory.mixture.two_classes.lines import Lines, mass_of
from nfl_pruning.theory.mixture.two_classes.newton import Root
from nfl_pruning.theory.mixture.two_classes.pair_setting import PairSetting, setting_of
from nfl_pruning.theory.mixture.two_classes.panels import COARSE, FINE, FINEST, Fineness
from nfl_pruning.theory.mixture.two_classes.reading import probe_reads
from nfl_pruning.theory.mixture.two_classes.refit import refit_builder
from nfl_pruning.theory.mixture.two_classes.stages import Builder, PairStage, solve_stage
from nfl_pruning.theory.mixture.worth import Outputs

GOAL = 1e-9  # of the error estimate, until which quadratures are refined
RUNGS = (COARSE, FINE, FINEST)
MASS_TOLERANCE = 1e-9


@dataclass
class Warm:
    """What was found for a neighbouring problem with the same mixture.

    Attributes:
        fit: root of its refit. probes: fits of probes, by what they are.
    """

    fit: Root | None = None
    probes: dict[Any, PairStage] = field(default_factory=dict)


def solve_two_classes(problem: Problem, warm: Warm | None = None) -> Answer:
    """The limit for two classes; its error is the change from one quadrature to a finer one.

    Args:
        problem: whose inputs are a mixture.
        warm: where the search starts; afterwards it holds what was found.
    """
    warm = Warm() if warm is None else warm
    with jax.enable_x64(True):
        setting = setting_of(problem)
        coarse = at(setting, COARSE, warm)
        if isinstance(coarse, Answer):
            return coarse
        warm.fit = coarse[1].root
        error, numbers = np.inf, numbers_at(setting, *coarse)
        for fineness in RUNGS[1:]:
            finer = at(setting, fineness, warm, coarse[0])
            if isinstance(finer, Answer):
                return finer
            new = numbers_at(setting, *finer)
            error = max(abs(new[name] - numbers[name]) / _size(name, new) for name in new
                        if np.isfinite(new[name]) and not name.startswith("kept"))  # fmt: skip
            coarse, numbers, warm.fit = finer, new, finer[1].root
            if error < GOAL:
                break
        builder, stage = coarse
        values, observables = split(numbers)
        return Answer(
            True, _mass_flaw(setting, builder, stage), stage.root.residual, error, values,
            observables,
        )  # fmt: skip


def _size(name: str, numbers: dict[str, float]) -> float:
    """What a change of a number is measured by: probabilities by 1, others by their size."""
    if "error" in name or name == "cosine":
        return 1.0
    return 1.0 + abs(numbers[name])


def at(
    setting: PairSetting, fineness: Fineness, warm: Warm, known: Builder | None = None
) -> tuple[Builder, PairStage] | Answer:
    """The refit at one fineness, or why there is none.

    Args:
        setting: the problem's.
        fineness: of panels.
        warm: where to start.
        known: the refit's parts, where they do not depend on the fineness.
    """
    probe = None
    if known is None or known.of_fitted_probe:
        reads, probe = probe_reads(setting, fineness, warm.probes)
        if probe is not None and not probe.root.converged:
            return _failed("the probe's own fit", probe)
        known = refit_builder(setting, reads)
        known.of_fitted_probe = probe is not None
    near = warm.fit if warm.fit is not None and fits(warm.fit, known) else None
    stage = solve_stage(known, fineness, near)
    return (known, stage) if stage.root.converged else _failed("the fit", stage)


def fits(root: Root, builder: Builder) -> bool:
    """Whether a neighbour's root has the unknowns of this fit."""
    rows = len(builder.reads.given.rows)
    entries = 3 + rows + int(builder.kind.coupled)
    return len(root.x) == entries * builder.setting.mixture.n_components


def _failed(what: str, stage: PairStage) -> Answer:
    return Answer(
        False,
        f"No solution of the limit equations of {what} was found: the residual stays at "
        f"{stage.root.residual:.1e}.",
        stage.root.residual,
    )


def numbers_at(setting: PairSetting, builder: Builder, stage: PairStage) -> dict[str, float]:
    """Every number of a solved fit, by name."""
    mixture, problem, state = setting.mixture, setting.problem, stage.state
    outputs = Outputs(np.asarray(state.mean), np.asarray(state.covariance))
    on_teacher = None
    if setting.taught:
        on_teacher = np.asarray(state.cross)[:, 0, -1] / problem.teacher.scale
    found = values_of(
        problem, mixture, outputs, np.asarray(stage.fit.intercept), _kept(setting, builder),
        on_teacher=on_teacher,
    )  # fmt: skip
    return found | _overlaps(setting, stage, on_teacher)


def _overlaps(
    setting: PairSetting, stage: PairStage, on_teacher: np.ndarray | None
) -> dict[str, float]:
    """Norm of the student and, with one component, its cosine to the teacher."""
    if on_teacher is None or len(on_teacher) > 1:
        return {}
    row = setting.teacher_row() / setting.problem.teacher.scale
    teacher = float(np.asarray(setting.space.geometry.overlap(row, row))[0, 0, 0])
    norm = float(np.sqrt(np.asarray(stage.state.covariance)[0, 0, 0]))
    return {"norm": norm, "cosine": float(on_teacher[0]) / (norm * np.sqrt(teacher))}


def _kept(setting: PairSetting, builder: Builder) -> np.ndarray:
    """Mass kept of each component and class, shape (C, 2)."""
    kept = np.zeros((setting.mixture.n_components, 2))
    law = builder.law
    for j, part in enumerate(builder.parts):
        edges = np.concatenate([part.breaks, builder.sharp()[j]])

        def keep(zeta: np.ndarray, part=part) -> np.ndarray:
            return part.evaluate(zeta.ravel())[0].sum(0).reshape(zeta.shape)

        kept[law.component[j], int(law.sign[j] > 0)] += law.integral(j, edges, keep)
    return kept


def _mass_flaw(setting: PairSetting, builder: Builder, stage: PairStage) -> str:
    """Why the nodes of the last quadrature are not to be trusted; nothing if their mass is right.

    They are compared with the keep fraction itself, which they were not made from.
    """
    asked = setting.problem.keep_fraction
    defect = abs(_mass(builder, stage) / asked - 1)
    if defect <= MASS_TOLERANCE:
        return ""
    return (
        "Solved, but not certified. The kept share of the quadrature differs from the one asked "
        f"for by a factor of 1 +- {defect:.1e}."
    )


def _mass(builder: Builder, stage: PairStage) -> float:
    """Kept share by the nodes of a quadrature."""
    cloud, law = stage.terms.cloud, builder.law
    if isinstance(cloud, Lines):
        return float(mass_of(cloud, stage.state, stage.terms.law))
    mass = np.asarray(cloud.mass)
    if builder.kind.taught:
        assert law.teachers is not None
        mass = mass * np.stack(
            [
                law.teachers[law.component[j]].probability(int(law.sign[j]), row)
                for j, row in enumerate(np.asarray(cloud.zeta))
            ]
        )
    return float(mass.sum())

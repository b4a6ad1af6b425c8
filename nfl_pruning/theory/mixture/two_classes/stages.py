"""A fit to two classes, solved: its terms at any fineness, and the search for its law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from nfl_pruning.losses import Loss
from nfl_pruning.theory.mixture.closing import State
from nfl_pruning.theory.mixture.stage import Stage
from nfl_pruning.theory.mixture.two_classes.descent import follow
from nfl_pruning.theory.mixture.two_classes.fold_moments import folds_of, reach
from nfl_pruning.theory.mixture.two_classes.lines import Shape, bands_of, shapes_of, with_nodes
from nfl_pruning.theory.mixture.two_classes.newton import Kind, Root, Terms
from nfl_pruning.theory.mixture.two_classes.pair_setting import MarginReads, PairSetting
from nfl_pruning.theory.mixture.two_classes.panels import (
    Cloud,
    Fineness,
    LabelTerms,
    line_nodes,
    nodes_of,
)
from nfl_pruning.theory.mixture.two_classes.populations import KeptPart, Populations

MOST_MESHES = 4
SAME_MESH = 0.2  # relative change of a law for which nodes are not made again
NO_LINES = (np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class PairStage(Stage):
    """One fit that is solved: what it is made of, and where the search ended.

    Attributes:
        kind, terms, root: of the search.
        again: another builder of the same shapes -> its terms, with nodes made to the same law.
    """

    kind: Kind
    terms: Terms
    root: Root
    again: Callable[[Builder], Terms]


class Builder:
    """Makes the terms of a fit at any fineness and any spread of its logits.

    Attributes:
        of_fitted_probe: whether what it reads was itself solved at one fineness.
    """

    of_fitted_probe = False

    def __init__(
        self,
        setting: PairSetting,
        reads: MarginReads,
        law: Populations,
        parts: list[KeptPart],
        *,
        loss: Loss,
        ridge: float,
        samples_per_feature: float,
        free: bool,
        taught: bool,
        sharp_of: Populations | None = None,
    ) -> None:
        self.setting, self.reads, self.law, self.parts = setting, reads, law, parts
        self.ridge, self.samples_per_feature = ridge, samples_per_feature
        coupled = reads.own is not None or reads.folds is not None
        self.kind = Kind(loss, taught, free, coupled)
        self._labels, self._sharp_of = self._label_terms(), sharp_of or law
        blind_to_zeta = not taught and sharp_of is None and not coupled
        self.bands = bands_of(law, parts) if blind_to_zeta else None
        self._pseudo = np.linalg.pinv(reads.covariance, rcond=1e-12, hermitian=True)

    def terms(self, fineness: Fineness, spread: float, along: float, multiple: float) -> Terms:
        """The terms of the equations.

        Args:
            fineness: of the panels.
            spread: largest deviation of v given zeta.
            along: largest move of v, or of the probe's own logit, per unit of zeta.
            multiple: of the ridge.
        """
        if self.reads.folds is not None:
            folds = folds_of(
                self.reads.folds, self.law, self.parts, fineness, spread=spread, along=along
            )
            return self._with(folds, NO_LINES, multiple)
        finer = fineness._replace(factor=fineness.factor * max(1.0, along / 1.6))
        nodes = nodes_of(self.law, self.parts, finer, sharp=self.sharp())
        own = np.zeros_like(nodes["zeta"])
        if self.reads.own is not None:
            for j in range(len(own)):
                c, sign = int(self.law.component[j]), int(self.law.sign[j])
                own[j] = self.reads.own(c, sign, nodes["zeta"][j])
        cloud = Cloud(
            self.law.component, self.law.sign.astype(float),
            nodes["zeta"], nodes["mass"], nodes["weight"], own,
        )  # fmt: skip
        return self._with(cloud, line_nodes(spread, fineness), multiple)

    def line_terms(self, fineness: Fineness, state: State | None, multiple: float) -> Terms:
        """The terms of the equations in v alone, with nodes for a law of the logits."""
        assert self.bands is not None
        n = self.setting.mixture.n_components
        shapes = [Shape(0.0, 1.0, 0.0, 1.0, 1.0)] * n
        if state is not None:
            shapes = shapes_of(state, self.reads.deviation)
        lines = with_nodes(self.bands, shapes, self.kind.loss, fineness)
        return self._with(lines, NO_LINES, multiple)

    def _with(self, cloud: Any, lines: Any, multiple: float) -> Terms:
        return Terms(
            self.setting.space.geometry, cloud, lines, self.reads.given,
            (self.reads.deviation, self._pseudo, self.setting.mixture.weights),
            self._labels, self.ridge * multiple, self.samples_per_feature,
        )  # fmt: skip

    def sharp(self) -> list[np.ndarray]:
        """Places in zeta of each population where a teacher's link varies quickly."""
        teachers = self._sharp_of.teachers
        if teachers is None:
            return [np.zeros(0)] * len(self.parts)
        return [teachers[c]._edges for c in self.law.component]

    def _label_terms(self) -> LabelTerms:
        setting = self.setting
        n = setting.mixture.n_components
        if not self.kind.taught:
            return LabelTerms(tuple(np.zeros(1) for _ in range(4)), *(np.zeros(n),) * 3)
        covariance, steps = self.reads.covariance, setting.problem.teacher.link.steps
        arrays = (np.asarray(steps.base, float), *(np.asarray(s, float) for s in steps[1:]))
        return LabelTerms(
            arrays,
            self.reads.mean[:, -1],
            np.sqrt(covariance[:, -1, -1]),
            covariance[:, 0, -1] / self.reads.deviation,
        )


def solve_stage(builder: Builder, fineness: Fineness, near: Root | None = None) -> PairStage:
    """A fit solved at one fineness; panels are made to the law that was found.

    Args:
        builder: of the terms.
        fineness: of the panels.
        near: the root of a neighbouring problem or of a coarser quadrature.
    """
    if builder.bands is not None:
        stage = _solve_by_lines(builder, fineness, near)
        if stage.root.converged:
            return stage
    return _solve_by_panels(builder, fineness, None if near is None else near.x)


def _solve_by_lines(builder: Builder, fineness: Fineness, near: Root | None) -> PairStage:
    """Nodes for the law at the start, or at every ridge for that found at the last one."""
    kind = builder.kind
    law = None if near is None else near.last.state
    most = MOST_MESHES if near is None else 1  # a finer rule tells whether nodes served
    meshes = 0
    while True:
        meshes += 1
        found: dict[str, Any] = {"state": law}

        def walk(multiple: float, found: dict[str, Any] = found) -> Terms:
            return builder.line_terms(fineness, found["state"], multiple)

        def arrived(state: State, found: dict[str, Any] = found) -> None:
            found["state"] = state

        slopes = None if near is None else np.asarray(near.last.jacobian)
        start = None if near is None else near.x
        root, terms = follow(walk, kind, start, arrived, slopes)
        again = partial(_line_terms, fineness, found["state"])
        stage = PairStage(root.last.state, root.last.fit, kind, terms, root, again)
        served = law is not None and _alike(law, stage.state)
        if not root.converged or served or meshes == most:
            return stage
        law, near = stage.state, root


def _line_terms(fineness: Fineness, law: State, builder: Builder) -> Terms:
    return builder.line_terms(fineness, law, 1.0)


def _alike(old: State, new: State) -> bool:
    """Whether nodes for one law serve the other."""
    size = np.sqrt(np.asarray(new.covariance)[:, 0, 0])
    moved = [
        np.abs(np.asarray(a - b)).reshape(len(size), -1).max(1) / scale
        for a, b, scale in (
            (old.mean, new.mean, 1 + size),
            (old.covariance, new.covariance, size**2),
            (old.step, new.step, np.asarray(new.step)[:, 0, 0] + 1),
        )
    ]
    return bool(np.max(moved) < SAME_MESH)


def _solve_by_panels(builder: Builder, fineness: Fineness, start: np.ndarray | None) -> PairStage:
    kind, spread, along = builder.kind, 4.0, _least_along(builder)
    meshes = 0
    while True:

        def walk(multiple: float, spread: float = spread, along: float = along) -> Terms:
            return builder.terms(fineness, spread, along, multiple)

        root, terms = follow(walk, kind, start)
        meshes += 1
        if not root.converged:
            break
        wider, farther = _extent(root.last.state, builder)
        if wider <= 1.05 * spread and farther <= 1.05 * along:
            break
        spread, along, start = max(spread, wider), max(along, farther), root.x
        if meshes == MOST_MESHES:
            break
    again = partial(_terms, fineness, spread, along)
    return PairStage(root.last.state, root.last.fit, kind, terms, root, again)


def _terms(fineness: Fineness, spread: float, along: float, builder: Builder) -> Terms:
    return builder.terms(fineness, spread, along, 1.0)


def _least_along(builder: Builder) -> float:
    return float(builder.reads.deviation.max()) if builder.reads.own is not None else 1.0


def _extent(state: State, builder: Builder) -> tuple[float, float]:
    """Largest deviation of v given zeta, and largest move of v per unit of zeta."""
    if builder.reads.folds is not None:
        return reach(state, builder.reads.folds, builder.reads.deviation)
    on_zeta = np.asarray(state.cross[:, 0, 0]) / builder.reads.deviation
    variance = np.asarray(state.covariance[:, 0, 0])
    spread = np.sqrt(np.maximum(variance - on_zeta**2, 0))
    return float(spread.max()), max(float(np.abs(on_zeta).max()), _least_along(builder))

"""What a refit to many classes reads of cross-fitted probes (docs/equations.md, (M10) to (M13))."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.theory.mixture.closing import Fit, noise_of
from nfl_pruning.theory.mixture.many_classes.many_setting import ManySetting
from nfl_pruning.theory.mixture.many_classes.points import labelled_points, root
from nfl_pruning.theory.mixture.many_classes.prox import fitted

MOST_ROUNDS = 500
SAME = 1e-9  # relative change at which the probes' covariance with each other is found


@dataclass(frozen=True)
class FoldLaw:
    """The probes' outputs on a sample that none of them has seen, and how they fit one.

    Attributes:
        folds: number of probes J.
        mean: of a probe's outputs, shape (C, P).
        covariance: of one probe's outputs, shape (C, P, P).
        common: of two probes' outputs with each other, shape (C, P, P).
        step: kappa of a probe's proximal map, shape (C, P, P).
    """

    folds: int
    mean: np.ndarray
    covariance: np.ndarray
    common: np.ndarray
    step: np.ndarray

    @property
    def of_mean(self) -> np.ndarray:
        """Covariance of the mean of the probes' outputs, shape (C, P, P): eq. (M12)."""
        return (self.covariance + (self.folds - 1) * self.common) / self.folds

    def outputs(self, component: np.ndarray, zeta: np.ndarray) -> np.ndarray:
        """Outputs of so many probes, without their mean, as zeta has; both (n, probes, P).

        Independent parts sqrt(Z - C), and sqrt(Z + (probes - 1) C) times the mean of all zeta.
        """
        own, count = self.covariance - self.common, zeta.shape[1]
        apart, together = root(own)[component], root(own + count * self.common)[component]
        middle = zeta.mean(axis=1, keepdims=True)
        return np.einsum("npq,nkq->nkp", apart, zeta - middle) + np.einsum(
            "npq,nkq->nkp", together, middle
        )

    def forces(self, component: np.ndarray, label: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Forces of samples in probes that are fitted to them as well, shape (n, probes, P).

        Args:
            component: shape (n,).
            label: shape (n,).
            outputs: of these probes without the samples and without their mean, (n, probes, P).
        """
        found = np.empty_like(outputs)
        for c in range(len(self.mean)):
            rows = np.flatnonzero(component == c)
            raw = (self.mean[c] + outputs[rows]).reshape(-1, outputs.shape[2])
            labels = np.repeat(label[rows], outputs.shape[1])
            found[rows] = fitted(raw, labels, self.step[c])[1].reshape(outputs[rows].shape)
        return found


def fold_law(
    setting: ManySetting,
    fit: Fit,
    law: FoldLaw,
    samples: float,
    n_points: int,
    seed: np.random.SeedSequence,
) -> tuple[FoldLaw, np.ndarray]:
    """The law with what two probes share, and what makes the noise of their mean: (M10), (M12).

    Two probes are fitted to the same samples but for two folds; how alike the forces of a sample
    in both are depends on how alike their outputs are.

    Args:
        setting: the problem's.
        fit: of one probe.
        law: of one probe's outputs; its ``common`` is not read.
        samples: per feature, in one probe's fit.
        n_points: points of a component with one label.
        seed: of them.

    Returns:
        The law, and what :func:`noise_of` makes the noise of the probes' mean of, (C, P, P).

    Raises:
        UnsupportedProblemError: the fixed point was not found.
    """
    geometry = setting.space.geometry
    inverse, own = jax.tree.map(np.asarray, (fit.inverse, fit.square))
    overlap = np.asarray(geometry.overlap(np.asarray(fit.rows), np.asarray(fit.rows)))
    share = (law.folds - 2) / (law.folds - 1)
    common, square, moved = overlap, 0 * own, 0.0
    points = _pairs(setting, law, n_points, seed)
    for _ in range(MOST_ROUNDS if share else 0):
        law = FoldLaw(law.folds, law.mean, law.covariance, common, law.step)
        square = share * _shared(law, *points) / samples
        new = overlap + np.asarray(geometry.trace(noise_of(geometry, inverse, square)))
        moved = float(np.abs(new - common).max() / np.abs(law.covariance).max())
        common = new
        if moved < SAME:
            break
    else:
        if share:
            raise UnsupportedProblemError(
                f"What two of {law.folds} cross-fitted probes share was not found: it still moves "
                f"by {moved:.1e}."
            )
    law = FoldLaw(law.folds, law.mean, law.covariance, common, law.step)
    return law, (own + (law.folds - 1) * square) / law.folds


def _pairs(
    setting: ManySetting, law: FoldLaw, n_points: int, seed: np.random.SeedSequence
) -> tuple[np.ndarray, ...]:
    """Component, label, mass within the component and zeta (n, 2, P) of samples in two probes."""
    size = law.mean.shape[1]
    component, label, mass, points = labelled_points(
        setting.mixture.label_law, n_points, 2 * size, seed
    )
    return component, label, mass, points.reshape(len(points), 2, size)


def _shared(
    law: FoldLaw, component: np.ndarray, label: np.ndarray, mass: np.ndarray, zeta: np.ndarray
) -> np.ndarray:
    """E_c[f_k f_l^T] of samples in two probes that saw them, symmetrised, shape (C, P, P)."""
    f = law.forces(component, label, law.outputs(component, zeta))
    found = np.zeros_like(law.covariance)
    np.add.at(found, component, mass[:, None, None] * f[:, 0, :, None] * f[:, 1, None, :])
    return 0.5 * (found + np.swapaxes(found, 1, 2))

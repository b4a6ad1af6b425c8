"""What a refit to two classes reads of cross-fitted probes (docs/equations.md, (M10) to (M13))."""

from __future__ import annotations

from typing import Any

import numpy as np

from nfl_pruning.errors import UnsupportedProblemError
from nfl_pruning.theory.mixture.geometry import Operator
from nfl_pruning.theory.mixture.two_classes.fold_moments import FoldLaw, shared_force
from nfl_pruning.theory.mixture.two_classes.pair_setting import (
    MarginReads,
    PairSetting,
    own_noise,
    rows_read,
)
from nfl_pruning.theory.mixture.two_classes.panels import Fineness
from nfl_pruning.theory.mixture.two_classes.stages import PairStage

MOST_ROUNDS = 2000
SAME = 1e-14


def fold_reads(
    setting: PairSetting, stage: PairStage, folds: int, samples: float, fineness: Fineness
) -> MarginReads:
    """The mean of the probes as the row that is read, and the law of one probe's logit.

    Args:
        setting: the problem's, with labels that the components bring.
        stage: one probe's fit.
        folds: number of probes J.
        samples: per feature, in one probe's fit.
        fineness: of the quadrature behind what two probes share.
    """
    fit, state = stage.fit, stage.state
    row, intercept, noise = np.asarray(fit.rows), float(fit.intercept[0]), own_noise(setting, fit)
    mean = setting.space.geometry.means @ row[0] + intercept
    variance = np.asarray(state.covariance)[:, 0, 0]
    law = FoldLaw(folds, mean, variance, 0 * variance, np.asarray(state.step)[:, 0, 0])
    inverse = np.asarray(fit.inverse)
    common, both = _in_common(setting, law, row, inverse, samples, fineness)
    law = FoldLaw(folds, mean, variance, common, law.step)
    averaged = (noise + (folds - 1) * both) / folds  # eq. (M12)
    given, means, covariance = rows_read(setting, row, intercept, averaged, inverse)
    deviation = np.sqrt(variance)

    def margin(c: int, sign: int, zeta: np.ndarray) -> np.ndarray:
        return mean[c] + deviation[c] * zeta

    def inverse_of(c: int, sign: int, h: np.ndarray) -> np.ndarray:
        return (h - mean[c]) / deviation[c]

    return MarginReads(given, means, covariance, margin, inverse_of, folds=law)


def _in_common(
    setting: PairSetting,
    law: FoldLaw,
    row: np.ndarray,
    inverse: Operator,
    samples: float,
    fineness: Fineness,
) -> tuple[np.ndarray, Operator]:
    """Covariance of two probes' logits on each component, and of their noise: eq. (M10).

    Two probes are fitted to the same samples but for two folds; how alike the forces of a sample
    in both are depends on how alike their logits are.
    """
    geometry, mixture = setting.space.geometry, setting.mixture
    n = mixture.n_components

    def noise_of(shared: np.ndarray) -> Any:
        middle = np.asarray(geometry.combine(shared[:, None, None])) / samples
        return np.asarray(geometry.compose(geometry.compose(inverse, middle), inverse))

    overlap = np.asarray(geometry.overlap(row, row))[:, 0, 0]
    share = (law.folds - 2) / (law.folds - 1)
    if not share:
        return overlap, noise_of(np.zeros(n))
    passed = [np.asarray(geometry.trace(noise_of(one)))[:, 0, 0] for one in np.eye(n)]
    matrix, common, moved = np.stack(passed, axis=1), law.variance * share, np.inf
    for _ in range(MOST_ROUNDS):
        forces = share * _forces(setting, law, common, fineness)
        new = np.clip(overlap + matrix @ forces, 0.0, law.variance)
        moved = np.abs(new - common).max() / law.variance.max()
        common = new
        if moved < SAME:
            return common, noise_of(forces)
    raise UnsupportedProblemError(
        f"What two of {law.folds} cross-fitted probes share was not found: it still moves by "
        f"{moved:.1e}."
    )


def _forces(
    setting: PairSetting, law: FoldLaw, common: np.ndarray, fineness: Fineness
) -> np.ndarray:
    """E_c[f_k f_l], shape (C,)."""
    labels = setting.mixture.label_law
    return np.array(
        [
            sum(
                p * shared_force(law, c, sign, float(common[c]), fineness)
                for sign, p in zip((-1.0, 1.0), labels[c], strict=True)
                if p > 0
            )
            for c in range(len(labels))
        ]
    )

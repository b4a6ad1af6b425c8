"""Multinomial logistic regression: the model that scores real data, and that is refitted to it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.numerics.scaling import SCALES as SCALES
from nfl_pruning.numerics.scaling import Scaling as Scaling
from nfl_pruning.numerics.scaling import fit_scaling as fit_scaling
from nfl_pruning.validation import check_number

SMALL = 20_000_000  # entries; below this a second BLAS thread costs more than it saves
TOLERANCE = 1e-4  # of the gradient of the mean loss
ABSENT = -1e3  # logit of a class without samples: probability zero, still finite


class Multinomial(NamedTuple):
    """A fitted multinomial logistic regression.

    Attributes:
        coefficients: shape (d, C).
        intercepts: shape (C,), not penalised.
        converged: whether the optimiser reached its tolerance.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray
    converged: bool

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Logits of shape (n, C), float64."""
        return (x @ self.coefficients).astype(np.float64) + self.intercepts


def fit_multinomial(
    x: np.ndarray,
    y: np.ndarray,
    *,
    n_classes: int,
    ridge: float = 0.01,
    weights: np.ndarray | None = None,
) -> Multinomial:
    """Minimise ``sum_i w_i loss_i / sum_i w_i + (ridge / 2) ||coefficients||^2`` (scikit-learn).

    Weights are relative: multiplying all by a constant changes nothing, so the penalty means the
    same for every pruning rule. Classes that do not occur in ``y`` get a probability of zero.

    Args:
        x: scaled features, shape (n, d).
        y: class codes in 0 .. n_classes - 1, shape (n,).
        n_classes: number of classes C, >= 2.
        ridge: penalty per unit of weight, > 0; scikit-learn's C is ``1 / (ridge * n)``.
        weights: relative weight of each sample, shape (n,), > 0; equal by default.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    ridge = check_number("ridge", ridge, "(0, inf)")
    present, codes = np.unique(y, return_inverse=True)
    coefficients, intercepts = np.zeros((x.shape[1], n_classes)), np.full(n_classes, ABSENT)
    if len(present) == 1:
        intercepts[present] = 0.0
        return Multinomial(coefficients.astype(x.dtype), intercepts, converged=True)
    relative = np.ones(len(y)) if weights is None else weights / np.mean(weights)
    strength = np.clip(1 / len(y) / ridge, 1e-300, 1e300)
    model = LogisticRegression(C=float(strength), max_iter=2000, tol=TOLERANCE)
    with threadpool_limits(1) if x.size < SMALL else nullcontext():
        model.fit(x, codes, sample_weight=relative)
    fitted, offset = np.asarray(model.coef_).T, np.asarray(model.intercept_)
    if len(present) == 2:  # one margin: the logits are (0, margin), the penalty is the margin's
        fitted = np.concatenate([np.zeros_like(fitted), fitted], axis=1)
        offset = np.array([0.0, offset[0]])
    coefficients[:, present], intercepts[present] = fitted, offset
    slope = _gradient(x, codes, relative, fitted=fitted, offset=offset)
    steepest = np.abs(slope + ridge * fitted)[:, -1 if len(present) == 2 else slice(None)].max()
    return Multinomial(coefficients.astype(x.dtype), intercepts, bool(steepest < 2 * TOLERANCE))


def _gradient(
    x: np.ndarray,
    codes: np.ndarray,
    relative: np.ndarray,
    *,
    fitted: np.ndarray,
    offset: np.ndarray,
) -> np.ndarray:
    """Gradient of the mean weighted loss with respect to the coefficients, shape (d, classes)."""
    from scipy.special import softmax

    error = softmax(x @ fitted + offset, axis=1)
    error[np.arange(len(codes)), codes] -= 1
    return x.T @ (error * relative[:, None]) / len(codes)


def stratified_rows(
    rng: np.random.Generator,
    y: np.ndarray,
    fraction: float,
    parts: int = 1,
    *,
    names: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """Disjoint random row sets, each with about ``fraction`` of every class and at least one of it.

    Args:
        rng: source of randomness.
        y: class codes, shape (n,).
        fraction: share of each class in each part, in (0, 1 / parts].
        parts: number of disjoint sets.
        names: of the classes, for messages; their codes by default.

    Returns:
        ``parts`` increasing row arrays of equal length.

    Raises:
        InvalidArgumentError: a class has fewer samples than there are parts.
    """
    chosen: list[list[np.ndarray]] = [[] for _ in range(parts)]
    for code in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == code))
        size = min(max(int(np.floor(fraction * len(rows) + 0.5)), 1), len(rows) // parts)
        if not size:
            name = code if names is None else repr(names[code])
            raise InvalidArgumentError(
                f"a pilot probe needs at least {parts} samples of every class; class {name} has "
                f"{len(rows)}: use the in-sample probe."
            )
        for i in range(parts):
            chosen[i].append(rows[i * size : (i + 1) * size])
    return [np.sort(np.concatenate(part)) for part in chosen]

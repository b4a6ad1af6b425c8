"""Multinomial logistic regression: the model that scores real data, and that is refitted to it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import NamedTuple

import numpy as np

from nfl_pruning.validation import InvalidArgumentError, check_choice, check_number

SCALES = ("auto", "common", "per-feature", "none")
SMALL = 20_000_000  # entries; below this a second BLAS thread costs more than it saves
TOLERANCE = 1e-4  # of the gradient of the mean loss
ABSENT = -1e3  # logit of a class without samples: probability zero, still finite


class Scaling(NamedTuple):
    """An affine map of the features: ``(x - centre) / unit``.

    Attributes:
        kind: ``common``, ``per-feature`` or ``none``.
        centre: shape (d,).
        unit: shape (d,), or (1,) where all features share one.
    """

    kind: str
    centre: np.ndarray
    unit: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scaled features, shape and precision of ``x``."""
        return (x - self.centre.astype(x.dtype)) / self.unit.astype(x.dtype)


def fit_scaling(x: np.ndarray, kind: str = "auto", *, is_image: bool = False) -> Scaling:
    """Centre the features and bring ``||x|| / sqrt(d)`` to about 1.

    Args:
        x: features, shape (n, d).
        kind: ``"common"`` divides all features by one number, the root mean square of their
            standard deviations: right for pixels, which share a unit, and of which many are nearly
            constant. ``"per-feature"`` divides each by its own deviation: right for tables.
            ``"auto"`` is common for images, per-feature otherwise; ``"none"`` does nothing.
        is_image: whether the features are pixels.
    """
    kind = check_choice("scale", kind, SCALES)
    if kind == "auto":
        kind = "common" if is_image else "per-feature"
    if kind == "none":
        return Scaling(kind, np.zeros(1, x.dtype), np.ones(1, x.dtype))
    centre = x.mean(axis=0, dtype=np.float64)
    deviation = np.sqrt(((x - centre) ** 2).mean(axis=0, dtype=np.float64))
    if kind == "common":
        deviation = np.sqrt((deviation**2).mean(keepdims=True))
    # What varies by rounding alone is constant: it is centred and left at its own tiny size.
    size = np.abs(centre).max(keepdims=True) if kind == "common" else np.abs(centre)
    unit = np.where(deviation > 1e-12 * size, deviation, 1.0)
    return Scaling(kind, centre, unit)


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
    model = LogisticRegression(C=1 / (ridge * len(y)), max_iter=2000, tol=TOLERANCE)
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
    rng: np.random.Generator, y: np.ndarray, fraction: float, parts: int = 1
) -> list[np.ndarray]:
    """Disjoint random row sets, each with about ``fraction`` of every class and at least one of it.

    Args:
        rng: source of randomness.
        y: class codes, shape (n,).
        fraction: share of each class in each part, in (0, 1 / parts].
        parts: number of disjoint sets.

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
            raise InvalidArgumentError(
                f"a pilot probe needs at least {parts} samples of every class; class {code} has "
                f"{len(rows)}: use the in-sample probe."
            )
        for i in range(parts):
            chosen[i].append(rows[i * size : (i + 1) * size])
    return [np.sort(np.concatenate(part)) for part in chosen]

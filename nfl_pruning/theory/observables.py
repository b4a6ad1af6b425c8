"""Population quantities of a fitted direction: functions of its cosine and norm alone.

For x ~ N(0, I), a student at cosine c to the teacher and norm b has margin v = b w, with w
standard normal, and z = c w + sqrt(1 - c^2) * noise. A link is a sum of Gaussian-smoothed steps,
so P(y = 1 | w) is one too, with the noise added to its squared widths.
"""

from __future__ import annotations

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from scipy.special import ndtr as scipy_ndtr
from scipy.special import owens_t

from nfl_pruning.links import Link, Steps, smoothed_steps
from nfl_pruning.losses import LOSSES, Loss
from nfl_pruning.numerics.quadrature import (
    graded_edges,
    merge_edges,
    normal_density,
    panel_nodes,
)
from nfl_pruning.problem import Teacher
from nfl_pruning.settings import float64
from nfl_pruning.theory.state import across_share

TINY_WIDTH = 1e-9  # stands for an exact step in mesh grading and divisions


def positive_probability(steps: Steps, scale: ArrayLike, cosine: Array, w: Array) -> Array:
    """P(y = 1 | w) for the student's standardised margin w; shapes broadcast."""
    noise = scale * across_share(cosine)
    return smoothed_steps(steps, scale * cosine * w, noise)[0]


def zero_one_error(teacher: Teacher, cosine: ArrayLike) -> np.ndarray:
    """P(sign of the margin differs from a fresh noisy label), by Owen's T function.

    A smoothed step contributes P(X <= h, V <= 0) = Phi(h) / 2 + T(h, r / sqrt(1 - r^2)) for a
    bivariate normal pair at correlation r (Owen 1956).
    """
    cosine = np.asarray(cosine, float)
    steps, scale = teacher.link.steps, teacher.scale
    negative_agrees = 0.5 * (1 - steps.base) * np.ones_like(cosine)  # P(y = -1, v < 0)
    positive = steps.base * np.ones_like(cosine)  # P(y = 1)
    for location, width, jump in zip(*steps[1:], strict=True):
        spread = np.hypot(scale, width)
        if spread == 0:  # no signal and a sharp step: y does not depend on x
            negative_agrees -= 0.5 * jump * (location < 0)
            positive += jump * (location < 0)
            continue
        h, r = location / spread, scale * cosine / spread
        with np.errstate(divide="ignore"):
            slope = r / np.sqrt(np.maximum(1 - r**2, 0.0))
        both_low = 0.5 * scipy_ndtr(h) + owens_t(h, slope)  # P(step not reached, v < 0)
        negative_agrees -= jump * (0.5 - both_low)
        positive += jump * scipy_ndtr(-h)
    # P(error) = P(y=1, v<0) + P(y=-1, v>0), with P(v<0) = 1/2
    positive_low = 0.5 - negative_agrees
    return positive_low + (1 - positive) - negative_agrees


def _nodes(link: Link, loss: Loss, scale: Array, cosine: Array, norm: Array) -> tuple[Array, Array]:
    """Nodes and normal weights in w, shape (..., nodes), for margins up to the given norms.

    Panels end where the loss of either label bends.
    """
    lean = jnp.maximum(scale * jnp.abs(cosine), TINY_WIDTH)[..., None]
    noise = (scale * jnp.sqrt(jnp.maximum(1 - cosine**2, 0.0)))[..., None]
    sharpest = min(width for _, width in link.rises)
    places = jnp.asarray(sorted(set(link.steps.locations)))
    where = jnp.clip(jnp.sign(cosine)[..., None] * places / lean, -50.0, 50.0)
    centres = jnp.concatenate([jnp.zeros_like(lean), where], axis=-1)
    bend = 1 / jnp.maximum(norm, TINY_WIDTH)[..., None]
    rise = jnp.clip(jnp.sqrt(sharpest**2 + noise**2) / lean, 1e-6, 1e3)
    widths = jnp.concatenate([bend, jnp.broadcast_to(rise, where.shape)], axis=-1)
    edges = graded_edges(centres, widths, n_panels=40 + 16 * len(places))
    bends = [bend * sign * k for k in loss.kinks(jnp.zeros(())) for sign in (1.0, -1.0)]
    w, weights = panel_nodes(merge_edges(edges, jnp.concatenate([centres, *bends], axis=-1)), 10)
    return w, weights * normal_density(w)


def error_and_loss(
    link: Link, loss: Loss, scale: Array, cosine: Array, norm: Array
) -> tuple[Array, Array]:
    """0-1 error and expected loss on fresh samples, shape (...,) like the last three arguments.

    Differentiable in them. For compiled code: :func:`zero_one_error` has the same error in closed
    form, by a function that JAX lacks.
    """
    w, weights = jax.lax.stop_gradient(_nodes(link, loss, scale, cosine, norm))
    positive = positive_probability(link.steps, scale[..., None], cosine[..., None], w)
    v = norm[..., None] * w
    error = jnp.where(w < 0, positive, 1 - positive)
    value = positive * loss.value(v) + (1 - positive) * loss.value(-v)
    return jnp.sum(weights * error, axis=-1), jnp.sum(weights * value, axis=-1)


# The signal is data here, so that one compiled program serves every signal.
@partial(jax.jit, static_argnames=("link", "loss"))
def _expected_loss(link: Link, loss: Loss, scale: Array, cosine: Array, norm: Array) -> Array:
    return error_and_loss(link, loss, scale, cosine, norm)[1]


def best_norm(teacher: Teacher, loss: Loss, cosine: Array) -> Array:
    """The signed norm of least expected loss at a given cosine; infinite where none is finite.

    The loss is convex in the norm and falls towards the side of the derivative's sign at 0; the
    minimiser is bracketed by doubling (up to 2^30) and bisected.
    """
    cosine = jnp.asarray(cosine)
    return _best_norm(teacher.link, loss, jnp.full_like(cosine, teacher.scale), cosine)


@partial(jax.jit, static_argnames=("link", "loss"))
def _best_norm(link: Link, loss: Loss, scale: Array, cosine: Array) -> Array:
    def rule(norm: Array) -> tuple[Array, Array, Array]:
        w, weights = _nodes(link, loss, scale, cosine, norm)
        return w, weights, positive_probability(link.steps, scale[..., None], cosine[..., None], w)

    fixed = rule(jnp.full_like(cosine, 1e4))

    def slope(norm):
        w, weights, positive = fixed if loss.smooth else rule(jnp.abs(norm))
        v = norm[..., None] * w
        up, down = loss.derivative(v), loss.derivative(-v)
        return jnp.sum(weights * w * (positive * up - (1 - positive) * down), axis=-1)

    sign = -jnp.sign(slope(jnp.zeros_like(cosine)))

    def double(_, high):
        return jnp.where(sign * slope(sign * high) >= 0, high, 2 * high)

    high = jax.lax.fori_loop(0, 30, double, jnp.ones_like(cosine))
    bounded = sign * slope(sign * high) >= 0

    def halve(_, bracket):
        low, high = bracket
        middle = 0.5 * (low + high)
        past = sign * slope(sign * middle) >= 0
        return jnp.where(past, low, middle), jnp.where(past, middle, high)

    low, high = jax.lax.fori_loop(0, 55, halve, (jnp.zeros_like(cosine), high))
    size = jnp.where(bounded, 0.5 * (low + high), jnp.inf)
    return jnp.where(sign == 0, 0.0, sign * size)


@lru_cache(maxsize=256)
def best_loss(teacher: Teacher, loss: Loss) -> float:
    """The least population loss over all parameters.

    By symmetry around the teacher axis and convexity the minimiser lies on that axis. Where the
    axis separates the labels, a loss with its infimum at infinite margins reaches it: 0.
    """
    return float(best_losses(teacher.link, loss, np.array(teacher.scale)))


@float64
def best_losses(link: Link, loss: Loss, scale: ArrayLike) -> np.ndarray:
    """:func:`best_loss` for teachers of one link, by their margin per unit of z; any shape."""
    different, place = np.unique(np.asarray(scale, float), return_inverse=True)
    length = 1 << (len(different) - 1).bit_length()  # few lengths, for each compiles a program
    scale = jnp.asarray(np.pad(different, (0, length - len(different)), mode="edge"))
    best = _best_norm(link, loss, scale, jnp.ones_like(scale))
    finite = jnp.isfinite(best)
    size = jnp.where(finite, jnp.abs(best), 1.0)
    value = _expected_loss(link, loss, scale, jnp.where(best < 0, -1.0, 1.0), size)
    return np.asarray(jnp.where(finite, value, 0.0))[place]


@float64
def observables(
    teacher: Teacher, loss: Loss, *, cosine: ArrayLike, norm: ArrayLike
) -> dict[str, np.ndarray]:
    """Exact population values for students of given cosine and norm.

    Args:
        teacher: the law of the labels.
        loss: the student's loss.
        cosine: cosine to the teacher, in [-1, 1], any shape.
        norm: Euclidean norm, >= 0, the same shape.

    Returns:
        float64 arrays of that shape: ``test_error`` (0-1 error against a fresh noisy label),
        ``test_loss``, ``excess_risk`` (test_loss minus the least population loss) and
        ``calibration_slope`` (the factor by which the margin must be multiplied to minimise the
        logistic loss: 1 is calibrated, below 1 overconfident; infinite where
        margins separate the labels).
        NaN where the input is NaN; test_loss and excess_risk are NaN for a hard constraint, which
        some fresh sample always breaks: its loss is infinite.
    """
    cosine, norm = np.broadcast_arrays(np.asarray(cosine, float), np.asarray(norm, float))
    cosine = np.clip(cosine, -1.0, 1.0)
    known = np.isfinite(cosine) & np.isfinite(norm)
    c, b = jnp.where(known, cosine, 0.0), jnp.where(known, norm, 1.0)
    if loss.hard:
        loss_value, least = np.full(cosine.shape, np.nan), np.nan
    else:
        signal = jnp.full_like(c, teacher.scale)
        loss_value = np.where(known, _expected_loss(teacher.link, loss, signal, c, b), np.nan)
        least = best_loss(teacher, loss)
    return {
        "test_error": zero_one_error(teacher, cosine),
        "test_loss": loss_value,
        "excess_risk": loss_value - least,
        "calibration_slope": calibration_slopes(teacher, cosine=cosine, norm=norm),
    }


@float64
def calibration_slopes(teacher: Teacher, *, cosine: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """The factors on margins of given cosine and norm that minimise the logistic test loss."""
    known = np.isfinite(cosine) & np.isfinite(norm)
    c = jnp.where(known, cosine, 0.0)
    scale = np.where(known, best_norm(teacher, LOSSES["logistic"], c), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(norm > 0, scale / norm, np.nan)

"""Gradient search over the family: the gap with a softened threshold, as a function of the law.

The kept indicator becomes sigmoid((priority - threshold) / temperature), so the gap is smooth in
the law. Thresholds and fits are solved to convergence without derivatives, and one more Newton
step with derivatives gives their exact gradient by the implicit function theorem. A small ridge
keeps fits finite. What the search finds is certified with the hard threshold afterwards.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from nfl_pruning.adversary.laws import EXPLICIT, RANGES, REACH, Law
from nfl_pruning.adversary.ranking import rank_key, traceable
from nfl_pruning.numerics.damped import damped
from nfl_pruning.numerics.quadrature import gauss_legendre
from nfl_pruning.scores.base import Score
from nfl_pruning.settings import float64

NAMES = tuple(RANGES)
LOW, HIGH = np.array(list(RANGES.values())).T
TEMPERATURE = 0.05  # in standard deviations of the score under the law
RIDGE = 1e-3
STEPS, LEARNING_RATE = 50, 0.15
X2 = np.linspace(-6.5, 6.5, 33)
PANEL_X, PANEL_W = gauss_legendre(9)


def to_law(raw: np.ndarray) -> Law:
    """The law of unconstrained parameters."""
    inside = LOW + (HIGH - LOW) / (1 + np.exp(-np.asarray(raw, float)))
    return Law(**dict(zip(NAMES, inside.tolist(), strict=True)))


def to_raw(law: Law) -> np.ndarray:
    """Unconstrained parameters of a law; ends of ranges are moved in by a little."""
    values = np.array([getattr(law, name) for name in NAMES])
    share = np.clip((values - LOW) / (HIGH - LOW), 0.02, 0.98)
    return np.log(share / (1 - share))


def _nodes(raw: Array) -> tuple[Array, Array, Array]:
    """Nodes (n, 2), masses (2, n) for y = 1, -1, and cluster centres, differentiable in raw."""
    value = dict(zip(NAMES, LOW + (HIGH - LOW) * jax.nn.sigmoid(raw), strict=True))
    step = value["step"]
    edges = jnp.array([-REACH, -5.0, -3.5, -step * 1.5, -step, -step / 2, 0.0])
    edges = jnp.sort(jnp.concatenate([edges, -edges[:-1]]))
    half, middle = 0.5 * jnp.diff(edges)[:, None], 0.5 * (edges[1:] + edges[:-1])[:, None]
    x1, w1 = (middle + half * PANEL_X).ravel(), (half * PANEL_W).ravel()
    x = jnp.stack(jnp.meshgrid(x1, jnp.asarray(X2), indexing="ij"), -1).reshape(-1, 2)
    area = jnp.repeat(w1, len(X2)) * (X2[1] - X2[0])
    away = -value["separation"] * jnp.array([jnp.cos(value["angle"]), jnp.sin(value["angle"])])
    centres = jnp.stack([jnp.stack([value["separation"], jnp.zeros(())]), away])
    widths = jnp.stack(
        [jnp.stack([value["width"]] * 2), jnp.stack([value["width_1"], value["width_2"]])]
    )
    weight = jnp.stack([value["balance"], 1 - value["balance"]])
    z = (x[:, None] - centres) / widths
    density = jnp.exp(-0.5 * (z**2).sum(-1)) @ (weight / (2 * jnp.pi * widths.prod(1)))
    levels = jnp.stack([value[n] for n in ("far_left", "left", "right", "far_right")])
    places = jax.lax.stop_gradient(jnp.stack([-step, jnp.zeros(()), step]))
    probability = levels[jnp.searchsorted(places, jax.lax.stop_gradient(x[:, 0]))]
    mass = area * density
    return x, jnp.stack([mass * probability, mass * (1 - probability)]), centres


def _fit(design: Array, mass: Array) -> Array:
    """Ridge-logistic fit to masses (2, n), with the implicit derivative."""
    mass = mass / jnp.sum(mass)

    def move(theta: Array, mass: Array, design: Array) -> tuple[Array, Array]:
        p = jax.nn.sigmoid(design @ theta)
        gradient = design.T @ (mass[1] * p - mass[0] * (1 - p)) + RIDGE * theta
        curvature = (design.T * (mass.sum(0) * p * (1 - p))) @ design + RIDGE * jnp.eye(3)
        return gradient, curvature

    fixed = jax.lax.stop_gradient((mass, design))

    def step(_, theta: Array) -> Array:
        gradient, curvature = move(theta, *fixed)
        change = -jnp.linalg.solve(curvature, gradient)
        return theta + damped(change, gradient, whole_below=0.1)

    theta = jax.lax.stop_gradient(jax.lax.fori_loop(0, 40, step, jnp.zeros(3)))
    gradient, _ = move(theta, mass, design)
    curvature = jax.lax.stop_gradient(move(theta, mass, design)[1])
    return theta - jnp.linalg.solve(curvature, gradient)


def _soft_share(priority: Array, mass: Array, fraction: Array) -> Array:
    """Keep probabilities with a softened threshold whose mean is the keep fraction."""
    total = jnp.sum(mass)
    mean = jnp.sum(mass * priority) / total
    spread = jnp.sqrt(jnp.sum(mass * (priority - mean) ** 2) / total)
    width = TEMPERATURE * spread + 1e-12
    fixed, weights, step = jax.lax.stop_gradient((priority, mass / total, width))

    def halve(_, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = 0.5 * (low + high)
        more = jnp.sum(weights * jax.nn.sigmoid((fixed - middle) / step)) > fraction
        return jnp.where(more, middle, low), jnp.where(more, high, middle)

    ends = (fixed.min() - 20 * step, fixed.max() + 20 * step)
    cut = jax.lax.stop_gradient(jax.lax.fori_loop(0, 50, halve, ends)[0])
    kept = jax.nn.sigmoid((priority - cut) / width)
    off = jnp.sum(mass * kept) / total - fraction
    slope = jnp.sum(weights * jax.lax.stop_gradient(kept * (1 - kept))) / step
    return jax.nn.sigmoid((priority - (cut + off / jnp.maximum(slope, 1e-12))) / width)


def soft_gap(raw: Array, score: Score, fraction: Array, sign: Array) -> Array:
    """The gap with a softened threshold, a function of the law's unconstrained parameters."""
    x, mass, centres = _nodes(raw)
    design = jnp.concatenate([x, jnp.ones((len(x), 1))], axis=1)
    best = _fit(design, mass)
    labels = jnp.repeat(jnp.array([1, 0]), len(x)).reshape(2, -1)
    priority = sign * jnp.stack([rank_key(score, x, y, best, centres) for y in labels])
    student = _fit(design, mass * _soft_share(priority, mass, fraction))

    def risk(theta: Array) -> Array:
        margin = design @ theta
        return jnp.sum(mass[0] * jax.nn.softplus(-margin) + mass[1] * jax.nn.softplus(margin))

    return (risk(student) - risk(best)) / jnp.sum(mass)


@partial(jax.jit, static_argnums=1)
def _ascend(starts: Array, score: Score, fraction: Array, sign: Array) -> tuple[Array, Array]:
    """Adam from every start, in turn; the best point of each path and its gap."""
    adam = optax.scale_by_adam(b1=0.9, b2=0.95)

    def climb(start: Array) -> tuple[Array, Array]:
        def step(state, _):
            raw, moments, best, at = state
            gap, slope = jax.value_and_grad(soft_gap)(raw, score, fraction, sign)
            usable = jnp.isfinite(gap) & jnp.all(jnp.isfinite(slope))
            better = usable & (gap > best)
            best, at = jnp.where(better, gap, best), jnp.where(better, raw, at)
            move, moments = adam.update(jnp.where(usable, slope, 0.0), moments)
            raw = jnp.clip(raw + LEARNING_RATE * cast(Array, move), -5, 5)
            return (raw, moments, best, at), None

        state = (start, adam.init(start), jnp.asarray(-jnp.inf), start)
        (_, _, gap, at), _ = jax.lax.scan(step, state, length=STEPS)
        return gap, at

    return jax.lax.map(climb, starts)


def start_points(seed: int, count: int) -> np.ndarray:
    """The explicit laws and random members of the family, shape (starts, parameters)."""
    rng = np.random.default_rng([seed, 4])
    drawn = rng.normal(0, 1.2, (max(count - len(EXPLICIT), 0), len(NAMES)))
    return np.concatenate([[to_raw(law) for law in EXPLICIT.values()], drawn])[:count]


@float64
def search(
    score: Score, keep_fraction: float, *, keep: str, seed: int = 0, starts: int = 6
) -> list[Law]:
    """Laws where the softened gap is large, best first; starting points for untraceable scores."""
    begin = start_points(seed, starts)
    if not traceable(score):
        return [to_law(raw) for raw in begin]
    sign = jnp.asarray(1.0 if keep == "hardest" else -1.0)
    gaps, ends = _ascend(jnp.asarray(begin), score, jnp.asarray(keep_fraction), sign)
    gaps, ends = np.asarray(gaps), np.asarray(ends)
    order = np.argsort(-np.where(np.isfinite(gaps), gaps, -np.inf))
    return [to_law(ends[i]) for i in order]

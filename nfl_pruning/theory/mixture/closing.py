"""How the moments of a fit to a mixture fix its unknowns (docs/equations.md, mixtures).

A fit's parameter is a mean, fixed by the moments, plus Gaussian noise. It reads rows that are
given: those of the probe (themselves a mean plus noise where the probe was fitted) and, where a
teacher gives the labels, the teacher's. Superscripts of docs/equations.md: 1 the probe, 2 the fit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from nfl_pruning.theory.mixture.geometry import Geometry, Matrix, Operator


class Moments(NamedTuple):
    """Expectations over the kept samples of a component; leading axis C.

    Attributes:
        force: F = E[f], shape (C, R), f = keep * weight * dl/dh at the fitted logits.
        square: Q = E[f f^T], shape (C, R, R).
        response: A = E[df / dv], shape (C, R, R).
        given: B = E[df / dz], response to the rows that are given, shape (C, R, P).
        shared: E[f f_1^T] with the force of a probe that was fitted on these samples, shape
            (C, R, R_1); zero for others.
    """

    force: Any
    square: Any
    response: Any
    given: Any
    shared: Any


class State(NamedTuple):
    """The law of a fresh sample's logits v under the fit, by component; leading axis C.

    Attributes:
        mean: m, shape (C, R), intercept included.
        covariance: V, shape (C, R, R).
        cross: X = Cov(v, z) with the given rows' logits, shape (C, R, P).
        step: kappa of the proximal map, shape (C, R, R).
        coupling: kappa_21, how a sample's part in its probe moves its fit, shape (C, R, R_1).
        intercept: b, shape (R,).
    """

    mean: Any
    covariance: Any
    cross: Any
    step: Any
    coupling: Any
    intercept: Any


class Given(NamedTuple):
    """The rows that a fit reads beside its own: the probe's, then the teacher's.

    Attributes:
        rows: their means, shape (P, D).
        noise: Cov of their noise, an operator from rows (P, D) to (P, D); None where exact.
        inverse: G_1 of a probe fitted on the samples that it scores, extended by zeros to the
            operator (R_1, P); None for another probe.
    """

    rows: Any
    noise: Any = None
    inverse: Any = None


class Fit(NamedTuple):
    """A fit's parameter in the geometry's coordinates.

    Attributes:
        rows: mean, shape (R, D). inverse: G = H^-1, operator. intercept: b, shape (R,).
        square: Q over the samples per feature, shape (C, R, R), of which :func:`noise_of` makes
            the noise that samples bring; rows that are read pass on more, which only the law has.
    """

    rows: Any
    inverse: Any
    intercept: Any
    square: Any


def noise_of(geometry: Geometry, inverse: Operator, square: Matrix) -> Operator:
    """Covariance of the noise that the samples of a fit bring: G M G of eq. (M9).

    Args:
        geometry: of the inputs.
        inverse: G.
        square: of the forces, over the samples per feature, shape (C, R, R).
    """
    middle = geometry.combine(square)
    return geometry.compose(geometry.compose(inverse, middle), geometry.transpose(inverse))


def close(
    geometry: Geometry,
    moments: Moments,
    mean: Array,
    given: Given,
    *,
    ridge: Array,
    samples_per_feature: Array,
    free: bool,
) -> tuple[State, Fit]:
    """The law of the logits that these moments give back, and the fit's parameter.

    Args:
        geometry: of the inputs.
        moments: at the present law.
        mean: m of that law, shape (C, R).
        given: the rows that are read.
        ridge: lambda.
        samples_per_feature: n / d of this fit, before pruning.
        free: whether the intercept is free; else it is 0.
    """
    inverse = geometry.inverse(geometry.combine(moments.response), ridge)  # G, eq. (M3)
    reads = geometry.combine(moments.given)  # D, eq. (M3)
    rows, intercept, new_mean = _mean(geometry, moments, mean, given, inverse, reads, free)
    square = moments.square / samples_per_feature
    noise = geometry.trace(noise_of(geometry, inverse, square))
    cross = geometry.overlap(rows, given.rows)  # eq. (M8)
    coupling = jnp.zeros_like(moments.shared)
    if given.noise is not None:
        passed = -geometry.compose(inverse, reads)  # -G D: how the given rows' noise is passed on
        more, shared = _passed_on(geometry, moments, given, inverse, passed, samples_per_feature)
        noise, cross = noise + more, cross + shared
        if given.inverse is not None:
            through = geometry.compose(passed, geometry.transpose(given.inverse))
            coupling = geometry.trace(through) / samples_per_feature  # eq. (M6)
    step = geometry.trace(inverse) / samples_per_feature  # eq. (M6)
    state = State(
        new_mean,
        geometry.overlap(rows, rows) + noise,  # eq. (M7)
        cross,
        step,
        coupling,
        intercept,
    )
    return state, Fit(rows, inverse, intercept, square)


def _mean(
    geometry: Geometry,
    moments: Moments,
    mean: Array,
    given: Given,
    inverse: Operator,
    reads: Operator,
    free: bool,
) -> tuple[Array, Array, Array]:
    """Mean parameter, intercept and mean logits: eq. (M4), (M5), with F linear in the means.

    Plain iteration of F diverges; here F_c(m) is replaced by F_c + A_c (m_new - m), which is a
    step of Newton's method, exact where the iteration ends.
    """
    p, (n_components, n_outputs) = geometry.weights, moments.force.shape
    rest = moments.force - jnp.einsum("cab,cb->ca", moments.response, mean)
    force = jnp.einsum("c,ca,ci->ai", p, rest, geometry.means) + geometry.rows(reads, given.rows)
    without = -geometry.rows(inverse, force)
    # m_c = without mu_c - sum_e (mu_c G mu_e) p_e A_e m_e + b
    weighted = p[:, None, None] * moments.response
    kernel = jnp.einsum("ceab,ebd->caed", geometry.between_means(inverse), weighted)
    size = n_components * n_outputs
    system = jnp.eye(size) + kernel.reshape(size, size)
    right = (without @ geometry.means.T).T.reshape(size)
    ones = jnp.tile(jnp.eye(n_outputs), (n_components, 1))
    if free:
        total = weighted.transpose(1, 0, 2).reshape(n_outputs, size)  # sum_c p_c A_c m_c
        bordered = jnp.block([[system, -ones], [total, jnp.zeros((n_outputs, n_outputs))]])
        balance = -jnp.einsum("c,ca->a", p, rest)
        solution = jnp.linalg.solve(bordered, jnp.concatenate([right, balance]))
        new_mean, intercept = solution[:size], solution[size:]
    else:
        new_mean, intercept = jnp.linalg.solve(system, right), jnp.zeros(n_outputs)
    new_mean = new_mean.reshape(n_components, n_outputs)
    push = jnp.einsum("cab,cb,ci->ai", weighted, new_mean, geometry.means)
    return without - geometry.rows(inverse, push), intercept, new_mean


def _passed_on(
    geometry: Geometry,
    moments: Moments,
    given: Given,
    inverse: Operator,
    passed: Operator,
    samples_per_feature: Array,
) -> tuple[Array, Array]:
    """What the given rows' noise adds to the law, V and X, each as traced: eq. (M9).

    Both fits to the same samples also share the samples' own noise, E[f f_1^T]. Traces are added,
    and not operators, of which sums can be larger than each.
    """
    compose, transpose, trace = geometry.compose, geometry.transpose, geometry.trace
    passed_back = transpose(passed)
    handed = compose(passed, given.noise)
    covariance, cross = trace(compose(handed, passed_back)), trace(handed)
    if given.inverse is not None:
        own = geometry.combine(moments.shared / samples_per_feature)
        own = compose(compose(inverse, own), given.inverse)
        both = trace(compose(own, passed_back))
        covariance = covariance + both + jnp.swapaxes(both, 1, 2)
        cross = cross + trace(own)
    return covariance, cross

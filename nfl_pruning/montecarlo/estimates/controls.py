"""Control variates: numbers of a trial that move with its fit and whose means are known.

At the best parameter within the plane of teacher and probe, pulls a_i = w_i y_i l'(m_i) and
curvatures c_i = w_i l''(m_i) depend on the plane alone, and so do b_i = w_i y_i, while the other
D = d - 2 coordinates G of the rows are standard normal and independent of them. Hence, given the
plane, for g = G^T a, h = G^T b and the products p = G g / |g|,

    E[g . g] = D a . a,    E[g . h] = D a . b,    E[h . h] = D b . b,
    p = |g| a / |a|^2 + noise orthogonal to a, of unit variance, independent of |g|,

so these have mean zero exactly: ``noise = |g|^2 / |a|^2 - D``, ``label_noise`` the same of h and b,
``cross_noise = g . h / |a||b| - D a . b / |a||b|``, and
``curvature = sum c_i (p_i^2 - 1 - (D - 1) a_i^2 / |a|^2) / sum c_i``. The gradient g is where a fit
starts from anyway; the rest costs one pass over the rows.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from nfl_pruning.losses import Loss
from nfl_pruning.montecarlo.fits.newton import second_derivative
from nfl_pruning.montecarlo.fits.passes import Samples, double_product, widen

ROW_CONTROLS = ("noise", "label_noise", "cross_noise", "curvature")


def row_controls(samples: Samples, loss: Loss, theta: Array, gradient: Array) -> Array:
    """The numbers above in the order of their names, of rows that are normal outside the plane.

    Args:
        samples: training rows.
        loss: a smooth loss.
        theta: the start of a fit: zero outside the plane, shape (d,).
        gradient: of the objective there, shape (d,).
    """
    t = samples.labels * (widen(samples.plane) @ theta[:2])
    b = samples.weights * samples.labels
    a = b * loss.derivative(t)
    c = samples.weights * second_derivative(loss, t)
    aa, ab, bb, total = (samples.total(jnp.sum(v)) for v in (a * a, a * b, b * b, c))
    g, degrees = gradient[2:], samples.width - 2
    size = jnp.linalg.norm(g)
    there = (size > 0) & (aa > 0)
    size, aa = jnp.where(there, size, 1.0), jnp.where(there, aa, 1.0)
    unit = (gradient / size).at[:2].set(0.0).astype(jnp.float32)
    signed = b.astype(jnp.float32)
    products, pulled = double_product(samples, unit, lambda number, _: signed[number])
    h, p = widen(pulled)[2:], widen(products)
    known = [
        size**2 / aa - degrees,
        h @ h / bb - degrees,
        (g @ h - degrees * ab) / jnp.sqrt(aa * bb),
        samples.total(jnp.sum(c * (p**2 - 1 - (degrees - 1) * a**2 / aa))) / total,
    ]
    return jnp.where(there, jnp.stack(known), 0.0)

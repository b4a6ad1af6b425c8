"""What a fit returns, whichever method made it."""

from __future__ import annotations

from typing import NamedTuple

from jax import Array

GRADIENT_TOLERANCE = 1e-11
CONVERGED, SEPARABLE, UNCONVERGED, NOT_SEPARABLE = 0, 1, 2, 5


class Fit(NamedTuple):
    """Outcome of a fit.

    Attributes:
        theta: parameter, shape (d,), float64.
        margins: rows @ theta, shape (blocks, size), float64.
        gradient_norm: Euclidean norm of the objective's gradient; of its least subgradient for
            losses with corners.
        code: CONVERGED, SEPARABLE, UNCONVERGED or NOT_SEPARABLE.
        steps, passes: Newton steps and passes over the rows.
        controls: control variates (``controls.py``), shape (4,); zeros for losses with corners.
    """

    theta: Array
    margins: Array
    gradient_norm: Array
    code: Array
    steps: Array
    passes: Array
    controls: Array

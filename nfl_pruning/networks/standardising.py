"""What a network is given: grey levels on a fixed scale, other inputs standardised."""

from __future__ import annotations

import numpy as np


def is_grey(x: np.ndarray, is_image: bool) -> bool:
    """Whether these are grey levels in [0, 1]."""
    return bool(is_image and x.min() >= 0 and x.max() <= 1)


def network_inputs(
    x: np.ndarray, *, is_image: bool, fitted: np.ndarray | None = None
) -> np.ndarray:
    """Inputs for a network, float32: grey levels in [0, 1] become 2 x - 1, others are standardised.

    Args:
        x: the inputs, shape (n, d).
        is_image: whether they are pixels.
        fitted: the rows that the network trains on, shape (m, d), all of x by default: they alone
            decide which of the two it is, and give the moments. No label is used.
    """
    fitted = x if fitted is None else fitted
    if is_grey(fitted, is_image):
        return (2 * x - 1).astype(np.float32)
    from nfl_pruning.pruning.multinomial import fit_scaling

    scaled = fit_scaling(fitted, is_image=is_image)(x)
    largest = np.finfo(np.float32).max
    return np.clip(scaled, -largest, largest).astype(np.float32)

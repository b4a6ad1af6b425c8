"""Few compiled programs, so that a long session does not run out of memory maps.

Every program that XLA compiles for the CPU maps memory several times, and Linux allows a process
only so many maps (65530 by default). Past that, compilation fails with "Cannot allocate memory"
and takes the process down. Simulations of many different problems get there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

MAPS = Path("/proc/self/maps")
LIMIT = Path("/proc/sys/vm/max_map_count")
SHARE = 0.5


def release_programs(share: float = SHARE) -> bool:
    """Drop JAX's compiled programs if more than ``share`` of the allowed maps are in use.

    What is needed again is compiled again; no number changes. Does nothing where the system does
    not tell (other systems than Linux).

    Returns:
        Whether programs were dropped.
    """
    try:
        allowed = int(LIMIT.read_text())
        used = MAPS.read_bytes().count(b"\n")
    except (OSError, ValueError):
        return False
    if used <= share * allowed:
        return False
    jax.clear_caches()
    return True


def elementwise(function: Callable[[np.ndarray], jax.Array], values: np.ndarray) -> np.ndarray:
    """A compiled elementwise function of any number of values, by programs of few sizes."""
    flat = np.ravel(values)
    size = max(64, 1 << (len(flat) - 1).bit_length()) if len(flat) else 64
    padded = np.zeros(size, flat.dtype)
    padded[: len(flat)] = flat
    return np.asarray(function(padded))[: len(flat)].reshape(np.shape(values))

"""Few compiled programs, so that a long session does not run out of memory maps.

Every program that XLA compiles for the CPU maps memory several times, and Linux allows a process
only so many maps (65530 by default). Past that, compilation fails with "Cannot allocate memory"
and takes the process down. Simulations of many different problems get there.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

MAPS = Path("/proc/self/maps")
LIMIT = Path("/proc/sys/vm/max_map_count")
SHARE, WARN_SHARE = 0.5, 0.8


def share_in_use() -> float:
    """Share of the allowed memory maps in use; 0 where the system does not tell."""
    try:
        return MAPS.read_bytes().count(b"\n") / int(LIMIT.read_text())
    except (OSError, ValueError):
        return 0.0


def release_programs(share: float = SHARE) -> bool:
    """Drop JAX's compiled programs if more than ``share`` of the allowed maps are in use.

    For long-running drivers, which own their process: the programs of everybody in it are dropped.
    What is needed again is compiled again; no number changes.

    Returns:
        Whether programs were dropped.
    """
    if share_in_use() <= share:
        return False
    jax.clear_caches()
    return True


def warn_of_many_programs() -> None:
    """Say how to go on, before a process runs out of memory maps."""
    if share_in_use() > WARN_SHARE:
        warnings.warn(
            "Compiled programs use most of the memory maps that the system allows this process; "
            "jax.clear_caches() between problems of different shapes frees them.",
            stacklevel=3,
        )


def elementwise(function: Callable[[np.ndarray], jax.Array], values: np.ndarray) -> np.ndarray:
    """A compiled elementwise function of any number of values, by programs of few sizes."""
    flat = np.ravel(values)
    size = max(64, 1 << (len(flat) - 1).bit_length()) if len(flat) else 64
    padded = np.zeros(size, flat.dtype)
    padded[: len(flat)] = flat
    return np.asarray(function(padded))[: len(flat)].reshape(np.shape(values))

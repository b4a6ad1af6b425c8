"""Keep a long session from running out of memory maps.

Every program that XLA compiles for the CPU maps memory several times, and Linux allows a process
only so many maps (65530 by default). Past that, compilation fails with "Cannot allocate memory"
and takes the process down. Simulations of many different problems get there.
"""

from __future__ import annotations

from pathlib import Path

import jax

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

"""The same arithmetic for plain numbers, numpy arrays and traced values."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array


def library_of(value: Any) -> Any:
    """What computes with a value: plain numbers and numpy arrays stay so, JAX's need JAX."""
    return jnp if isinstance(value, Array) else np


def choose(condition: Any, yes: Any, no: Any) -> Any:
    """``yes`` where the condition holds, else ``no``; a plain number for a plain condition."""
    if isinstance(condition, bool | np.bool_):
        return yes if condition else no
    return library_of(condition).where(condition, yes, no)

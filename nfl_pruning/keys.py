"""Random keys: what is passed as one is looked at before it is used."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nfl_pruning.errors import InvalidArgumentError


def check_key(key: Any) -> Array:
    """Return ``key`` where it is one random key, typed or of the old kind, else raise."""
    what = repr(key)
    if isinstance(key, (jax.Array, np.ndarray)):
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if (typed and key.shape == ()) or (key.dtype == np.uint32 and key.shape in ((2,), (4,))):
            return jnp.asarray(key) if isinstance(key, np.ndarray) else key
        what = f"an array of shape {key.shape} and type {key.dtype}"
    raise InvalidArgumentError(f"key must be one random key such as jax.random.key(0); got {what}.")

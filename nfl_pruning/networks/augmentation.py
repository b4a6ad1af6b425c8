"""Random changes of training images: flips and crops, as is usual for CIFAR."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.validation import check_choice

AUGMENTATIONS = ("none", "flip-crop")

Augment = Callable[[Array, Array], Array]


@lru_cache(maxsize=64)
def make_augment(name: str, shape: tuple[int, ...] | None) -> Augment | None:
    """A function of (key, flat batch) that gives a flat batch, or None for ``"none"``.

    ``"flip-crop"`` mirrors each image left to right with chance 1/2, pads it with zeros (middle
    grey for network inputs) by an eighth of its size, and crops it back at a random place: 4 pixels
    for the 32 of CIFAR. Each image has draws of its own.

    Raises:
        InvalidArgumentError: the name is unknown, or the inputs are no images.
    """
    if check_choice("augmentation", name, AUGMENTATIONS) == "none":
        return None
    if shape is None or len(shape) not in (2, 3):
        raise InvalidArgumentError(
            f"augmentation {name} needs images of shape (height, width[, channels]); got {shape}."
        )
    height, width = shape[:2]
    pads = (-(-height // 8), -(-width // 8))

    def one(key: Array, image: Array) -> Array:
        key_flip, key_row, key_column = jax.random.split(key, 3)
        image = jnp.where(jax.random.bernoulli(key_flip), image[:, ::-1], image)
        padded = jnp.pad(image, ((pads[0],) * 2, (pads[1],) * 2, (0, 0)))
        row = jax.random.randint(key_row, (), 0, 2 * pads[0] + 1)
        column = jax.random.randint(key_column, (), 0, 2 * pads[1] + 1)
        return jax.lax.dynamic_slice(padded, (row, column, 0), image.shape)

    def augment(key: Array, x: Array) -> Array:
        images = x.reshape(len(x), height, width, -1)
        changed = jax.vmap(one)(jax.random.split(key, len(x)), images)
        return changed.reshape(x.shape)

    return augment
